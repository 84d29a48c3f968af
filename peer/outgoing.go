package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// newMessage begins a message of this session. Its expiry is the default one.
func (p *Peer) newMessage(t int64, kind seal.Kind) *seal.Message {
	return &seal.Message{Mesh: p.mesh, From: p.self, Session: p.session, Label: p.label, Kind: kind,
		Priority: seal.PriorityNext, Time: t, Expires: t + 1, At: p.members().At()}
}

// sealInto seals a message for the targets of its row.
func (p *Peer) sealInto(row *delivery.OutboxRow, m *seal.Message) error {
	others := make([]keys.Public, len(row.To))
	for i := range row.To {
		others[i] = row.To[i].Key
	}
	return p.pairs.withAll(others, func(pairs []*seal.Pair) (err error) {
		if len(pairs) == 1 {
			row.Sealed, err = seal.SealDirect(rand.Reader, pairs[0], m)
			return err
		}
		sealed, boxes, err := seal.SealGroup(rand.Reader, pairs, m)
		if err != nil {
			return err
		}
		row.Sealed = sealed
		for i := range row.To {
			row.To[i].Box = boxes[i]
		}
		return nil
	})
}

// commitRow writes an outbox row by fn and puts it into the line of what is to be
// sent. State.db calls fn and what follows in the order of the commitRows, so
// numbers, places and the order of sending agree.
func (p *Peer) commitRow(ctx context.Context, row *delivery.OutboxRow, fn func(*profile.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	p.home.state.Submit(p.mesh, fn, func(err error) {
		if err == nil {
			p.mu.Lock()
			p.outbox.Add(p.now(), row)
			p.runOutboxLocked(profile.WordBroker)
			p.mu.Unlock()
		}
		done <- err
	})
	return <-done // a commit takes milliseconds, and cannot be taken back
}

// note is what is to be written of a message of the outbox.
type note struct {
	place int64
	said  profile.Said
	drop  bool // the row is done
}

// runOutboxLocked does what the outbox asks for. word says by whose word the states
// are known that come of it.
func (p *Peer) runOutboxLocked(word profile.Word) {
	var notes []note
	for {
		effects := slices.Clone(p.outbox.Effects())
		if len(effects) == 0 {
			break
		}
		for i := range effects {
			e := &effects[i]
			switch e.Kind {
			case delivery.OutboxSend:
				if p.sendRowLocked(e.Row) {
					word = profile.WordSelf
				}
			case delivery.OutboxState:
				notes = append(notes, note{place: e.Place, said: profile.Said{ID: e.ID, To: e.To, State: e.State, Why: e.Why, Time: p.now(), Word: word}})
			case delivery.OutboxDone:
				notes = append(notes, note{place: e.Place, drop: true})
			case delivery.OutboxLoad:
				place, limit := e.Place, e.Limit
				p.desk.add(func() { p.loadOutbox(place, limit) })
			}
		}
	}
	if len(notes) > 0 {
		p.writeNotes(notes)
	}
}

// writeNotes writes what became of messages, without waiting.
func (p *Peer) writeNotes(notes []note) {
	var told news
	p.home.state.Submit(p.mesh, func(tx *profile.Tx) error {
		told = news{}
		done := map[int64]bool{}
		for i := range notes {
			if n := &notes[i]; n.drop {
				done[n.place] = true
				tx.DropOutbox(n.place)
			}
		}
		for i := range notes {
			n := &notes[i]
			if n.drop {
				continue
			}
			if n.place != 0 && !done[n.place] {
				if err := tx.SetTarget(n.place, n.said.To, n.said.State, n.said.Why); err != nil {
					return err
				}
			}
			changed, by, err := tx.Advance(n.said)
			if err != nil {
				return err
			}
			if changed {
				told.of(p, by)
			}
		}
		return nil
	}, func(err error) {
		if errors.Is(err, profile.ErrClosed) {
			return // perhaps on this very goroutine, with mu held
		}
		if err != nil {
			p.home.log.Error("noting what became of messages", "mesh", p.alias, "err", err)
			p.unwritten(notes)
			told = news{}
		}
		for i := range notes {
			if !notes[i].drop {
				told.said = append(told.said, notes[i].said)
			}
		}
		p.tell(&told) // also what could not be written: who waits hears it
	})
}

// unwritten keeps what could not be written of the outbox's rows, until it can be. The
// rest comes again: the line ends before the broker takes it for heard.
func (p *Peer) unwritten(notes []note) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line != nil {
		p.line.end(errNotStored)
	}
	for _, n := range notes {
		if n.place != 0 {
			p.notes = append(p.notes, n)
		}
	}
	p.notesAt = p.now() + lookAgain.Milliseconds()
}

// writeAgain tries again what could not be written.
func (p *Peer) writeAgain(t int64) int64 {
	p.mu.Lock()
	due := len(p.notes) > 0 && p.notesAt <= t
	var notes []note
	if due {
		notes, p.notes = p.notes, nil
	}
	next := p.notesAt
	if len(p.notes) == 0 {
		next = 0
	}
	p.mu.Unlock()
	if due {
		p.writeNotes(notes)
	}
	return next
}

// loadOutbox reads rows for the outbox, in the writer's order: what was noted
// before is not read again.
func (p *Peer) loadOutbox(after int64, limit int) {
	var rows []*delivery.OutboxRow
	var more bool
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		rows, more, err = tx.Outbox(p.session, after, limit, wire.WindowBytes)
		return err
	})
	if err != nil && p.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.home.log.Error("reading the outbox", "mesh", p.alias, "err", err)
		p.outbox.LoadFailed(p.now())
	} else {
		p.outbox.Loaded(p.now(), rows, more)
	}
	p.runOutboxLocked(profile.WordSelf)
	p.changedLocked() // who closes waits until nothing is left
}

// sendRowLocked sends a row to those of its targets that belong, and tells the
// outbox of the others. It reports whether there were such.
func (p *Peer) sendRowLocked(row *delivery.OutboxRow) (refused bool) {
	if p.line == nil {
		return false
	}
	view := p.members()
	var to []delivery.Target
	var gone []keys.Public
	direct := len(row.To) == 1 && row.To[0].Box == nil
	for _, t := range row.To {
		switch {
		case t.State != wire.StatePending:
		case isMember(view, t.Key):
			to = append(to, t)
		default:
			gone = append(gone, t.Key)
		}
	}
	for _, key := range gone {
		p.outbox.Refuse(p.now(), row.ID, key, whyStranger(view, key, p.now()))
	}
	refused = len(gone) > 0
	if len(to) == 0 {
		return refused
	}
	f := wire.Send{ID: row.ID, Class: row.Class, Priority: row.Priority, Expires: row.Expires}
	if direct {
		f.To, f.Session = to[0].Key, to[0].Session
		p.line.post(outgoing{data: wire.AppendSend(nil, &f, row.Sealed), binary: true})
		return refused
	}
	f.One = row.One
	for _, t := range to {
		f.Recipients = append(f.Recipients, wire.Recipient{Key: t.Key, Session: t.Session, Box: t.Box})
	}
	if err := p.line.send(&f, row.Sealed); err != nil {
		p.home.log.Error("a message cannot be framed", "mesh", p.alias, "err", err)
	}
	return refused
}

// acked takes what the broker says became of messages.
func (p *Peer) acked(f *wire.Ack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox.Ack(p.now(), f.To, f.State, f.Why, slices.Clone(f.IDs))
	p.runOutboxLocked(profile.WordBroker)
}

// pausedUntil is until when the broker takes no more messages of this session; 0: it
// does.
func (p *Peer) pausedUntil() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outbox.Paused()
}

// refuseSends gives messages up that the broker will never take.
func (p *Peer) refuseSends(ids []keys.MessageID, why wire.Why) {
	p.desk.add(func() {
		for _, id := range ids {
			var sent *profile.Sent
			err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
				sent, err = tx.Sent(id)
				return err
			})
			if err != nil {
				continue
			}
			p.mu.Lock()
			for _, to := range sent.To {
				p.outbox.Ack(p.now(), to.Key, wire.StateRefused, why, []keys.MessageID{id})
			}
			p.runOutboxLocked(profile.WordBroker)
			p.mu.Unlock()
		}
	})
}

package peer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// traceWithin is how long the broker may take to say what it knows of a message.
const traceWithin = 3 * time.Second

// Message returns what is known of a message that this profile sent: id is
// m-… with the shortest unique tail or more. It asks the broker where it is
// connected. ErrNoSuchMessage, AmbiguousError.
func (p *Peer) Message(ctx context.Context, id string) (Trace, error) {
	found, err := p.named(ctx, id, func(n profile.Named) bool { return n.Sent })
	if err != nil {
		return Trace{}, err
	}
	p.askTrace(ctx, found)
	t, err := p.traceOf(ctx, found)
	if err == nil {
		p.addPresence(ctx, &t.Sent)
	}
	return t, err
}

// askTrace asks the broker what it knows of a message, and notes it. That it does not
// answer is no harm.
func (p *Peer) askTrace(ctx context.Context, id keys.MessageID) {
	p.mu.Lock()
	l, ready := p.line, p.ready
	p.mu.Unlock()
	if l == nil || !ready {
		return
	}
	if err := p.traceOn(ctx, l, id); err != nil {
		p.home.log.Debug("trace", "mesh", p.alias, "err", err)
	}
}

// traceOn is askTrace by a line.
func (p *Peer) traceOn(ctx context.Context, l *line, id keys.MessageID) error {
	ctx, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	frame, err := l.request(ctx, func(n uint64) wire.Frame { return &wire.Trace{ID: n, Message: id} })
	if err != nil {
		return err
	}
	trace, ok := frame.(*wire.Trace)
	if !ok || trace.Message != id {
		return errors.New("the answer is of something else")
	}
	var all []profile.Said
	read := func(tx *profile.Tx) error {
		sent, err := tx.Sent(id)
		if err == nil {
			all = p.saidBy(trace, sent)
		}
		return err
	}
	if err := p.home.state.View(ctx, p.mesh, read); err != nil || len(all) == 0 {
		return err
	}
	var n news
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		if err := read(tx); err != nil { // more may be known by now
			return err
		}
		n = news{}
		return p.advance(tx, &n, all...)
	})
	if err == nil {
		p.tell(&n)
	}
	return err
}

// saidBy gives what an answer of the broker says of a message. What the broker had on its
// disk and says nothing of has been delivered: of what else ends its waiting it tells until
// that was heard. Which of several devices took a message it says itself. [CM-8.41]
func (p *Peer) saidBy(trace *wire.Trace, sent *profile.Sent) (all []profile.Said) {
	mentioned := map[keys.Public]bool{}
	for _, s := range trace.States {
		mentioned[s.To] = true
		switch s.State {
		case wire.StateDelivered, wire.StateQueued, wire.StateRefused, wire.StateExpired:
			all = append(all, profile.Said{ID: sent.ID, To: s.To, State: s.State, Why: s.Why, Time: s.Time, Word: profile.WordBroker})
		}
	}
	for i := range sent.To {
		if to := &sent.To[i]; to.State == wire.StateQueued && !mentioned[to.Key] && !sent.One {
			all = append(all, profile.Said{ID: sent.ID, To: to.Key, State: wire.StateDelivered, Time: p.now(), Word: profile.WordBroker})
		}
	}
	known := *sent
	known.To = slices.Clone(sent.To)
	return slices.DeleteFunc(all, func(s profile.Said) bool { return !known.Advance(s) })
}

// askAfter is how long after a welcome it is asked what became of what waits: what the
// broker tells by itself comes first, and a command is gone by then.
const askAfter = 2 * time.Second

// askEvery is how long after one question the next is asked: a broker reads a session
// that asks for more than 50 a second more slowly, and with that what else it sends.
const askEvery = 50 * time.Millisecond

// askUndecided asks, one after the other, what became of the messages that are known to
// wait at the broker: that one was delivered is told once only, and gets lost with a line
// or with a process that is killed.
func (p *Peer) askUndecided(l *line) {
	timer := time.NewTimer(askAfter)
	defer timer.Stop()
	due := func() bool {
		select {
		case <-timer.C:
			timer.Reset(askEvery)
			return true
		case <-l.life.Done():
			return false
		}
	}
	if !due() {
		return
	}
	var ids []keys.MessageID
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		ids, err = tx.Undecided(p.now())
		return err
	})
	for i := 0; err == nil && i < len(ids) && due(); i++ {
		var refused *RefusedError
		if err = p.traceOn(l.life, l, ids[i]); errors.As(err, &refused) {
			err = nil // of one that the broker may not know
		}
	}
	if err != nil && l.life.Err() == nil {
		p.home.log.Info("asking what became of messages", "mesh", p.alias, "err", err)
	}
}

// traceOf reads what is kept of a message.
func (p *Peer) traceOf(ctx context.Context, id keys.MessageID) (Trace, error) {
	var sent *profile.Sent
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		sent, err = tx.Sent(id)
		return err
	})
	if errors.Is(err, profile.ErrNotFound) {
		return Trace{}, ErrNoSuchMessage
	}
	if err != nil {
		return Trace{}, err
	}
	short, err := p.home.state.ShortName(ctx, id)
	if err != nil {
		return Trace{}, err
	}
	return p.traceFrom(sent, short), nil
}

// traceFrom makes of what is kept of a message what programs get.
func (p *Peer) traceFrom(sent *profile.Sent, short string) Trace {
	t := Trace{Sent: Sent{ID: sent.ID, Short: short, MeshName: p.alias}, Address: sent.Address, Kind: Kind(sent.Kind),
		Priority: Priority(sent.Priority.String()), Size: sent.Size, Time: timeOf(sent.Time), Expires: timeOf(sent.Expires)}
	if sent.One {
		one := furthest(sent)
		r := p.recipientOf(one)
		if one.State == wire.StateQueued || one.State == wire.StatePending {
			r.Device, r.Address = "", r.User // any device may still take it
		}
		t.To = []Recipient{r}
		return t
	}
	for i := range sent.To {
		t.To = append(t.To, p.recipientOf(&sent.To[i]))
	}
	return t
}

// recipientOf is what is known of one recipient.
func (p *Peer) recipientOf(s *profile.SentTo) Recipient {
	r := Recipient{Key: s.Key, Label: s.Label, State: State(s.State.String()), Why: string(s.Why)}
	r.Address = p.addressOf(s.Key)
	r.User, r.Device, _ = strings.Cut(r.Address, "@") // also of one that was revoked since
	if r.State == Pending {
		r.RetryAt = timeOf(p.pausedUntil())
	}
	if r.Label != "" {
		r.Address += "/" + r.Label
	}
	for _, step := range s.Steps {
		r.Steps = append(r.Steps, Step{State: State(step.State.String()), Time: timeOf(step.Time), Word: Word(step.Word), Why: string(step.Why)})
	}
	// Of what was told late only the time of the word is known; but it was so before
	// whatever followed it.
	for i := len(r.Steps) - 2; i >= 0; i-- {
		if next := r.Steps[i+1].Time; next.Before(r.Steps[i].Time) {
			r.Steps[i].Time = next
		}
	}
	return r
}

// addPresence adds since when recipients are away, for those that wait: asking costs
// in proportion to the members, and nobody else wants to know.
func (p *Peer) addPresence(ctx context.Context, s *Sent) {
	waits := false
	for i := range s.To {
		waits = waits || s.To[i].State == Queued
	}
	if !waits {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	if err := p.subscribe(ctx); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range s.To {
		r := &s.To[i]
		if r.State != Queued {
			continue
		}
		// Of several devices the one that was there last.
		for _, m := range p.members().User(r.User) {
			who := p.people.peers[m.Key]
			if who == nil || r.Device != "" && m.Key != r.Key {
				continue
			}
			if who.connected {
				r.Away = time.Time{}
				break
			}
			if since := timeOf(who.since); since.After(r.Away) {
				r.Away = since
			}
		}
	}
}

// Unsent returns the messages of this profile that nobody else has yet.
func (p *Peer) Unsent(ctx context.Context) ([]Trace, error) {
	var ids []keys.MessageID
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		owners, err := tx.OutboxOwners(keys.SessionID{})
		for _, session := range owners {
			rows, _, e := tx.Outbox(session, 0, wire.MaxWaiting, wire.MaxFrame)
			if err = errors.Join(err, e); err != nil {
				return err
			}
			for _, row := range rows {
				if row.Class == wire.ClassMessage {
					ids = append(ids, row.ID)
				}
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []Trace
	for _, id := range ids {
		t, err := p.traceOf(ctx, id)
		if errors.Is(err, ErrNoSuchMessage) {
			continue // of kind roster: nobody typed it
		}
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

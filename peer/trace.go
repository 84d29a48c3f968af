package peer

import (
	"context"
	"errors"
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
	ctx, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	frame, err := l.request(ctx, func(n uint64) wire.Frame { return &wire.Trace{ID: n, Message: id} })
	trace, ok := frame.(*wire.Trace)
	if err != nil || !ok || trace.Message != id {
		p.home.log.Debug("trace", "mesh", p.alias, "err", err)
		return
	}
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		for _, s := range trace.States {
			switch s.State {
			case wire.StateDelivered, wire.StateQueued, wire.StateRefused, wire.StateExpired:
			default:
				continue // not the broker's to say
			}
			said := profile.Said{ID: id, To: s.To, State: s.State, Why: s.Why, Time: s.Time, Word: profile.WordBroker}
			if _, _, err := tx.Advance(said); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.home.log.Info("noting a trace", "mesh", p.alias, "err", err)
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

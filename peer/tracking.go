package peer

import (
	"context"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
)

// tracking is a message whose sender waits to hear of it. What is known of it stands
// here too, so that waiting reads nothing.
type tracking struct {
	short string
	wake  chan struct{} // holds a token while there is news

	sent    *profile.Sent // the following are guarded by Peer.mu
	changes int           // of sent
	stale   bool          // another process heard something: state.db knows more
}

// track keeps what is known of a message that is about to be sent, until untrack.
func (p *Peer) track(sent *profile.Sent) *tracking {
	t := &tracking{sent: sent, wake: make(chan struct{}, 1)}
	p.mu.Lock()
	p.tracked[sent.ID] = t
	p.mu.Unlock()
	return t
}

func (p *Peer) untrack(id keys.MessageID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tracked, id)
}

// news wakes who waits.
func (t *tracking) news() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// progressed tells those who wait what was said of messages. It is in state.db.
func (p *Peer) progressed(all ...profile.Said) {
	p.mu.Lock()
	for _, said := range all {
		if t := p.tracked[said.ID]; t != nil && t.sent.Advance(said) {
			t.changes++
			t.news()
		}
	}
	p.changedLocked()
	p.mu.Unlock()
	for _, said := range all {
		p.feeds.tell(Event{Kind: EventProgress, ID: said.ID})
	}
}

// reloadTracked has those who wait look into state.db: another process heard
// something.
func (p *Peer) reloadTracked() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.tracked {
		t.stale = true
		t.news()
	}
}

// reload reads what state.db knows of a message. What is said meanwhile may be missing
// there, and has it read again.
func (p *Peer) reload(ctx context.Context, t *tracking) error {
	p.mu.Lock()
	t.stale = false
	id, changes := t.sent.ID, t.changes
	p.mu.Unlock()
	var sent *profile.Sent
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		sent, err = tx.Sent(id)
		return err
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.stale = t.stale || t.changes != changes; !t.stale {
		t.sent = sent
	}
	return nil
}

// awaitSent waits until what is known of a message satisfies done, which is called with
// mu held. With online it ends when the line does.
func (p *Peer) awaitSent(ctx context.Context, t *tracking, done func(*profile.Sent) bool, online bool) error {
	for {
		p.mu.Lock()
		stale, ok, c := t.stale, done(t.sent), p.condition
		p.mu.Unlock()
		switch {
		case ok:
			return nil
		case stale:
			if err := p.reload(ctx, t); err != nil {
				return err
			}
			continue
		case c.Err != nil && (c.State == Ended || online && c.State == Offline):
			return c.Err
		}
		select {
		case <-t.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ctx.Done():
			return ErrClosed
		}
	}
}

// traced is what is known now of a message that is tracked.
func (p *Peer) traced(t *tracking) Trace {
	p.mu.Lock()
	sent := *t.sent
	sent.To = slices.Clone(sent.To)
	p.mu.Unlock()
	return p.traceFrom(&sent, t.short)
}

package peer

import (
	"context"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// WithClock gives options another clock than the system's.
func WithClock(o Options, clock func() time.Time) Options {
	o.clock = clock
	return o
}

// Decide decides about a sender, also what there is no command for.
func (p *Peer) Decide(ctx context.Context, who string, policy delivery.Policy) error {
	return p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		t, err := tx.Trust(who)
		if err != nil {
			return err
		}
		t.Policy = policy
		return tx.SetTrust(t)
	})
}

// SendLying sends a message that says it was sent from another place in the chain, or
// at another time, as a hostile member can.
func (p *Peer) SendLying(ctx context.Context, to, body string, at signed.At, later int64) (Sent, error) {
	if err := p.Connected(ctx, false); err != nil {
		return Sent{}, err
	}
	t, err := p.resolve(ctx, to, false)
	if err != nil {
		return Sent{}, err
	}
	m, err := p.messageTo(t, body, SendOptions{})
	if err != nil {
		return Sent{}, err
	}
	if !at.IsZero() {
		m.At = at
	}
	m.Time, m.Expires = m.Time+later, m.Expires+later
	settings, err := p.home.Config()
	if err != nil {
		return Sent{}, err
	}
	tracked, err := p.enqueue(ctx, t, m, settings)
	defer p.untrack(m.ID)
	if err != nil {
		return Sent{}, err
	}
	return p.traced(tracked).Sent, nil
}

// SeeAnother tells the sender of a message that another text of that id was seen, as a
// hostile member can.
func (p *Peer) SeeAnother(ctx context.Context, to keys.Public, id keys.MessageID) error {
	defer p.receiptsDue()
	return p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		return tx.PutReceipt(&delivery.ReceiptRow{Session: p.session, To: to, State: wire.StateSeen, Time: p.now(), Expires: p.now() + rosterWithin,
			Of: []delivery.Receipted{{ID: id, Hash: signed.Hash{1}}}})
	})
}

// At is the place in the chain that the peer holds.
func (p *Peer) At() signed.At { return p.members().At() }

// Suggest is suggest.
var Suggest = suggest

// Append has the broker order an entry as it is, without looking at it first.
func (p *Peer) Append(ctx context.Context, e signed.Object) error {
	l, err := p.onlineLine(ctx)
	if err != nil {
		return err
	}
	_, err = p.appendOn(ctx, l, []signed.Object{e})
	return err
}

// SendRoster sends a roster message that nobody may have asked for, as a hostile member
// can.
func (p *Peer) SendRoster(to keys.Public, r *seal.Roster) { p.sendRoster(to, r) }

// Gathered is how many entries are held of an answer that came in these messages; -1
// where they are too many.
func Gathered(messages ...*seal.Roster) (n int) {
	p := &Peer{}
	for _, r := range messages {
		n = -1
		if b := p.gather(keys.Public{1}, r); b != nil {
			n = len(b.entries)
		}
	}
	return n
}

// Rows says what stands in the inbox and the outbox of the profile, for the story of a
// test that failed.
func (p *Peer) Rows(ctx context.Context) (all []string, err error) {
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		for i := range v.Rows {
			r := &v.Rows[i]
			all = append(all, fmt.Sprintf("inbox %d: %s from %s n %d state %d copy %v again %v shower %s for %q", r.Place, r.ID, p.addressOf(r.From), r.N, r.State, r.Copy, r.Again, r.Shower, r.ForLabel))
		}
		for _, s := range v.Sessions {
			all = append(all, fmt.Sprintf("session %+v", s))
		}
		owners, err := tx.OutboxOwners(keys.SessionID{})
		if err != nil {
			return err
		}
		for _, owner := range owners {
			rows, _, err := tx.Outbox(owner, 0, wire.MaxWaiting, wire.MaxFrame)
			if err != nil {
				return err
			}
			for _, r := range rows {
				all = append(all, fmt.Sprintf("outbox %d of %s: %s %v to %+v", r.Place, owner, r.ID, r.Class, r.To))
			}
			receipts, err := tx.Receipts(owner)
			if err != nil {
				return err
			}
			for _, r := range receipts {
				all = append(all, fmt.Sprintf("receipt of %s: %v %v to %s", owner, r.Of, r.State, p.addressOf(r.To)))
			}
		}
		for k, s := range v.Streams {
			all = append(all, fmt.Sprintf("stream of %s %s: shown %d", p.addressOf(k.Sender), k.Session, s.Shown))
		}
		return nil
	})
	return all, err
}

// HoldDisk has everything that is to be written to state.db wait until release is
// called.
func (p *Peer) HoldDisk() (release func()) {
	held := make(chan struct{})
	p.home.state.Submit(p.mesh, func(*profile.Tx) error { <-held; return nil }, func(error) {})
	return func() { close(held) }
}

// NoHurry has the next pause between two tries last as long as if nobody waited for its
// end.
func (p *Peer) NoHurry() {
	select {
	case <-p.hurry:
	default:
	}
}

package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

const (
	// askAgain is how long a sender is not asked again, and not answered again, about
	// the chain, in milliseconds. [CM-5]
	askAgain = 60_000
	// fetchWithin bounds one fetch of entries from the broker.
	fetchWithin = 30 * time.Second
)

// unsure is whose places in the chain could not be found here. Guarded by Peer.mu.
type unsure struct {
	doubts   map[keys.Public]*doubt // by who spoke of them
	running  bool                   // settleDoubts runs
	asked    map[keys.Public]int64  // when a sender was asked last, by the steady clock
	answered map[keys.Public]int64  // when a sender was answered last
	brought  map[keys.Public]*brought
}

// doubt is a place that somebody spoke of.
type doubt struct {
	at  signed.At
	fit fit
}

// unsureOf notes that somebody spoke of a place that is not here, and has it looked
// for: at the broker, then at who spoke of it. [CM-5]
func (p *Peer) unsureOf(from keys.Public, at signed.At, f fit) {
	p.mu.Lock()
	if p.unsure.doubts == nil {
		p.unsure.doubts = make(map[keys.Public]*doubt)
	}
	p.unsure.doubts[from] = &doubt{at: at, fit: f}
	start := !p.unsure.running
	p.unsure.running = true
	p.mu.Unlock()
	if start {
		p.spawn(p.settleDoubts)
	}
}

// settleDoubts looks for what members spoke of until nothing new is to be looked
// for.
func (p *Peer) settleDoubts() {
	for {
		fetched := p.fetch()
		p.mu.Lock()
		doubts := p.unsure.doubts
		p.unsure.doubts = nil
		if len(doubts) == 0 || p.closed || !fetched {
			// Where the broker could not be asked nobody is accused: what waits is
			// looked at again with the next welcome.
			p.unsure.running = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		for from, d := range doubts {
			if f := p.fitOf(from, d.at); f == ahead || f == other {
				p.askSender(from, d.at, f)
			}
		}
	}
}

// fetch asks the broker for what is new, and tells whether it answered.
func (p *Peer) fetch() bool {
	p.mu.Lock()
	l, ready := p.line, p.ready
	p.mu.Unlock()
	if l == nil || !ready {
		return false // the next welcome brings it
	}
	ctx, cancel := context.WithTimeout(p.ctx, fetchWithin)
	defer cancel()
	err := p.syncLedger(ctx, p.askOn(ctx, l), nil)
	if err != nil {
		p.broken(l, err)
	}
	var behind *behindError
	return err == nil || errors.As(err, &behind)
}

// pushed takes entries that the broker sent unasked.
func (p *Peer) pushed(l *line, f *wire.Entries) {
	page := chain.Page{From: f.From, Entries: f.Entries, Head: f.Head}
	_, err := p.takePage(p.ctx, page)
	if _, missing := roster.IsMissing(err, p.heldLen()); missing {
		p.spawn(func() { p.fetch() })
		return
	}
	if err != nil {
		p.broken(l, err)
	}
}

// broken ends a line over which something came that no honest broker sends.
func (p *Peer) broken(l *line, err error) {
	var behind *behindError
	switch {
	case errors.As(err, &behind), p.ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return
	case errors.Is(err, chain.ErrStopped), p.explainChain(l.at.shown(), err) != "":
		l.end(err)
	default:
		p.home.log.Info("entries from the broker", "mesh", p.alias, "err", err)
	}
}

// askSender asks a member, sealed, for the entries that it spoke of and the broker
// does not give. The user is told.
func (p *Peer) askSender(from keys.Public, at signed.At, f fit) {
	view := p.members()
	name, owner := p.userOf(from), p.ownerName()
	p.warn(fmt.Sprintf("%s's messages refer to a membership change that %s does not give us. Someone may be withholding a revocation. Ask %s; details: claudemesh doctor --mesh %s",
		name, p.host(), owner, p.alias))
	p.mu.Lock()
	t := p.steady()
	if p.unsure.asked == nil {
		p.unsure.asked = make(map[keys.Public]int64)
	}
	again := t-p.unsure.asked[from] < askAgain
	if !again {
		p.unsure.asked[from] = t
	}
	p.mu.Unlock()
	if again || !isMember(view, from) {
		return // nothing is sealed to a stranger
	}
	start := view.Next()
	if f == other {
		start = at.N - min(at.N, wire.MaxEntries)
	}
	p.sendRoster(from, &seal.Roster{Ask: true, From: start})
}

// refuseUnopened drops what a sender's word kept unopened, and tells the sender.
func (p *Peer) refuseUnopened(from keys.Public) {
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		for i := range v.Rows {
			if r := &v.Rows[i]; r.From == from && r.State == delivery.InboxUnopened {
				if err := p.refuseRow(tx, r.Place, wire.WhyUnconfirmed); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Warn("refusing messages", "mesh", p.alias, "err", err)
	}
	p.receiptsDue()
}

// refuseRow drops a message that was received, and notes that its sender is told.
func (p *Peer) refuseRow(tx *profile.Tx, place int64, why wire.Why) error {
	row, err := tx.Inbox(place)
	if err != nil {
		return err
	}
	if row.Copy { // its sender hears from the broker, and that from who brought it: settleCopies
		p.mu.Lock()
		if c := p.copies[claimKey{row.From, row.ID}]; c != nil {
			c.refused = why
		}
		p.mu.Unlock()
	} else if err := p.noteReceipt(tx, row, wire.StateRefused, why); err != nil {
		return err
	}
	return tx.DropInbox(place)
}

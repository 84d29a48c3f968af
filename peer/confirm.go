package peer

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/signed"
)

// A broker can keep somebody whom it cuts off on an old list of members, and nobody can
// prove what was never shown. But every other member says, in each message and card,
// where it stands and when: while such words come, nothing is kept back from this peer
// that they have.

const (
	// confirmWithin is how long a roster may stand unconfirmed, in milliseconds, before
	// that is told.
	confirmWithin = 24 * 3_600_000
	// confirmWait is how long others' cards are waited for, in milliseconds, before it
	// is told.
	confirmWait = 60_000
)

// confirmed is who last said to stand where this peer stands, and when it said so by its
// own signed or sealed time: a broker can show an old card again, but not make it young.
type confirmed struct {
	by   keys.Public
	time int64 // Unix ms
}

// confirming is what is known of that. Guarded by Peer.mu.
type confirming struct {
	last   confirmed
	loaded bool      // what state.db has was read
	kept   confirmed // what state.db has
	missed int64     // when it was noticed that nobody confirms; 0: somebody does
}

// confirmedBy notes that a member knew, at a time, of no entry that this peer does not
// hold. [CM-5.57]
func (p *Peer) confirmedBy(from keys.Public, at signed.At, t int64) {
	if from == p.self || !p.confirms(at, t) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t = min(t, p.now()); t > p.confirming.last.time {
		p.confirming.last = confirmed{by: from, time: t}
	}
	delete(p.unsure.doubts, from)
}

// confirms tells whether a place that is part of the chain here was the last one at a
// time.
func (p *Peer) confirms(at signed.At, t int64) bool {
	if at.N+1 == p.heldLen() {
		return true
	}
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	next, found := p.ledger.Chain().Entry(at.N + 1)
	return found && t <= next.Entry.Time
}

// valueConfirmed is the name under which it is kept: KEY TIME.
const valueConfirmed = "confirmed"

// confirmation is who last confirmed the roster, and when.
func (p *Peer) confirmation() (string, time.Time) {
	p.loadConfirmation()
	p.mu.Lock()
	c := p.confirming.last
	p.mu.Unlock()
	if c.time == 0 {
		return "", time.Time{}
	}
	return p.addressOf(c.by), timeOf(c.time)
}

func (p *Peer) loadConfirmation() {
	p.mu.Lock()
	loaded := p.confirming.loaded
	p.mu.Unlock()
	if loaded {
		return
	}
	var text string
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		text, err = tx.Value(valueConfirmed)
		return err
	})
	if err != nil {
		return
	}
	var c confirmed
	key, at, _ := strings.Cut(text, " ")
	if c.by.UnmarshalText([]byte(key)) == nil {
		if c.time, err = strconv.ParseInt(at, 10, 64); err != nil {
			c = confirmed{}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.confirming.loaded, p.confirming.kept = true, c
	if c.time > p.confirming.last.time {
		p.confirming.last = c
	}
}

// unconfirmedLocked tells whether for longer than confirmWithin nobody confirmed the
// roster, although others are said to be connected.
func (p *Peer) unconfirmedLocked(t int64) bool {
	since := p.confirming.last.time
	if me, ok := p.members().Member(p.self); ok {
		since = max(since, me.Joined)
	}
	return p.line != nil && p.ready && p.onlineLocked() > 0 && t-since > confirmWithin
}

// keepConfirmation writes who last confirmed the roster, at most once a minute, and
// tells the user of a live session when nobody does.
func (p *Peer) keepConfirmation(t int64) int64 {
	p.mu.Lock()
	c, kept := p.confirming.last, p.confirming.kept
	due := c.time > kept.time+askAgain
	if due {
		p.confirming.kept = c
	}
	p.mu.Unlock()
	if due {
		text, err := c.by.MarshalText()
		if err == nil {
			err = p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
				return tx.SetValue(valueConfirmed, string(text)+" "+strconv.FormatInt(c.time, 10))
			})
		}
		if err != nil && p.ctx.Err() == nil {
			p.home.log.Info("noting who confirmed the roster", "mesh", p.alias, "err", err)
		}
	}
	if p.receives == liveReceives {
		p.missConfirmation(t)
	}
	return 0
}

// missConfirmation asks for the others' cards where nobody confirmed the roster, and
// tells the user where these do not confirm it either.
func (p *Peer) missConfirmation(t int64) {
	p.loadConfirmation()
	p.mu.Lock()
	missed := &p.confirming.missed
	first, tell := false, false
	switch {
	case !p.unconfirmedLocked(t):
		*missed = 0
	case *missed == 0:
		*missed, first = t, true
	case t-*missed >= confirmWait:
		tell = true
	}
	p.mu.Unlock()
	if first {
		p.spawn(func() {
			if err := p.subscribe(p.ctx); err != nil && p.ctx.Err() == nil {
				p.home.log.Info("asking who confirms the roster", "mesh", p.alias, "err", err)
			}
		})
	}
	if tell {
		p.warn(fmt.Sprintf("nobody has confirmed your list of members of %s for 24 hours, though others are connected: %s may be withholding a revocation. Ask them; details: claudemesh doctor --mesh %s",
			p.alias, p.host(), p.alias))
	}
}

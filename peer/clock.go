package peer

import (
	"errors"
	"time"

	"github.com/claudemesh/claudemesh-go/profile"
)

// clocks tell a home the time in two ways.
type clocks struct {
	wall func() time.Time
	// began is when the home was opened, by both.
	began time.Time
	at    int64
}

func newClocks(wall func() time.Time) clocks {
	if wall == nil {
		wall = time.Now
	}
	return clocks{wall: wall, began: time.Now(), at: wall().UnixMilli()}
}

// now is the machine's clock, Unix ms: what is written down, and what expires. It may
// be set at any time, forwards and back.
func (c *clocks) now() int64 { return c.wall().UnixMilli() }

// steady is a clock that nobody sets, in milliseconds, which said what the machine's
// said when the home was opened: how long ago something was, and how much later
// something is to be.
func (c *clocks) steady() int64 { return c.at + time.Since(c.began).Milliseconds() }

// now is the machine's clock, Unix ms.
func (p *Peer) now() int64 { return p.home.clock.now() }

// steady is a clock that nobody sets, in milliseconds.
func (p *Peer) steady() int64 { return p.home.clock.steady() }

// now is the machine's clock, Unix ms, for what is done without a home.
func now() int64 { return time.Now().UnixMilli() }

// clockStep is by how much, in milliseconds, a clock may go wrong before everything
// that waits for a time is looked at anew.
const clockStep = 2_000

// clockSet tells whether the machine's clock was set since the last call, or the
// machine slept. off is how far the two clocks were apart then.
func (p *Peer) clockSet(off *int64) bool {
	is := p.now() - p.steady()
	if moved := is - *off; -clockStep < moved && moved < clockStep {
		return false
	}
	*off = is
	return true
}

// lookAtClock looks anew at all that is to be at a time. The connection is made
// again: it tells the broker's time, and after a sleep it may be dead.
func (p *Peer) lookAtClock() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.home.log.Info("the clock was set, or the machine slept", "mesh", p.alias)
	p.arrivals.look, p.receiptsAt = true, 1
	p.outbox.Tick(p.now())
	p.runOutboxLocked(profile.WordSelf)
	if p.line != nil {
		p.line.end(errClock)
	}
}

// errClock ends a line whose broker's time is to be asked again.
var errClock = errors.New("the clock was set, or the machine slept")

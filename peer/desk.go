package peer

import (
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/profile"
)

// desk is a peer's second goroutine: what must not be done by whoever notices it
// (the reader, a commit's callback, somebody who holds mu), and what is due by time.
type desk struct {
	wake chan struct{} // holds a token while there is something to do

	mu   sync.Mutex // guards the rest; a leaf lock
	jobs []func()
}

// add has a job done soon, after those added before.
func (d *desk) add(job func()) {
	d.mu.Lock()
	d.jobs = append(d.jobs, job)
	d.mu.Unlock()
	d.kick()
}

// kick has what is due looked at.
func (d *desk) kick() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take takes the jobs that wait.
func (d *desk) take() []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	jobs := d.jobs
	d.jobs = nil
	return jobs
}

// lookAgain is how often state.db is looked at although nobody poked: pokes can be
// lost.
const lookAgain = 15 * time.Second

// work is the desk's goroutine.
func (p *Peer) work() {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	off := p.now() - p.steady()
	for {
		if p.clockSet(&off) {
			p.lookAtClock()
		}
		for _, job := range p.desk.take() {
			job()
		}
		wait := lookAgain
		if next := p.tick(); next > 0 {
			wait = min(wait, max(time.Duration(next-p.now())*time.Millisecond, 0))
		}
		timer.Reset(wait)
		select {
		case <-p.desk.wake:
		case <-timer.C:
		case <-p.ctx.Done():
			return
		}
	}
}

// tick does what is due by time, and says when the next is: Unix ms, 0: nothing is
// known to come.
func (p *Peer) tick() int64 {
	t := p.now()
	p.mu.Lock()
	if next := p.outbox.Next(); next > 0 && next <= t {
		p.outbox.Tick(t)
		p.runOutboxLocked(profile.WordSelf)
	}
	next := p.outbox.Next()
	p.mu.Unlock()
	for _, due := range []func(int64) int64{p.routeArrivals, p.tellReceipts, p.renewCard, p.sendAgain, p.writeAgain, p.keepConfirmation, p.tidyUp} {
		if at := due(t); at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	return next
}

// tidyEvery is how often a process forgets what is past its time.
const tidyEvery = time.Hour

// tidyUp forgets what is past its time in state.db.
func (p *Peer) tidyUp(t int64) int64 {
	p.mu.Lock()
	due := p.tidied+tidyEvery.Milliseconds() <= t
	if due {
		p.tidied = t
	}
	next := p.tidied + tidyEvery.Milliseconds()
	p.mu.Unlock()
	if due && p.receives == liveReceives {
		if err := p.home.state.Tidy(p.ctx, p.mesh, t); err != nil {
			p.home.log.Info("tidying up", "err", err)
		}
	}
	return next
}

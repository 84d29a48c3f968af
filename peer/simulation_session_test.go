package peer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

// simSession is a process with one session. What it does of its own accord it does one
// after the other: what it sends, and what it shows.
type simSession struct {
	s        *simulation
	name     string
	machine  *simMachine
	process  *meshtest.Process
	p        *peer.Peer
	receives peer.Receives
	handles  bool // shows what comes as it comes; else when it is asked

	ctx     context.Context // ends when it is killed
	cancel  context.CancelFunc
	handle  context.CancelFunc // ends handling
	doing   sync.WaitGroup
	queues  sync.Mutex // guards closing them
	ending  bool
	sending chan func()
	showing chan func()

	inFront []peer.Message // shown, without evidence; the showing goroutine's
}

// simQueue is how much a session may have before it.
const simQueue = 1000

// open opens a session on a machine.
func (s *simulation) open(m *simMachine, receives peer.Receives) {
	s.openAs(m, receives, receives == peer.Live && s.chance(60))
}

// openAs opens a session that handles what comes, or shows it when it is asked.
func (s *simulation) openAs(m *simMachine, receives peer.Receives, handles bool) {
	s.sessions++
	x := &simSession{s: s, name: fmt.Sprintf("%s/%d", m.address, s.sessions), machine: m, process: s.mesh.Net.Process(),
		receives: receives, handles: handles, sending: make(chan func(), simQueue), showing: make(chan func(), simQueue)}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	s.note("%s opens, receives %s, handles %v", x.name, receives, handles)
	if s.faults && (s.chance(5) || s.has.tight && s.odd.IntN(4) == 0) {
		pages := 1 + s.rng.IntN(30)
		s.fault("its disk has room for %d pages", pages)
		x.process.Narrow(pages)
		s.log.MayForget(m.address)
	}
	var err error
	x.p, err = m.OpenIn(x.process, peer.WithClock(peer.Options{Label: fmt.Sprint("s", s.sessions%3), Receives: receives, Logger: s.logger(x.name)}, m.clock.now))
	if errors.Is(err, profile.ErrFull) {
		s.note("%s does not open: %v", x.name, err)
		x.cancel()
		return
	} else if err != nil {
		s.t.Fatalf("%s: %v", x.name, err)
	}
	handling, stop := context.WithCancel(x.ctx)
	x.handle = stop
	for _, queue := range []chan func(){x.sending, x.showing} {
		x.doing.Go(func() {
			for do := range queue {
				do()
			}
		})
	}
	if handles {
		x.doing.Go(func() { x.handleAll(handling) })
	}
	s.living = append(s.living, x)
}

// quit ends a session properly, behind all that it has to do.
func (s *simulation) quit(x *simSession) {
	s.note("%s quits", x.name)
	s.leave(x)
}

// leave ends a session, properly or after it was killed.
func (s *simulation) leave(x *simSession) {
	s.living = slices.DeleteFunc(s.living, func(o *simSession) bool { return o == x })
	killed := x.process.Killed()
	if killed {
		x.cancel()
	}
	x.handle()
	x.queues.Lock()
	x.ending = true
	close(x.sending)
	close(x.showing)
	x.queues.Unlock()
	s.gone.Go(func() {
		x.doing.Wait()
		err := x.p.Close()
		x.cancel()
		if err != nil && !x.process.Killed() && !x.process.Narrowed() {
			s.t.Errorf("%s does not close: %v", x.name, err)
		}
	})
}

// do queues something, unless the session has enough to do, or ends.
func (x *simSession) do(queue chan func(), f func()) {
	x.queues.Lock()
	defer x.queues.Unlock()
	if x.ending {
		return
	}
	select {
	case queue <- f:
	default:
	}
}

// simAddress is somebody to write to.
type simAddress struct {
	text string
	all  bool
	to   []string
	one  bool
	// unordered: which order it is in is not known before it is sent: it is another where
	// one of the devices was put out.
	unordered bool
}

// addressFrom draws somebody to whom a machine can write.
func (s *simulation) addressFrom(m *simMachine) simAddress {
	for {
		to := s.anyMachine()
		switch {
		case to == m:
		case to.user != "alice" || m.user == "alice" || s.chance(20):
			return simAddress{text: to.address, to: []string{to.address}}
		case s.chance(40):
			return simAddress{text: to.user, all: true, to: []string{"alice@laptop", "alice@desk"}, unordered: s.has.revoke}
		default:
			return simAddress{text: to.user, one: true, to: []string{"alice@laptop", "alice@desk"}, unordered: s.has.revoke}
		}
	}
}

// send has a session send a message.
func (s *simulation) send() {
	x := s.any()
	if x == nil {
		return
	}
	s.number++
	body, to := fmt.Sprint("m", s.number), s.addressFrom(x.machine)
	o := peer.SendOptions{Human: true, AllDevices: to.all, NoWait: s.chance(50), SeenWait: -1,
		Priority: []peer.Priority{peer.Now, peer.Next, peer.Next, peer.Low}[s.rng.IntN(4)]}
	if s.chance(10) {
		o.Expires = time.Duration(1+s.rng.IntN(100)) * time.Second
	} else if s.has.brief && s.brief.IntN(2) == 0 {
		o.Expires = time.Duration(1+s.brief.IntN(100)) * time.Second
	}
	x.do(x.sending, func() { x.send(to, body, o) })
}

// send sends a message, and tells the log what came of it.
func (x *simSession) send(to simAddress, body string, o peer.SendOptions) {
	m := history.Message{ID: body, From: x.machine.address, To: to.to, One: to.one}
	if !to.unordered {
		m.Stream = x.stream(to, o.Priority)
	}
	if o.Expires > 0 {
		m.Expires = x.machine.clock.now().Add(o.Expires).UnixMilli()
	}
	if !x.begin(m) {
		return
	}
	began := time.Now()
	sent, err := x.p.Send(x.ctx, to.text, body, o)
	x.sent(body, sent, began, err)
}

// stream names what a session sends to somebody in one priority.
func (x *simSession) stream(to simAddress, priority peer.Priority) string {
	return fmt.Sprintf("%s to %s %v %s", x.name, to.text, to.all, priority)
}

// begin tells the log that a message is about to be sent, unless the session was killed.
func (x *simSession) begin(m history.Message) bool {
	m.Sent = x.machine.clock.now().UnixMilli()
	return x.process.Alive(func() { x.s.log.Send(m) })
}

// sent tells the log what came of sending a message, which began at a time.
func (x *simSession) sent(body string, sent peer.Sent, began time.Time, err error) {
	_, latest := x.machine.clock.between(began)
	x.s.log.Dated(body, latest)
	x.process.Alive(func() {
		switch {
		case !sent.ID.IsZero():
			x.s.knows(body, sent.To)
		case err != nil && x.ctx.Err() == nil:
			x.s.note("%s cannot send %s: %v", x.name, body, err)
			x.s.log.NotSent(body)
		}
	})
}

// simEvidence is what becomes of what a session shows.
type simEvidence int

const (
	simSee     simEvidence = iota // it was in front of somebody
	simLeave                      // nobody knows
	simRelease                    // it was not
)

// turn has a session take what waits, as an agent's turn does.
func (s *simulation) turn() {
	x := s.any()
	if x == nil || x.receives == peer.Replies || x.handles {
		return // what a session shows at two places of its program has no order
	}
	evidence := simSee
	if s.chance(30) {
		evidence = []simEvidence{simLeave, simRelease}[s.rng.IntN(2)]
	}
	x.take(peer.TakeOptions{Asked: s.chance(60)}, evidence)
}

// take shows what waits, and says what became of it and of what was shown before.
func (x *simSession) take(o peer.TakeOptions, evidence simEvidence) {
	x.do(x.showing, func() {
		if x.receives == peer.Drain && x.p.Drained(x.ctx) != nil {
			return // offline: it shows what is there at the next turn
		}
		began := time.Now()
		in, err := x.p.Take(x.ctx, o)
		if err != nil {
			return
		}
		if evidence == simRelease {
			if err := x.p.Release(x.ctx, in.Messages...); err != nil {
				x.s.note("%s cannot release: %v", x.name, err)
			}
			return
		}
		x.process.Alive(func() {
			for _, m := range in.Messages {
				x.shown(m, began)
			}
			x.inFront = append(x.inFront, in.Messages...)
		})
		if evidence == simLeave {
			return
		}
		if x.p.Seen(x.ctx, x.inFront...) == nil {
			x.process.Alive(func() {
				x.proved(x.inFront)
				x.inFront = nil
			})
		}
	})
}

// handleAll shows what comes, as it comes, until ctx ends.
func (x *simSession) handleAll(ctx context.Context) {
	var shown []peer.Message
	err := x.p.Handle(ctx, func(_ context.Context, m peer.Message) error {
		if !x.process.Alive(func() { x.shown(m, time.Now().Add(-simClaimed)) }) {
			return errors.New("killed")
		}
		shown = append(shown, m)
		return nil
	})
	if err == context.Canceled { // and all of it was said
		x.process.Alive(func() { x.proved(shown) })
	}
}

// simClaimed is how long before it is shown a message may have been chosen: its claim has
// to be granted.
const simClaimed = 6 * time.Second

// shown tells the log that a message is in front of somebody, which was chosen since a
// time.
func (x *simSession) shown(m peer.Message, since time.Time) {
	x.answer(m)
	earliest, latest := x.machine.clock.between(since)
	x.s.log.Shown(history.Showing{ID: m.Body, By: x.machine.address, Time: earliest, Latest: latest, Expires: m.Expires.UnixMilli(), Again: m.Again, Gap: m.Missing > 0, Late: m.Late})
}

// proved tells the log that messages were in front of somebody for certain.
func (x *simSession) proved(all []peer.Message) {
	for _, m := range all {
		x.s.log.Proved(m.Body, x.machine.address)
	}
}

package delivery

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// The simulation runs both ends together: the broker's machine over a store
// that forgets what was not committed, and several devices whose processes
// come and go, each over a state.db that does the same, with links between
// them that break and repeat. Everything is drawn from one seed. A checker
// (sim_check_test.go) looks at each thing that happens.

// simConfig is what a schedule is made of, drawn from its seed.
type simConfig struct {
	seed      uint64
	steps     int
	faults    bool // kills, broken links, failing commits, jumping clocks
	gentle    bool // no faults, and no more than one live process a device
	devices   int
	users     int
	sizes     int // payloads up to this many bytes
	clocks    bool
	revoke    bool
	shortLife bool // some messages expire within the schedule
	limit     int
}

// simFailure ends a schedule that broke a promise.
type simFailure struct{ text string }

type world struct {
	simConfig
	rng     *rand.Rand
	odd     *rand.Rand // draws what was not drawn from the beginning on
	now     int64
	ending  bool // faults have ended
	endAt   int64
	broker  *simBroker
	devices []*simDevice
	procs   []*proc // that live
	links   []*link
	msgs    []*simMsg
	streams map[StreamKey]*simStream
	step    int
	log     []string // of what happened, when tracing
	tracing bool
	conns   Conn
	procNum int
	shown   int
	marked  int // shown with a mark
	history history.Log
}

// simStart is long after 1970, so that nothing is before it.
const simStart = 1_700_000_000_000

// payload is what every message carries a piece of.
var payload = make([]byte, wire.MaxPayload)

// simMsg is a message as the world sees it.
type simMsg struct {
	idx      int
	id       keys.MessageID
	class    wire.Class
	priority wire.Priority
	one      bool
	from     *simDevice
	session  keys.SessionID // the sender's
	audience Audience
	n        uint64
	forID    keys.SessionID
	forLabel string
	reply    bool
	sent     int64 // by the sender's clock
	expires  int64
	size     int
	to       []simRec
	receipts []ReceiptRow // class receipt
	locked   bool         // cannot be opened before the faults end
	granted  *simDevice   // one: who was granted
	stream   *simStream
}

// simRec is one recipient of a message.
type simRec struct {
	dev      *simDevice
	known    wire.State // what the sender has on disk
	why      wire.Why
	told     wire.State // what this broker process said last
	toldAt   int64
	sentAt   int64 // when this broker process got it first
	tookAt   int64 // when the broker heard of the recipient
	promised bool  // a broker said queued or delivered
	lax      bool  // a broker refused it once, which its sender may not have heard
	out      Conn  // the broker has it out there
	arrived  bool  // durable in the recipient's profile
	shown    int
	shownAt  int64
	seen     bool       // durable in the recipient's profile
	over     wire.State // refused, expired: it need not be shown any more
}

// simStream is what was sent in one order.
type simStream struct {
	msgs []*simMsg // by number, from 1
}

// String names the message.
func (m *simMsg) String() string { return fmt.Sprint("m", m.idx) }

func (m *simMsg) rec(d *simDevice) *simRec {
	for i := range m.to {
		if m.to[i].dev == d {
			return &m.to[i]
		}
	}
	return nil
}

func (w *world) fail(format string, args ...any) {
	panic(simFailure{fmt.Sprintf(format, args...)})
}

func (w *world) trace(format string, args ...any) {
	if w.tracing {
		w.log = append(w.log, fmt.Sprintf("%6d %9d ", w.step, w.now-simStart)+fmt.Sprintf(format, args...))
	}
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// fault is chance, and never once the faults have ended.
func (w *world) fault(permille int) bool {
	return w.faults && !w.ending && w.rng.IntN(1000) < permille
}

func (w *world) msgOf(id keys.MessageID) *simMsg {
	return w.msgs[binary.BigEndian.Uint32(id[12:])]
}

func (w *world) deviceOf(key keys.Public) *simDevice { return w.devices[key[0]-1] }

func newConfig(seed uint64) simConfig {
	rng := rand.New(rand.NewPCG(seed, 0))
	c := simConfig{
		seed:    seed,
		steps:   100 + rng.IntN(300),
		faults:  rng.IntN(5) > 0,
		devices: 2 + rng.IntN(4),
		sizes:   []int{200, 3000, 100_000, 700_000}[rng.IntN(4)],
	}
	c.gentle = !c.faults && rng.IntN(2) == 0
	c.users = 1 + rng.IntN(c.devices)
	c.clocks = c.faults && rng.IntN(4) == 0
	c.revoke = c.faults && rng.IntN(6) == 0
	c.shortLife = rng.IntN(3) == 0
	if rng.IntN(8) == 0 {
		c.limit = 1 + rng.IntN(8)
	}
	return c
}

func newWorld(c simConfig) *world {
	w := &world{simConfig: c, rng: rand.New(rand.NewPCG(c.seed, 1)), odd: rand.New(rand.NewPCG(c.seed, 2)), now: simStart, streams: map[StreamKey]*simStream{}}
	w.history.Quiet = true
	w.history.Fault("marks are looked at by calm")
	for i := range c.devices {
		d := &simDevice{w: w, idx: i, user: fmt.Sprintf("user%d", i%c.users)}
		d.key[0] = byte(i + 1)
		d.labels = []string{"web", "api"}
		for range c.devices {
			p := PolicyAccept
			if w.chance(6) {
				p = PolicyHold
			} else if w.chance(3) {
				p = PolicyRefuse
			}
			d.policy = append(d.policy, p)
			d.held = append(d.held, p == PolicyHold)
		}
		w.devices = append(w.devices, d)
	}
	w.broker = &simBroker{w: w, store: newSimStore(w)}
	w.broker.start()
	for _, d := range w.devices {
		if w.chance(80) {
			w.startProc(d, wire.ReceivesLive)
		}
	}
	return w
}

// run plays a schedule to its end; the text of what was broken, or "".
func runSchedule(c simConfig, tracing bool) (w *world, broken string) {
	w = newWorld(c)
	w.tracing = tracing
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(simFailure)
			if !ok {
				panic(r)
			}
			broken = f.text
		}
	}()
	for w.step = 0; w.step < c.steps; w.step++ {
		w.act()
		w.check()
	}
	w.finish()
	return w, ""
}

// act does one thing that can happen now.
func (w *world) act() {
	if w.faults && w.rng.IntN(100) < 4 && w.faultNow() {
		return
	}
	roll := w.rng.IntN(100)
	switch {
	case roll < 12:
		if w.traffic() {
			return
		}
	case roll < 20:
		w.pass(int64(w.rng.IntN(4)))
		return
	case roll < 22:
		w.passToNext()
		return
	case roll < 23:
		w.pass([]int64{300, 2500, 20_000, 70_000}[w.rng.IntN(4)])
		return
	}
	if !w.work(w.rng.IntN(1<<16)) && !(w.chance(70) && w.traffic()) {
		w.passToNext()
	}
}

// work does one thing that needs no time and no fault; it tells whether there
// was one. What it tries first comes from roll.
func (w *world) work(roll int) bool {
	for i := range 3 {
		switch (roll + i) % 3 {
		case 0:
			if n := len(w.links); n > 0 {
				for k := range n {
					if w.links[(roll/3+k)%n].move() {
						return true
					}
				}
			}
		case 1:
			if n := len(w.procs); n > 0 {
				for k := range n {
					if w.procs[(roll/3+k)%n].work() {
						return true
					}
				}
			}
		case 2:
			if w.broker.work() {
				return true
			}
		}
	}
	return false
}

// pass lets time pass. In seconds transactions come to an end, and a connection
// on which nothing arrives is given up.
func (w *world) pass(ms int64) {
	if ms >= 1000 {
		for _, p := range slices.Clone(w.procs) {
			for n := p.pending(); n > 0 && p.pending() > 0; n-- {
				p.commit(true)
			}
		}
	}
	w.now += ms
	if w.tracing {
		w.trace("time +%d", ms)
	}
	for _, l := range slices.Clone(w.links) {
		if b := w.broker; b.machine != nil && b.conns[l.conn] == l && l.silent() {
			b.disconnect(l.conn)
		}
	}
}

// passToNext lets time pass until something is due.
func (w *world) passToNext() bool {
	next := w.broker.next()
	for _, p := range w.procs {
		if t := p.next(); t > 0 && (next == 0 || t < next) {
			next = t
		}
	}
	for _, l := range w.links {
		if t := l.next(); t > 0 && (next == 0 || t < next) {
			next = t
		}
	}
	if next == 0 {
		return false
	}
	if next > w.now {
		w.pass(next - w.now)
	}
	return true
}

// faultNow does one bad thing.
func (w *world) faultNow() bool {
	switch w.rng.IntN(12) {
	case 0:
		if w.broker.machine != nil && w.chance(25) {
			w.broker.drain()
			return true
		}
		if w.broker.machine != nil {
			w.broker.kill()
			return true
		}
		w.broker.start()
		return true
	case 1, 2, 3:
		if len(w.procs) > 0 {
			p := w.procs[w.rng.IntN(len(w.procs))]
			p.kill(w.chance(50))
			return true
		}
	case 4, 5, 6, 7:
		if len(w.links) > 0 {
			w.links[w.rng.IntN(len(w.links))].breakIt()
			return true
		}
	case 8:
		if len(w.links) > 0 {
			w.links[w.rng.IntN(len(w.links))].repeat()
			return true
		}
	case 9: // the machine's power goes
		d := w.devices[w.rng.IntN(len(w.devices))]
		for i := len(w.procs) - 1; i >= 0; i-- {
			if w.procs[i].dev == d {
				w.procs[i].kill(false)
			}
		}
		return true
	case 10:
		if w.clocks {
			d := w.devices[w.rng.IntN(len(w.devices))]
			d.clock = []int64{0, 0, 5_000, -5_000, 3_000_000, -3_000_000, 9_000_000, -9_000_000}[w.rng.IntN(8)]
			if w.tracing {
				w.trace("clock of %v at %+d", d, d.clock)
			}
			w.clockSet(d)
			if w.odd.IntN(3) == 0 {
				w.broker.setClock([]int64{0, 5_000, -5_000, 3_000_000, -3_000_000, 9_000_000, -9_000_000}[w.odd.IntN(7)])
				if w.tracing {
					w.trace("clock of the broker at %+d", w.broker.clock)
				}
			}
			return true
		}
	case 11:
		if w.revoke && w.chance(20) {
			w.revokeOne()
			return true
		}
	}
	return false
}

// clockSet has the processes of a device look at their clock anew.
func (w *world) clockSet(d *simDevice) {
	for _, p := range w.procs {
		if p.dev == d {
			p.look = true
			p.outbox.Tick(d.now())
			p.runOutbox()
			if p.tellAt > 0 {
				p.tellAt = d.now()
			}
		}
	}
}

func (w *world) revokeOne() {
	d := w.devices[w.rng.IntN(len(w.devices))]
	if d.revoked || w.broker.machine == nil {
		return
	}
	if w.tracing {
		w.trace("revoke %v", d)
	}
	d.revoked = true
	w.broker.revoked = append(w.broker.revoked, d.key)
	w.broker.machine.Revoke(w.broker.now(), d.key)
	w.broker.run()
}

// traffic has somebody do something of their own accord.
func (w *world) traffic() bool {
	d := w.devices[w.rng.IntN(len(w.devices))]
	if d.revoked {
		return false
	}
	switch roll := w.rng.IntN(20); {
	case roll < 2: // a process comes
		if d.live() < 3 && !(w.gentle && d.live() > 0) {
			w.startProc(d, []wire.Receives{wire.ReceivesLive, wire.ReceivesReplies, wire.ReceivesReplies, wire.ReceivesDrain}[w.rng.IntN(4)])
			return true
		}
	case roll < 3: // or goes, properly
		if p := d.anyProc(w.rng); p != nil && !w.gentle {
			p.quit = true
			return true
		}
	case roll < 8:
		if p := d.anyProc(w.rng); p != nil {
			p.turn()
			return true
		}
	default:
		if p := d.anyProc(w.rng); p != nil && len(w.msgs) < 200 {
			for range 1 + w.rng.IntN(3) {
				p.write()
			}
			return true
		}
	}
	return false
}

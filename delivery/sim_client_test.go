package delivery

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// simDevice is a peer: one key, one profile, several processes.
type simDevice struct {
	w       *world
	idx     int
	key     keys.Public
	user    string
	clock   int64 // how far its clock is ahead
	revoked bool
	labels  []string
	policy  []Policy // by sender's index
	held    []bool   // by sender's index: policy was to hold at first

	// state.db: what is here was committed.
	outbox   []*OutboxRow
	inbox    []InboxRow
	taken    []bool // by message
	streams  map[StreamKey]Stream
	receipts []ReceiptRow
	numbers  map[StreamKey]uint64
	place    int64
}

func (d *simDevice) String() string { return fmt.Sprintf("dev%d", d.idx) }

func (d *simDevice) now() int64 { return d.w.now + d.clock }

func (d *simDevice) nextPlace() int64 {
	d.place++
	return d.place
}

func (d *simDevice) live() (n int) {
	for _, p := range d.w.procs {
		if p.dev == d {
			n++
		}
	}
	return n
}

func (d *simDevice) anyProc(rng *rand.Rand) *proc {
	n := d.live()
	if n == 0 {
		return nil
	}
	n = rng.IntN(n)
	for _, p := range d.w.procs {
		if p.dev == d {
			if n == 0 {
				return p
			}
			n--
		}
	}
	return nil
}

func (d *simDevice) sessions() (rows []SessionRow) {
	for _, p := range d.w.procs {
		if p.dev == d {
			rows = append(rows, SessionRow{ID: p.id, Label: p.label, Receives: p.receives, Status: p.status, Active: p.active})
		}
	}
	return rows
}

func (d *simDevice) row(place int64) *InboxRow {
	for i := range d.inbox {
		if d.inbox[i].Place == place {
			return &d.inbox[i]
		}
	}
	return nil
}

func (d *simDevice) rowOf(m *simMsg) *InboxRow {
	for i := range d.inbox {
		if d.inbox[i].ID == m.id {
			return &d.inbox[i]
		}
	}
	return nil
}

func (d *simDevice) dropRow(place int64) {
	d.inbox = slices.DeleteFunc(d.inbox, func(r InboxRow) bool { return r.Place == place })
}

func (d *simDevice) isTaken(m *simMsg) bool { return m.idx < len(d.taken) && d.taken[m.idx] }

func (d *simDevice) take(m *simMsg) {
	for len(d.taken) <= m.idx {
		d.taken = append(d.taken, false)
	}
	d.taken[m.idx] = true
	if r := m.rec(d); r != nil {
		r.arrived = true
	}
}

// proc is a process of a profile.
type proc struct {
	w        *world
	dev      *simDevice
	id       keys.SessionID
	num      int
	label    string
	receives wire.Receives
	status   Status
	active   int64

	link    *link
	welcome bool
	dialAt  int64
	outbox  *Outbox
	ops     []op // transactions to be committed, in order, from head on
	head    int

	look    bool  // plan again
	lookAt  int64 // when, at the latest
	asked   bool
	batch   []batched // being claimed, in order
	claimOn *link     // where that is claimed
	openAt  int64     // when what is not answered is given up
	copies  []*simMsg // brought by this link, to be claimed
	inFront []*simMsg // shown, without evidence yet
	tellAt  int64     // when receipts are due
	quit    bool      // wants to end
	toSend  int       // a command: what is left to write
	bornAt  int64
	polled  int64 // at the end: when it was asked to look
}

// batched is one message of a plan.
type batched struct {
	Showing
	msg    *simMsg
	at     int64 // when it was planned, by the device's clock
	answer Answer
}

func (p *proc) String() string { return fmt.Sprintf("%v/p%d(%v)", p.dev, p.num, p.receives) }

func (w *world) startProc(d *simDevice, receives wire.Receives) *proc {
	w.procNum++
	p := &proc{w: w, dev: d, num: w.procNum, receives: receives, label: d.labels[w.rng.IntN(len(d.labels))],
		active: d.now(), bornAt: w.now, look: true}
	binary.BigEndian.PutUint32(p.id[:], uint32(w.procNum))
	p.id[15] = byte(d.idx)
	p.outbox = NewOutbox(d.now())
	if receives == wire.ReceivesReplies {
		p.toSend = 1 + w.rng.IntN(3)
	}
	if receives == wire.ReceivesDrain {
		p.asked = true
	}
	w.procs = append(w.procs, p)
	if w.tracing {
		w.trace("%v starts", p)
	}
	p.runOutbox()
	p.do(op{kind: opRecover})
	return p
}

// kill ends the process. What it had not committed is lost; with partly, some
// of it was on its way and is kept.
func (p *proc) kill(partly bool) {
	if p.w.tracing {
		p.w.trace("%v killed", p)
	}
	if partly {
		for range p.w.rng.IntN(p.pending() + 1) {
			p.commit(false)
		}
	}
	p.end()
}

func (p *proc) end() {
	p.w.procs = slices.DeleteFunc(p.w.procs, func(o *proc) bool { return o == p })
	p.ops, p.head = nil, 0 // what it had not committed is lost
	if p.link != nil {
		p.link.procGone()
		p.link = nil
	}
	p.w.poke(p.dev)
}

// poke has the processes of a device look at the inbox again.
func (w *world) poke(d *simDevice) {
	for _, p := range w.procs {
		if p.dev == d {
			p.look = true
		}
	}
}

func (p *proc) do(o op) {
	if p.head == len(p.ops) {
		p.ops, p.head = p.ops[:0], 0
	}
	p.ops = append(p.ops, o)
}

// pending is how many transactions are to be committed.
func (p *proc) pending() int { return len(p.ops) - p.head }

// next tells when the process has something to do by time alone.
func (p *proc) next() int64 {
	var next int64
	for _, t := range []int64{p.outbox.Next(), p.lookAt, p.tellAt} {
		if t > 0 {
			t = max(p.w.now, t-p.dev.clock)
			if next == 0 || t < next {
				next = t
			}
		}
	}
	if p.link == nil && !p.dev.revoked {
		next = min(max(next, p.dialAt), p.dialAt)
	}
	if len(p.batch) > 0 && (next == 0 || p.openAt < next) {
		next = p.openAt
	}
	return next
}

// work does one thing of the process's own.
func (p *proc) work() bool {
	if p.pending() > 0 {
		p.commit(true)
		return true
	}
	now := p.dev.now()
	if p.quit && p.leave() {
		return true
	}
	if p.link == nil && !p.dev.revoked && p.w.now >= p.dialAt {
		p.link, p.welcome = p.w.dial(p), false
		return true
	}
	if len(p.batch) > 0 && p.w.now >= p.openAt {
		p.do(op{kind: opSettle})
		return true
	}
	if t := p.outbox.Next(); t > 0 && now >= t {
		p.outbox.Tick(now)
		p.runOutbox()
		return true
	}
	if p.tellAt > 0 && now >= p.tellAt {
		p.tellAt = 0
		p.do(op{kind: opTell})
		return true
	}
	if (p.look || p.lookAt > 0 && now >= p.lookAt) && len(p.batch) == 0 && p.receives != wire.ReceivesNone {
		p.look, p.lookAt = false, 0
		p.do(op{kind: opPlan})
		return true
	}
	if len(p.inFront) > 0 && (p.w.ending || p.w.gentle || p.receives != wire.ReceivesLive || p.w.chance(10)) {
		p.do(op{kind: opSeen, msgs: p.inFront})
		p.inFront = nil
		return true
	}
	return p.command()
}

// command is what a short-lived process does and then goes.
func (p *proc) command() bool {
	switch p.receives {
	case wire.ReceivesReplies:
		if p.toSend > 0 {
			p.toSend--
			p.write()
			return true
		}
		if !p.quit && p.outbox.Empty() && p.w.now > p.bornAt+1000 {
			p.quit = true
			return true
		}
	case wire.ReceivesDrain:
		if !p.quit && p.w.now > p.bornAt+1000 && p.link != nil && len(p.link.down) == 0 {
			p.quit = true
			return true
		}
	}
	return false
}

// leave ends a process properly, once nothing of it is half done.
func (p *proc) leave() bool {
	if len(p.inFront) > 0 || len(p.batch) > 0 || p.pending() > 0 {
		return false
	}
	if p.tellAt > 0 {
		p.tellAt = 0
		p.do(op{kind: opTell, flush: true})
		return true
	}
	if p.w.tracing {
		p.w.trace("%v ends", p)
	}
	p.end()
	return true
}

// turn is something that its user or agent does.
func (p *proc) turn() {
	switch p.w.rng.IntN(4) {
	case 0:
		p.status = Status(p.w.rng.IntN(3))
		if p.status == StatusWorking {
			p.active = p.dev.now()
			if p.link != nil && p.welcome {
				p.link.sendUp(frame{kind: frameActive})
			}
		}
		p.look = true
	case 1:
		p.asked, p.look = true, true
	case 2:
		if i := p.w.rng.IntN(len(p.dev.policy)); p.dev.policy[i] == PolicyHold && p.w.chance(30) {
			p.dev.policy[i] = PolicyAccept
			p.do(op{kind: opRelease, n: i})
		}
	}
}

// write makes a message to somebody.
func (p *proc) write() {
	w := p.w
	m := &simMsg{from: p.dev, session: p.id, priority: wire.Priority(w.rng.IntN(3)), size: 50 + w.rng.IntN(w.sizes),
		expires: wire.DefaultExpiry, locked: w.chance(3)}
	if w.gentle {
		m.locked = false
	}
	to := w.devices[w.rng.IntN(len(w.devices))]
	var kind byte
	switch roll := w.rng.IntN(10); {
	case roll < 4: // a device
		m.to = []simRec{{dev: to}}
	case roll < 6: // a session
		m.to = []simRec{{dev: to}}
		if q := to.anyProc(w.rng); q != nil {
			m.forID, m.forLabel, kind = q.id, q.label, 1
			m.reply = w.chance(40)
			if m.reply {
				m.forLabel = ""
			}
		}
	case roll < 8: // a user: any one of its devices
		kind = 2
		for _, d := range w.devices {
			if d.user == to.user {
				m.to = append(m.to, simRec{dev: d})
			}
		}
		m.one = len(m.to) > 1
	default: // several
		kind = 3
		for _, d := range w.devices {
			if d == to || w.chance(50) {
				m.to = append(m.to, simRec{dev: d})
			}
		}
	}
	if w.shortLife && w.chance(30) {
		m.expires = 500 + int64(w.rng.IntN(90_000))
	}
	m.audience = Audience{kind, byte(to.idx), byte(len(m.to))}
	for i := range m.to {
		m.audience[3] |= 1 << m.to[i].dev.idx
	}
	copy(m.audience[4:8], m.forID[:4])
	m.audience[8] = m.forID[15]
	if m.reply {
		m.audience[9] = 1
	}
	p.active = p.dev.now()
	p.do(op{kind: opSend, msg: m})
}

// receive takes a frame off the process's link.
func (p *proc) receive(l *link, f frame) {
	if p.link != l {
		return
	}
	now := p.dev.now()
	switch f.kind {
	case frameWelcome:
		p.do(op{kind: opTakeOver, link: l})
	case frameAck:
		p.outbox.Ack(now, f.dev.key, f.state, f.why, []keys.MessageID{f.msg.id})
		p.runOutbox()
	case frameDeliver:
		if f.msg.class == wire.ClassReceipt {
			p.do(op{kind: opReceipt, link: l, msg: f.msg})
		} else {
			p.do(op{kind: opArrive, link: l, msg: f.msg, claim: f.claim})
		}
	case frameGrant:
		p.do(op{kind: opGrant, link: l, msg: f.msg, claim: f.granted})
	}
}

// disconnected is the end of the link as the process hears of it.
func (p *proc) disconnected(l *link) {
	l.procGone()
	if p.link != l {
		return
	}
	if p.w.tracing {
		p.w.trace("%v: conn %d ended", p, l.conn)
	}
	p.link, p.welcome, p.copies = nil, false, nil
	p.dialAt = p.w.now + int64(p.w.rng.IntN(1500))
	p.outbox.Disconnected()
	p.runOutbox()
	// What was not granted is not shown: claims are made anew.
	p.do(op{kind: opUnlinked})
}

// runOutbox carries out what the outbox asks for.
func (p *proc) runOutbox() {
	for {
		effects := p.outbox.Effects()
		if len(effects) == 0 {
			return
		}
		for i := range effects {
			e := &effects[i]
			switch e.Kind {
			case OutboxSend:
				p.sendRow(e.Row)
			case OutboxState:
				p.do(op{kind: opState, msg: p.w.msgOf(e.ID), place: e.Place, to: e.To, state: e.State, why: e.Why})
			case OutboxDone:
				if n := len(p.ops); p.pending() > 0 && p.ops[n-1].kind == opState && p.ops[n-1].place == e.Place {
					p.ops[n-1].flush = true // one transaction
				} else {
					p.do(op{kind: opDone, place: e.Place})
				}
			case OutboxLoad:
				p.do(op{kind: opLoad, place: e.Place, n: e.Limit})
			}
		}
	}
}

func (p *proc) sendRow(row *OutboxRow) {
	m := p.w.msgOf(row.ID)
	for _, t := range slices.Clone(row.To) {
		if d := p.w.deviceOf(t.Key); d.revoked {
			r := m.rec(d)
			r.over = wire.StateRefused
			p.outbox.Refuse(p.dev.now(), row.ID, t.Key, wire.WhyRevoked)
		}
	}
	if row.Done() {
		return
	}
	if p.dev.now() >= m.expires {
		p.w.fail("m%d sent after its time", m.idx)
	}
	if p.link != nil {
		f := frame{kind: frameSend, msg: m}
		for _, t := range row.To {
			if t.State <= wire.StatePending {
				f.targets |= 1 << p.w.deviceOf(t.Key).idx
			}
		}
		p.link.sendUp(f)
	}
}

package delivery

import (
	"encoding/binary"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

type opKind uint8

// Transactions of a process. Each reads and writes state.db at once; what
// follows from it happens after it was synced.
const (
	opRecover  opKind = iota // what ended processes left half done
	opSend                   // a new message into the outbox
	opTakeOver               // rows of ended sessions, before sending
	opOrphans                // the same, while connected
	opLoad
	opState
	opDone
	opArrive
	opReceipt
	opOpen
	opPlan
	opGrant
	opSettle
	opUnlinked
	opSeen
	opTell
	opRelease
)

type op struct {
	kind  opKind
	claim bool
	flush bool
	state wire.State
	why   wire.Why
	n     int
	place int64
	to    keys.Public
	link  *link
	msg   *simMsg
	msgs  []*simMsg
}

// commit does the first transaction, and with after what follows from it.
func (p *proc) commit(after bool) {
	o := p.ops[p.head]
	p.head++
	then := p.transact(&o)
	switch o.kind {
	case opArrive, opGrant, opSettle, opUnlinked, opSeen, opRelease:
		p.w.poke(p.dev)
	}
	if after && p.w.fault(4) {
		if p.w.tracing {
			p.w.trace("%v killed between commit and what follows", p)
		}
		p.end()
		return
	}
	if after && then != nil {
		then()
	}
}

func (p *proc) transact(o *op) (then func()) {
	d, w := p.dev, p.w
	now := d.now()
	switch o.kind {
	case opRecover:
		p.recover()
	case opSend:
		return p.send(o.msg)
	case opTakeOver:
		return p.takeOver(o.link)
	case opOrphans:
		if p.adopt() {
			return func() { p.outbox.Taken(now); p.runOutbox() }
		}
	case opLoad:
		if w.fault(20) {
			return func() { p.outbox.LoadFailed(now); p.runOutbox() }
		}
		var rows []*OutboxRow
		for _, row := range d.outbox {
			if row.Session == p.id && row.Place > o.place && len(rows) <= o.n {
				rows = append(rows, cloneRow(row))
			}
		}
		slices.SortFunc(rows, func(a, b *OutboxRow) int { return int(a.Place - b.Place) })
		more := len(rows) > 6
		if more {
			rows = rows[:6]
		}
		return func() { p.outbox.Loaded(now, rows, more); p.runOutbox() }
	case opState:
		p.setState(o)
		if o.flush {
			d.dropOutbox(o.place)
		}
	case opDone:
		d.dropOutbox(o.place)
	case opArrive:
		return p.arrive(o)
	case opReceipt:
		return p.openReceipt(o)
	case opOpen:
		return p.open()
	case opPlan:
		return p.plan()
	case opGrant:
		return p.grant(o)
	case opSettle:
		return p.settle()
	case opUnlinked:
		return p.unlinked()
	case opSeen:
		for _, m := range o.msgs {
			p.seen(m)
		}
	case opTell:
		return p.tell(o.flush)
	case opRelease:
		for i := range d.inbox {
			if r := &d.inbox[i]; r.State == InboxHeld && w.deviceOf(r.Sender).idx == o.n {
				r.State = InboxWaiting
			}
		}
	}
	return nil
}

func (d *simDevice) dropOutbox(place int64) {
	d.outbox = slices.DeleteFunc(d.outbox, func(r *OutboxRow) bool { return r.Place == place })
}

func cloneRow(r *OutboxRow) *OutboxRow {
	c := *r
	c.To = slices.Clone(r.To)
	return &c
}

// leaveCopies writes what is left of copies whose takers have gone.
func (d *simDevice) leaveCopies(changes []TakersLeft) {
	for _, c := range changes {
		if len(c.Takers) == 0 {
			d.dropRow(c.Place)
		} else {
			d.row(c.Place).Takers = c.Takers
		}
	}
}

// recover is what a process does first: what ended ones were showing is shown
// again, unless their transcripts tell, and copies that ended ones took go.
func (p *proc) recover() {
	d := p.dev
	live := d.sessions()
	crashed := Crashed(d.inbox, live)
	if len(crashed) > 0 {
		p.w.poke(d)
	}
	for _, place := range crashed {
		r := d.row(place)
		m := p.w.msgOf(r.ID)
		switch roll := p.w.rng.IntN(3); {
		case roll == 0 && !r.Copy && m.rec(d).shown > 0: // the transcript has it
			if p.w.tracing {
				p.w.trace("%v: transcript shows m%d", p, m.idx)
			}
			p.seen(m)
		default:
			r.Recover()
		}
	}
	d.leaveCopies(GoneCopies(d.inbox, live, keys.SessionID{}))
}

func (p *proc) send(m *simMsg) (then func()) {
	d, w := p.dev, p.w
	now := d.now()
	m.idx = len(w.msgs)
	binary.BigEndian.PutUint32(m.id[12:], uint32(m.idx))
	m.id[0] = 1
	w.msgs = append(w.msgs, m)
	m.sent = now
	m.expires += now
	row := &OutboxRow{Place: d.nextPlace(), Session: p.id, ID: m.id, Class: m.class, Priority: m.priority, One: m.one,
		Expires: m.expires, Sealed: payload[:m.size]}
	for i := range m.to {
		row.To = append(row.To, Target{Key: m.to[i].dev.key, State: wire.StatePending})
		m.to[i].known = wire.StatePending
	}
	if m.class == wire.ClassMessage {
		key := StreamKey{d.key, m.session, m.audience, m.priority}
		if d.numbers == nil {
			d.numbers = map[StreamKey]uint64{}
		}
		d.numbers[key]++
		m.n = d.numbers[key]
		m.stream = w.streams[key]
		if m.stream == nil {
			m.stream = &simStream{}
			w.streams[key] = m.stream
		}
		m.stream.msgs = append(m.stream.msgs, m)
		w.sent(m)
	}
	d.outbox = append(d.outbox, cloneRow(row))
	if w.tracing {
		w.trace("%v writes m%d: class %v %v one %v n %d size %d to %v expires %d", p, m.idx, m.class, m.priority, m.one, m.n, m.size, m.to, m.expires-simStart)
	}
	return func() { p.outbox.Add(now, row); p.runOutbox() }
}

// adopt takes over what ended sessions have not sent or told.
func (p *proc) adopt() (rows bool) {
	d := p.dev
	var owners []keys.SessionID
	for _, r := range d.outbox {
		if !slices.Contains(owners, r.Session) {
			owners = append(owners, r.Session)
		}
	}
	for _, r := range d.receipts {
		if !slices.Contains(owners, r.Session) {
			owners = append(owners, r.Session)
		}
	}
	gone := Orphans(owners, d.sessions())
	for _, r := range d.outbox {
		if slices.Contains(gone, r.Session) {
			r.Session, rows = p.id, true
		}
	}
	for i := range d.receipts {
		if slices.Contains(gone, d.receipts[i].Session) {
			d.receipts[i].Session = p.id
			p.tellAt = d.now()
		}
	}
	return rows
}

func (p *proc) takeOver(l *link) (then func()) {
	d := p.dev
	gone := p.adopt()
	p.recover()
	return func() {
		if gone {
			p.outbox.Taken(d.now())
			p.runOutbox()
		}
		if p.link != l {
			return
		}
		p.welcome, p.look = true, true
		p.outbox.Connected(d.now(), 30)
		p.runOutbox()
	}
}

func (p *proc) setState(o *op) {
	m := o.msg
	r := m.rec(p.w.deviceOf(o.to))
	if Advance(&r.known, &r.why, o.state, o.why) {
		p.w.told(m, r)
		if p.w.tracing {
			p.w.trace("%v knows m%d for %v: %v %v", p, m.idx, r.dev, o.state, o.why)
		}
	}
	for _, row := range p.dev.outbox {
		if row.Place == o.place && o.place != 0 {
			for i := range row.To {
				if row.To[i].Key == o.to {
					row.To[i].State = o.state
				}
			}
		}
	}
	if o.state == wire.StateExpired || o.state == wire.StateRefused && o.why != wire.WhyNone {
		p.w.over(m, r, o.state)
	}
}

// arrival is what Judge is asked about a message.
func (p *proc) arrival(m *simMsg, opened, copied bool) Arrival {
	d := p.dev
	a := Arrival{Opened: opened, Sent: m.sent, Expires: m.expires, Copy: copied, Policy: d.policy[m.from.idx],
		Known: d.isTaken(m), Rows: len(d.inbox), Limit: 60}
	if r := d.rowOf(m); r != nil {
		a.KnownCopy = r.Copy
		a.Known = a.Known || !r.Copy
	}
	return a
}

func (p *proc) arrive(o *op) (then func()) {
	d, m := p.dev, o.msg
	opened := !m.locked || p.w.ending
	say := func(v wire.Verdict, why wire.Why) func() {
		return func() {
			if o.link.atProc {
				o.link.sendUp(frame{kind: frameReceipt, verdict: v, why: why, msg: m})
			}
		}
	}
	if m.from.revoked {
		return say(wire.VerdictRefused, wire.WhyRevoked)
	}
	a := p.arrival(m, opened, o.claim)
	a.Ended = p.link != o.link
	j := Judge(d.now(), a)
	if p.w.tracing {
		p.w.trace("%v: m%d arrives, copy %v: %+v", p, m.idx, o.claim, j)
	}
	switch j.Do {
	case SayReceived:
		return say(wire.VerdictReceived, wire.WhyNone)
	case RefuseIt:
		return say(wire.VerdictRefused, j.Why)
	case PassOver:
		return nil
	}
	var takers []keys.SessionID
	if r := d.rowOf(m); r != nil { // a copy of it
		if j.Do == Retake {
			takers = r.Takers
		}
		d.dropRow(r.Place)
	}
	row := InboxRow{Place: d.nextPlace(), From: m.from.key, ID: m.id, State: j.State, Arrived: d.now(),
		Sent: m.sent, Expires: m.expires, Copy: o.claim}
	if o.claim {
		if row.Takers = takers; !slices.Contains(takers, p.id) {
			row.Takers = append(slices.Clone(takers), p.id)
		}
	}
	if j.State != InboxUnopened {
		fill(&row, m)
	}
	d.inbox = append(d.inbox, row)
	if o.claim {
		return func() { p.copies = append(p.copies, m) }
	}
	d.take(m)
	if j.Held {
		p.note(m, wire.StateHeld, wire.WhyNone)
	}
	return say(wire.VerdictReceived, wire.WhyNone)
}

func fill(row *InboxRow, m *simMsg) {
	row.StreamKey = StreamKey{m.from.key, m.session, m.audience, m.priority}
	row.N, row.For, row.ForLabel, row.Reply = m.n, m.forID, m.forLabel, m.reply
}

// open opens what could not be opened before.
func (p *proc) open() (then func()) {
	d := p.dev
	for i := 0; i < len(d.inbox); i++ {
		r := &d.inbox[i]
		m := p.w.msgOf(r.ID)
		if r.State != InboxUnopened {
			continue
		}
		a := p.arrival(m, true, r.Copy)
		a.Known, a.KnownCopy, a.Rows = false, false, 0
		switch j := Judge(d.now(), a); j.Do {
		case TakeIt:
			r.State = j.State
			fill(r, m)
			if j.Held {
				p.note(m, wire.StateHeld, wire.WhyNone)
			}
		default:
			m.rec(d).over = wire.StateRefused
			d.dropRow(r.Place)
			i--
			if !r.Copy {
				p.note(m, wire.StateRefused, j.Why)
			}
		}
	}
	return nil
}

// note keeps what a sender is to be told by a sealed receipt.
func (p *proc) note(m *simMsg, state wire.State, why wire.Why) {
	d := p.dev
	d.receipts = append(d.receipts, ReceiptRow{Place: d.nextPlace(), Session: p.id, To: m.from.key, Of: []Receipted{{ID: m.id}}, State: state,
		Why: why, Time: d.now(), Expires: m.expires})
	if p.tellAt == 0 {
		p.tellAt = d.now() + 1000
	}
}

// tell puts receipts that are due into the outbox.
func (p *proc) tell(flush bool) (then func()) {
	d := p.dev
	var mine []ReceiptRow
	for _, r := range d.receipts {
		if r.Session == p.id {
			mine = append(mine, r)
		}
	}
	groups, expired, next := Gather(d.now(), mine, flush)
	p.tellAt = next
	var thens []func()
	for _, places := range groups {
		m := &simMsg{from: p.dev, session: p.id, class: wire.ClassReceipt, size: 600}
		for _, r := range mine {
			if slices.Contains(places, r.Place) {
				m.receipts = append(m.receipts, r)
				m.expires = max(m.expires, r.Expires-d.now())
			}
		}
		m.to = []simRec{{dev: p.w.deviceOf(m.receipts[0].To)}}
		thens = append(thens, p.send(m))
		expired = append(expired, places...)
	}
	d.receipts = slices.DeleteFunc(d.receipts, func(r ReceiptRow) bool { return slices.Contains(expired, r.Place) })
	return func() {
		for _, then := range thens {
			then()
		}
	}
}

// openReceipt takes a receipt for what this profile sent.
func (p *proc) openReceipt(o *op) (then func()) {
	m := o.msg
	for i := range m.receipts {
		r := &m.receipts[i]
		of := p.w.msgOf(r.Of[0].ID)
		rec := of.rec(m.from)
		p.w.receiptSays(of, rec, r)
		if Advance(&rec.known, &rec.why, r.State, r.Why) {
			p.w.told(of, rec)
			if p.w.tracing {
				p.w.trace("%v hears m%d at %v: %v", p, of.idx, m.from, r.State)
			}
		}
	}
	p.dev.take(m)
	return func() {
		if o.link.atProc {
			o.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictReceived, msg: m})
		}
	}
}

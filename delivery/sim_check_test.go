package delivery

import (
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// What every schedule has to keep, looked at as things happen.

// delivering checks a hand-over: nothing overtakes an earlier message of its
// stream, nothing is out twice, and a session gets only what it takes.
func (w *world) delivering(e *Effect) {
	m, d := w.msgOf(e.Row.ID), w.deviceOf(e.Row.To)
	rec := m.rec(d)
	l := w.broker.conns[e.Conn]
	if l == nil || l.proc.dev != d {
		w.fail("m%d delivered to a connection of somebody else", m.idx)
	}
	if w.tracing {
		w.trace("deliver m%d to %v on conn %d, row %d, attempt %d", m.idx, d, e.Conn, e.Row.N, e.Attempt)
	}
	switch l.proc.receives {
	case wire.ReceivesNone:
		w.fail("m%d delivered to a session that takes nothing", m.idx)
	case wire.ReceivesReplies:
		if m.class == wire.ClassMessage && e.Row.Session != l.session {
			w.fail("m%d delivered to a session that takes replies only", m.idx)
		}
	}
	if e.Attempt < 1 || d.revoked {
		w.fail("m%d: attempt %d, revoked %v", m.idx, e.Attempt, d.revoked)
	}
	if w.broker.machine.now >= e.Row.Expires {
		w.fail("m%d delivered after its time", m.idx)
	}
	if m.class == wire.ClassReceipt {
		return
	}
	if rec.out != 0 && !m.one && !rec.arrived {
		w.fail("m%d delivered to %v on conn %d while it is out there on %d", m.idx, d, e.Conn, rec.out)
	}
	rec.out = e.Conn
	for _, before := range m.stream.msgs[:m.n-1] {
		r := before.rec(d)
		if r.arrived || r.out != 0 || r.over != 0 || r.lax || w.now >= before.expires || w.clocks && w.shortLife || w.broker.latest >= before.expires {
			continue
		}
		if w.limit != 0 && (w.asking(before, d) || r.known <= wire.StatePending) {
			continue // it is about to be refused, or was, and nobody heard
		}
		if m.one && w.broker.store.claimedBy(m, d) {
			continue // granted: a commit failed between the two claims
		}
		if before.one && (w.limit != 0 || w.broker.store.claimed(before) || before.granted != nil || slices.ContainsFunc(before.to, func(r simRec) bool { return r.arrived })) {
			continue
		}
		w.fail("m%d (n %d) delivered to %v before m%d (n %d)", m.idx, m.n, d, before.idx, before.n)
	}
}

// asking tells whether the machine asks the store for a message that it has no
// room for.
func (w *world) asking(m *simMsg, d *simDevice) bool {
	b := w.broker.machine
	k := b.known[messageKey{b.peer(m.from.key).number, m.id}]
	if k == nil {
		return false
	}
	it := k.find(b.peer(d.key))
	return it != nil && it.asking
}

// gone notes that a connection has ended as the broker sees it.
func (w *world) gone(c Conn) {
	for _, m := range w.msgs {
		for i := range m.to {
			if m.to[i].out == c {
				m.to[i].out = 0
			}
		}
	}
}

// acking checks what the broker says of a message: it is true, and does not
// contradict what it said before.
func (w *world) acking(e *Effect, outcome bool) {
	m, d := w.msgOf(e.ID), w.deviceOf(e.Peer)
	rec := m.rec(d)
	if w.tracing {
		w.trace("ack m%d at %v: %v %v on conn %d", m.idx, d, e.State, e.Why, e.Conn)
	}
	if rec == nil {
		w.fail("m%d acknowledged for %v, whom it does not go to", m.idx, d)
	}
	s := w.broker.store
	switch e.State {
	case wire.StateDelivered:
		if !rec.arrived {
			w.fail("m%d said to be delivered to %v, which does not have it", m.idx, d)
		}
	case wire.StateQueued:
		safe := rec.arrived || s.has(m.id, d.idx) || rec.over != 0 || d.revoked || m.class == wire.ClassReceipt
		for i := range m.to {
			safe = safe || m.one && (m.to[i].arrived || s.has(m.id, m.to[i].dev.idx))
		}
		if !safe {
			w.fail("m%d said to be queued for %v, and nobody has it", m.idx, d)
		}
	case wire.StateExpired:
		if w.broker.latest < m.expires {
			w.fail("m%d said to be expired before its time", m.idx)
		}
	case wire.StateRefused:
		if rec.arrived && !(outcome && w.clocks) && e.Why != wire.WhyExpiry && e.Why != wire.WhyQueueFull && e.Why != wire.WhyRevoked {
			w.fail("m%d said to be refused (%v) by %v, which has it", m.idx, e.Why, d)
		}
		for i := range m.to {
			if r := &m.to[i]; r == rec || m.one {
				r.lax = true
			}
		}
	}
	if m.one {
		rec = &m.to[0]
	}
	if outcome {
		return // of an earlier process, perhaps; the stronger word stays
	}
	if rec.told > wire.StateQueued && e.State != rec.told && e.Why != wire.WhyExpiry && w.limit == 0 && w.now+w.broker.leapt < min(rec.toldAt, rec.tookAt, rec.sentAt)+wire.RememberedByBroker {
		w.fail("m%d at %v: said %v after %v", m.idx, d, e.State, rec.told)
	}
	if rec.told != e.State {
		rec.told, rec.toldAt = e.State, w.now
	}
	rec.promised = rec.promised || e.State == wire.StateQueued || e.State == wire.StateDelivered
}

// over notes that the sender knows that a message will not be shown.
func (w *world) over(m *simMsg, rec *simRec, state wire.State) {
	for i := range m.to {
		if r := &m.to[i]; r == rec || m.one {
			if r.over == 0 && (!r.arrived || state == wire.StateExpired) {
				r.over = state
			}
		}
	}
}

// granting checks that one device alone may show a message.
func (w *world) granting(e *Effect, d *simDevice) {
	m := w.msgOf(e.ID)
	if w.tracing {
		w.trace("grant m%d to %v: %v", m.idx, d, e.Granted)
	}
	if !e.Granted {
		return
	}
	if m.granted != nil && m.granted != d {
		w.fail("m%d granted to %v and to %v", m.idx, m.granted, d)
	}
	m.granted = d
}

// dropped checks a row that left the store: somebody else has the message, or
// nobody has to.
func (w *world) dropped(row *Row) {
	m, d := w.msgOf(row.ID), w.deviceOf(row.To)
	rec := m.rec(d)
	if w.tracing {
		w.trace("row of m%d for %v dropped", m.idx, d)
	}
	if m.class == wire.ClassReceipt || rec.arrived || rec.over != 0 || rec.lax || d.revoked || m.from.revoked {
		return
	}
	if w.broker.latest >= m.expires {
		return
	}
	if m.one {
		if w.broker.store.left(m.id) > 0 {
			return // another device's row is there
		}
		for i := range m.to {
			if o := &m.to[i]; o != rec && (o.arrived || m.granted == o.dev || w.broker.store.claimedBy(m, o.dev)) {
				return
			}
		}
	}
	if !rec.promised && (!m.one || !m.to[0].promised) {
		return
	}
	w.fail("m%d for %v dropped from the store, and nobody has it", m.idx, d)
}

func (s *simStore) claimed(m *simMsg) bool {
	return slices.ContainsFunc(s.claims, func(c Claim) bool { return c.ID == m.id })
}

func (s *simStore) claimedBy(m *simMsg, d *simDevice) bool {
	return slices.ContainsFunc(s.claims, func(c Claim) bool { return c.ID == m.id && c.By == d.key })
}

// show checks what comes in front of a user: once or marked, in order or
// marked, and only what may be shown.
func (w *world) show(p *proc, b batched) {
	m, d := b.msg, p.dev
	rec := m.rec(d)
	if w.tracing {
		w.trace("%v shows m%d n %d: gap %v late %v again %v", p, m.idx, m.n, b.Gap, b.Late, b.Again)
	}
	w.shown++
	if b.Gap || b.Late || b.Again {
		w.marked++
		if w.calm(m, d) {
			w.fail("m%d shown with a mark, and nothing went wrong", m.idx)
		}
	}
	row := d.rowOf(m)
	if row == nil || row.State != InboxShowing || row.Copy || row.Shower != p.id {
		w.fail("m%d shown, but state.db does not say so: %+v", m.idx, row)
	}
	// By the clock at its planning, which may have been set back since.
	if b.Gap && row.Arrived <= b.at && b.at < row.Arrived+wire.GapWait {
		w.fail("m%d: a gap before it that was not waited for", m.idx)
	}
	if b.at >= m.expires {
		w.fail("m%d shown after its time", m.idx)
	}
	if row.ahead(b.at) {
		w.fail("m%d shown before its time", m.idx)
	}
	if rec.over == wire.StateRefused && !d.revoked && !w.clocks && w.limit == 0 {
		w.fail("m%d shown after it was refused", m.idx)
	}
	for _, before := range m.stream.msgs[:m.n-1] {
		if r := d.rowOf(before); r != nil && (r.State == InboxHeld || r.ahead(d.now())) {
			w.history.KeptBack(before.String(), d.String())
		}
	}
	w.history.Shown(history.Showing{ID: m.String(), By: d.String(), Time: b.at, Again: b.Again, Gap: b.Gap, Late: b.Late})
	w.holds()
	if m.one && m.granted != d {
		w.fail("m%d shown by %v without a grant", m.idx, d)
	}
	rec.shown++
	rec.shownAt = w.now
}

// sent has the history know a message of a stream.
func (w *world) sent(m *simMsg) {
	h := history.Message{ID: m.String(), Stream: fmt.Sprintf("%v %x %x %v", m.from, m.session, m.audience, m.priority), One: m.one, Expires: m.expires}
	for i := range m.to {
		h.To = append(h.To, m.to[i].dev.String())
	}
	w.history.Send(h)
	for _, to := range h.To {
		w.history.Told(w.now, h.ID, to, history.Pending, "")
	}
	w.holds()
}

// told has the history know what a sender knows. With clocks that jump, senders that
// are revoked and queues that are full a refusal may cross with a message that arrived.
func (w *world) told(m *simMsg, rec *simRec) {
	crossing := w.clocks || w.revoke || w.limit != 0
	if m.class != wire.ClassMessage || crossing && (rec.known == wire.StateRefused || rec.known == wire.StateExpired) {
		return
	}
	w.history.Told(w.now, m.String(), rec.dev.String(), history.State(rec.known.String()), string(rec.why))
	w.holds()
}

// holds fails where the history contradicts a promise.
func (w *world) holds() {
	for _, broken := range w.history.Broken() {
		w.fail("%s", broken)
	}
}

// calm tells whether nothing went wrong that could put a message out of its
// order: processes came and went, but properly.
func (w *world) calm(m *simMsg, d *simDevice) bool {
	if w.faults || w.shortLife || w.limit != 0 || d.held[m.from.idx] {
		return false
	}
	return !slices.ContainsFunc(m.stream.msgs, func(o *simMsg) bool { return o.locked })
}

// receiptSays checks a sealed receipt: no seen without show.
func (w *world) receiptSays(m *simMsg, rec *simRec, r *ReceiptRow) {
	if r.State == wire.StateSeen && !rec.seen {
		w.fail("m%d said to be seen by %v, which has not shown it", m.idx, rec.dev)
	}
}

// check looks at the machine's own books now and then.
func (w *world) check() {
	if w.step%16 == 0 && w.broker.machine != nil {
		w.checkBooks(w.broker.machine)
	}
}

func (w *world) checkBooks(b *Broker) {
	waiting := 0
	for _, p := range b.peers {
		waiting += p.waiting
		outMsgs, outBytes, memory := 0, 0, 0
		for _, c := range p.conns {
			for it := c.out.first; it != nil; it = it.next {
				if it.place != placeOut || it.out != c || it.to != p {
					w.fail("an item in the list of another connection")
				}
				if it.lane <= LaneLow {
					outMsgs++
					outBytes += it.size
				}
				if it.lane != LaneReceipt {
					memory++
				}
			}
			for lane := range c.replies {
				memory += w.checkQueue(&c.replies[lane])
			}
		}
		for lane := range p.queues {
			n := w.checkQueue(&p.queues[lane])
			if Lane(lane) != LaneReceipt {
				memory += n
			}
		}
		if outMsgs != p.outMsgs || outBytes != p.outBytes || memory != p.memory {
			w.fail("counts of a peer: out %d (%d bytes), memory %d; listed %d, %d, %d",
				p.outMsgs, p.outBytes, p.memory, outMsgs, outBytes, memory)
		}
		if p.outMsgs > 1 && (p.outMsgs > b.window || p.outBytes > b.windowBytes) {
			w.fail("window: %d out, %d bytes", p.outMsgs, p.outBytes)
		}
		if p.waiting < p.memory {
			w.fail("%v: %d wait, %d of them in memory", p.key[0], p.waiting, p.memory)
		}
	}
	if waiting != b.waiting {
		w.fail("%d wait, the mesh says %d", waiting, b.waiting)
	}
	for _, c := range b.conns {
		if c.unacked < 0 {
			w.fail("%d sends without answer", c.unacked)
		}
	}
}

func (w *world) checkQueue(q *queue) (n int) {
	bytes := 0
	for it := q.first; it != nil; it = it.next {
		n++
		bytes += it.size
		if it.q != q || it.place != placeWaiting || it.row == nil || it.next != nil && it.next.n <= it.n {
			w.fail("a queue out of order")
		}
	}
	if bytes != q.bytes {
		w.fail("a queue of %d bytes says %d", bytes, q.bytes)
	}
	return n
}

// finish ends all faults, lets everything come to rest, and checks that nothing
// was lost or is stuck.
func (w *world) finish() {
	w.ending = true
	if w.tracing {
		w.trace("faults end")
	}
	w.broker.setClock(0)
	for _, d := range w.devices {
		d.clock = 0
		w.clockSet(d)
		if d.revoked {
			continue
		}
		if !slices.ContainsFunc(w.procs, func(p *proc) bool { return p.dev == d && p.receives == wire.ReceivesLive && !p.quit }) {
			w.startProc(d, wire.ReceivesLive)
		}
	}
	end := w.now + 900_000
	w.endAt = end
	for i := 0; ; i++ {
		if i > 50_000 {
			w.fail("it does not come to rest")
		}
		w.step++
		if w.work(w.rng.IntN(1 << 16)) {
			continue
		}
		w.poll()
		if w.work(0) {
			continue
		}
		before := w.now
		if !w.passToNext() || w.now > end {
			break
		}
		if w.now == before {
			w.pass(1)
		}
	}
	if w.broker.machine == nil {
		w.fail("the broker is down at the end")
	}
	w.checkBooks(w.broker.machine)
	for _, d := range w.devices {
		for _, r := range d.outbox {
			if !d.revoked {
				o := d.anyProc(w.rng).outbox
				w.fail("m%d is stuck in the outbox of %v (session %v of %v): rows %d bytes %d loaded %d loading %v stale %v more %v behind %v connected %v in flight %d at %d; place %d", w.msgOf(r.ID).idx, d, r.Session[:4], d.sessions(), len(o.rows), o.bytes, o.loaded, o.loading, o.stale, o.more, o.behind, o.connected, o.inFlight, o.at, r.Place)
			}
		}
	}
	for _, m := range w.msgs {
		if m.class == wire.ClassMessage && !m.from.revoked {
			w.checkEnd(m)
		}
	}
	for _, d := range w.devices {
		for _, r := range d.inbox {
			if r.Copy && !d.revoked && !slices.ContainsFunc(r.Takers, func(id keys.SessionID) bool { return isLive(d.sessions(), id) }) {
				w.fail("%v keeps a copy of m%d that went with its connection", d, w.msgOf(r.ID).idx)
			}
		}
		for _, r := range w.broker.store.rows[d.idx] {
			if m := w.msgOf(r.ID); !m.one || !w.keptBack(m) {
				w.fail("m%d is stuck in the queue of %v", m.idx, d)
			}
		}
	}
	for _, o := range w.broker.store.outcomes {
		if !w.deviceOf(o.To).revoked && !w.broker.machine.peers[o.To].outcomes { // else it comes at the next connect
			w.fail("the outcome of m%d is stuck", w.msgOf(o.ID).idx)
		}
	}
}

// poll has every live session ask, once nothing moves.
func (w *world) poll() {
	for _, p := range w.procs {
		if p.receives == wire.ReceivesLive && p.w.now != p.polled && p.welcome { // as live processes do once a minute
			p.do(op{kind: opOrphans})
		}
		p.look = p.look || len(p.dev.inbox) > 0 && p.receives == wire.ReceivesLive && p.w.now != p.polled
		p.polled = p.w.now
	}
}

// keptBack tells whether a message for one of several devices is rightly not
// shown: policy holds it at every device that could get it, or its time has not
// come.
func (w *world) keptBack(m *simMsg) bool {
	for i := range m.to {
		if row := m.to[i].dev.rowOf(m); row != nil && row.ahead(w.endAt) {
			return true
		}
	}
	for i := range m.to {
		r := &m.to[i]
		row := r.dev.rowOf(m)
		switch {
		case w.broker.store.claimed(m) && !w.broker.store.claimedBy(m, r.dev):
		case row == nil && !w.broker.store.has(m.id, r.dev.idx):
		case r.dev.revoked, r.dev.policy[m.from.idx] != PolicyAccept:
		case w.limit != 0 && row == nil: // there may have been no room for it
		case row == nil && w.fullOfAhead(m, r.dev):
		default:
			return false
		}
	}
	return true
}

// fullOfAhead tells whether a device has as many copies of a sender as may be out
// unclaimed at a time, and all are ahead of their time.
func (w *world) fullOfAhead(m *simMsg, d *simDevice) bool {
	ahead := 0
	for i := range d.inbox {
		if r := &d.inbox[i]; r.Copy && r.From == m.from.key && r.Priority == m.priority && r.ahead(w.endAt) {
			ahead++
		}
	}
	return ahead >= w.broker.machine.window
}

func (w *world) checkEnd(m *simMsg) {
	shown := 0
	for i := range m.to {
		r := &m.to[i]
		if r.shown > 0 {
			shown++
		}
		if m.one {
			continue
		}
		w.checkRec(m, r)
	}
	if !m.one || shown > 0 || w.now >= m.expires || w.keptBack(m) {
		return
	}
	for i := range m.to {
		if r := &m.to[i]; r.over != 0 || m.granted == r.dev && r.dev.revoked {
			return
		}
	}
	w.fail("m%d was shown by no device", m.idx)
}

func (w *world) checkRec(m *simMsg, r *simRec) {
	if r.dev.revoked || r.over != 0 || w.now >= m.expires {
		return
	}
	row := r.dev.rowOf(m)
	if row != nil && (row.State == InboxHeld || row.ahead(w.endAt)) {
		return
	}
	if r.shown == 0 || !r.seen {
		w.fail("m%d never came in front of %v (shown %d, seen %v): %+v", m.idx, r.dev, r.shown, r.seen, row)
	}
	if r.known != wire.StateSeen && r.shownAt < w.endAt-5000 && !(w.clocks && w.shortLife) { // a receipt may have expired by a wrong clock
		w.fail("m%d was seen by %v, and its sender knows %v", m.idx, r.dev, r.known)
	}
}

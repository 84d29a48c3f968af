package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Send is a send frame from a connection. Its recipients are members now, and
// with One devices of one user; the caller refuses others itself. Sealed and
// the boxes are kept, To is not.
type Send struct {
	Conn     Conn
	ID       keys.MessageID
	Class    wire.Class
	Priority wire.Priority
	One      bool
	User     string // with One: whose devices the recipients are
	Expires  int64
	Sealed   []byte
	To       []wire.Recipient // one at least
}

// Send takes a message, or answers one that was taken before.
func (b *Broker) Send(now int64, s *Send) {
	b.event(now)
	c := b.conns[s.Conn]
	if c == nil || b.draining || len(s.To) == 0 {
		return
	}
	if s.Class == wire.ClassMessage {
		b.active(c)
	}
	key := messageKey{c.peer.number, s.ID}
	expires := min(s.Expires, b.now+wire.MaxExpiry)
	m := b.find(key)
	fresh := m == nil
	if fresh {
		m = b.newMessage()
		*m = message{from: c.peer, id: s.ID, expires: expires, conn: c, one: s.One, whole: true}
		b.known[key] = m
		if m.one {
			m.left = len(s.To)
			c.unacked++
		}
	} else {
		b.again(m, c)
		if m.one && m.acked {
			return
		}
	}
	if m.one && !fresh {
		for i := range s.To {
			if m.find(b.peer(s.To[i].Key)) == nil {
				m.left++
			}
		}
	}
	var shared *Message
	for i := range s.To {
		to := b.peer(s.To[i].Key)
		if s.One {
			b.userOf(s.User, to)
		}
		if m.find(to) != nil {
			continue
		}
		it := b.addItem(m, to, s, i)
		if it.place == placeDone || it.asking {
			continue
		}
		if shared == nil { // most have one recipient: one piece of memory for both
			made := &struct {
				message Message
				row     Row
			}{message: Message{From: c.peer.key, ID: s.ID, Class: s.Class, Priority: s.Priority, One: s.One,
				Expires: m.expires, Sent: b.now, Sealed: s.Sealed}}
			shared, it.row = &made.message, &made.row
		} else {
			it.row = &Row{}
		}
		*it.row = Row{Message: shared, To: to.key, Lane: it.lane, N: it.n, Session: it.hint, Box: s.To[i].Box}
		it.size = it.row.Size()
	}
	if m.one {
		b.offerOne(m)
		b.tellOne(m) // the store may have had all of it
	} else {
		for it := m.items; it != nil; it = it.sibling {
			if it.place == placeWaiting && it.q == nil && !it.asking {
				b.offer(it)
			}
		}
	}
}

// addItem makes a new recipient's item, finished at once where it is refused.
func (b *Broker) addItem(m *message, to *peerState, s *Send, i int) *item {
	it := &m.first
	if m.items != nil {
		it = &item{}
	}
	*it = item{m: m, to: to, sibling: m.items, hint: s.To[i].Session, since: b.now,
		lane: LaneOf(s.Class, s.Priority, s.One)}
	m.items = it
	if !m.one {
		m.conn.unacked++
	}
	receipt := it.lane == LaneReceipt
	why := wire.WhyNone
	switch {
	case to.revoked:
		why = wire.WhyRevoked
	case m.expires <= b.now:
		why = wire.WhyExpiry
	case receipt && len(s.Sealed) > wire.MaxReceiptSize:
		why = wire.WhyTooLarge
	case !receipt && to.waiting >= b.limit:
		if to.unsure {
			b.ask(it)
			return it
		}
		why = wire.WhyQueueFull
	}
	if why != wire.WhyNone {
		b.end(it, wire.StateRefused, why)
		return it
	}
	to.last++
	it.n, it.counted = to.last, true
	if receipt {
		b.countReceipt(m.from, to)
		return it
	}
	to.waiting++
	to.memory++
	b.waiting++
	return it
}

// ask finds out whether the store has a message that there is no room for: it
// was sent before, perhaps, and forgotten here. To refuse it then would be a
// lie.
func (b *Broker) ask(it *item) {
	it.asking = true
	b.asks++
	b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchMessage, Sender: it.m.from.key, ID: it.m.id,
		To: it.to.key, Limit: wire.MaxRecipients, asked: it}})
}

// answered goes on with a message that was asked for.
func (b *Broker) answered(it *item, rows []*Row) {
	if !it.asking {
		return
	}
	if it.place == placeDone {
		it.asking = false
		b.asks--
		return
	}
	for _, row := range rows {
		if row.To == it.to.key {
			q := &it.to.queues[it.lane]
			it.n, it.size = row.N, row.Size()
			b.found(it)
			q.leave(it.n)
			if q.lane.One() {
				q.skip(it)
				b.rescan(it.to)
			}
			b.pump(q)
			return
		}
	}
	it.asking = false
	b.asks--
	b.end(it, wire.StateRefused, wire.WhyQueueFull)
	b.passOn(&it.to.queues[it.lane])
}

// found is a message that the store has, as was asked.
func (b *Broker) found(it *item) {
	b.asks--
	it.asking, it.counted = false, true
	it.place, it.disk = placeStored, diskSaved
	b.tellQueued(it)
}

// countReceipt keeps the number of receipts that wait for a pair in its bound.
func (b *Broker) countReceipt(from, to *peerState) {
	if to.receipts == nil {
		to.receipts = map[*peerState]int{}
	}
	n, counted := to.receipts[from]
	if !counted && to.stored > 0 { // how many of those are from this sender only the store knows
		n = wire.MaxReceiptsWaiting
	}
	if n >= wire.MaxReceiptsWaiting {
		n--
		b.emit(Effect{Kind: EffectTrim, Peer: to.key, From: from.key})
	}
	to.receipts[from] = n + 1
}

// again answers what was sent before: what was told once is told again, what
// was not is told to all connections that sent it, and what could not be stored
// is tried anew.
func (b *Broker) again(m *message, c *connState) {
	anew := !m.sentOver(c)
	if anew {
		if !m.unanswered() {
			m.also = slices.DeleteFunc(m.also, func(o *connState) bool { return o.closed })
		}
		if m.conn != nil && (!m.conn.closed || m.unanswered()) {
			m.also = append(m.also, m.conn)
		}
		m.conn = c
		if m.one && !m.acked {
			c.unacked++
		}
	}
	if m.one && m.acked {
		b.tellAgain(m, c)
	}
	for it := m.items; it != nil; it = it.sibling {
		switch {
		case m.one:
		case it.acked && it.place == placeDone:
			b.ack(c, m, it.to, it.state, it.why)
		case it.acked:
			b.ack(c, m, it.to, wire.StateQueued, wire.WhyNone)
		case anew:
			c.unacked++
		}
		if it.place != placeDone && it.disk == diskFailed {
			it.disk = diskNone
			b.saveNow(it)
		}
	}
}

// tellAgain tells again what became of a message with One.
func (b *Broker) tellAgain(m *message, c *connState) {
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeDone && it.state != wire.StateUnknown {
			b.ack(c, m, it.to, it.state, it.why)
			return
		}
	}
	switch {
	case m.left > 0 && m.items != nil:
		b.ack(c, m, m.items.to, wire.StateQueued, wire.WhyNone)
	case m.winner != nil:
		state, why := m.ofWinner()
		b.ack(c, m, m.winner, state, why)
	}
}

// offer puts a new item into its queue, hands it over if it is its turn, and
// decides how long its commit waits.
func (b *Broker) offer(it *item) {
	p := it.to
	q := p.queueOf(it)
	it.spill = q.bytes >= b.memory
	q.put(nil, it)
	b.pump(q)
	b.schedule(it)
}

// commitWaitMin is how long a commit waits for a receipt at least, in milliseconds: a
// pause of the collector, of the scheduler or of a disk passes in it, and the store has
// less to do than a message that is late by a moment would make it do.
const commitWaitMin = 10

// schedule decides how long a new item's commit waits for a receipt [CM-8]: four
// times what this recipient lately took, from 10 to 200 ms, not at all where that is
// hopeless.
func (b *Broker) schedule(it *item) {
	p := it.to
	if it.place == placeDone {
		return
	}
	wait := 4 * p.took / 8
	if it.place != placeOut || it.m.one || p.took > wire.CommitWait*8 || b.draining {
		b.saveNow(it)
		return
	}
	it.due = b.now + min(max(commitWaitMin, wait), wire.CommitWait)
	if p.graceLast == nil {
		p.graceFirst = it
	} else {
		p.graceLast.graceNext = it
	}
	p.graceLast = it
	it.waits = true
	b.grace++
	if p.dueAt <= b.ticked || p.graceFirst == it && it.due < p.dueAt {
		b.lookAt(p)
	}
}

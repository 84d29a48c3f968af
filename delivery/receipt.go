package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Receipt is a receipt frame: what the peer of a connection did with messages
// from a sender.
func (b *Broker) Receipt(now int64, c Conn, verdict wire.Verdict, why wire.Why, from keys.Public, ids []keys.MessageID) {
	b.event(now)
	s, sender := b.conns[c], b.peers[from]
	if s == nil {
		return
	}
	for _, id := range ids {
		var it *item
		if sender != nil {
			if m := b.known[messageKey{sender.number, id}]; m != nil {
				it = m.find(s.peer)
			}
		}
		switch {
		case verdict == wire.VerdictClaim:
			b.claim(s, from, id, it)
		case it == nil || it.place == placeDone:
		case verdict == wire.VerdictReceived:
			b.received(it)
		default:
			b.refused(it, why)
		}
	}
	b.pumpPeer(s.peer)
}

// received is a row that its recipient has on disk.
func (b *Broker) received(it *item) {
	p := it.to
	if it.place == placeOut && it.attempt == 1 {
		p.took += min(b.now-it.outAt, 20*wire.CommitWait) - p.took/8
	}
	if it.m.one {
		b.settleOne(it)
	}
	if p.graceFirst == it {
		b.takeGrace(p)
	}
	b.end(it, wire.StateDelivered, wire.WhyNone)
	b.dropGrace(p)
}

// refused is a row that its recipient will never take.
func (b *Broker) refused(it *item, why wire.Why) {
	b.end(it, wire.StateRefused, why)
	b.dropGrace(it.to)
}

// end finishes an item and tells its sender. Of a message with One a device
// that refuses only passes it on, while there is another.
func (b *Broker) end(it *item, state wire.State, why wire.Why) {
	b.remove(it)
	it.state, it.why, it.since = state, why, b.now
	m := it.m
	if m.one {
		m.left--
		if state != wire.StateDelivered && (m.left > 0 || m.vague) {
			it.state, it.why = wire.StateUnknown, wire.WhyNone
			b.askLast(m, it.to, state, why)
			b.tellOne(m)
		} else {
			b.tell(it, it.to, state, why)
		}
	} else {
		b.tell(it, it.to, state, why)
	}
	if !m.busy() {
		b.remember(m)
	}
}

// lose finishes an item of which nobody is told: another device has the
// message, or its sender was revoked.
func (b *Broker) lose(it *item) {
	b.remove(it)
	it.state, it.why, it.since = wire.StateUnknown, wire.WhyNone, b.now
	m := it.m
	if m.one {
		m.left--
		b.lastLost(m)
	} else if !it.acked {
		it.acked = true
		m.answered()
	}
	if !m.busy() {
		b.remember(m)
	}
}

// lastLost tells the sender of a message that a device had claimed before, and
// whose rows are gone with nothing said of it, what became of it.
func (b *Broker) lastLost(m *message) {
	if m.left > 0 && !m.vague || m.winner == nil || m.items == nil {
		return
	}
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeDone && it.state != wire.StateUnknown {
			return
		}
	}
	if m.acked && !m.winner.revoked {
		return
	}
	state, why := m.ofWinner()
	if m.vague {
		b.askLast(m, m.winner, state, why)
	} else {
		b.tell(m.items, m.winner, state, why)
	}
}

// ofWinner is what became of a message that a device claimed before this process began,
// and that is gone from the queue.
func (m *message) ofWinner() (wire.State, wire.Why) {
	if m.winner.revoked {
		return wire.StateRefused, wire.WhyRevoked
	}
	return wire.StateDelivered, wire.WhyNone
}

// lastWord is what a sender is told of a message with One if the store has no
// row of it any more.
type lastWord struct {
	m     *message
	at    *peerState
	state wire.State
	why   wire.Why
}

// askLast asks the store whether a row is left of a message of which none is
// left as far as known.
func (b *Broker) askLast(m *message, at *peerState, state wire.State, why wire.Why) {
	if !m.vague || m.open() {
		return
	}
	b.asks++
	b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchMessage, Sender: m.from.key, ID: m.id,
		Limit: wire.MaxRecipients, last: &lastWord{m, at, state, why}}})
}

// lastAnswered goes on with a message that was asked for.
func (b *Broker) lastAnswered(w *lastWord, rows []*Row) {
	b.asks--
	m := w.m
	left := 0
	for _, row := range rows {
		if it := m.find(b.peer(row.To)); it == nil || it.place != placeDone {
			left++
		}
	}
	m.left, m.vague = left, false
	if left == 0 && !m.open() {
		it := m.find(w.at)
		if it == nil {
			it = m.items
		}
		it.state, it.why, it.since = w.state, w.why, b.now
		b.tell(it, w.at, w.state, w.why)
	}
}

// remove takes an item out of wherever it is, the store included.
func (b *Broker) remove(it *item) {
	switch it.place {
	case placeWaiting:
		if it.q != nil {
			it.q.take(it)
		}
	case placeOut:
		b.comeIn(it)
	case placeStored:
		if q := &it.to.queues[it.lane]; it.scan > 0 && it.scan == q.scan && q.skipped > 0 {
			q.skipped--
		}
	}
	if it.disk == diskSaving || it.disk == diskSaved {
		b.emit(Effect{Kind: EffectDrop, Peer: it.to.key, Lane: it.lane, N: it.n})
	}
	if it.anew > 0 {
		b.emit(Effect{Kind: EffectDrop, Peer: it.to.key, Lane: it.lane, N: it.anew})
	}
	b.uncountItem(it)
	it.place, it.row = placeDone, nil
}

// uncountItem takes an item out of its recipient's numbers.
func (b *Broker) uncountItem(it *item) {
	if !it.counted {
		return
	}
	it.counted = false
	p := it.to
	if it.lane == LaneReceipt {
		if n := p.receipts[it.m.from]; n > 1 {
			p.receipts[it.m.from] = n - 1
		} else {
			delete(p.receipts, it.m.from)
		}
		return
	}
	if it.place != placeStored {
		p.memory--
	}
	if p.waiting > 0 {
		p.waiting--
		b.waiting--
	}
}

// ack emits an ack to a connection, and reports whether that is there.
func (b *Broker) ack(c *connState, m *message, at *peerState, state wire.State, why wire.Why) bool {
	if c == nil || c.closed {
		return false
	}
	b.emit(Effect{Kind: EffectAck, Conn: c.Conn, Peer: at.key, ID: m.id, State: state, Why: why})
	return true
}

// tellQueued tells the sender of an item that the store has it, if that is the
// first it hears.
func (b *Broker) tellQueued(it *item) {
	m := it.m
	if !m.one {
		if !it.acked {
			b.tell(it, it.to, wire.StateQueued, wire.WhyNone)
		}
		return
	}
	b.tellOne(m)
}

// tellOne tells the sender of a message with One that the store has it, once it
// has all that is left of it.
func (b *Broker) tellOne(m *message) {
	var any *item
	for o := m.items; o != nil; o = o.sibling {
		if o.place == placeDone {
			continue
		}
		if o.disk != diskSaved {
			return
		}
		any = o
	}
	if any != nil && !m.acked {
		b.tell(any, any.to, wire.StateQueued, wire.WhyNone)
	}
}

// tell tells a sender what became of a message at a recipient: first the
// connections that sent it, of later changes any of the peer, and where none is
// there, the next.
func (b *Broker) tell(it *item, at *peerState, state wire.State, why wire.Why) {
	m := it.m
	acked := &it.acked
	if m.one {
		acked = &m.acked
	}
	if !*acked {
		*acked = true
		m.answered()
		there := b.ack(m.conn, m, at, state, why)
		for _, c := range m.also {
			there = b.ack(c, m, at, state, why) || there
		}
		// With nobody there it is sent again, and answered then: but not where it
		// expires before, and its recipient has it.
		if there || state != wire.StateDelivered {
			return
		}
	}
	if it.lane == LaneReceipt {
		return // what becomes of a receipt interests nobody
	}
	c := m.conn
	if (c == nil || c.closed) && len(m.from.conns) > 0 {
		c = m.from.conns[len(m.from.conns)-1]
	}
	if state == wire.StateDelivered && b.ack(c, m, at, state, why) {
		return // if that gets lost, the sender asks
	}
	b.keepOutcome(&Outcome{To: m.from.key, ID: m.id, Recipient: at.key, State: state, Why: why, Time: b.now})
}

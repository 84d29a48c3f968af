package delivery

import "github.com/claudemesh/claudemesh-go/wire"

// pumpPeer hands over what a peer can be handed now.
func (b *Broker) pumpPeer(p *peerState) {
	if len(p.conns) == 0 {
		return
	}
	for lane := range p.queues {
		b.pump(&p.queues[lane])
	}
	for _, c := range p.conns {
		for lane := range c.replies {
			b.pump(&c.replies[lane])
		}
	}
}

// pump hands over what a queue can hand over now, in the order of numbers, and
// fetches what it lacks.
func (b *Broker) pump(q *queue) {
	if q.lane.One() {
		b.pumpOne(q)
		return
	}
	for q.first != nil && q.first.n < q.from && !q.to.revoked {
		it := q.first
		if it.m.expires <= b.now {
			b.end(it, wire.StateExpired, wire.WhyNone)
			continue
		}
		c := b.taker(q, it)
		if c == nil {
			break
		}
		b.handOver(it, c)
	}
	b.fetch(q)
}

// taker gives the connection that the first item of a queue is handed to now,
// or nil. A window of messages may be out without receipt, and one message
// always.
func (b *Broker) taker(q *queue, it *item) *connState {
	p := q.to
	if q.lane == LaneReceipt {
		return p.anyConn(it)
	}
	if p.outMsgs > 0 && (p.outMsgs >= b.window || p.outBytes+it.size > b.windowBytes) {
		return nil
	}
	if q.reply != nil {
		if q.reply.fresh {
			return nil
		}
		return q.reply
	}
	return p.choose(it)
}

// handOver hands an item to a connection.
func (b *Broker) handOver(it *item, c *connState) {
	p := it.to
	if it.q != nil {
		it.q.take(it)
	}
	it.place, it.out, it.outAt, it.epoch = placeOut, c, b.now, p.epoch
	it.attempt++
	c.out.pushBack(it)
	if it.lane <= LaneLow {
		p.outMsgs++
		p.outBytes += it.size
		if it.displaced { // its session waits for it, as for what was out before
			it.displaced, it.epoch = false, 0
			p.old++
		}
	}
	b.emit(Effect{Kind: EffectDeliver, Conn: c.Conn, Row: it.row, Attempt: it.attempt})
	if it.disk == diskSaved {
		it.release()
	}
}

// ready tells whether somebody takes what is in a queue.
func (b *Broker) ready(q *queue) bool {
	switch {
	case q.reply != nil:
		return !q.dead
	case q.lane == LaneReceipt:
		for _, c := range q.to.conns {
			if c.Receives != wire.ReceivesNone {
				return true
			}
		}
		return false
	}
	return q.to.taking()
}

// evict lets a stored item go from memory.
func (b *Broker) evict(q *queue, it *item) {
	if it.q != nil {
		it.q.take(it)
	}
	it.place, it.row = placeStored, nil
	if it.lane != LaneReceipt {
		it.to.memory--
	}
	if q.lane.One() && it.n < q.from { // it was this item's turn, and it could not go
		q.skip(it)
		if it.to.user != nil {
			q.block(b.groupOf(it)) // and nothing behind it may
		}
		return
	}
	q.leave(it.n)
}

// skip notes that an item stays in the store, to be looked for again.
func (q *queue) skip(it *item) {
	q.skipped++
	it.scan = q.scan
}

// fetch asks for what a queue has in the store only, when there is room; or when
// that comes before everything that is in memory.
func (b *Broker) fetch(q *queue) {
	if q.from == noNumber || q.fetching || q.dead || !b.ready(q) {
		return
	}
	if q.bytes >= b.memory/2 && q.first.n < q.from {
		return
	}
	q.fetching, q.evicted = true, noNumber
	f := &Fetch{Kind: FetchLane, Lane: q.lane, To: q.to.key, From: q.from,
		Limit: b.page, Bytes: max(1, b.memory-q.bytes), queue: q}
	if q.reply != nil {
		f.Session = q.reply.Session
	}
	b.emit(Effect{Kind: EffectFetch, Fetch: f})
}

// letGo evicts what is stored of a queue that nobody takes from.
func (b *Broker) letGo(q *queue) {
	if b.ready(q) {
		return
	}
	for it := q.first; it != nil; {
		next := it.next
		if it.disk == diskSaved {
			b.evict(q, it)
		}
		it = next
	}
}

// Fetched brings the rows of a fetch. More says that there are more than
// these.
func (b *Broker) Fetched(now int64, f *Fetch, rows []*Row, more bool) {
	b.event(now)
	switch f.Kind {
	case FetchLane:
		b.fetchedLane(f.queue, rows, more && len(rows) > 0)
	case FetchExpired:
		b.fetchedExpired(f, rows, more && len(rows) > 0)
	case FetchPeer:
		b.fetchedPeer(f, rows, more && len(rows) > 0)
	case FetchMessage:
		switch {
		case f.asked != nil:
			b.answered(f.asked, rows)
		case f.last != nil:
			b.lastAnswered(f.last, rows)
		default:
			b.fetchedMessage(f, rows)
		}
	}
}

func (b *Broker) fetchedLane(q *queue, rows []*Row, more bool) {
	if q.dead {
		return // what it asked for was given back to the lane
	}
	from := uint64(noNumber)
	if more {
		from = rows[len(rows)-1].N + 1
	}
	q.fetching = false
	q.from, q.evicted = min(from, q.evicted), noNumber
	var at *item
	for _, row := range rows {
		if b.peer(row.From).revoked || q.to.revoked {
			b.dropRevoked(row)
			continue
		}
		if it := b.revive(row); it != nil {
			if to := it.to.queueOf(it); to == q {
				q.put(at, it)
				at = it
			} else {
				to.put(nil, it)
			}
		}
	}
	if q.lane.One() {
		b.scannedOne(q)
		return
	}
	b.recount(q.to)
	b.pump(q)
	b.letGo(q)
	for _, c := range q.to.conns {
		if c.replies != nil && q.reply == nil && q.lane <= LaneLow {
			b.pump(&c.replies[q.lane])
		}
	}
}

// revive makes an item of a row that was read, or gives nil where that row is
// in memory or finished.
func (b *Broker) revive(row *Row) *item {
	from, to := b.peer(row.From), b.peer(row.To)
	key := messageKey{from.number, row.ID}
	m := b.find(key)
	if m == nil {
		m = &message{from: from, id: row.ID, expires: row.Expires, one: row.One, acked: true, left: row.Left}
	}
	it := m.find(to)
	if it != nil && it.place == placeDone {
		b.drop(row)
		return nil
	}
	if it != nil && it.asking { // here is the answer
		b.found(it)
	}
	if it != nil && it.place != placeStored {
		if it.n == row.N {
			return nil
		}
		// It was sent again after it was forgotten: the store has it, under the
		// number that it had. Where that row is being dropped it is stored anew.
		if it.disk == diskSaving {
			it.anew = it.n
		}
		it.n = row.N
		if q := it.q; q != nil {
			q.take(it)
			q.put(nil, it)
		}
		if it.disk != diskSaved {
			it.disk = diskSaved
			b.tellQueued(it)
			b.claimSaved(it)
		}
		if it.place == placeOut {
			it.release()
		}
		return nil
	}
	if m.winner != nil && m.winner != to {
		if it == nil && m.sole {
			b.drop(row)
			return nil
		}
		if it == nil { // noted: while it is being dropped it may be read again
			it = m.fromStore(row, to)
			it.place = placeStored
		}
		b.lose(it)
		b.tellOne(m)
		return nil
	}
	if it == nil {
		it = m.fromStore(row, to)
		it.counted = true
		b.known[key] = m
		if m.one && m.whole { // it was sent anew without this recipient
			m.left++
		}
	}
	it.n, it.row, it.size = row.N, row, row.Size()
	if it.lane != LaneReceipt {
		to.memory++
		if to.waiting < to.memory { // it had not been counted
			to.waiting++
			b.waiting++
		}
	}
	return it
}

// recount corrects a peer's number of messages once nothing of it is in the
// store only: what was sent again after it was forgotten was counted twice.
func (b *Broker) recount(p *peerState) {
	for lane := range LaneReceipt {
		if p.queues[lane].from != noNumber || p.queues[lane].skipped > 0 {
			return
		}
	}
	for _, c := range p.conns {
		for lane := range c.replies {
			if c.replies[lane].from != noNumber {
				return
			}
		}
	}
	b.waiting += p.memory - p.waiting
	p.waiting, p.unsure = p.memory, false
}

// FetchFailed says that a fetch could not be answered. It is asked again
// later.
func (b *Broker) FetchFailed(now int64, f *Fetch) {
	b.event(now)
	b.fetchLater(f)
}

func (b *Broker) fetchLater(f *Fetch) {
	b.retry = append(b.retry, f)
	if b.retryAt == 0 {
		b.retryAt = b.now + retryAfter
	}
}

// refetch asks again for what could not be read.
func (b *Broker) refetch(f *Fetch) {
	q := f.queue
	if q == nil {
		b.emit(Effect{Kind: EffectFetch, Fetch: f})
		return
	}
	q.fetching = false
	q.from, q.evicted = min(q.from, q.evicted), noNumber
	b.pump(q)
}

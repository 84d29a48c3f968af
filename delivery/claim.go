package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// group is what one sender sends to any one device of a user. It is out at one
// device at a time: the last active, and the next when that one leaves or has
// not claimed for a minute. A device that was passed over keeps its copies and
// may claim them still; the first claim that is committed counts.
type group struct {
	from    *peerState
	user    *userState
	current *peerState // the device that is handed what comes; nil: none yet
	turn    uint64     // counts changes of current
	out     int        // handed to current in its turn and not claimed
	lanes   [lanes]int // the same, by lane
	due     int64      // when the next device's turn is
	listed  bool       // it is in Broker.groups
}

// groupOf gives the group that an item belongs to.
func (b *Broker) groupOf(it *item) *group {
	u := it.to.user
	g := u.groups[it.m.from]
	if g == nil {
		g = &group{from: it.m.from, user: u, turn: 1}
		u.groups[it.m.from] = g
	}
	return g
}

// turnTo makes a device the one that is handed what comes.
func (b *Broker) turnTo(g *group, p *peerState) {
	g.current, g.out, g.lanes = p, 0, [lanes]int{}
	g.turn++
}

// prefers tells whether a device comes before another: it was active later.
func prefers(a, b *peerState) bool { return a.active > b.active }

// offerOne puts a new message for one of several devices into their queues,
// and hands it to the one whose turn it is.
func (b *Broker) offerOne(m *message) {
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeWaiting && it.q == nil && !it.asking {
			it.to.queues[it.lane].put(nil, it)
		}
	}
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeWaiting && it.q != nil {
			b.pumpOne(it.q)
		}
	}
	for it := m.items; it != nil; it = it.sibling {
		if (it.place == placeWaiting || it.place == placeOut) && !it.asking {
			b.saveNow(it)
		}
	}
}

// pumpOne hands over what this device may be handed now. Once something of a
// sender has to stay, so does what comes behind it, until the queue is scanned
// again from its start.
func (b *Broker) pumpOne(q *queue) {
	for it := q.first; it != nil && it.n < q.from && !q.to.revoked; {
		next := it.next
		if it.m.expires <= b.now {
			b.end(it, wire.StateExpired, wire.WhyNone)
		} else if c := b.takerOne(q, it); c != nil {
			b.handOver(it, c)
		} else {
			if it.to.user != nil {
				q.block(b.groupOf(it))
			}
			if it.disk == diskSaved {
				b.evict(q, it)
			}
		}
		it = next
	}
	b.fetch(q)
}

// block keeps back what a queue has of a group.
func (q *queue) block(g *group) {
	if q.blocked == nil {
		q.blocked = map[*group]bool{}
	}
	q.blocked[g] = true
}

// takerOne gives the connection that an item is handed to now, or nil, and
// counts it.
func (b *Broker) takerOne(q *queue, it *item) *connState {
	p, m := it.to, it.m
	c := p.pick()
	if c == nil || m.winner != nil && m.winner != p {
		return nil
	}
	if m.winner == p { // it was granted here, and the grant or the receipt was lost
		return c
	}
	g := b.groupOf(it)
	if q.blocked[g] {
		return nil
	}
	if g.current != p || g.out == 0 {
		if g.current != p && g.current != nil && g.out > 0 {
			return nil
		}
		if d := b.anotherFirst(it); g.current != p && d != nil {
			q.behind = d
			if o := m.find(d); d.queues[it.lane].from == noNumber && !o.asking {
				b.wake = append(b.wake, d) // it does not look by itself
			}
			return nil
		}
		if g.current != p {
			b.turnTo(g, p)
		}
	}
	if g.lanes[it.lane] >= b.window {
		return nil
	}
	it.turn = g.turn
	g.out++
	g.lanes[it.lane]++
	if g.out == 1 {
		g.due = b.now + wire.ClaimWait
	}
	if !g.listed {
		g.listed = true
		b.groups = append(b.groups, g)
	}
	b.groupsAt = min(b.groupsAt, g.due)
	return c
}

// anotherFirst gives the first of the devices that come before this one and may
// have the message, or something of the same sender before it; nil for none.
func (b *Broker) anotherFirst(it *item) *peerState {
	best := it.to
	for _, d := range it.to.user.devices {
		if !prefers(d, best) || !d.taking() {
			continue
		}
		o := it.m.find(d)
		if d.queues[it.lane].from != noNumber || // it looks through what the store has
			o != nil && (o.place == placeWaiting || o.place == placeStored) {
			best = d
		}
	}
	if best == it.to {
		return nil
	}
	return best
}

// uncount takes an item out of what is out and not claimed.
func (b *Broker) uncount(it *item) {
	g := b.groupOf(it)
	if it.turn != g.turn {
		return
	}
	it.turn = 0
	full := g.lanes[it.lane] >= b.window
	g.out--
	g.lanes[it.lane]--
	g.due = b.now + wire.ClaimWait
	if g.out == 0 || full {
		b.freed = append(b.freed, g)
	}
}

// kickFreed lets the devices of groups that were freed, and those that others
// stood back for, be handed what waits.
func (b *Broker) kickFreed() {
	for len(b.freed)+len(b.wake) > 0 {
		if len(b.freed) == 0 {
			d := b.wake[0]
			b.wake = b.wake[1:]
			b.rescan(d)
			continue
		}
		g := b.freed[0]
		b.freed = b.freed[1:]
		if g.out == 0 {
			b.kick(g.user)
		} else if g.current != nil {
			b.rescan(g.current)
		}
	}
	b.freed, b.wake = b.freed[:0], b.wake[:0]
}

// kick lets all devices of a user look again for what they can be handed.
func (b *Broker) kick(u *userState) {
	for _, d := range u.devices {
		b.rescan(d)
	}
}

// rescan looks again through what a device was not handed.
func (b *Broker) rescan(p *peerState) {
	if !p.taking() {
		return
	}
	for lane := LaneOneNow; lane <= LaneOneLow; lane++ {
		q := &p.queues[lane]
		if q.skipped > 0 || len(q.blocked) > 0 {
			q.restart()
			b.pumpOne(q)
		}
	}
}

// restart has a queue looked through from its start.
func (q *queue) restart() {
	if q.skipped > 0 {
		q.from = 0
		if q.fetching {
			q.evicted = 0
		}
	}
	q.skipped, q.behind = 0, nil
	q.scan++
	clear(q.blocked)
}

// scannedOne goes on after a page of a device's queue came.
func (b *Broker) scannedOne(q *queue) {
	b.pumpOne(q)
	b.letGo(q)
	if q.from != noNumber {
		return
	}
	b.recount(q.to)
	b.passOn(q)
}

// passOn lets the devices that stood back for a queue's device look again.
func (b *Broker) passOn(q *queue) {
	if q.to.user == nil {
		return
	}
	for _, d := range q.to.user.devices {
		if d.queues[q.lane].behind == q.to {
			b.rescan(d)
		}
	}
}

// tickGroups turns to the next device where one has not claimed for a minute.
func (b *Broker) tickGroups() {
	if len(b.groups) == 0 || b.now < b.groupsAt {
		return
	}
	b.groupsAt = noTime
	kept := b.groups[:0]
	var turned []*group
	for _, g := range b.groups {
		if g.out == 0 {
			g.listed = false
			continue
		}
		if b.now >= g.due {
			g.due = b.now + wire.ClaimWait
			if g.another() {
				b.turnTo(g, nil)
				turned = append(turned, g)
			}
		}
		b.groupsAt = min(b.groupsAt, g.due)
		kept = append(kept, g)
	}
	clear(b.groups[len(kept):])
	b.groups = kept
	for _, g := range turned {
		b.kick(g.user)
	}
}

// another tells whether another device may have something that was not handed
// over.
func (g *group) another() bool {
	for _, d := range g.user.devices {
		if d == g.current || !d.taking() {
			continue
		}
		for lane := LaneOneNow; lane <= LaneOneLow; lane++ {
			if d.queues[lane].skipped > 0 {
				return true
			}
		}
	}
	return false
}

// claim is a device that is about to show a message. The connection that
// brought it may have ended here already.
func (b *Broker) claim(c *connState, from keys.Public, id keys.MessageID, it *item) {
	if it == nil || !it.m.one || it.place == placeDone || it.m.winner != nil && it.m.winner != c.peer {
		b.emit(Effect{Kind: EffectGrant, Conn: c.Conn, Peer: from, ID: id})
		return
	}
	if it.m.winner == c.peer {
		b.emit(Effect{Kind: EffectGrant, Conn: c.Conn, Peer: from, ID: id, Granted: true})
		return
	}
	if it.disk != diskSaved { // a claim of what the store does not have would outlive it
		it.claims = append(it.claims, c)
		return
	}
	b.seq++
	b.saving = append(b.saving, saving{seq: b.seq, item: it, claim: c})
	b.emit(Effect{Kind: EffectClaim, Seq: b.seq,
		Claim: &Claim{From: from, ID: id, By: c.peer.key, Expires: it.m.expires}})
}

// claimSaved goes on with claims that waited until the store has the message.
func (b *Broker) claimSaved(it *item) {
	claims := it.claims
	it.claims = nil
	for _, c := range claims {
		if !c.closed {
			b.claim(c, it.m.from.key, it.m.id, it)
		}
	}
}

// claimed is a claim that was committed, or met an earlier one.
func (b *Broker) claimed(it *item, c *connState, by *peerState) {
	m := it.m
	if !c.closed {
		b.emit(Effect{Kind: EffectGrant, Conn: c.Conn, Peer: m.from.key, ID: m.id, Granted: by == c.peer})
	}
	if m.winner == nil {
		m.winner = by
	}
	if by != c.peer {
		if it.place != placeDone {
			b.lose(it)
			b.tellOne(m)
		}
		return
	}
	if it.place == placeDone {
		return
	}
	b.uncount(it)
	if g := b.groupOf(it); g.current != c.peer { // its user is there
		b.turnTo(g, c.peer)
		b.freed = append(b.freed, g)
	}
	b.settleOne(it)
	b.tellOne(m) // what it waited for may have gone
}

// settleOne takes a message from all devices but the one that has it.
func (b *Broker) settleOne(it *item) {
	m := it.m
	m.winner = it.to
	for o := m.items; o != nil; o = o.sibling {
		if o == it || o.place == placeDone {
			continue
		}
		if o.out != nil { // its copy goes
			b.emit(Effect{Kind: EffectGrant, Conn: o.out.Conn, Peer: m.from.key, ID: m.id})
		}
		b.lose(o)
	}
	m.left, m.sole = 1, true
	if !m.whole && !m.settled {
		m.settled = true
		b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchMessage, Sender: m.from.key, ID: m.id, To: it.to.key}})
	}
}

// fetchedMessage drops the rows of a message that another device (f.To) has.
func (b *Broker) fetchedMessage(f *Fetch, rows []*Row) {
	for _, row := range rows {
		if row.To == f.To {
			continue
		}
		it := b.inMemory(row)
		if it != nil && it.place != placeDone {
			b.lose(it)
			b.tellOne(it.m)
			continue
		}
		b.drop(row)
		if p := b.peer(row.To); it == nil && p.waiting > p.memory {
			p.waiting--
			b.waiting--
		}
	}
}

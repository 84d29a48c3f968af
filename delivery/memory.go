package delivery

import (
	"bytes"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// remembered bounds the finished messages that are remembered. What is
// forgotten early is taken as new when it is sent again, which the inbox finds
// out.
const remembered = 32_768

// ring is the finished messages that are not among the briefs, in the order in which
// they finished, from head on.
type ring struct {
	entries []remember
	head    int
}

type remember struct {
	m  *message
	at int64
}

// remember notes that a message is finished, or in the store only.
func (b *Broker) remember(m *message) {
	if m.plain() && m.rings == 0 && b.known[m.key()] == m {
		b.shorten(m)
		return
	}
	b.keep(m)
}

// keep puts a message into the ring.
func (b *Broker) keep(m *message) {
	m.rings++
	b.ring.entries = append(b.ring.entries, remember{m, b.now})
	for b.ring.len() > remembered || b.ring.len() > 0 && b.ring.entries[b.ring.head].at+wire.RememberedByBroker <= b.now {
		b.forgetOne()
	}
}

func (r *ring) len() int { return len(r.entries) - r.head }

// forget forgets what finished ten minutes ago.
func (b *Broker) forget() {
	b.briefs.forget(b.now)
	for b.ring.len() > 0 && b.ring.entries[b.ring.head].at+wire.RememberedByBroker <= b.now {
		b.forgetOne()
	}
}

func (b *Broker) forgetOne() {
	r := &b.ring
	m := r.entries[r.head].m
	r.entries[r.head] = remember{}
	r.head++
	if r.head == len(r.entries) {
		r.entries, r.head = r.entries[:0], 0
	} else if r.head >= 1024 && 2*r.head >= len(r.entries) {
		n := copy(r.entries, r.entries[r.head:])
		clear(r.entries[n:])
		r.entries, r.head = r.entries[:n], 0
	}
	m.rings--
	key := m.key()
	if m.rings > 0 || m.busy() || b.known[key] != m {
		return
	}
	delete(b.known, key)
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeStored {
			it.to.unsure = true
		}
	}
}

// briefs are the messages to one recipient that reached it, as most do: what a
// repetition is answered with, and no pointer, so that the collector need not look at
// them. They are forgotten half of them at a time: to find and take out the oldest one
// for each that is added costs more than all else that is done about it.
type briefs struct{ newer, older half }

// half is those that finished within a time.
type half struct {
	at          map[messageKey]brief
	first, last int64 // when they finished
}

type brief struct {
	to      uint32 // the recipient's number
	expires int64
	since   int64
}

// add adds one.
func (l *briefs) add(key messageKey, e brief) {
	if len(l.newer.at) >= remembered/2 {
		l.turn()
	}
	h := &l.newer
	if len(h.at) == 0 {
		h.first = e.since
	}
	if h.at == nil {
		h.at = map[messageKey]brief{}
	}
	h.at[key], h.last = e, e.since
}

// turn forgets the older half; the newer one takes its place, and lends it its memory.
func (l *briefs) turn() {
	l.newer, l.older = l.older, l.newer
	clear(l.newer.at)
}

// forget forgets those that finished ten minutes ago, at the latest when the next ten
// are over.
func (l *briefs) forget(now int64) {
	const within = wire.RememberedByBroker
	if len(l.newer.at) > 0 && l.newer.first+within <= now {
		l.turn()
	}
	for _, h := range []*half{&l.newer, &l.older} {
		if h.last+within <= now {
			*h = half{}
		}
	}
}

// take takes one out, unless it finished ten minutes ago.
func (l *briefs) take(key messageKey, now int64) (brief, bool) {
	for _, h := range []*half{&l.newer, &l.older} {
		if e, ok := h.at[key]; ok {
			delete(h.at, key)
			return e, e.since+wire.RememberedByBroker > now
		}
	}
	return brief{}, false
}

// goBack moves the times of all.
func (l *briefs) goBack(by int64) {
	for _, h := range []*half{&l.newer, &l.older} {
		h.first -= by
		h.last -= by
		for key, e := range h.at {
			e.since -= by
			h.at[key] = e
		}
	}
}

func (l *briefs) len() int { return len(l.newer.at) + len(l.older.at) }

// plain tells whether a message had one recipient, who has it, and nothing is to be
// done about it any more.
func (m *message) plain() bool {
	it := &m.first
	return !m.one && m.items == it && it.sibling == nil && it.place == placeDone && it.state == wire.StateDelivered &&
		it.acked && !it.asking
}

// shorten remembers a message by what a repetition needs.
func (b *Broker) shorten(m *message) {
	it := &m.first
	b.briefs.add(m.key(), brief{it.to.number, m.expires, it.since})
	delete(b.known, m.key())
	if !it.waits && len(b.free) < maxFree {
		b.free = append(b.free, m)
	}
}

// maxFree is how many messages are kept to be used again.
const maxFree = 1024

// newMessage gives the memory of a message.
func (b *Broker) newMessage() *message {
	if n := len(b.free); n > 0 {
		m := b.free[n-1]
		b.free = b.free[:n-1]
		return m
	}
	return &message{}
}

// find gives what is known of a message, or nil. One of which little was kept is made
// whole.
func (b *Broker) find(key messageKey) *message {
	if m := b.known[key]; m != nil {
		return m
	}
	e, ok := b.briefs.take(key, b.now)
	if !ok {
		return nil
	}
	m := b.newMessage()
	*m = message{from: b.numbered[key.from], id: key.id, expires: e.expires}
	m.first = item{m: m, to: b.numbered[e.to], place: placeDone, acked: true, state: wire.StateDelivered, since: e.since}
	m.items = &m.first
	b.known[key] = m
	b.keep(m)
	return m
}

// fetchedExpired drops rows whose time has passed and tells their senders. What
// is out is its recipient's to refuse, for ten minutes, unless it has to be
// claimed first.
func (b *Broker) fetchedExpired(f *Fetch, rows []*Row, more bool) {
	gone := false
	for _, row := range rows {
		it := b.revive(row)
		if it != nil {
			it.place = placeWaiting // in no queue
		} else if it = b.inMemory(row); it == nil || it.place == placeOut &&
			(!it.m.one || it.m.winner != nil) && b.now < row.Expires+wire.ClockAhead {
			continue
		}
		if it.place != placeDone {
			b.end(it, wire.StateExpired, wire.WhyNone)
		}
		b.drop(row)
		gone = true
	}
	b.sweeping = more && gone
	if b.sweeping {
		f.Time = b.now
		b.nextPage(f)
	}
}

// inMemory gives the item of a row that is in memory, or nil.
func (b *Broker) inMemory(row *Row) *item {
	m := b.find(messageKey{b.peer(row.From).number, row.ID})
	if m == nil {
		return nil
	}
	return m.find(b.peer(row.To))
}

// drop has a row deleted that was read.
func (b *Broker) drop(row *Row) {
	b.emit(Effect{Kind: EffectDrop, Peer: row.To, Lane: row.Lane, N: row.N})
}

// Revoke drops what waits to and from a peer, tells the other ends, and closes
// its connections.
func (b *Broker) Revoke(now int64, peer keys.Public) {
	b.event(now)
	p := b.peer(peer)
	p.revoked = true
	for len(p.conns) > 0 {
		b.close(p.conns[len(p.conns)-1], wire.CloseRevoked)
	}
	for lane := range p.queues {
		q := &p.queues[lane]
		for q.first != nil {
			b.end(q.first, wire.StateRefused, wire.WhyRevoked)
		}
	}
	for _, m := range b.sentBy(p) {
		for it := m.items; it != nil; it = it.sibling {
			if it.place == placeWaiting || it.place == placeStored {
				b.lose(it)
			}
		}
	}
	b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchPeer, To: peer, Limit: b.page}})
}

// sentBy gives what is known of a sender's messages, in the order of their ids.
func (b *Broker) sentBy(p *peerState) []*message {
	var sent []*message
	for _, m := range b.known {
		if m.from == p {
			sent = append(sent, m)
		}
	}
	slices.SortFunc(sent, func(a, b *message) int { return bytes.Compare(a.id[:], b.id[:]) })
	return sent
}

// fetchedPeer drops rows to and from a peer that was revoked.
func (b *Broker) fetchedPeer(f *Fetch, rows []*Row, more bool) {
	for _, row := range rows {
		b.dropRevoked(row)
	}
	if more {
		b.nextPage(f)
	}
}

// dropRevoked drops a row to or from a peer that was revoked, and tells the other end.
func (b *Broker) dropRevoked(row *Row) {
	it := b.revive(row)
	if it != nil {
		it.place = placeWaiting // in no queue
	} else {
		it = b.inMemory(row)
	}
	switch {
	case it == nil || it.place == placeDone:
	case it.to.revoked:
		b.end(it, wire.StateRefused, wire.WhyRevoked)
	case it.place != placeOut: // what is out is its recipient's to judge
		b.lose(it)
	}
	b.drop(row)
}

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
// them. They stand in a ring, in the order in which they finished: number n at n modulo
// remembered.
type briefs struct {
	list        []brief
	first, next uint64                // numbers: those below first are forgotten
	at          map[messageKey]uint32 // where in list
}

type brief struct {
	messageKey
	to      uint32 // the recipient's number
	expires int64
	since   int64
}

// add adds one, in the place of the oldest where there are many.
func (l *briefs) add(e brief) {
	if l.next-l.first == remembered {
		l.forgetOne()
	}
	at := uint32(l.next % remembered)
	if int(at) == len(l.list) {
		l.list = append(l.list, e)
	} else {
		l.list[at] = e
	}
	if l.at == nil {
		l.at = map[messageKey]uint32{}
	}
	l.at[e.messageKey] = at
	l.next++
}

// forget forgets those that finished ten minutes ago.
func (l *briefs) forget(now int64) {
	for l.first < l.next && l.list[l.first%remembered].since+wire.RememberedByBroker <= now {
		l.forgetOne()
	}
	if l.first == l.next {
		*l = briefs{}
	}
}

func (l *briefs) forgetOne() {
	at := uint32(l.first % remembered)
	if key := l.list[at].messageKey; l.at[key] == at { // else it was taken out
		delete(l.at, key)
	}
	l.first++
}

// take takes one out.
func (l *briefs) take(key messageKey) (brief, bool) {
	at, ok := l.at[key]
	if !ok {
		return brief{}, false
	}
	delete(l.at, key)
	return l.list[at], true
}

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
	b.briefs.add(brief{m.key(), it.to.number, m.expires, it.since})
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
	e, ok := b.briefs.take(key)
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
	if more {
		b.nextPage(f)
	}
}

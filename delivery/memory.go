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

// ring is the finished messages in the order in which they finished, from head
// on.
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
	m.rings++
	b.ring.entries = append(b.ring.entries, remember{m, b.now})
	for b.ring.len() > remembered || b.ring.len() > 0 && b.ring.entries[b.ring.head].at+wire.RememberedByBroker <= b.now {
		b.forgetOne()
	}
}

func (r *ring) len() int { return len(r.entries) - r.head }

// forget forgets what finished ten minutes ago.
func (b *Broker) forget() {
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
	key := messageKey{m.from, m.id}
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
	m := b.known[messageKey{b.peer(row.From), row.ID}]
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

package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// lookAt has the machine look at a recipient's waiting commits when the first
// of them is due.
func (b *Broker) lookAt(p *peerState) {
	p.dueAt = max(p.graceFirst.due, b.ticked+1)
	i := p.dueAt % int64(len(b.due))
	b.due[i] = append(b.due[i], p)
}

// heldUp is how late, in milliseconds, the machine is called where the process was held
// up: by other programs, the collector, a disk.
const heldUp = 3

// tickGrace has everything stored whose commit has waited long enough. Where the process
// was held up it waits once more: the receipts that came meanwhile were not read yet.
func (b *Broker) tickGrace() {
	n := int64(len(b.due))
	for t := max(b.ticked+1, b.now-n+1); t <= b.now; t++ {
		b.ticked = t
		bucket := b.due[t%n]
		b.due[t%n] = b.emptied // somebody may be put into this very bucket, n ms on
		for _, p := range bucket {
			late := p.dueAt > 0 && b.now-p.dueAt >= heldUp
			p.dueAt = 0
			var last *item
			for it := p.graceFirst; it != nil && it.due <= b.now; it = it.graceNext {
				if again := min(b.now+commitWaitMin, it.outAt+wire.CommitWait); late && again > b.now {
					it.due = again
					break
				}
				last = it
			}
			b.save(p, last)
			if p.graceFirst != nil {
				b.lookAt(p)
			}
		}
		clear(bucket)
		b.emptied = bucket[:0]
	}
	b.ticked = max(b.ticked, b.now)
}

// takeGrace takes the first of those whose commits wait out of their list.
func (b *Broker) takeGrace(p *peerState) *item {
	it := p.graceFirst
	p.graceFirst, it.graceNext, it.waits = it.graceNext, nil, false
	if p.graceFirst == nil {
		p.graceLast = nil
	}
	b.grace--
	return it
}

// save has the waiting commits of a recipient stored, up to an item, in the
// order of their numbers, so that the disk never has a later one without an
// earlier one.
func (b *Broker) save(p *peerState, last *item) {
	for last != nil && p.graceFirst != nil {
		it := b.takeGrace(p)
		if it.place != placeDone && it.disk == diskNone {
			b.emitSave(it)
		}
		if it == last {
			return
		}
	}
}

// dropGrace takes finished items off the front of those whose commits wait.
func (b *Broker) dropGrace(p *peerState) {
	for p.graceFirst != nil && p.graceFirst.place == placeDone {
		b.takeGrace(p)
	}
}

// saveNow has an item stored at once, and before it what has waited at its
// recipient.
func (b *Broker) saveNow(it *item) {
	b.save(it.to, it.to.graceLast)
	if it.disk == diskNone {
		b.emitSave(it)
	}
}

func (b *Broker) emitSave(it *item) {
	b.seq++
	it.disk, it.seq = diskSaving, b.seq
	b.saving = append(b.saving, saving{seq: b.seq, item: it})
	b.emit(Effect{Kind: EffectSave, Seq: b.seq, Row: it.row})
}

// nextPage asks for the next page of a fetch whose rows are being deleted, once
// they are: the last effect, which deletes one of them, is waited for.
func (b *Broker) nextPage(f *Fetch) {
	b.seq++
	b.effects[len(b.effects)-1].Seq = b.seq
	b.saving = append(b.saving, saving{seq: b.seq, page: f})
}

// next takes the first of what was asked for, if it is up to seq.
func (b *Broker) next(seq uint64) (saving, bool) {
	if b.head == len(b.saving) || b.saving[b.head].seq > seq {
		return saving{}, false
	}
	s := b.saving[b.head]
	b.saving[b.head] = saving{}
	b.head++
	if b.head == len(b.saving) {
		b.saving, b.head = b.saving[:0], 0
	} else if b.head >= 1024 && 2*b.head >= len(b.saving) {
		n := copy(b.saving, b.saving[b.head:])
		clear(b.saving[n:])
		b.saving, b.head = b.saving[:n], 0
	}
	return s, true
}

// ClaimResult answers an EffectClaim: who holds the claim now.
type ClaimResult struct {
	Seq uint64
	By  keys.Public
}

// Committed says that everything up to seq is on the disk, with the results of
// the claims among it, in their order.
//
// The caller begins no batch before the one before it was answered, and
// gathers meanwhile: what CommitFailed takes back must not be on its way to the
// disk in a batch of its own.
func (b *Broker) Committed(now int64, seq uint64, claims []ClaimResult) {
	b.event(now)
	for {
		s, ok := b.next(seq)
		if !ok {
			break
		}
		if s.page != nil {
			b.emit(Effect{Kind: EffectFetch, Fetch: s.page})
			continue
		}
		if s.outcome != nil {
			b.outcomeAnswered(s.outcome, true)
			continue
		}
		if s.claim != nil {
			for len(claims) > 0 && claims[0].Seq < s.seq {
				claims = claims[1:]
			}
			if len(claims) > 0 && claims[0].Seq == s.seq {
				b.claimed(s.item, s.claim, b.peer(claims[0].By))
			}
			continue
		}
		if s.item.disk == diskSaving && s.item.seq == s.seq {
			b.saved(s.item)
		} // else it was given up meanwhile, and dropped
	}
}

// saved is an item that the store has.
func (b *Broker) saved(it *item) {
	it.disk = diskSaved
	b.tellQueued(it)
	b.claimSaved(it)
	switch it.place {
	case placeOut:
		it.release()
	case placeWaiting:
		q := it.q
		if it.n >= q.from || it.spill || q.lane.One() || !b.ready(q) {
			b.evict(q, it)
			b.fetch(q)
		}
	}
	if !it.m.busy() {
		b.remember(it.m)
	}
}

// CommitFailed says that what was asked for up to seq, and not committed
// before, is not on the disk and never will be by itself. The connections that
// sent it are closed, so that nothing of theirs overtakes it.
func (b *Broker) CommitFailed(now int64, seq uint64) {
	b.event(now)
	var closing []*connState
	for {
		s, ok := b.next(seq)
		if !ok {
			break
		}
		if s.page != nil {
			b.fetchLater(s.page)
			continue
		}
		if s.outcome != nil {
			b.outcomeAnswered(s.outcome, false)
			continue
		}
		if s.claim != nil {
			closing = append(closing, s.claim)
			continue
		}
		it := s.item
		if it.disk != diskSaving || it.seq != s.seq {
			continue
		}
		it.disk = diskFailed
		if it.m.conn != nil {
			closing = append(append(closing, it.m.conn), it.m.also...)
		}
		b.abandon(it)
	}
	for i := 0; i < len(closing); i++ {
		if !slices.Contains(closing[:i], closing[i]) {
			closing = append(closing, b.giveUp(closing[i])...)
		}
	}
	for _, c := range closing { // only now: closing one lets the others' messages go on
		b.close(c, wire.CloseStorage)
	}
}

// giveUp takes back what a connection sent and nobody was told of yet. It gives
// the connections that sent some of it too.
func (b *Broker) giveUp(c *connState) (others []*connState) {
	note := func(m *message) {
		for _, o := range append(m.also, m.conn) {
			if o != c && !slices.Contains(others, o) {
				others = append(others, o)
			}
		}
	}
	for i := b.head; i < len(b.saving); i++ {
		s := b.saving[i]
		if it := s.item; it != nil && s.claim == nil && it.m.sentOver(c) && it.disk == diskSaving && it.seq == s.seq {
			it.disk = diskFailed
			b.emit(Effect{Kind: EffectDrop, Peer: it.to.key, Lane: it.lane, N: it.n})
			note(it.m)
			b.abandon(it)
		}
	}
	for _, bucket := range b.due {
		for _, p := range bucket {
			for it := p.graceFirst; it != nil; it = it.graceNext {
				if it.m.sentOver(c) && it.place == placeOut {
					it.disk = diskFailed
					note(it.m)
				}
			}
		}
	}
	return others
}

// abandon forgets an item that the disk does not have, unless it is out: then
// its receipt may come yet. What has to be claimed first is taken back.
func (b *Broker) abandon(it *item) {
	if it.place == placeOut && it.m.one {
		if !slices.Contains(it.claims, it.out) {
			it.claims = append(it.claims, it.out)
		}
		b.comeIn(it)
		it.place = placeWaiting
	}
	switch m := it.m; {
	case it.place == placeWaiting:
		b.vanish(it)
	case !m.busy(): // it finished while it was being stored
		b.remember(m)
	}
}

// vanish forgets an item that was never acknowledged, as if it had not come.
func (b *Broker) vanish(it *item) {
	if it.q != nil {
		it.q.take(it)
	}
	for _, c := range it.claims {
		if !c.closed {
			b.emit(Effect{Kind: EffectGrant, Conn: c.Conn, Peer: it.m.from.key, ID: it.m.id})
		}
	}
	b.uncountItem(it)
	it.place, it.row = placeDone, nil
	it.to.unsure = true // an earlier process may have stored it
	m := it.m
	if m.one {
		m.left--
	} else if !it.acked {
		m.answered()
	}
	at := &m.items
	for *at != it {
		at = &(*at).sibling
	}
	*at = it.sibling
	m.vague = m.one // an earlier process may have stored it for this device
	if !m.open() && (m.items == nil || m.one && !m.acked) {
		if m.one && !m.acked {
			m.answered()
		}
		delete(b.known, m.key())
	}
}

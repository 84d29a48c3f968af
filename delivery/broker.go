package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// BrokerOptions is what a [Broker] starts from.
type BrokerOptions struct {
	// Limits of this broker; zero fields mean wire's constants.
	Limits wire.Limits
	// Backlog is what the store holds, one element a recipient with rows.
	Backlog []Backlog
	// Outcomes are the senders for whom outcomes are kept.
	Outcomes []keys.Public
	// Revoked are the peers that were revoked.
	Revoked []keys.Public
}

// Broker is the broker's side of delivery in one mesh [CM-8]: it numbers what
// arrives, hands it over, has it stored where that is needed, and tells
// senders what became of it. Each method is an event; afterwards the caller
// carries out [Broker.Effects].
type Broker struct {
	now         int64
	limit       int // messages waiting for one recipient
	window      int // messages out to one recipient without receipt
	windowBytes int // their bytes
	memory      int // bytes waiting for one recipient and lane in memory
	page        int // rows of one fetch
	effects     []Effect
	spare       []Effect // what was given out last
	conns       map[Conn]*connState
	peers       map[keys.Public]*peerState
	users       map[string]*userState
	known       map[messageKey]*message
	ring        ring
	briefs      briefs
	numbered    []*peerState // by peerState.number
	free        []*message   // to be used again
	saving      []saving     // asked for and not answered, from head on
	head        int
	seq         uint64
	grace       int              // items whose commit waits
	due         [16][]*peerState // by the millisecond, modulo 16; who is due later is looked at in vain
	emptied     []*peerState     // empty, the memory of the bucket looked at last
	ticked      int64            // buckets up to here were looked at
	waiting     int              // messages that wait, of all recipients
	sweepAt     int64            // when the store is searched for what expired
	sweeping    bool             // it is being searched
	telling     []*connState     // on which outcomes were told
	oldAt       int64            // when claims and outcomes are swept
	retryAt     int64            // when what failed is fetched again; 0: nothing did
	retry       []*Fetch
	groups      []*group     // with something out that was not claimed
	groupsAt    int64        // when the first of them is due
	wake        []*peerState // devices that others stood back for
	freed       []*group     // whose devices may be handed something now
	asks        int          // messages that the store is asked for
	draining    bool
}

// messageKey names a message. It holds no pointer, so that the collector need not look
// at what is remembered.
type messageKey struct {
	from uint32 // the sender's number
	id   keys.MessageID
}

// saving is something asked of the store that was not answered.
type saving struct {
	seq     uint64
	item    *item      // EffectSave, EffectClaim
	claim   *connState // EffectClaim: who claims
	outcome *Outcome   // EffectSaveOutcome
	page    *Fetch     // fetched anew once what came of the page before is gone
}

const (
	sweepEvery = 60_000    // ms between two searches for what expired
	oldEvery   = 3_600_000 // ms between two sweeps of claims and outcomes
	setBack    = 1_000     // ms; a clock that goes back by more was set
	slack      = 10_000    // ms that a busy machine may hold a tick up
	retryAfter = 1_000     // ms after which a failed fetch is asked again
	pageRows   = 1_000     // rows of one fetch at most
)

// NewBroker starts a mesh's machine at a time. Nothing is connected. There may
// be effects already.
func NewBroker(now int64, o BrokerOptions) *Broker {
	b := &Broker{
		now:         now,
		limit:       o.Limits.Waiting,
		conns:       map[Conn]*connState{},
		peers:       map[keys.Public]*peerState{},
		users:       map[string]*userState{},
		known:       map[messageKey]*message{},
		ticked:      now,
		sweepAt:     now + sweepEvery,
		oldAt:       now + sweepEvery,
		groupsAt:    noTime,
		window:      wire.WindowMessages,
		windowBytes: wire.WindowBytes,
		memory:      wire.SlowConsumer,
		page:        pageRows,
	}
	if b.limit <= 0 {
		b.limit = wire.MaxWaiting
	}
	for i := range o.Backlog {
		l := &o.Backlog[i]
		p := b.peer(l.To)
		p.last, p.waiting, p.stored, p.unsure = l.Last, l.Messages, l.Receipts, l.Messages > 0
		b.waiting += l.Messages
		if l.Receipts > 0 {
			p.queues[LaneReceipt].from = 0
		}
		for lane := range LaneReceipt {
			if l.Messages > 0 {
				p.queues[lane].from = 0
				if lane.One() {
					p.queues[lane].skipped = l.Messages // at most
				}
			}
		}
	}
	for _, key := range o.Outcomes {
		b.peer(key).outcomes = true
	}
	for _, key := range o.Revoked {
		p := b.peer(key)
		p.revoked = true
		if p.waiting > 0 || p.stored > 0 { // the process ended before they were dropped
			b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchPeer, To: key, Limit: b.page}})
		}
	}
	return b
}

// Effects returns what is to be done since the last call. The slice is good
// until the next call.
func (b *Broker) Effects() []Effect {
	b.kickFreed()
	out := b.effects
	clear(b.spare)
	b.effects, b.spare = b.spare[:0], out
	return out
}

// emit appends an effect.
func (b *Broker) emit(e Effect) { b.effects = append(b.effects, e) }

// event starts an event. Events may come a little out of their order, but a clock that
// was set back is followed: what is due at a time must not wait for it twice. There is an
// event every minute: what is much longer is a clock that was set, or a machine that slept.
func (b *Broker) event(now int64) {
	switch ahead := now - b.now; {
	case ahead < -setBack:
		b.goBack(-ahead)
	case ahead > sweepEvery+slack:
		b.untimed(ahead)
	}
	b.now = max(b.now, now)
	if b.grace == 0 {
		b.ticked = b.now
	}
}

// goBack moves the time, and all that is to be at a time or was at one. What waits for
// a receipt is stored at once.
func (b *Broker) goBack(by int64) {
	b.now -= by
	b.ticked = b.now
	for i, bucket := range b.due {
		for _, p := range bucket {
			p.dueAt = 0
			b.save(p, p.graceLast)
		}
		clear(bucket)
		b.due[i] = bucket[:0]
	}
	b.sweepAt -= by
	b.oldAt -= by
	if b.retryAt > 0 {
		b.retryAt -= by
	}
	if b.groupsAt != noTime {
		b.groupsAt -= by
	}
	for _, g := range b.groups {
		g.due -= by
	}
	for i := b.ring.head; i < len(b.ring.entries); i++ {
		b.ring.entries[i].at -= by
	}
	b.briefs.goBack(by)
	for _, p := range b.peers {
		p.active -= by
	}
	for _, c := range b.conns {
		c.active -= by
		for i := range c.told {
			c.told[i].at -= by
		}
		for it := c.out.first; it != nil; it = it.next {
			it.outAt -= by
		}
	}
}

func (b *Broker) peer(key keys.Public) *peerState {
	p := b.peers[key]
	if p == nil {
		p = &peerState{key: key, number: uint32(len(b.numbered)), took: 20}
		b.numbered = append(b.numbered, p)
		for lane := range lanes {
			p.queues[lane] = newQueue(p, lane, nil)
		}
		b.peers[key] = p
	}
	return p
}

// Next tells when Tick has to be called at the latest, Unix ms; 0: never.
func (b *Broker) Next() int64 {
	next := min(b.sweepAt, b.oldAt)
	if b.retryAt > 0 {
		next = min(next, b.retryAt)
	}
	if len(b.groups) > 0 {
		next = min(next, b.groupsAt)
	}
	if b.grace > 0 {
		for t := b.ticked + 1; t <= b.ticked+int64(len(b.due)); t++ {
			if len(b.due[t%int64(len(b.due))]) > 0 {
				return min(next, t)
			}
		}
	}
	return next
}

// Tick lets time pass.
func (b *Broker) Tick(now int64) {
	b.event(now)
	b.tickGrace()
	b.tickGroups()
	if b.retryAt > 0 && b.now >= b.retryAt {
		again := b.retry
		b.retryAt, b.retry = 0, nil
		for _, f := range again {
			b.refetch(f)
		}
	}
	if b.now >= b.sweepAt {
		b.sweepAt = b.now + sweepEvery
		if b.waiting > 0 && !b.sweeping {
			b.sweeping = true
			b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchExpired, Time: b.now, Limit: b.page}})
		}
		b.forget()
		b.tickTold()
	}
	if b.now >= b.oldAt {
		b.oldAt = b.now + oldEvery
		b.emit(Effect{Kind: EffectSweep, Time: b.now})
	}
}

// Settled tells whether everything taken was answered.
func (b *Broker) Settled() bool { return b.grace == 0 && b.head == len(b.saving) && b.asks == 0 }

// InFlight is how many messages of a connection were not answered yet.
// Beyond the limit the caller stops reading from it.
func (b *Broker) InFlight(c Conn) int {
	if s := b.conns[c]; s != nil {
		return s.unacked
	}
	return 0
}

// Waiting is how many messages wait for a peer, as welcome tells it.
func (b *Broker) Waiting(peer keys.Public) int {
	if p := b.peers[peer]; p != nil {
		return p.waiting
	}
	return 0
}

// ReceiptsWait tells whether receipts wait for a peer that were not handed over yet.
func (b *Broker) ReceiptsWait(peer keys.Public) bool {
	p := b.peers[peer]
	if p == nil {
		return false
	}
	q := &p.queues[LaneReceipt]
	return q.first != nil || q.from != noNumber
}

// Drain makes the machine store at once what waits for a receipt, and take
// nothing new. The caller closes once [Broker.Settled].
func (b *Broker) Drain(now int64) {
	b.event(now)
	b.draining = true
	for _, bucket := range b.due {
		for _, p := range bucket {
			b.save(p, p.graceLast)
		}
	}
}

// Trace tells what the machine knows of a message, one state a recipient:
// what waits, and for ten minutes what became of it; known is false where it has not
// heard of it. What is in the store only is the caller's to add ([FetchTrace]).
func (b *Broker) Trace(from keys.Public, id keys.MessageID) (states []wire.TraceState, known bool) {
	p := b.peers[from]
	if p == nil {
		return nil, false
	}
	m := b.find(messageKey{p.number, id})
	if m == nil {
		return nil, false
	}
	for it := m.items; it != nil; it = it.sibling {
		s := wire.TraceState{To: it.to.key, State: it.state, Why: it.why, Time: it.since}
		if it.place != placeDone {
			s.State = wire.StatePending
			if it.disk == diskSaved {
				s.State = wire.StateQueued
			}
		} else if s.State == wire.StateUnknown {
			continue // another device has it
		}
		states = append(states, s)
	}
	if len(states) == 0 && m.winner != nil && m.left <= 0 && !m.vague {
		state, why := m.ofWinner()
		states = append(states, wire.TraceState{To: m.winner.key, State: state, Why: why, Time: b.now})
	}
	return states, true
}

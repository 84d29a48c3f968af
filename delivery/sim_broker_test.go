package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// simBroker is the broker's process around the machine: it gathers what is to
// be stored while a batch is under way, as package broker does.
type simBroker struct {
	w       *world
	store   *simStore
	machine *Broker // nil: it is down
	conns   map[Conn]*link
	ops     []Effect  // not handed to the store yet
	batches []simWork // handed to the store; one at a time
	fetches []*Fetch
	revoked []keys.Public
	again   bool  // ops of a failed batch wait to be tried again
	retryAt int64 // when
	clock   int64 // how far its clock is ahead
	armed   int64 // and was when the machine was asked what is next
	latest  int64 // that it ever showed
	leapt   int64 // forwards, in all
}

type simWork struct{ ops []Effect }

func (b *simBroker) start() {
	if b.w.tracing {
		b.w.trace("broker starts")
	}
	o := BrokerOptions{Revoked: b.revoked, Limits: wire.Limits{Waiting: b.w.limit}}
	o.Backlog, o.Outcomes = b.store.backlog()
	b.machine = NewBroker(b.now(), o)
	b.machine.window, b.machine.page = 5, 4
	b.machine.memory, b.machine.windowBytes = 40_000, 150_000
	b.conns = map[Conn]*link{}
	b.armed, b.latest = b.clock, max(b.latest, b.now())
}

// kill ends the process: what the store has not committed is lost, or one
// batch that was under way is kept.
func (b *simBroker) kill() {
	if b.w.tracing {
		b.w.trace("broker killed")
	}
	if len(b.batches) > 0 && b.w.chance(50) {
		b.store.apply(b.batches[0].ops)
	}
	b.machine, b.ops, b.batches, b.fetches, b.again = nil, nil, nil, nil, false
	for _, l := range slices.Clone(b.w.links) {
		if l.atBroker {
			l.brokerGone()
		}
	}
	for _, m := range b.w.msgs {
		for i := range m.to {
			m.to[i].out, m.to[i].told, m.to[i].sentAt = 0, wire.StateUnknown, 0
		}
	}
	b.conns = nil
}

// drain ends the process properly: everything taken is answered before.
func (b *simBroker) drain() {
	if b.w.tracing {
		b.w.trace("broker drains")
	}
	b.machine.Drain(b.now())
	b.run()
	for i := 0; b.machine != nil && !b.machine.Settled() && i < 1000; i++ {
		b.w.now = max(b.w.now, b.retryAt)
		if !b.work() {
			b.w.now = max(b.w.now, b.due())
		}
	}
	if b.machine == nil {
		return
	}
	if !b.machine.Settled() {
		b.w.fail("the broker does not drain")
	}
	for _, l := range b.w.links {
		if b.conns[l.conn] == l && b.machine.InFlight(l.conn) > 0 {
			b.w.fail("drained with %d sends unanswered", b.machine.InFlight(l.conn))
		}
	}
	b.kill()
}

func (b *simBroker) next() int64 {
	if b.machine == nil {
		return b.w.now + 500
	}
	next := b.due()
	if b.again {
		next = min(next, b.retryAt)
	}
	return next
}

// setClock sets the broker's clock.
func (b *simBroker) setClock(ahead int64) {
	b.leapt += max(0, ahead-b.clock)
	b.clock = ahead
}

// now is the broker's clock.
func (b *simBroker) now() int64 { return b.w.now + b.clock }

// due is when the machine's timer fires, which is not moved by a clock that is set.
func (b *simBroker) due() int64 { return b.machine.Next() - b.armed }

// work does one thing of the broker's own: a tick, or what the store answers.
func (b *simBroker) work() bool {
	if b.machine == nil {
		if b.w.ending || b.w.chance(20) {
			b.start()
			return true
		}
		return false
	}
	if b.due() <= b.w.now {
		b.machine.Tick(b.now())
		b.run()
		return true
	}
	if b.again && b.w.now >= b.retryAt {
		b.again = false
		b.submit()
		return true
	}
	// Fetches are made by several goroutines, beside the store's writer.
	if n := len(b.fetches); n > 0 && (len(b.batches) == 0 || b.w.chance(50)) {
		i := b.w.rng.IntN(n)
		f := b.fetches[i]
		b.fetches = slices.Delete(b.fetches, i, i+1)
		b.fetch(f)
		return true
	}
	if len(b.batches) == 0 {
		return false
	}
	job := b.batches[0]
	b.batches = nil
	b.commit(job.ops)
	return true
}

func (b *simBroker) commit(ops []Effect) {
	w := b.w
	var seq uint64
	for i := range ops {
		seq = max(seq, ops[i].Seq)
	}
	if w.fault(60) {
		if w.tracing {
			w.trace("commit fails, seq %d", seq)
		}
		var again []Effect
		for _, e := range ops {
			if e.Kind != EffectSave && e.Kind != EffectClaim {
				again = append(again, e)
			}
		}
		b.ops = append(again, b.ops...)
		b.again, b.retryAt = true, w.now+1000
		if seq > 0 {
			b.machine.CommitFailed(b.now(), seq)
		}
		b.run()
		return
	}
	claims := b.store.apply(ops)
	if w.tracing {
		w.trace("committed %d ops, seq %d", len(ops), seq)
	}
	if w.fault(20) {
		b.kill()
		return
	}
	if seq > 0 {
		b.machine.Committed(b.now(), seq, claims)
	}
	b.run()
}

func (b *simBroker) fetch(f *Fetch) {
	if b.w.fault(30) {
		b.machine.FetchFailed(b.now(), f)
		b.run()
		return
	}
	rows, outcomes, more := b.store.fetch(f)
	if b.w.tracing {
		b.w.trace("fetch kind %d lane %d of %d from %d: %d rows, more %v", f.Kind, f.Lane, f.To[0], f.From, len(rows)+len(outcomes), more)
	}
	if f.Kind == FetchOutcomes {
		b.machine.FetchedOutcomes(b.now(), f, outcomes, more)
	} else {
		b.machine.Fetched(b.now(), f, rows, more)
	}
	b.run()
}

// submit hands what was gathered to the store, when nothing is under way.
func (b *simBroker) submit() {
	if len(b.ops) == 0 || len(b.batches) > 0 || b.again {
		return
	}
	b.batches = append(b.batches, simWork{ops: b.ops})
	b.ops = nil
}

// run carries out what the machine asks for.
func (b *simBroker) run() {
	w := b.w
	b.armed, b.latest = b.clock, max(b.latest, b.now())
	effects := b.machine.Effects()
	for i := range effects {
		e := &effects[i]
		switch e.Kind {
		case EffectDeliver:
			w.delivering(e)
			if l := b.conns[e.Conn]; l != nil {
				l.send(frame{kind: frameDeliver, msg: w.msgOf(e.Row.ID), claim: e.Row.One})
			}
		case EffectAck:
			w.acking(e, e.Outcome != nil)
			if l := b.conns[e.Conn]; l != nil {
				l.send(frame{kind: frameAck, msg: w.msgOf(e.ID), dev: w.deviceOf(e.Peer), state: e.State, why: e.Why})
			}
		case EffectGrant:
			if l := b.conns[e.Conn]; l != nil {
				w.granting(e, l.proc.dev)
				l.send(frame{kind: frameGrant, msg: w.msgOf(e.ID), granted: e.Granted})
			}
		case EffectClose:
			if l := b.conns[e.Conn]; l != nil {
				if w.tracing {
					w.trace("broker closes conn %d: %d", e.Conn, e.Code)
				}
				delete(b.conns, e.Conn)
				w.gone(e.Conn)
				l.brokerGone()
			}
		case EffectFetch:
			b.fetches = append(b.fetches, e.Fetch)
		default:
			b.ops = append(b.ops, *e)
		}
	}
	b.submit()
}

// receive takes a frame off a link.
func (b *simBroker) receive(l *link, f frame) {
	w := b.w
	if f.msg != nil {
		if w.tracing {
			w.trace("broker: frame %d m%d %v of %v on conn %d", f.kind, f.msg.idx, f.verdict, l.proc.dev, l.conn)
		}
	}
	switch f.kind {
	case frameHello:
		p := l.proc
		for _, o := range slices.Clone(w.links) {
			if o.session == l.session && b.conns[o.conn] == o {
				b.disconnect(o.conn)
			}
		}
		b.conns[l.conn] = l
		l.send(frame{kind: frameWelcome})
		b.machine.Connect(b.now(), Connection{Conn: l.conn, Peer: p.dev.key, User: p.dev.user, Session: l.session, Receives: p.receives})
	case frameSend:
		m := f.msg
		s := Send{Conn: l.conn, ID: m.id, Class: m.class, Priority: m.priority, One: m.one, User: m.to[0].dev.user,
			Expires: m.expires, Sealed: payload[:m.size]}
		for i := range m.to {
			if f.targets&(1<<m.to[i].dev.idx) == 0 {
				continue
			}
			left := f.targets >> (m.to[i].dev.idx + 1) // devices after this one
			if m.to[i].dev.revoked {                   // as the caller does
				if !m.one || len(s.To) == 0 && left == 0 {
					m.to[i].over = wire.StateRefused
					l.send(frame{kind: frameAck, msg: m, dev: m.to[i].dev, state: wire.StateRefused, why: wire.WhyRevoked})
				}
				continue
			}
			if m.to[i].sentAt == 0 {
				m.to[i].sentAt = w.now
			}
			r := wire.Recipient{Key: m.to[i].dev.key, Session: m.forID}
			if m.one || len(m.to) > 1 {
				r.Box, r.Session = payload[:80], keys.SessionID{}
			}
			s.To = append(s.To, r)
		}
		if len(s.To) == 0 {
			return
		}
		b.machine.Send(b.now(), &s)
	case frameReceipt:
		if r := f.msg.rec(l.proc.dev); r != nil {
			if r.tookAt == 0 {
				r.tookAt = w.now
			}
			if f.verdict != wire.VerdictClaim {
				r.out = 0
			}
		}
		if f.verdict == wire.VerdictRefused {
			if r := f.msg.rec(l.proc.dev); r != nil && !r.arrived {
				r.lax = true
			}
		}
		b.machine.Receipt(b.now(), l.conn, f.verdict, f.why, f.msg.from.key, []keys.MessageID{f.msg.id})
	case frameActive:
		b.machine.Active(b.now(), l.conn)
	}
	b.run()
}

func (b *simBroker) disconnect(c Conn) {
	l := b.conns[c]
	if l == nil {
		return
	}
	if b.w.tracing {
		b.w.trace("broker: conn %d of %v ended", c, l.proc.dev)
	}
	delete(b.conns, c)
	b.w.gone(c)
	l.brokerGone()
	b.machine.Disconnect(b.now(), c)
	b.run()
}

// simStore keeps what was committed.
type simStore struct {
	w        *world
	rows     [][]*Row // by recipient, in the order of numbers
	claims   []Claim
	outcomes []Outcome
}

func newSimStore(w *world) *simStore {
	return &simStore{w: w, rows: make([][]*Row, w.simConfig.devices)}
}

func (s *simStore) backlog() (queues []Backlog, outcomes []keys.Public) {
	for _, rows := range s.rows {
		if len(rows) == 0 {
			continue
		}
		q := Backlog{To: rows[0].To}
		for _, r := range rows {
			if r.Lane == LaneReceipt {
				q.Receipts++
			} else {
				q.Messages++
			}
			q.Last = max(q.Last, r.N)
		}
		queues = append(queues, q)
	}
	for _, o := range s.outcomes {
		if !slices.Contains(outcomes, o.To) {
			outcomes = append(outcomes, o.To)
		}
	}
	return queues, outcomes
}

func (s *simStore) apply(ops []Effect) (claims []ClaimResult) {
	for i := range ops {
		e := &ops[i]
		switch e.Kind {
		case EffectSave:
			s.save(e.Row)
		case EffectClaim:
			by := e.Claim.By
			if j := slices.IndexFunc(s.claims, func(c Claim) bool { return c.ID == e.Claim.ID && c.From == e.Claim.From }); j >= 0 {
				by = s.claims[j].By
			} else {
				s.claims = append(s.claims, *e.Claim)
			}
			claims = append(claims, ClaimResult{Seq: e.Seq, By: by})
		case EffectDrop:
			d := int(e.Peer[0]) - 1
			if j := s.find(d, e.N); j >= 0 && s.rows[d][j].Lane == e.Lane {
				r := s.rows[d][j]
				s.rows[d] = slices.Delete(s.rows[d], j, j+1)
				s.w.dropped(r)
			}
		case EffectTrim:
			s.trim(int(e.Peer[0])-1, e.From)
		case EffectSaveOutcome:
			s.dropOutcome(e.Outcome)
			if s.w.tracing {
				s.w.trace("outcome m%d for %v saved: %v", s.w.msgOf(e.Outcome.ID).idx, s.w.deviceOf(e.Outcome.To), e.Outcome.State)
			}
			s.outcomes = append(s.outcomes, *e.Outcome)
		case EffectDropOutcome:
			if s.w.tracing {
				s.w.trace("outcome m%d for %v dropped", s.w.msgOf(e.Outcome.ID).idx, s.w.deviceOf(e.Outcome.To))
			}
			s.dropOutcome(e.Outcome)
		case EffectSweep:
			s.claims = slices.DeleteFunc(s.claims, func(c Claim) bool { return c.Expires <= e.Time-wire.MaxExpiry })
		}
	}
	return claims
}

func (s *simStore) find(d int, n uint64) int {
	j, ok := slices.BinarySearchFunc(s.rows[d], n, func(r *Row, n uint64) int {
		if r.N < n {
			return -1
		} else if r.N > n {
			return 1
		}
		return 0
	})
	if !ok {
		return -1 - j
	}
	return j
}

func (s *simStore) save(row *Row) {
	d := int(row.To[0]) - 1
	if s.has(row.ID, d) {
		return
	}
	j := s.find(d, row.N)
	if j >= 0 {
		s.w.fail("two rows for device %d with number %d", d, row.N)
	}
	s.rows[d] = slices.Insert(s.rows[d], -1-j, row)
}

func (s *simStore) has(id keys.MessageID, d int) bool {
	return slices.ContainsFunc(s.rows[d], func(r *Row) bool { return r.ID == id })
}

func (s *simStore) trim(d int, from keys.Public) {
	n := 0
	for _, r := range s.rows[d] {
		if r.Lane == LaneReceipt && r.From == from {
			n++
		}
	}
	s.rows[d] = slices.DeleteFunc(s.rows[d], func(r *Row) bool {
		if r.Lane == LaneReceipt && r.From == from && n > wire.MaxReceiptsWaiting {
			n--
			return true
		}
		return false
	})
}

func (s *simStore) dropOutcome(o *Outcome) {
	s.outcomes = slices.DeleteFunc(s.outcomes, func(p Outcome) bool {
		return p.To == o.To && p.ID == o.ID && p.Recipient == o.Recipient
	})
}

func (s *simStore) left(id keys.MessageID) (n int) {
	for d := range s.rows {
		if s.has(id, d) {
			n++
		}
	}
	return n
}

func (s *simStore) fetch(f *Fetch) (rows []*Row, outcomes []Outcome, more bool) {
	if f.Kind == FetchOutcomes {
		for _, o := range s.outcomes {
			if o.To == f.To {
				if len(outcomes) == f.Limit {
					return nil, outcomes, true
				}
				outcomes = append(outcomes, o)
			}
		}
		return nil, outcomes, false
	}
	size := 0
	for d := range s.rows {
		if f.Kind == FetchLane && d != int(f.To[0])-1 {
			continue
		}
		for _, r := range s.rows[d] {
			switch f.Kind {
			case FetchLane:
				if r.Lane != f.Lane || r.N < f.From || !f.Session.IsZero() && r.Session != f.Session {
					continue
				}
			case FetchExpired:
				if r.Expires > f.Time {
					continue
				}
			case FetchPeer:
				if r.To != f.To && r.From != f.To {
					continue
				}
			case FetchMessage:
				if r.From != f.Sender || r.ID != f.ID {
					continue
				}
			}
			if f.Limit > 0 && len(rows) == f.Limit || f.Bytes > 0 && len(rows) > 0 && size+r.Size() > f.Bytes {
				return rows, nil, true
			}
			size += r.Size()
			read := *r
			if r.One {
				read.Left = s.left(r.ID)
			}
			rows = append(rows, &read)
		}
	}
	return rows, nil, false
}

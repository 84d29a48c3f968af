package broker

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// send takes a send frame. It is refused for recipients that do not belong
// now; the machine decides the rest [CM-8].
func (m *mesh) send(s *session, f *wire.Send, payload []byte) {
	// The frame's memory is used again by the next one.
	sealed := bytes.Clone(payload)
	to := append(s.to[:0], wire.Recipient{Key: f.To, Session: f.Session})
	if len(f.Recipients) > 0 {
		to = cloneRecipients(f.Recipients)
	}
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.standing != roster.Belongs || !s.attached {
		s.refuseMessage(f.ID)
		return
	}
	send := delivery.Send{
		Conn: s.conn, ID: f.ID, Class: f.Class, Priority: f.Priority, One: f.One,
		Expires: f.Expires, Sealed: sealed, To: to[:0],
	}
	for i, r := range to {
		member, ok := m.state().Member(r.Key)
		if !ok && f.One && (len(send.To) > 0 || i < len(to)-1) {
			continue // another device may show it
		}
		if !ok {
			s.sendAck(&wire.Ack{State: wire.StateRefused, Why: m.whyNot(r.Key, now), To: r.Key, IDs: []keys.MessageID{f.ID}})
			continue
		}
		if f.One {
			if send.User == "" {
				send.User = member.User
			}
			if send.User != member.User {
				s.send(&wire.Error{
					Code: wire.CodeMalformed, IDs: []keys.MessageID{f.ID},
					Message: "a message for any one device names devices of one user",
				})
				return
			}
		}
		send.To = append(send.To, r)
	}
	if len(send.To) == 0 {
		return
	}
	for _, r := range send.To {
		m.note(message{
			from: s.peer(), to: r.Key, id: f.ID, class: f.Class, priority: f.Priority,
			bytes: len(sealed) + len(r.Box),
		}, now)
	}
	m.delivery.Send(now, &send)
	m.run(now)
}

// cloneRecipients copies recipients with their boxes into memory of their own,
// one piece for all boxes.
func cloneRecipients(from []wire.Recipient) []wire.Recipient {
	n := 0
	for i := range from {
		n += len(from[i].Box)
	}
	boxes, to := make([]byte, 0, n), slices.Clone(from)
	for i := range to {
		start := len(boxes)
		boxes = append(boxes, to[i].Box...)
		to[i].Box = boxes[start:len(boxes):len(boxes)]
	}
	return to
}

// whyNot says why nothing goes to a key that does not belong.
func (m *mesh) whyNot(key keys.Public, now int64) wire.Why {
	switch m.state().Standing(key, now) {
	case roster.Revoked:
		return wire.WhyRevoked
	case roster.Waits:
		return wire.WhyPending
	}
	return wire.WhyNotMember
}

// refuseMessage answers a message of a session that may not send.
func (s *session) refuseMessage(id keys.MessageID) {
	code := wire.CodeForbidden
	switch s.standing {
	case roster.Waits:
		code = wire.CodePending
	case roster.Revoked:
		code = wire.CodeRevoked
	}
	s.send(&wire.Error{Code: code, Message: code.Info().Sentence, IDs: []keys.MessageID{id}})
}

// receipt takes a receipt frame.
func (m *mesh) receipt(s *session, f *wire.Receipt) {
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.standing != roster.Belongs || !s.attached {
		return
	}
	m.delivery.Receipt(now, s.conn, f.State, f.Why, f.From, f.IDs)
	m.run(now)
}

// tooMany says whether more of the session's messages are unanswered than it
// may have; the session is woken when that has changed.
func (m *mesh) tooMany(s *session) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.waits = s.attached && m.delivery.InFlight(s.conn) >= m.b.limits.InFlight
	return s.waits
}

// run carries out what the machine asks for, in its order. mu is held.
func (m *mesh) run(now int64) {
	effects := m.delivery.Effects()
	for i := range effects {
		m.carryOut(&effects[i], now)
	}
	m.flushAck()
	m.submit()
	m.arm(now)
}

// carryOut does one thing that the machine asked for. Nothing here waits.
func (m *mesh) carryOut(e *delivery.Effect, now int64) {
	if e.Kind != delivery.EffectAck {
		m.flushAck()
	}
	switch e.Kind {
	case delivery.EffectDeliver:
		if s := m.conns[e.Conn]; s != nil {
			s.out.deliver(e.Row, e.Attempt)
			m.noteRow(e.Row)
		}
	case delivery.EffectAck:
		m.gatherAck(e, now)
	case delivery.EffectGrant:
		if s := m.conns[e.Conn]; s != nil {
			s.send(&wire.Grant{Granted: e.Granted, From: e.Peer, IDs: []keys.MessageID{e.ID}})
		}
	case delivery.EffectClose:
		switch s := m.conns[e.Conn]; {
		case s == nil:
		case e.Code == wire.CloseRevoked:
			s.fail(wire.CodeRevoked, e.Code, 0)
		default:
			s.end(e.Code)
		}
	case delivery.EffectFetch:
		// It need not see what is gathered. A second batch begun for it would keep
		// what a failure of the first one takes back.
		m.b.fetcher.add(m, e.Fetch)
	case delivery.EffectSaveOutcome:
		o := e.Outcome
		m.noteState(o.To, "", o.ID, o.Recipient, o.State, now)
		m.store.ops = append(m.store.ops, *e)
	default: // all others are the store's
		m.store.ops = append(m.store.ops, *e)
	}
}

// gatherAck puts acks that differ in their id only into one frame.
func (m *mesh) gatherAck(e *delivery.Effect, now int64) {
	s := m.conns[e.Conn]
	if s == nil {
		return
	}
	m.b.metrics.told(e.ID, e.State)
	m.noteState(s.peer(), s.hello.Label, e.ID, e.Peer, e.State, now)
	a := &m.store.acks
	if m.store.ackTo != s || a.State != e.State || a.Why != e.Why || a.To != e.Peer || len(a.IDs) >= wire.MaxIDs {
		m.flushAck()
		m.store.ackTo = s
		a.State, a.Why, a.To = e.State, e.Why, e.Peer
	}
	a.IDs = append(a.IDs, e.ID)
}

func (m *mesh) flushAck() {
	s := m.store.ackTo
	if s == nil {
		return
	}
	s.sendAck(&m.store.acks)
	m.store.ackTo = nil
	m.store.acks.IDs = m.store.acks.IDs[:0]
	if s.waits && m.delivery.InFlight(s.conn) < m.b.limits.InFlight {
		s.waits = false
		s.wake()
	}
}

// sendAck queues an ack; a connection that is too far behind is ended.
func (s *session) sendAck(a *wire.Ack) {
	if !s.out.ack(a) {
		s.end(wire.CloseSlow)
	}
}

// fetched takes the store's answer to a fetch.
func (m *mesh) fetched(f *delivery.Fetch, got store.Fetched, err error) {
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		m.b.log.Error("read from the store", "mesh", m.id, "err", err)
		m.delivery.FetchFailed(now, f)
	case f.Kind == delivery.FetchOutcomes:
		m.delivery.FetchedOutcomes(now, f, got.Outcomes, got.More)
	default:
		m.delivery.Fetched(now, f, got.Rows, got.More)
	}
	m.run(now)
	if f.Kind == delivery.FetchLane && f.Lane == delivery.LaneReceipt {
		m.answerAsked(f.To)
	}
}

// arm sets the timer for the machine's next deadline. mu is held.
func (m *mesh) arm(now int64) {
	next := m.delivery.Next()
	if m.closed || next == 0 {
		return
	}
	wait := max(0, next-now)
	at := m.b.steady() + wait
	if m.timerAt != 0 && m.timerAt <= at {
		return // a timer that fires too early arms itself again
	}
	m.disarm()
	m.timerAt = at
	m.timer = m.b.after(time.Duration(wait)*time.Millisecond, func() { m.tick(at) })
}

// disarm stops the timer. mu is held.
func (m *mesh) disarm() {
	if m.timer != nil {
		m.b.stop(m.timer)
		m.timer, m.timerAt = nil, 0
	}
}

// tick is called by the timer for a deadline.
func (m *mesh) tick(at int64) {
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.timerAt == at { // else another one was armed while this one waited for mu
		m.timer, m.timerAt = nil, 0
	}
	if m.closed {
		return
	}
	m.delivery.Tick(now)
	m.run(now)
}

// maxAsked is how many traces of one session wait for its receipts.
const maxAsked = 64

// trace takes a trace frame. The receipts that wait for whoever asks go first, since
// they say more than the broker can [CM-7.38].
func (m *mesh) trace(s *session, f *wire.Trace) {
	m.mu.Lock()
	wait := s.attached && s.hello.Receives != wire.ReceivesNone && m.delivery.ReceiptsWait(s.peer()) && len(s.asked) < maxAsked
	if wait {
		s.asked = append(s.asked, *f)
	}
	m.mu.Unlock()
	if !wait {
		m.answerTrace(s, f)
	}
}

// answerAsked answers the traces that waited for a peer's receipts, once those were
// handed over. mu is held.
func (m *mesh) answerAsked(key keys.Public) {
	p := m.peers[key]
	if p == nil || m.delivery.ReceiptsWait(key) {
		return
	}
	for s := range p.sessions {
		asked := s.asked
		s.asked = nil
		if len(asked) > 0 {
			m.b.tasks.Go(func() { // it reads the store
				for i := range asked {
					m.answerTrace(s, &asked[i])
				}
			})
		}
	}
}

// answerTrace answers what became of a message of the session's peer: what the
// machine knows, and what only the store does. Nothing where it was delivered and
// forgotten, or never came: who asks knows which [CM-7.38].
func (m *mesh) answerTrace(s *session, f *wire.Trace) {
	m.mu.Lock()
	member := s.standing == roster.Belongs
	var states []wire.TraceState
	known := false
	if member {
		states, known = m.delivery.Trace(s.peer(), f.Message) // what is gathered is among it
	}
	m.mu.Unlock()
	if !member {
		s.refuse(wire.CodeForbidden, f.ID, "")
		return
	}
	got, err := m.b.store.Fetch(m.b.ending, m.id, &delivery.Fetch{Kind: delivery.FetchTrace, Sender: s.peer(), ID: f.Message})
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			m.b.log.Error("trace", "mesh", m.id, "err", err)
		}
		s.refuse(wire.CodeStorage, f.ID, "")
		return
	}
	told := make(map[keys.Public]bool, len(states))
	for _, st := range states {
		told[st.To] = true
	}
	for _, o := range got.Outcomes {
		claimed := o.Time == 0
		if told[o.Recipient] || len(states) == wire.MaxRecipients || claimed && known {
			continue // of what was claimed the machine knows whether that device has it yet
		}
		if claimed {
			o.Time = m.b.now() // since when is not known
		}
		states = append(states, wire.TraceState{To: o.Recipient, State: o.State, Why: o.Why, Time: o.Time})
	}
	if len(states) == 0 && !known && f.Message.Time() < m.b.lostUntil.Load() {
		s.refuse(wire.CodeRestored, f.ID, "what became of messages from before the restore is not known here")
		return
	}
	s.send(&wire.Trace{Re: f.ID, Message: f.Message, States: states})
}

// fetcher reads from the store for the machines: a few goroutines, so that a
// thousand peers that come back at once do not mean a thousand queries.
type fetcher struct {
	mu   sync.Mutex // guards the following; a leaf
	jobs []fetchJob
	n    int // goroutines that run
	b    *Broker
}

// fetchers is how many fetches run at a time.
const fetchers = 4

type fetchJob struct {
	m *mesh
	f *delivery.Fetch
}

// add has a fetch made. The machine has one for each queue at most.
func (f *fetcher) add(m *mesh, fetch *delivery.Fetch) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs = append(f.jobs, fetchJob{m, fetch})
	if f.n < fetchers {
		f.n++
		f.b.tasks.Go(f.run)
	}
}

func (f *fetcher) run() {
	for {
		f.mu.Lock()
		if len(f.jobs) == 0 {
			f.n--
			f.jobs = nil
			f.mu.Unlock()
			return
		}
		j := f.jobs[0]
		f.jobs = f.jobs[1:]
		f.mu.Unlock()
		got, err := f.b.store.Fetch(f.b.living, j.m.id, j.f)
		j.m.fetched(j.f, got, err)
	}
}

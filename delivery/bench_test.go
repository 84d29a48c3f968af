package delivery

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// route carries one message from c1 to c2 and back, as package broker would:
// send, hand-over, receipt, ack.
func (r *rig) route(s *Send, ids []keys.MessageID) {
	s.ID = ids[0]
	r.b.Send(r.now, s)
	r.b.Effects()
	r.b.Receipt(r.now, 2, wire.VerdictReceived, wire.WhyNone, peerKey(1), ids)
	r.b.Effects()
}

func routing(tb testing.TB) (r *rig, s *Send, ids []keys.MessageID) {
	r = &rig{now: 1_000_000, b: NewBroker(1_000_000, BrokerOptions{})}
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	s = &Send{Conn: 1, Sealed: payload[:256], Expires: r.now + wire.DefaultExpiry, To: []wire.Recipient{{Key: peerKey(2)}}}
	return r, s, make([]keys.MessageID, 1)
}

// TestRoutingAllocatesLittle: one online message costs its row, and nothing that grows
// with what went before.
func TestRoutingAllocatesLittle(t *testing.T) {
	r, s, ids := routing(t)
	m := 0
	one := func() {
		m++
		ids[0] = messageID(m)
		r.route(s, ids)
	}
	for range 2 * remembered { // until what is remembered is full
		one()
	}
	const most = 1 // the row and the message that rows share, in one piece
	if got := testing.AllocsPerRun(10_000, one); got > most {
		t.Errorf("%.1f allocations a message, at most %d", got, most)
	}
	if n := len(r.b.known) + r.b.briefs.len(); n > remembered {
		t.Errorf("%d messages are remembered, at most %d", n, remembered)
	}
	r.now += wire.RememberedByBroker + sweepEvery
	r.b.Tick(r.now)
	if n := len(r.b.known) + r.b.briefs.len(); n != 0 {
		t.Errorf("%d messages are remembered after ten minutes", n)
	}
}

func BenchmarkRouteOnline(b *testing.B) {
	r, s, ids := routing(b)
	b.ReportAllocs()
	m := 0
	for b.Loop() {
		m++
		ids[0] = messageID(m)
		r.route(s, ids)
	}
}

// BenchmarkRouteWindow has a window of messages out and one receipt for all.
func BenchmarkRouteWindow(b *testing.B) {
	r, s, _ := routing(b)
	ids := make([]keys.MessageID, 64)
	b.ReportAllocs()
	m := 0
	for b.Loop() {
		for i := range ids {
			m++
			ids[i] = messageID(m)
			s.ID = ids[i]
			r.b.Send(r.now, s)
			r.b.Effects()
		}
		r.b.Receipt(r.now, 2, wire.VerdictReceived, wire.WhyNone, peerKey(1), ids)
		r.b.Effects()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ids)), "ns/message")
}

// BenchmarkQueueAbsent stores messages for a peer that is away.
func BenchmarkQueueAbsent(b *testing.B) {
	r, s, _ := routing(b)
	s.To[0].Key = peerKey(3)
	b.ReportAllocs()
	m := 0
	for b.Loop() {
		m++
		s.ID = messageID(m)
		r.b.Send(r.now, s)
		r.b.Effects()
		r.b.Committed(r.now, r.b.seq, nil)
		r.b.Effects()
		if m%wire.MaxWaiting == 0 { // the queue is full
			p := r.b.peer(peerKey(3))
			r.b.waiting, p.waiting = 0, 0
		}
	}
}

// BenchmarkDrain hands over what waited, page by page.
func BenchmarkDrain(b *testing.B) {
	r, _, _ := routing(b)
	p := r.b.peer(peerKey(2))
	q := &p.queues[LaneNext]
	rows := make([]*Row, wire.WindowMessages)
	ids := make([]keys.MessageID, len(rows))
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		for i := range rows {
			n++
			ids[i] = messageID(int(n))
			rows[i] = &Row{Message: &Message{From: peerKey(1), ID: ids[i], Expires: r.now + 1e9, Sealed: payload[:256]},
				To: peerKey(2), Lane: LaneNext, N: n}
		}
		q.fetching = true
		r.b.Fetched(r.now, &Fetch{Kind: FetchLane, queue: q}, rows, false)
		r.b.Effects()
		r.b.Receipt(r.now, 2, wire.VerdictReceived, wire.WhyNone, peerKey(1), ids)
		r.b.Effects()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(rows)), "ns/message")
}

// BenchmarkPlan plans over a full page of the inbox.
func BenchmarkPlan(b *testing.B) {
	v := View{Sessions: []SessionRow{liveSession(1, "web", 1)}, Streams: map[StreamKey]Stream{}}
	for i := range int64(512) {
		v.Rows = append(v.Rows, inRow(i+1, uint64(i/4+1)).with(func(r *InboxRow) { r.StreamKey.Session = session(byte(i % 4)) }))
	}
	b.ReportAllocs()
	for b.Loop() {
		PlanShow(planNow, v, Want{Session: session(1)})
	}
}

func BenchmarkOutbox(b *testing.B) {
	o := NewOutbox(1000)
	o.Loaded(1000, nil, false)
	o.Connected(1000, 0)
	o.Effects()
	ids := make([]keys.MessageID, 1)
	b.ReportAllocs()
	m := 0
	for b.Loop() {
		m++
		row := outRow(m, 2)
		o.Add(1000, row)
		o.Effects()
		ids[0] = row.ID
		o.Ack(1000, peerKey(2), wire.StateDelivered, wire.WhyNone, ids)
		o.Effects()
	}
}

func BenchmarkSchedules(b *testing.B) {
	seed := uint64(0)
	for b.Loop() {
		seed++
		if w, broken := runSchedule(newConfig(seed), false); broken != "" {
			b.Fatalf("seed %d: step %d: %s", seed, w.step, broken)
		}
	}
}

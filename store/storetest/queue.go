package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

func testLaneOrder(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	var want []*delivery.Row
	for n := uint64(1); n <= 5; n++ {
		want = append(want, w.direct(alice, bob, n))
	}
	want[2].Session = w.session()
	now := w.row(w.message(alice, wire.PriorityNow, false), bob, 6, nil)
	receipt := w.message(alice, wire.PriorityNext, false)
	receipt.Class = wire.ClassReceipt
	rr := w.row(receipt, bob, 7, nil)
	w.write(save(want[4], want[0], now, want[3])...) // numbers, not arrival, order
	w.write(save(rr, want[2], want[1])...)
	w.same("lane", w.lane(bob, delivery.LaneNext), want...)
	w.same("now", w.lane(bob, delivery.LaneNow), now)
	w.same("receipts", w.lane(bob, delivery.LaneReceipt), rr)
	w.same("nothing", w.lane(alice, delivery.LaneNext))
}

func testLaneFilters(t *testing.T, open Open) {
	w := begin(t, open)
	alice, carol, bob := w.peer(), w.peer(), w.peer()
	rows := []*delivery.Row{w.direct(alice, bob, 1), w.direct(carol, bob, 2), w.direct(alice, bob, 3), w.direct(alice, bob, 4)}
	rows[1].Session, rows[3].Session = w.session(), w.session()
	w.write(save(rows...)...)
	f := delivery.Fetch{Kind: delivery.FetchLane, To: bob, Lane: delivery.LaneNext}

	from := f
	from.From, from.Limit = 2, 2
	got := w.fetch(from)
	w.same("from", got.Rows, rows[1], rows[2])
	if !got.More {
		t.Error("from: more was not said")
	}
	exact := f
	exact.Limit = 4
	if got := w.fetch(exact); got.More {
		t.Error("exact limit: more was said")
	}
	bytes := f
	bytes.Bytes = rows[0].Size() + rows[1].Size()
	got = w.fetch(bytes)
	w.same("bytes", got.Rows, rows[0], rows[1])
	if !got.More {
		t.Error("bytes: more was not said")
	}
	bytes.Bytes = 1
	w.same("one at least", w.fetch(bytes).Rows, rows[0])
	sender := f
	sender.Sender = carol
	w.same("sender", w.fetch(sender).Rows, rows[1])
	sender.Sender = w.peer()
	w.same("unknown sender", w.fetch(sender).Rows)
	session := f
	session.Session = rows[3].Session
	w.same("session", w.fetch(session).Rows, rows[3])
}

func testSavedOnce(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	first := w.direct(alice, bob, 1)
	w.write(save(first)...)
	again := *first
	again.N = 2
	w.write(save(&again)...)
	w.same("same message", w.lane(bob, delivery.LaneNext), first)
	w.write(drop(&again)...) // what was not kept
	w.same("other number dropped", w.lane(bob, delivery.LaneNext), first)
	w.write(drop(first)...)
	w.same("dropped", w.lane(bob, delivery.LaneNext))
	w.write(save(&again)...) // new again
	w.same("again", w.lane(bob, delivery.LaneNext), &again)
}

func testSharedBody(t *testing.T, open Open) {
	w := begin(t, open)
	alice := w.peer()
	m := w.message(alice, wire.PriorityNext, false)
	var rows []*delivery.Row
	for i := range 3 {
		rows = append(rows, w.row(m, w.peer(), uint64(i+1), fmt.Appendf(nil, "box %d", i)))
	}
	w.write(save(rows...)...)
	got := w.fetch(delivery.Fetch{Kind: delivery.FetchMessage, Sender: alice, ID: m.ID})
	if len(got.Rows) != 3 || got.Rows[0].Message != got.Rows[1].Message || got.Rows[1].Message != got.Rows[2].Message {
		t.Fatalf("rows do not share their message: %v", got.Rows)
	}
	w.write(drop(rows[0], rows[1])...)
	w.same("the last one", w.lane(rows[2].To, delivery.LaneNext), rows[2])
	w.write(drop(rows[2])...)
	w.same("none", w.lane(rows[2].To, delivery.LaneNext))

	// A second sending, of which one recipient still waits from the first.
	w.write(save(rows[0], rows[1])...)
	w.write(drop(rows[0])...)
	late := *rows[0]
	late.N = 9
	w.write(save(&late)...)
	w.same("late", w.lane(late.To, delivery.LaneNext), &late)
	w.write(drop(rows[1])...)
	w.same("late stays", w.lane(late.To, delivery.LaneNext), &late)
	w.write(drop(&late)...)
}

func testDropKeepsOthers(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	a, b := w.direct(alice, bob, 1), w.direct(alice, bob, 2)
	w.write(save(a, b)...)
	w.write(drop(a)...)
	w.same("b", w.lane(bob, delivery.LaneNext), b)
	w.write(append(drop(a), drop(w.direct(alice, w.peer(), 77))...)...) // not there: no error
	w.same("b still", w.lane(bob, delivery.LaneNext), b)
}

// testDropRuns: rows with numbers in a row are dropped together, of messages to
// several too, and none in between, of another lane or another recipient.
func testDropRuns(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	m := w.message(alice, wire.PriorityNext, false)
	low := w.row(w.message(alice, wire.PriorityLow, false), bob, 6, nil)
	rows := []*delivery.Row{w.direct(alice, bob, 1), w.direct(alice, bob, 2), w.row(m, bob, 3, []byte("b")),
		w.direct(alice, bob, 4), w.direct(alice, bob, 5), w.direct(alice, bob, 7)}
	other := w.row(m, carol, 1, []byte("c"))
	stays := w.direct(alice, carol, 2)
	w.write(append(save(rows...), save(low, other, stays)...)...)
	w.write(drop(rows[0], rows[1], rows[2], rows[4], rows[5])...)
	w.same("next", w.lane(bob, delivery.LaneNext), rows[3])
	w.same("low", w.lane(bob, delivery.LaneLow), low)
	w.same("carol's", w.lane(carol, delivery.LaneNext), other, stays)
	w.write(drop(rows[3], rows[4], rows[5], low, other)...)
	w.same("next", w.lane(bob, delivery.LaneNext))
	w.same("carol's", w.lane(carol, delivery.LaneNext), stays)
}

func testSaveThenDrop(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	a, b := w.direct(alice, bob, 1), w.direct(alice, bob, 2)
	m := w.message(alice, wire.PriorityLow, false)
	x, y := w.row(m, bob, 3, []byte("x")), w.row(m, w.peer(), 1, []byte("y"))
	ops := append(save(a, b, x, y), drop(a, x)...)
	w.write(ops...)
	w.same("next", w.lane(bob, delivery.LaneNext), b)
	w.same("low", w.lane(bob, delivery.LaneLow))
	w.same("other", w.lane(y.To, delivery.LaneLow), y)
	// In two batches that are kept together.
	c := w.direct(alice, bob, 4)
	done := make(chan error, 2)
	for _, ops := range [][]delivery.Effect{save(c), drop(c)} {
		w.s.Submit(store.Batch{Mesh: w.mesh, Ops: ops}, func(_ []delivery.ClaimResult, err error) { done <- err })
	}
	w.must(errors.Join(<-done, <-done))
	w.same("next", w.lane(bob, delivery.LaneNext), b)
	// Dropped, then another at the same place.
	d := w.direct(alice, bob, 4)
	w.write(append(append(save(c), drop(c)...), save(d)...)...)
	w.same("next", w.lane(bob, delivery.LaneNext), b, d)
}

func testPlaceTaken(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	a := w.direct(alice, bob, 1)
	w.write(save(a)...)
	// Another message with the same number is a defect: it must not vanish.
	if _, err := w.s.Write(w.ctx, store.Batch{Mesh: w.mesh, Ops: save(w.direct(alice, bob, 1))}); err == nil {
		t.Fatal("a row was taken at a place that is taken")
	}
	w.same("first", w.lane(bob, delivery.LaneNext), a)
}

func testTrim(t *testing.T, open Open) {
	w := begin(t, open)
	alice, carol, bob := w.peer(), w.peer(), w.peer()
	var all []*delivery.Row
	other := w.message(carol, wire.PriorityNext, false)
	other.Class = wire.ClassReceipt
	keep := w.row(other, bob, 1, nil)
	for n := range uint64(wire.MaxReceiptsWaiting + 3) {
		m := w.message(alice, wire.PriorityNext, false)
		m.Class = wire.ClassReceipt
		all = append(all, w.row(m, bob, n+2, nil))
	}
	trim := delivery.Effect{Kind: delivery.EffectTrim, From: alice, Peer: bob}
	w.write(append(save(append(all, keep)...), trim)...)
	w.same("newest", w.lane(bob, delivery.LaneReceipt), append([]*delivery.Row{keep}, all[3:]...)...)
	w.write(trim, delivery.Effect{Kind: delivery.EffectTrim, From: w.peer(), Peer: bob})
	if got := w.lane(bob, delivery.LaneReceipt); len(got) != wire.MaxReceiptsWaiting+1 {
		t.Fatalf("%d receipts", len(got))
	}
}

func testClaims(t *testing.T, open Open) {
	w := begin(t, open)
	alice, desk, phone := w.peer(), w.peer(), w.peer()
	first, second := w.id(), w.id()
	claim := func(seq uint64, id keys.MessageID, by keys.Public) delivery.Effect {
		return delivery.Effect{Kind: delivery.EffectClaim, Seq: seq,
			Claim: &delivery.Claim{From: alice, ID: id, By: by, Expires: 1000}}
	}
	got := w.write(claim(1, first, desk), claim(2, second, phone), claim(3, first, phone))
	want := []delivery.ClaimResult{{Seq: 1, By: desk}, {Seq: 2, By: phone}, {Seq: 3, By: desk}}
	if !slices.Equal(got, want) {
		t.Fatalf("claims %v, want %v", got, want)
	}
	if got := w.write(claim(4, second, desk)); !slices.Equal(got, []delivery.ClaimResult{{Seq: 4, By: phone}}) {
		t.Fatalf("later claim %v", got)
	}
}

func testOutcomes(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	id := w.id()
	a := delivery.Outcome{To: alice, ID: id, Recipient: bob, State: wire.StateDelivered, Time: 20}
	b := delivery.Outcome{To: alice, ID: id, Recipient: carol, State: wire.StateExpired, Time: 10}
	c := delivery.Outcome{To: alice, ID: w.id(), Recipient: carol, State: wire.StateRefused, Why: wire.WhyMuted, Time: 30}
	op := func(kind delivery.EffectKind, o delivery.Outcome) delivery.Effect {
		return delivery.Effect{Kind: kind, Outcome: &o}
	}
	w.write(op(delivery.EffectSaveOutcome, a), op(delivery.EffectSaveOutcome, b), op(delivery.EffectSaveOutcome, c))
	fetch := func(limit int) ([]delivery.Outcome, bool) {
		t.Helper()
		got := w.fetch(delivery.Fetch{Kind: delivery.FetchOutcomes, To: alice, Limit: limit})
		return got.Outcomes, got.More
	}
	if got, more := fetch(0); !slices.Equal(got, []delivery.Outcome{b, a, c}) || more {
		t.Fatalf("outcomes %v", got)
	}
	if got, more := fetch(2); !slices.Equal(got, []delivery.Outcome{b, a}) || !more {
		t.Fatalf("outcomes %v, more %v", got, more)
	}
	a.State, a.Why = wire.StateRefused, wire.WhyRevoked
	w.write(op(delivery.EffectSaveOutcome, a), op(delivery.EffectDropOutcome, b))
	if got, _ := fetch(0); !slices.Equal(got, []delivery.Outcome{a, c}) {
		t.Fatalf("outcomes %v", got)
	}
	w.write(op(delivery.EffectDropOutcome, a), op(delivery.EffectDropOutcome, c), op(delivery.EffectDropOutcome, c))
	if got, _ := fetch(0); len(got) != 0 {
		t.Fatalf("outcomes %v", got)
	}
}

// testTrace: what became of a message is read from its rows, from outcomes, and from a
// claim where there is nothing else.
func testTrace(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	m := w.message(alice, wire.PriorityNext, true)
	to := []*delivery.Row{w.row(m, bob, 1, []byte("box")), w.row(m, carol, 1, []byte("box"))}
	gone := delivery.Outcome{To: alice, ID: m.ID, Recipient: bob, State: wire.StateExpired, Why: "late", Time: 20}
	waits := func(to keys.Public) delivery.Outcome {
		return delivery.Outcome{To: alice, ID: m.ID, Recipient: to, State: wire.StateQueued, Time: m.Sent}
	}
	want := func(what string, want ...delivery.Outcome) {
		t.Helper()
		got := w.fetch(delivery.Fetch{Kind: delivery.FetchTrace, Sender: alice, ID: m.ID}).Outcomes
		slices.SortFunc(got, func(a, b delivery.Outcome) int { return bytes.Compare(a.Recipient[:], b.Recipient[:]) })
		slices.SortFunc(want, func(a, b delivery.Outcome) int { return bytes.Compare(a.Recipient[:], b.Recipient[:]) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("never heard of")
	w.write(save(to...)...)
	w.write(delivery.Effect{Kind: delivery.EffectClaim, Claim: &delivery.Claim{From: alice, ID: m.ID, By: carol, Expires: 1000}})
	want("both wait", waits(bob), waits(carol))
	w.write(append(drop(to[0]), delivery.Effect{Kind: delivery.EffectSaveOutcome, Outcome: &gone})...)
	want("one waits", gone, waits(carol))
	w.write(drop(to[1])...)
	want("none waits", gone)
	w.write(delivery.Effect{Kind: delivery.EffectDropOutcome, Outcome: &gone})
	want("all was told", delivery.Outcome{To: alice, ID: m.ID, Recipient: carol, State: wire.StateDelivered})
	if got := w.fetch(delivery.Fetch{Kind: delivery.FetchTrace, Sender: bob, ID: m.ID}).Outcomes; len(got) > 0 {
		t.Errorf("of another sender: %v", got)
	}
}

func testSweep(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	id := w.id()
	claim := func(by keys.Public) delivery.Effect {
		return delivery.Effect{Kind: delivery.EffectClaim, Claim: &delivery.Claim{From: alice, ID: id, By: by, Expires: 1000}}
	}
	old := delivery.Outcome{To: alice, ID: w.id(), Recipient: bob, State: wire.StateDelivered, Time: 20}
	young := delivery.Outcome{To: alice, ID: w.id(), Recipient: bob, State: wire.StateDelivered, Time: 40}
	w.write(claim(bob), delivery.Effect{Kind: delivery.EffectSaveOutcome, Outcome: &old},
		delivery.Effect{Kind: delivery.EffectSaveOutcome, Outcome: &young})
	w.write(delivery.Effect{Kind: delivery.EffectSweep, Time: 30 + wire.MaxExpiry})
	got := w.fetch(delivery.Fetch{Kind: delivery.FetchOutcomes, To: alice})
	if !slices.Equal(got.Outcomes, []delivery.Outcome{young}) {
		t.Fatalf("outcomes %v", got.Outcomes)
	}
	w.write(delivery.Effect{Kind: delivery.EffectSweep, Time: 1000 + wire.MaxExpiry})
	if got := w.write(claim(carol)); got[0].By != bob {
		t.Fatal("a claim was swept before its time")
	}
	w.write(delivery.Effect{Kind: delivery.EffectSweep, Time: 1001 + wire.MaxExpiry})
	if got := w.write(claim(carol)); got[0].By != carol {
		t.Fatal("a claim was not swept")
	}
}

func testExpired(t *testing.T, open Open) {
	w := begin(t, open)
	alice := w.peer()
	var rows []*delivery.Row
	for i := range 4 {
		r := w.direct(alice, w.peer(), 1)
		r.Expires = int64(100 * (i + 1))
		rows = append(rows, r)
	}
	w.write(save(rows...)...)
	expired := func(now int64, limit int) (all []*delivery.Row, more bool) {
		t.Helper()
		got := w.fetch(delivery.Fetch{Kind: delivery.FetchExpired, Time: now, Limit: limit})
		slices.SortFunc(got.Rows, func(a, b *delivery.Row) int { return int(a.Expires - b.Expires) })
		return got.Rows, got.More
	}
	got, _ := expired(99, 10)
	w.same("none", got)
	got, more := expired(200, 10)
	w.same("two", got, rows[0], rows[1])
	if more {
		t.Error("more was said")
	}
	if got, more = expired(400, 3); len(got) != 3 || !more {
		t.Fatalf("%d rows, more %v", len(got), more)
	}
}

func testPeerAndMessage(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	m := w.message(alice, wire.PriorityNext, false)
	rows := []*delivery.Row{w.row(m, bob, 1, []byte("b")), w.row(m, carol, 1, []byte("c")), w.direct(bob, carol, 2), w.direct(bob, bob, 2)}
	w.write(save(rows...)...)
	got := w.fetch(delivery.Fetch{Kind: delivery.FetchPeer, To: bob}).Rows
	slices.SortFunc(got, func(a, b *delivery.Row) int { return int(a.N) - int(b.N) + 10*slices.Compare(b.To[:], a.To[:]) })
	if len(got) != 3 {
		t.Fatalf("%d rows to and from bob, want 3 (one to himself counts once)", len(got))
	}
	if got := w.fetch(delivery.Fetch{Kind: delivery.FetchPeer, To: bob, Limit: 2}); len(got.Rows) != 2 || !got.More {
		t.Fatalf("%d rows, more %v", len(got.Rows), got.More)
	}
	if got := w.fetch(delivery.Fetch{Kind: delivery.FetchPeer, To: bob, Limit: 3}); len(got.Rows) != 3 || got.More {
		t.Fatalf("%d rows, more %v", len(got.Rows), got.More)
	}
	got = w.fetch(delivery.Fetch{Kind: delivery.FetchMessage, Sender: alice, ID: m.ID}).Rows
	slices.SortFunc(got, func(a, b *delivery.Row) int { return slices.Compare(a.Box, b.Box) })
	w.same("message", got, rows[0], rows[1])
	w.same("unknown", w.fetch(delivery.Fetch{Kind: delivery.FetchMessage, Sender: carol, ID: m.ID}).Rows)
}

func testLeft(t *testing.T, open Open) {
	w := begin(t, open)
	alice := w.peer()
	m := w.message(alice, wire.PriorityNow, true)
	rows := []*delivery.Row{w.row(m, w.peer(), 1, []byte("a")), w.row(m, w.peer(), 1, []byte("b")), w.row(m, w.peer(), 1, []byte("c"))}
	w.write(save(rows...)...)
	left := func(r *delivery.Row, want int) {
		t.Helper()
		got := w.lane(r.To, delivery.LaneOneNow)
		w.same("row", got, r)
		if got[0].Left != want {
			t.Fatalf("left %d, want %d", got[0].Left, want)
		}
	}
	left(rows[0], 3)
	w.write(drop(rows[1])...)
	left(rows[0], 2)
	w.write(drop(rows[0])...)
	left(rows[2], 1)
}

func testBacklog(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	receipt := w.message(alice, wire.PriorityNext, false)
	receipt.Class = wire.ClassReceipt
	w.write(append(save(w.direct(alice, bob, 4), w.row(w.message(alice, wire.PriorityNow, false), bob, 9, nil),
		w.row(receipt, carol, 12, nil)),
		delivery.Effect{Kind: delivery.EffectSaveOutcome, Outcome: &delivery.Outcome{To: alice, ID: w.id(), Recipient: bob}})...)
	got, err := w.s.Backlog(w.ctx, w.mesh)
	w.must(err)
	slices.SortFunc(got.Queues, func(a, b delivery.Backlog) int { return int(a.Last) - int(b.Last) })
	want := []delivery.Backlog{{To: bob, Messages: 2, Last: 9}, {To: carol, Receipts: 1, Last: 12}}
	if !slices.Equal(got.Queues, want) || !slices.Equal(got.Outcomes, []keys.Public{alice}) {
		t.Fatalf("backlog %+v", got)
	}
	if got, err := w.s.Backlog(w.ctx, w.newMesh()); err != nil || len(got.Queues)+len(got.Outcomes) != 0 {
		t.Fatalf("backlog of another mesh %+v, %v", got, err)
	}
}

func testWaiting(t *testing.T, open Open) {
	w := begin(t, open)
	got, err := w.s.Waiting(w.ctx)
	if w.must(err); got != (store.Waiting{}) {
		t.Fatalf("nothing waits: %+v", got)
	}
	alice, bob, carol := w.peer(), w.peer(), w.peer()
	old, late := w.direct(alice, bob, 4), w.direct(alice, carol, 5)
	old.Sent, late.Sent = 1_000, 2_000
	w.write(save(late, old)...)
	got, err = w.s.Waiting(w.ctx)
	if w.must(err); got != (store.Waiting{Messages: 2, Oldest: 1_000}) {
		t.Fatalf("two wait: %+v", got)
	}
	w.write(drop(old)...)
	got, err = w.s.Waiting(w.ctx)
	if w.must(err); got != (store.Waiting{Messages: 1, Oldest: 2_000}) {
		t.Fatalf("one waits: %+v", got)
	}
}

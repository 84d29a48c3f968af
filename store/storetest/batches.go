package storetest

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

func testSubmitOrder(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	const batches = 500
	var order []int // by the store's goroutine alone, read after the last
	end := make(chan struct{})
	for i := range batches {
		ops := save(w.direct(alice, bob, uint64(i+1)))
		if i%10 == 9 {
			ops = append(ops, delivery.Effect{Kind: delivery.EffectClaim, Seq: uint64(i),
				Claim: &delivery.Claim{From: alice, ID: w.id(), By: bob, Expires: 1}})
		}
		w.s.Submit(store.Batch{Mesh: w.mesh, Ops: ops}, func(claims []delivery.ClaimResult, err error) {
			if err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
			if (len(claims) == 1) != (i%10 == 9) || len(claims) == 1 && claims[0].Seq != uint64(i) {
				t.Errorf("batch %d: claims %v", i, claims)
			}
			if order = append(order, i); len(order) == batches {
				close(end)
			}
		})
	}
	<-end
	for i, got := range order {
		if got != i {
			t.Fatalf("answer %d came as number %d", got, i)
		}
	}
	if got := w.lane(bob, delivery.LaneNext); len(got) != batches {
		t.Fatalf("%d rows", len(got))
	}
}

func testFetchSeesAnswered(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	for n := uint64(1); n <= 50; n++ {
		w.write(save(w.direct(alice, bob, n))...)
		if got := w.lane(bob, delivery.LaneNext); len(got) != int(n) {
			t.Fatalf("%d rows after batch %d was answered", len(got), n)
		}
	}
}

func testBadBatchAlone(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	taken := w.direct(alice, bob, 1)
	w.write(save(taken)...)
	// The second batch collides, the fourth is of no mesh, the sixth is nothing
	// to store. Each fails whole, and alone.
	good := []*delivery.Row{w.direct(alice, bob, 2), w.direct(alice, bob, 3), w.direct(alice, bob, 4), w.direct(alice, bob, 5)}
	unkept := w.direct(alice, bob, 8)
	batches := []store.Batch{
		{Mesh: w.mesh, Ops: save(good[0])},
		{Mesh: w.mesh, Ops: save(unkept, w.direct(alice, bob, 1))},
		{Mesh: w.mesh, Ops: save(good[1])},
		{Mesh: keys.MeshID{7}, Ops: save(w.direct(alice, bob, 6))},
		{Mesh: w.mesh, Ops: save(good[2])},
		{Mesh: w.mesh, Ops: append(save(w.direct(alice, bob, 7)), delivery.Effect{Kind: delivery.EffectDeliver})},
		{Mesh: w.mesh, Ops: save(good[3])},
	}
	type answer struct {
		batch int
		err   error
	}
	answers := make(chan answer, len(batches))
	for i, b := range batches {
		w.s.Submit(b, func(_ []delivery.ClaimResult, err error) { answers <- answer{i, err} })
	}
	for i := range batches {
		a := <-answers
		if a.batch != i {
			t.Fatalf("answer %d came as number %d", a.batch, i)
		}
		if bad := i%2 == 1; (a.err != nil) != bad {
			t.Errorf("batch %d: %v", i, a.err)
		}
	}
	w.same("kept", w.lane(bob, delivery.LaneNext), append([]*delivery.Row{taken}, good...)...)
	// And the store goes on.
	w.write(save(unkept)...)
}

func testSubmitFromDone(t *testing.T, open Open) {
	w := begin(t, open)
	alice, bob := w.peer(), w.peer()
	end := make(chan error, 1)
	var submit func(n uint64)
	submit = func(n uint64) {
		w.s.Submit(store.Batch{Mesh: w.mesh, Ops: save(w.direct(alice, bob, n))}, func(_ []delivery.ClaimResult, err error) {
			if err != nil || n == 20 {
				end <- err
				return
			}
			submit(n + 1)
		})
	}
	submit(1)
	w.must(<-end)
	if got := w.lane(bob, delivery.LaneNext); len(got) != 20 {
		t.Fatalf("%d rows", len(got))
	}
}

func testMeshesApart(t *testing.T, open Open) {
	w := begin(t, open)
	first, second := w.mesh, w.newMesh()
	alice, bob := w.peer(), w.peer()
	a := w.direct(alice, bob, 1)
	w.write(save(a)...)
	b := *a // the very same message, in the other mesh
	w.mesh = second
	w.same("second", w.lane(bob, delivery.LaneNext))
	w.write(save(&b)...)
	w.same("second", w.lane(bob, delivery.LaneNext), &b)
	w.write(drop(&b)...)
	w.write(delivery.Effect{Kind: delivery.EffectClaim, Claim: &delivery.Claim{From: alice, ID: a.ID, By: alice, Expires: 5}})
	w.write(delivery.Effect{Kind: delivery.EffectSweep, Time: 1 << 50})
	w.mesh = first
	w.same("first", w.lane(bob, delivery.LaneNext), a)
	if got := w.fetch(delivery.Fetch{Kind: delivery.FetchExpired, Time: 1 << 50}); len(got.Rows) != 1 {
		t.Fatalf("%d expired", len(got.Rows))
	}
	w.mesh = second
	if got := w.fetch(delivery.Fetch{Kind: delivery.FetchExpired, Time: 1 << 50}); len(got.Rows) != 0 {
		t.Fatalf("%d expired in the other mesh", len(got.Rows))
	}
	w.mesh = keys.MeshID{3}
	_, err := w.s.Fetch(w.ctx, w.mesh, &delivery.Fetch{Kind: delivery.FetchLane, To: bob})
	w.is(err, store.ErrNotFound)
}

func testSurvivesReopening(t *testing.T, open Open) {
	place := t.TempDir()
	w := &world{t: t, ctx: t.Context(), s: open(t, place)}
	w.mesh = w.newMesh()
	alice, bob := w.peer(), w.peer()
	m := w.message(alice, wire.PriorityNext, false)
	rows := []*delivery.Row{w.direct(alice, bob, 1), w.row(m, bob, 2, []byte("box")), w.row(m, alice, 1, []byte("own"))}
	done := make(chan error, 1)
	w.s.Submit(store.Batch{Mesh: w.mesh, Ops: save(rows...)}, func(_ []delivery.ClaimResult, err error) { done <- err })
	w.must(w.s.Close()) // commits what was submitted
	w.must(<-done)

	w.s = open(t, place)
	w.same("bob", w.lane(bob, delivery.LaneNext), rows[0], rows[1])
	w.same("alice", w.lane(alice, delivery.LaneNext), rows[2])
	next := w.direct(alice, bob, 3)
	w.write(save(next)...)
	w.must(w.s.Close())

	w.s = open(t, place)
	w.same("bob", w.lane(bob, delivery.LaneNext), rows[0], rows[1], next)
	if m, err := w.s.Mesh(w.ctx, w.mesh); err != nil || m.Head.N != 2 {
		t.Fatalf("mesh %v, %v", m, err)
	}
	w.must(w.s.Close())
}

func testClosed(t *testing.T, open Open) {
	w := &world{t: t, ctx: t.Context(), s: open(t, t.TempDir())}
	w.mesh = w.newMesh()
	w.must(w.s.Close())
	w.must(w.s.Close())
	_, err := w.s.Write(w.ctx, store.Batch{Mesh: w.mesh, Ops: save(w.direct(w.peer(), w.peer(), 1))})
	w.is(err, store.ErrClosed)
	_, err = w.s.Fetch(w.ctx, w.mesh, &delivery.Fetch{Kind: delivery.FetchLane})
	w.is(err, store.ErrClosed)
	_, err = w.s.Meshes(w.ctx)
	w.is(err, store.ErrClosed)
	w.is(w.s.SetSetting(w.ctx, "a", "b"), store.ErrClosed)
}

package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
)

func testMeshes(t *testing.T, open Open) {
	w := begin(t, open)
	second := w.newMesh()
	all, err := w.s.Meshes(w.ctx)
	w.must(err)
	if len(all) != 2 || all[0].ID != w.mesh || all[1].ID != second {
		t.Fatalf("meshes %v", all)
	}
	m, err := w.s.Mesh(w.ctx, second)
	w.must(err)
	if m.Name != "acme" || m.Created != 5 || m.Head.N != 2 || string(m.Head.Signed) != "head 2" || m.Head.Life != 1 {
		t.Fatalf("mesh %+v", m)
	}
	_, err = w.s.Mesh(w.ctx, keys.MeshID{1})
	w.is(err, store.ErrNotFound)
	e := w.entry(0)
	w.is(w.s.CreateMesh(w.ctx, store.NewMesh{ID: second, Entries: []store.Entry{e}, Head: w.headOver(e)}), store.ErrExists)
	if h, err := w.s.Head(w.ctx, second, store.Roster); err != nil || h.N != 2 {
		t.Fatalf("a refused mesh left its head: %+v, %v", h, err)
	}
}

func testCreateToken(t *testing.T, open Open) {
	w := begin(t, open)
	token, late := w.hash(), w.hash()
	w.must(w.s.AddToken(w.ctx, token, 100))
	w.must(w.s.AddToken(w.ctx, late, 100))
	create := func(token [32]byte, now int64) error {
		e := w.entry(0)
		m := store.NewMesh{Name: "x", Created: now, Entries: []store.Entry{e}, Head: w.headOver(e), Token: token}
		w.fill(m.ID[:])
		return w.s.CreateMesh(w.ctx, m)
	}
	w.is(create(w.hash(), 50), store.ErrNotFound)
	w.must(create(token, 50))
	w.is(create(token, 50), store.ErrNotFound) // used up
	w.is(create(late, 100), store.ErrNotFound) // past its time
	w.must(w.s.AddToken(w.ctx, token, 100))
	w.must(w.s.Tidy(w.ctx, 101))
	w.is(create(token, 50), store.ErrNotFound) // tidied away
	w.must(w.s.AddToken(w.ctx, token, 100))
	w.must(w.s.DropTokens(w.ctx))
	w.is(create(token, 50), store.ErrNotFound)
	all, err := w.s.Meshes(w.ctx)
	w.must(err)
	if len(all) != 2 {
		t.Fatalf("%d meshes, want 2", len(all))
	}
}

func testChainCAS(t *testing.T, open Open) {
	w := begin(t, open)
	last, err := w.s.Head(w.ctx, w.mesh, store.Roster)
	w.must(err)
	// Of several appends to one place one wins, and the others learn where the
	// chain is.
	const racers = 8
	var mu sync.Mutex
	var wg sync.WaitGroup
	winners := 0
	for range racers {
		e := w.entry(3)
		a := store.Append{Mesh: w.mesh, Prev: last.Hash, Entries: []store.Entry{e}, Head: w.headOver(e)}
		wg.Go(func() {
			err := w.s.Append(w.ctx, a)
			var conflict *store.ConflictError
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners++
			case !errors.As(err, &conflict) || !errors.Is(err, store.ErrConflict) || conflict.N != 3 || conflict.Hash == e.Hash:
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	if winners != 1 {
		t.Fatalf("%d appends won", winners)
	}
	now, err := w.s.Head(w.ctx, w.mesh, store.Roster)
	w.must(err)
	all, err := w.s.Entries(w.ctx, w.mesh, store.Roster, 0, 100, 1<<20)
	w.must(err)
	if len(all) != 4 || all[3].Hash != now.Hash || now.N != 3 {
		t.Fatalf("%d entries, head %d", len(all), now.N)
	}
	// A head alone: a new life over the same entry.
	life := now
	life.Life, life.Signed = 2, []byte("second life")
	w.must(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Prev: now.Hash, Head: life}))
	got, err := w.s.Head(w.ctx, w.mesh, store.Roster)
	w.must(err)
	if got.Life != 2 || string(got.Signed) != "second life" {
		t.Fatalf("head %+v", got)
	}
	w.is(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Prev: last.Hash, Head: life}), store.ErrConflict)
	// What does not follow is refused.
	a, b := w.entry(4), w.entry(6)
	if err := w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Prev: now.Hash, Entries: []store.Entry{a, b}, Head: w.headOver(b)}); err == nil {
		t.Fatal("a gap was taken")
	}
	if err := w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Prev: now.Hash, Entries: []store.Entry{a}, Head: w.headOver(w.entry(4))}); err == nil {
		t.Fatal("a head over another entry was taken")
	}
	w.is(w.s.Append(w.ctx, store.Append{Mesh: keys.MeshID{9}, Prev: now.Hash, Entries: []store.Entry{a}, Head: w.headOver(a)}), store.ErrNotFound)
}

func testChainPages(t *testing.T, open Open) {
	w := begin(t, open)
	all, err := w.s.Entries(w.ctx, w.mesh, store.Roster, 0, 100, 1<<20)
	w.must(err)
	page := func(from uint64, limit, bytes int) []store.Entry {
		t.Helper()
		got, err := w.s.Entries(w.ctx, w.mesh, store.Roster, from, limit, bytes)
		w.must(err)
		return got
	}
	if got := page(1, 1, 1<<20); len(got) != 1 || got[0].N != 1 || string(got[0].Signed) != string(all[1].Signed) || string(got[0].Sig) != "sig" {
		t.Fatalf("by number: %v", got)
	}
	if got := page(0, 100, 1); len(got) != 1 || got[0].N != 0 {
		t.Fatalf("by bytes, one at least: %v", got)
	}
	if got := page(3, 100, 1<<20); len(got) != 0 {
		t.Fatalf("behind the end: %v", got)
	}
	_, err = w.s.Entries(w.ctx, keys.MeshID{1}, store.Roster, 0, 1, 1)
	w.is(err, store.ErrNotFound)
}

func testChannelChain(t *testing.T, open Open) {
	w := begin(t, open)
	channel := w.hash()
	_, err := w.s.Head(w.ctx, w.mesh, channel)
	w.is(err, store.ErrNotFound)
	second := w.entry(1)
	w.is(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Chain: channel, Entries: []store.Entry{second}, Head: w.headOver(second)}), store.ErrNotFound)
	first := w.entry(0)
	w.must(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Chain: channel, Entries: []store.Entry{first}, Head: w.headOver(first)}))
	w.must(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Chain: channel, Prev: first.Hash, Entries: []store.Entry{second}, Head: w.headOver(second)}))
	again := w.entry(0)
	w.is(w.s.Append(w.ctx, store.Append{Mesh: w.mesh, Chain: channel, Entries: []store.Entry{again}, Head: w.headOver(again)}), store.ErrConflict)
	got, err := w.s.Entries(w.ctx, w.mesh, channel, 0, 10, 1<<20)
	w.must(err)
	if len(got) != 2 {
		t.Fatalf("%d entries", len(got))
	}
	if h, err := w.s.Head(w.ctx, w.mesh, store.Roster); err != nil || h.N != 2 {
		t.Fatalf("the roster moved: %v %v", h, err)
	}
}

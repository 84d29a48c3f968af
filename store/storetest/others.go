package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
)

func testCards(t *testing.T, open Open) {
	w := begin(t, open)
	bob, carol := w.peer(), w.peer()
	card := func(peer keys.Public, s keys.SessionID, counter uint64) store.Card {
		return store.Card{Peer: peer, Session: s, Counter: counter, Signed: fmt.Appendf(nil, "card %d", counter),
			Sig: []byte("s"), Extras: []byte("sealed"), Time: int64(counter)}
	}
	saved := func(c store.Card, want bool) {
		t.Helper()
		got, err := w.s.SaveCard(w.ctx, w.mesh, c)
		w.must(err)
		if got != want {
			t.Fatalf("card %d of session %s: saved %v", c.Counter, c.Session, got)
		}
	}
	session := w.session()
	saved(card(bob, keys.SessionID{}, 5), true)
	saved(card(bob, keys.SessionID{}, 5), false)
	saved(card(bob, keys.SessionID{}, 4), false)
	saved(card(bob, keys.SessionID{}, 6), true)
	saved(card(bob, session, 1), true)
	saved(card(carol, keys.SessionID{}, 1), true)
	cards := func() map[keys.Public]uint64 {
		t.Helper()
		all, err := w.s.Cards(w.ctx, w.mesh)
		w.must(err)
		got := map[keys.Public]uint64{}
		for _, c := range all {
			if string(c.Signed) != fmt.Sprintf("card %d", c.Counter) || string(c.Extras) != "sealed" || c.Time != int64(c.Counter) {
				t.Errorf("card %+v", c)
			}
			got[c.Peer] = c.Counter
		}
		return got
	}
	if got := cards(); len(got) != 2 || got[bob] != 6 || got[carol] != 1 {
		t.Fatalf("cards %v", got)
	}
	w.must(w.s.DropCards(w.ctx, w.mesh, bob))
	if got := cards(); len(got) != 1 || got[carol] != 1 {
		t.Fatalf("cards %v", got)
	}
	saved(card(bob, session, 1), true) // the session's went too
}

func testPresence(t *testing.T, open Open) {
	w := begin(t, open)
	bob, carol := w.peer(), w.peer()
	a := store.Presence{Session: w.session(), Mesh: w.mesh, Peer: bob, Label: "web-shop", Status: "idle", Receives: "live",
		Client: "claudemesh/1", PID: 4411, CWD: "/home/bob/web-shop", Host: "desk", Connected: 10, Seen: 20}
	b := store.Presence{Session: w.session(), Mesh: w.mesh, Peer: carol, Connected: 11, Seen: 11}
	w.must(w.s.SavePresence(w.ctx, a, b))
	a.Status, a.Seen = "working", 30
	w.must(w.s.SavePresence(w.ctx, a))
	got, err := w.s.Presence(w.ctx, w.mesh)
	w.must(err)
	if !slices.Equal(got, []store.Presence{a, b}) {
		t.Fatalf("presence %+v", got)
	}
	if saved, err := w.s.SaveCard(w.ctx, w.mesh, store.Card{Peer: bob, Session: a.Session, Counter: 3, Signed: []byte("c"), Sig: []byte("s")}); err != nil || !saved {
		t.Fatal(saved, err)
	}
	w.must(w.s.DropPresence(w.ctx, w.mesh, 50, a.Session, w.session()))
	seen := func() map[keys.Public]int64 {
		t.Helper()
		all, err := w.s.LastSeen(w.ctx, w.mesh)
		w.must(err)
		got := map[keys.Public]int64{}
		for _, s := range all {
			got[s.Peer] = s.Time
		}
		return got
	}
	if got := seen(); len(got) != 1 || got[bob] != 50 {
		t.Fatalf("last seen %v", got)
	}
	// The card went with its session.
	if saved, err := w.s.SaveCard(w.ctx, w.mesh, store.Card{Peer: bob, Session: a.Session, Counter: 1, Signed: []byte("c"), Sig: []byte("s")}); err != nil || !saved {
		t.Fatal(saved, err)
	}
	w.must(w.s.ClearPresence(w.ctx))
	if got, err := w.s.Presence(w.ctx, w.mesh); err != nil || len(got) != 0 {
		t.Fatalf("presence %v, %v", got, err)
	}
	if got := seen(); got[bob] != 50 || got[carol] != 11 {
		t.Fatalf("last seen %v", got)
	}
}

func testAudit(t *testing.T, open Open) {
	w := begin(t, open)
	other := w.newMesh()
	var want []store.Audit
	for i := range 6 {
		a := store.Audit{Mesh: w.mesh, Event: "message", Actor: "a1", Target: "b2", Metadata: fmt.Sprintf(`{"bytes":%d}`, i), Time: int64(i)}
		if i%3 == 2 {
			a.Mesh = other
		}
		want = append(want, a)
	}
	w.must(w.s.Audit(w.ctx, want[:4]))
	w.must(w.s.Audit(w.ctx, want[4:]))
	w.must(w.s.Audit(w.ctx, nil))
	got, err := w.s.AuditLog(w.ctx, w.mesh, 0, 100)
	w.must(err)
	if len(got) != 4 || got[3].Metadata != `{"bytes":4}` || got[0].Event != "message" || got[0].Actor != "a1" || got[0].Target != "b2" || got[3].Time != 4 {
		t.Fatalf("audit log %+v", got)
	}
	hashes := map[[32]byte]bool{}
	for _, a := range got {
		hashes[a.Hash] = true
	}
	if len(hashes) != 4 {
		t.Fatal("hashes repeat")
	}
	page, err := w.s.AuditLog(w.ctx, w.mesh, got[1].ID, 1)
	w.must(err)
	if len(page) != 1 || page[0].ID != got[2].ID {
		t.Fatalf("page %+v", page)
	}
	w.must(w.s.CheckAudit(w.ctx, w.mesh))
	w.must(w.s.CheckAudit(w.ctx, other))
}

func testSettings(t *testing.T, open Open) {
	w := begin(t, open)
	_, err := w.s.Setting(w.ctx, "life")
	w.is(err, store.ErrNotFound)
	w.must(w.s.SetSetting(w.ctx, "life", "1"))
	w.must(w.s.SetSetting(w.ctx, "life", "2"))
	if got, err := w.s.Setting(w.ctx, "life"); err != nil || got != "2" {
		t.Fatal(got, err)
	}
}

package peer_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestLiarWelcomesUnderAnotherHead: a welcome is about one head, and that head is the
// broker's own.
func TestLiarWelcomesUnderAnotherHead(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		other, err := keys.NewBrokerPrivate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		var hello *wire.Hello
		tell := func(change func(*wire.Welcome, chain.Head) *wire.Welcome) {
			liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
				switch g := f.Frame.(type) {
				case *wire.Hello:
					hello = g
				case *wire.Welcome:
					head, err := chain.DecodeHead(g.Head)
					if err != nil {
						t.Error(err)
					}
					return []meshtest.Frame{{Frame: change(g, head.Head)}}
				}
				return []meshtest.Frame{f}
			})
		}
		for name, change := range map[string]func(*wire.Welcome, chain.Head) *wire.Welcome{
			"that it was not signed over": func(w *wire.Welcome, h chain.Head) *wire.Welcome {
				lied := *w
				h.Time++
				lied.Head = liar.Head(h)
				return &lied
			},
			"of another broker's": func(w *wire.Welcome, h chain.Head) *wire.Welcome {
				forged, err := chain.MakeHead(h, other)
				if err != nil {
					t.Error(err)
				}
				return liar.Welcome(w, hello, forged.Object)
			},
		} {
			tell(change)
			alice := deceived(t, machine, liar, "a")
			if err := alice.Connected(t.Context(), false); err == nil {
				t.Errorf("connected under a head %s", name)
			}
			m.Close(alice)
		}
	})
}

// TestLiarSwapsCards: of two sessions of bob's, each is shown with the other's card, then
// with the other's summary.
func TestLiarSwapsCards(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		desk := m.Join("bob", "desk")
		for _, label := range []string{"web-shop", "payments"} {
			session := desk.Live(label)
			defer m.Close(session)
			if err := session.SetSummary(t.Context(), "works on "+label); err != nil {
				t.Fatal(err)
			}
		}
		meshtest.Pass(5 * time.Second)
		liar := m.Liar()
		defer liar.Close()
		swap := func(change func(a, b *wire.SessionPresence)) meshtest.Lie {
			return only(func(p *wire.Presence, _ []byte) []meshtest.Frame {
				lied := *p
				lied.Peers = slices.Clone(p.Peers)
				for i := range lied.Peers {
					s := slices.Clone(lied.Peers[i].Sessions)
					if len(s) == 2 {
						change(&s[0], &s[1])
					}
					lied.Peers[i].Sessions = s
				}
				return []meshtest.Frame{{Frame: &lied}}
			})
		}
		liar.Tell(swap(func(a, b *wire.SessionPresence) { a.Extras, b.Extras = b.Extras, a.Extras }))
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		if b := member(t, alice, "bob@desk"); len(b.Sessions) != 2 || b.Summary != "" {
			t.Errorf("another session's summary is shown: %+v", b)
		}
		events := alice.Events(t.Context())
		liar.Tell(swap(func(a, b *wire.SessionPresence) { a.Card, b.Card = b.Card, a.Card }))
		liar.Hang()
		meshtest.Pass(5 * time.Second)
		if b := member(t, alice, "bob@desk"); len(b.Sessions) != 0 {
			t.Errorf("another session's card is shown: %+v", b)
		}
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 shows a card of bob@desk that bob@desk did not sign; it was refused")
	})
}

// TestLiarKeepsBackAReceipt: what a member said before it was put out is not its word any
// more.
func TestLiarKeepsBackAReceipt(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		liar := m.Liar()
		defer liar.Close()
		var mu sync.Mutex
		var kept []meshtest.Frame
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			if d.Class != wire.ClassReceipt {
				return []meshtest.Frame{{Frame: d, Payload: payload}}
			}
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, meshtest.Frame{Frame: d, Payload: payload})
			return nil
		}))
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		sent := send(t, alice, "bob", "hi", peer.SendOptions{})
		meshtest.Next(t, bob)
		meshtest.Pass(10 * time.Second)
		if _, err := alice.Revoke(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		liar.Tell(nil)
		mu.Lock()
		defer mu.Unlock()
		if len(kept) == 0 {
			t.Fatal("no receipt was kept back")
		}
		liar.Inject(kept[0])
		meshtest.Pass(10 * time.Second)
		if got := states(t, alice, sent.Short); slices.Contains(got, peer.Seen) {
			t.Errorf("the receipt of a revoked member counts: %v", got)
		}
	})
}

// TestUnaskedEntries: a member brings what nobody asked it for, and asks again and
// again. Neither moves anybody.
func TestUnaskedEntries(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("mallory", "x")
		liar := m.Liar() // the honest broker; it counts
		defer liar.Close()
		mallory := deceived(t, machine, liar, "m")
		defer m.Close(mallory)
		meshtest.Online(t, mallory)
		synctest.Wait()
		key := alice.Self().Key
		fromAlice := func() (n int) {
			for _, f := range liar.Heard(wire.TypeDeliver) {
				if d := f.Frame.(*wire.Deliver); d.From == key && d.Class == wire.ClassMessage {
					n++
				}
			}
			return n
		}
		events := alice.Events(t.Context())
		junk := signed.Object{Bytes: []byte("no head"), Sig: make([]byte, signed.SignatureSize)}
		mallory.SendRoster(key, &seal.Roster{From: 99, Heads: []signed.Object{junk}})
		for range 5 {
			mallory.SendRoster(key, &seal.Roster{Ask: true, From: 0})
		}
		meshtest.Pass(10 * time.Second)
		if n := fromAlice(); n != 1 {
			t.Errorf("alice answered %d times", n)
		}
		// What refers to nowhere makes her ask, once.
		at := alice.At()
		for range 3 {
			at.N, at.Hash[3] = at.N+7, at.Hash[3]+1
			if _, err := mallory.SendLying(t.Context(), "alice", "from nowhere", at, 0); err != nil {
				t.Fatal(err)
			}
		}
		e := meshtest.Event(t, events, peer.EventWarning, "")
		if !strings.HasPrefix(e.Text, "mallory's messages refer to a membership change that 127.0.0.1:7900 does not give us") {
			t.Errorf("the first warning is %q", e.Text)
		}
		meshtest.Pass(10 * time.Second)
		if n := fromAlice(); n != 2 {
			t.Errorf("alice answered and asked %d times", n)
		}
	})
}

// TestALongAnswerIsBounded: what a member brings is kept until its last message, in
// order, and not without end.
func TestALongAnswerIsBounded(t *testing.T) {
	page := func(from uint64, n, size int) *seal.Roster {
		r := &seal.Roster{From: from}
		for range n {
			r.Entries = append(r.Entries, signed.Object{Bytes: make([]byte, size)})
		}
		return r
	}
	if got := peer.Gathered(page(3, 2, 10), page(5, 4, 10)); got != 6 {
		t.Errorf("two that follow each other: %d", got)
	}
	if got := peer.Gathered(page(3, 2, 10), page(6, 4, 10)); got != 4 {
		t.Errorf("a gap: %d", got)
	}
	if got := peer.Gathered(page(0, 64, 32<<10), page(64, 64, 32<<10)); got != 128 {
		t.Errorf("4 MiB: %d", got)
	}
	if got := peer.Gathered(page(0, 64, 32<<10), page(64, 64, 32<<10), page(128, 1, 1)); got != -1 {
		t.Errorf("more: %d", got)
	}
}

// TestAnOldWordConfirmsNothing: who says that it knows of an older place, after what
// followed it, confirms no list of members.
func TestAnOldWordConfirmsNothing(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		synctest.Wait()
		old := alice.At()
		meshtest.Pass(time.Minute)
		m.Join("carol", "mac")
		meshtest.Pass(time.Minute)
		confirmed := func() time.Time {
			people, err := alice.Peers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return people.ConfirmedAt
		}
		meshtest.Pass(10 * time.Second)
		before := confirmed()
		meshtest.Pass(5 * time.Minute)
		if _, err := bob.SendLying(t.Context(), "alice", "from where I was", old, 0); err != nil {
			t.Fatal(err)
		}
		meshtest.Next(t, alice)
		if got := confirmed(); !got.Equal(before) {
			t.Errorf("confirmed at %v, before at %v", got, before)
		}
		send(t, bob, "alice", "from where I am", peer.SendOptions{})
		meshtest.Next(t, alice)
		if got := confirmed(); !got.After(before) {
			t.Errorf("not confirmed: %v, before %v", got, before)
		}
	})
}

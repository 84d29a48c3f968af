package peer_test

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// deceived opens a live session that dials the liar.
func deceived(t *testing.T, x *meshtest.Machine, l *meshtest.Liar, label string) *peer.Peer {
	t.Helper()
	return x.Open(peer.Options{Label: label, Receives: peer.Live, Dial: l.Dial})
}

// only lies about what comes down, by one type of frames.
func only[T wire.Frame](f func(T, []byte) []meshtest.Frame) meshtest.Lie {
	return func(up bool, frame meshtest.Frame) []meshtest.Frame {
		if got, ok := frame.Frame.(T); ok && !up {
			return f(got, frame.Payload)
		}
		return []meshtest.Frame{frame}
	}
}

func TestLiarWithAnotherKey(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		other, err := keys.NewBrokerPrivate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		var hellos int
		var mu sync.Mutex
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			if c, ok := f.Frame.(*wire.Challenge); ok {
				return []meshtest.Frame{{Frame: &wire.Challenge{Broker: other.Public(), Nonce: c.Nonce}}}
			}
			if up {
				mu.Lock()
				hellos++
				mu.Unlock()
			}
			return []meshtest.Frame{f}
		})
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		err = alice.Connected(t.Context(), false)
		want := "127.0.0.1:7900 answers with another key than the one that acme is pinned to. Somebody may be in between; nothing was sent. Details: claudemesh doctor --mesh acme"
		if peer.ClassOf(err) != peer.ClassRefused || err.Error() != want {
			t.Errorf("connected: %v", err)
		}
		mu.Lock()
		defer mu.Unlock()
		if hellos != 0 {
			t.Errorf("%d frames went up to it", hellos)
		}
		// The same for who joins by a link, which pins the key too.
		if _, err := peer.Join(t.Context(), m.Link(), peer.JoinOptions{Dir: m.Machine("bob", "desk").Profile, User: "bob", Device: "desk", Dial: liar.Dial}); err == nil ||
			!strings.HasPrefix(err.Error(), "127.0.0.1:7900 answers with another key than the link names") {
			t.Errorf("joined: %v", err)
		}
	})
}

// TestLiarRelaysWelcome: the broker's key alone proves nothing; a welcome answers one
// hello.
func TestLiarForgesWelcome(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		liar.Tell(only(func(w *wire.Welcome, _ []byte) []meshtest.Frame {
			lied := *w
			lied.Sig = append(signed.Bytes{}, w.Sig...)
			lied.Sig[7] ^= 1
			return []meshtest.Frame{{Frame: &lied}}
		}))
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		if err := alice.Connected(t.Context(), false); err == nil || !strings.Contains(err.Error(), "answers with another key") {
			t.Errorf("connected: %v", err)
		}
	})
}

// TestLiarReplaysWelcome: a true welcome of the broker's, made for an earlier hello, is
// shown again: it would keep somebody on the head of that time.
func TestLiarReplaysWelcome(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		old := liar.Heard(wire.TypeWelcome)[0]
		liar.Tell(only(func(*wire.Welcome, []byte) []meshtest.Frame { return []meshtest.Frame{old} }))
		events := alice.Events(t.Context())
		liar.Hang()
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 answers with another key than the one that acme is pinned to")
	})
}

func TestLiarSwapsMembersKey(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		mallory, err := keys.NewPeerPrivate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		swapped, err := mallory.Public().MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		liar.Tell(only(func(e *wire.Entries, _ []byte) []meshtest.Frame {
			lied := *e
			lied.Entries = nil
			for _, o := range e.Entries {
				text := string(o.Bytes)
				if i := strings.Index(text, `"peer":"`); i >= 0 {
					text = text[:i+8] + string(swapped) + text[i+8+len(swapped):]
				}
				lied.Entries = append(lied.Entries, signed.Object{Bytes: []byte(text), Sig: o.Sig})
			}
			return []meshtest.Frame{{Frame: &lied}}
		}))
		events := alice.Events(t.Context())
		m.Join("bob", "desk")
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 gave a list of members of acme whose signatures do not check out. Nothing of it was taken")
		if _, err := alice.Send(t.Context(), "bob", "hi", peer.SendOptions{}); err == nil {
			t.Error("sent to a key that nobody signed")
		}
		// The truth is taken again.
		liar.Tell(nil)
		meshtest.Pass(5 * time.Minute)
		send(t, alice, "bob", "hi", peer.SendOptions{})
	})
}

func TestLiarServesOldChain(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		old := liar.Heard(wire.TypeWelcome)[0].Frame.(*wire.Welcome)
		bobMachine := m.Join("bob", "desk")
		synctest.Wait()
		send(t, alice, "bob", "hi", peer.SendOptions{})
		if _, err := alice.Revoke(t.Context(), "bob"); err != nil {
			t.Fatal(err)
		}
		var hello *wire.Hello
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			switch g := f.Frame.(type) {
			case *wire.Hello:
				hello = g
			case *wire.Welcome:
				return []meshtest.Frame{{Frame: liar.Welcome(g, hello, old.Head)}}
			}
			return []meshtest.Frame{f}
		})
		events := alice.Events(t.Context())
		liar.Hang()
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 holds an older list of members of acme than this machine. It may have been restored from a backup, or withhold a revocation; what is held here stays.")
		if _, err := alice.Send(t.Context(), "bob", "hi", peer.SendOptions{}); err == nil || !strings.Contains(err.Error(), "was revoked") {
			t.Errorf("went back behind the revocation: %v", err)
		}
		_ = bobMachine
	})
}

// envelopes has two people, and the liar between bob and the broker.
func envelopes(t *testing.T, test func(t *testing.T, m *meshtest.Mesh, l *meshtest.Liar, alice, bob *peer.Peer, bobMachine *meshtest.Machine)) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		liar := m.Liar()
		defer liar.Close()
		bob := deceived(t, machine, liar, "b")
		defer m.Close(bob)
		meshtest.Online(t, bob)
		test(t, m, liar, alice, bob, machine)
	})
}

func TestLiarReplays(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, machine *meshtest.Machine) {
		send(t, alice, "bob", "once", peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != "once" {
			t.Fatalf("got %+v", got)
		}
		envelope := liar.Heard(wire.TypeDeliver)[0]
		liar.Inject(envelope) // to the same session
		nothingMore(t, bob)
		m.Close(bob)
		later := deceived(t, machine, liar, "later")
		defer m.Close(later)
		meshtest.Online(t, later)
		liar.Inject(envelope) // to a later one
		nothingMore(t, later)
		// Under another id it would be another message, were the id not sealed.
		events := later.Events(t.Context())
		renamed := *envelope.Frame.(*wire.Deliver)
		renamed.ID[15] ^= 1
		liar.Inject(meshtest.Frame{Frame: &renamed, Payload: envelope.Payload})
		meshtest.Event(t, events, peer.EventWarning, "a message from alice@laptop came under another id than the one sealed in it; it was refused. 127.0.0.1:7900 or alice@laptop made it so")
		nothingMore(t, later)
		// After its expiry, which is sealed too, it is refused although nobody
		// remembers it any more.
		m.Close(alice, later)
		meshtest.Pass(9 * 24 * time.Hour)
		much := deceived(t, machine, liar, "much-later")
		defer m.Close(much)
		meshtest.Online(t, much)
		renewed := *envelope.Frame.(*wire.Deliver)
		renewed.Expires = time.Now().Add(time.Hour).UnixMilli()
		liar.Inject(meshtest.Frame{Frame: &renewed, Payload: envelope.Payload})
		nothingMore(t, much)
	})
}

func TestLiarMovesEnvelope(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		events := bob.Events(t.Context())
		// What alice sends to bob is shown to bob as carol's.
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			lied := *d
			lied.From = carol.Self().Key
			return []meshtest.Frame{{Frame: &lied, Payload: payload}}
		}))
		send(t, alice, "bob", "I am alice", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 handed over a message as from carol@mac that does not open: carol@mac did not seal it for this machine, or it was changed on the way; it was refused")
		// It is reflected to who wrote it: bob gets his own.
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			lied := *d
			lied.From = bob.Self().Key
			return []meshtest.Frame{{Frame: &lied, Payload: payload}}
		}))
		send(t, alice, "bob", "I am alice", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "as from bob@desk that does not open")
		// A flipped bit.
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			lied := append([]byte{}, payload...)
			lied[60] ^= 4
			return []meshtest.Frame{{Frame: d, Payload: lied}}
		}))
		send(t, alice, "bob", "I am alice", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "as from alice@laptop that does not open")
		// A message dressed up as a receipt.
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			lied := *d
			lied.Class = wire.ClassReceipt
			return []meshtest.Frame{{Frame: &lied, Payload: payload}}
		}))
		send(t, alice, "bob", "I am alice", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "a message from alice@laptop came as a receipt and is none, or is one and came as a message; it was refused. 127.0.0.1:7900 or alice@laptop made it so")
		if in := waiting(t, bob, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
			t.Errorf("shown: %+v", in)
		}
		// The first two were refused in carol's and bob's name; alice's own come when
		// the truth is told.
		liar.Tell(nil)
		liar.Hang()
		for range 2 {
			if got := meshtest.Next(t, bob); got.From.Address != "alice@laptop/a" {
				t.Errorf("got %+v", got)
			}
		}
		nothingMore(t, bob)
	})
}

func TestLiarChangesTheOutside(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			lied := *d
			lied.Priority, lied.Sent, lied.Expires = wire.PriorityNow, 1, time.Now().Add(99*24*time.Hour).UnixMilli()
			return []meshtest.Frame{{Frame: &lied, Payload: payload}}
		}))
		if err := bob.SetStatus(t.Context(), peer.Working); err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		send(t, alice, "bob", "whenever", peer.SendOptions{Priority: peer.Low, Expires: time.Hour})
		synctest.Wait()
		if in := waiting(t, bob, peer.TakeOptions{}); len(in.Messages) != 0 {
			t.Errorf("it interrupts: %+v", in)
		}
		in := waiting(t, bob, peer.TakeOptions{Asked: true})
		if len(in.Messages) != 1 {
			t.Fatalf("asked: %+v", in)
		}
		if got := in.Messages[0]; got.Priority != peer.Low || got.Sent.Before(before) || got.Expires.Sub(got.Sent) != time.Hour {
			t.Errorf("the frame's word was taken: %+v", got)
		}
	})
}

func TestLiarSaysSeen(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		m.Join("bob", "desk")
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		var bob peer.Key
		liar.Tell(only(func(a *wire.Ack, _ []byte) []meshtest.Frame {
			bob = a.To
			lied := *a
			lied.State = wire.StateSeen
			return []meshtest.Frame{{Frame: a}, {Frame: &lied}}
		}))
		sent := send(t, alice, "bob", "hi", peer.SendOptions{})
		if sent.To[0].State != peer.Queued {
			t.Errorf("the broker's word: %+v", sent.To[0])
		}
		// A receipt that nobody sealed.
		events := alice.Events(t.Context())
		liar.Inject(meshtest.Frame{Payload: make([]byte, 512), Frame: &wire.Deliver{ID: keys.MessageID{1}, Class: wire.ClassReceipt, From: bob,
			Expires: time.Now().Add(time.Hour).UnixMilli(), Sent: time.Now().UnixMilli(), Attempt: 1}})
		_ = events
		meshtest.Pass(time.Minute)
		if got := states(t, alice, sent.Short); got[0] != peer.Queued {
			t.Errorf("after a forged receipt: %v", got)
		}
	})
}

// TestLiarWithholdsRevocation: a message refers to an entry that the broker does not
// give; who wrote it brings it, and the revocation holds.
func TestLiarWithholdsRevocation(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		synctest.Wait()
		events := bob.Events(t.Context())
		heard := liar.Heard(wire.TypeEntries)
		held := heard[len(heard)-1].Frame.(*wire.Entries) // carol's join
		liar.Tell(only(func(e *wire.Entries, _ []byte) []meshtest.Frame {
			if e.Re == 0 {
				return nil // what is pushed is swallowed
			}
			// Nothing new, under the head that bob has.
			return []meshtest.Frame{{Frame: &wire.Entries{Re: e.Re, From: e.From, Head: held.Head}}}
		}))
		if _, err := alice.Revoke(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		send(t, alice, "bob", "carol is out", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "alice's messages refer to a membership change that 127.0.0.1:7900 does not give us. Someone may be withholding a revocation. Ask alice; details: claudemesh doctor --mesh acme")
		// Alice brings the entry herself, sealed; then her message is shown.
		if got := meshtest.Next(t, bob); got.Body != "carol is out" {
			t.Errorf("got %+v", got)
		}
		if _, err := bob.Send(t.Context(), "carol", "hi", peer.SendOptions{}); err == nil || !strings.Contains(err.Error(), "was revoked") {
			t.Errorf("bob still sends to carol: %v", err)
		}
	})
}

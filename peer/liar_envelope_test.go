package peer_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestLiarMisdelivers: an envelope is handed to somebody else, to another device of its
// recipient, and back to who wrote it. Nobody else opens it, and all are told.
func TestLiarMisdelivers(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		bobMachine := m.Join("bob", "desk")
		carolMachine := m.Join("carol", "mac")
		phoneMachine := m.Join("bob", "phone")
		liar := m.Liar()
		defer liar.Close()
		bob := deceived(t, bobMachine, liar, "b")
		defer m.Close(bob)
		meshtest.Online(t, bob)
		admitOne(t, bob)
		alice := deceived(t, aliceMachine, liar, "a")
		carol := deceived(t, carolMachine, liar, "c")
		phone := deceived(t, phoneMachine, liar, "p")
		all := []*peer.Peer{alice, carol, phone}
		defer m.Close(all...)
		for _, p := range all {
			meshtest.Online(t, p)
		}
		send(t, alice, "bob@desk", "for bob's desk", peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != "for bob's desk" {
			t.Fatalf("got %+v", got)
		}
		envelope := liar.Heard(wire.TypeDeliver)[0]
		events := map[*peer.Peer]<-chan peer.Event{}
		for _, p := range all {
			events[p] = p.Events(t.Context())
		}
		liar.Inject(envelope)
		for _, p := range all {
			meshtest.Event(t, events[p], peer.EventWarning, "127.0.0.1:7900 handed over a message as from alice@laptop that does not open")
		}
		// Both ends of a pair share a key: to alice it opens as bob's.
		back := *envelope.Frame.(*wire.Deliver)
		back.From = bob.Self().Key
		liar.Inject(meshtest.Frame{Frame: &back, Payload: envelope.Payload})
		meshtest.Event(t, events[alice], peer.EventWarning, "127.0.0.1:7900 handed back a message of this machine as from bob@desk, or bob@desk imitates this machine; it was refused")
		for _, p := range append(all, bob) {
			if in := waiting(t, p, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
				t.Errorf("%s is shown %+v", p.Self().Address, in.Messages)
			}
		}
	})
}

// TestLiarReorders: of one sender's messages the later come first. They wait for the
// earlier ones, and are shown in the order in which they were written.
func TestLiarReorders(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		send(t, alice, "bob", "zero", peer.SendOptions{})
		meshtest.Next(t, bob) // the count has begun
		var mu sync.Mutex
		var kept []meshtest.Frame
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			mu.Lock()
			defer mu.Unlock()
			copied := *d
			if kept = append(kept, meshtest.Frame{Frame: &copied, Payload: slices.Clone(payload)}); len(kept) < 3 {
				return nil
			}
			slices.Reverse(kept)
			return kept
		}))
		for _, body := range []string{"one", "two", "three"} {
			send(t, alice, "bob", body, peer.SendOptions{SeenWait: -1})
		}
		for _, body := range []string{"one", "two", "three"} {
			if got := meshtest.Next(t, bob); got.Body != body || got.Late || got.Missing != 0 {
				t.Errorf("%s: got %+v", body, got)
			}
		}
	})
}

// TestLiarIsLate: of one sender's messages one comes when those behind it were shown. They
// say that one is missing, and it says that later ones were shown.
func TestLiarIsLate(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		send(t, alice, "bob", "zero", peer.SendOptions{})
		meshtest.Next(t, bob) // the count has begun
		var late atomic.Pointer[meshtest.Frame]
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			copied := *d
			late.Store(&meshtest.Frame{Frame: &copied, Payload: slices.Clone(payload)})
			return nil
		}))
		send(t, alice, "bob", "one", peer.SendOptions{SeenWait: -1})
		synctest.Wait()
		liar.Tell(nil)
		send(t, alice, "bob", "two", peer.SendOptions{SeenWait: -1})
		if got := meshtest.Next(t, bob); got.Body != "two" || got.Missing != 1 || got.Late {
			t.Errorf("before it: %+v", got)
		}
		liar.Inject(*late.Load())
		if got := meshtest.Next(t, bob); got.Body != "one" || !got.Late || got.Missing != 0 || got.Again {
			t.Errorf("late: %+v", got)
		}
		send(t, alice, "bob", "three", peer.SendOptions{SeenWait: -1})
		if got := meshtest.Next(t, bob); got.Body != "three" || got.Late || got.Missing != 0 {
			t.Errorf("behind it: %+v", got)
		}
	})
}

// TestLiarIsSentNothingForTheRevoked: what is sent again goes to nobody who was put out
// meanwhile: the broker does not get to hand it over.
func TestLiarIsSentNothingForTheRevoked(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		defer m.Close(alice)
		bobMachine, carol := m.Join("bob", "desk"), m.Join("carol", "mac").Live("c")
		carols := carol.Self().Key
		m.Close(carol)
		liar := m.Liar()
		defer liar.Close()
		bob := deceived(t, bobMachine, liar, "b")
		defer m.Close(bob)
		meshtest.Online(t, bob)
		var pass, sentToCarol atomic.Int64
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			s, ok := f.Frame.(*wire.Send)
			if !ok || !up {
				return []meshtest.Frame{f}
			}
			to := func(r wire.Recipient) bool { return r.Key == carols }
			if s.To == carols || slices.ContainsFunc(s.Recipients, to) {
				sentToCarol.Add(1)
			}
			if pass.Load() == 0 {
				return nil
			}
			return []meshtest.Frame{f}
		})
		direct := send(t, bob, "carol", "for carol", peer.SendOptions{NoWait: true})
		all := send(t, bob, "*", "for all", peer.SendOptions{NoWait: true})
		synctest.Wait()
		if n := sentToCarol.Load(); n != 2 {
			t.Fatalf("sent to carol %d times", n)
		}
		if _, err := alice.Revoke(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // bob knows
		sentToCarol.Store(0)
		pass.Store(1)
		liar.Hang()
		if got := meshtest.Next(t, alice); got.Body != "for all" {
			t.Errorf("got %+v", got)
		}
		meshtest.Pass(5 * time.Second)
		if n := sentToCarol.Load(); n != 0 {
			t.Errorf("sent to carol again, %d times", n)
		}
		for id, want := range map[string][]peer.State{direct.Short: {peer.Refused}, all.Short: {peer.Refused, peer.Seen}} {
			got := states(t, bob, id)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("bob takes it for %v, not %v", got, want)
			}
		}
	})
}

// TestLiarBurnsAnID: a message's id is used up by rubbish before the message itself
// comes. An id counts only once what it names was opened.
func TestLiarBurnsAnID(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
			rubbish := slices.Clone(payload)
			rubbish[len(rubbish)/2] ^= 1
			return []meshtest.Frame{{Frame: d, Payload: rubbish}, {Frame: d, Payload: payload}}
		}))
		send(t, alice, "bob", "the real one", peer.SendOptions{SeenWait: -1})
		if got := meshtest.Next(t, bob); got.Body != "the real one" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestLiarDropsDelaysDuplicates: whatever is lost, late or comes twice on the way, in
// the end each message is shown once.
func TestLiarDropsDelaysDuplicates(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
				var mu sync.Mutex
				rng := rand.New(rand.NewPCG(seed, 1))
				var late []meshtest.Frame
				liar.Tell(only(func(d *wire.Deliver, payload []byte) []meshtest.Frame {
					mu.Lock()
					defer mu.Unlock()
					copied := *d
					f := meshtest.Frame{Frame: &copied, Payload: slices.Clone(payload)}
					out := late
					late = nil
					switch rng.IntN(4) {
					case 0: // lost
					case 1:
						late = append(late, f)
					case 2:
						out = append(out, f, f)
					default:
						out = append(out, f)
					}
					return out
				}))
				const count = 20
				for i := range count {
					send(t, alice, "bob", fmt.Sprint(i), peer.SendOptions{SeenWait: -1})
				}
				synctest.Wait()
				liar.Tell(nil)
				liar.Hang()
				shown := map[string]int{}
				for range count {
					shown[meshtest.Next(t, bob).Body]++
				}
				nothingMore(t, bob)
				for i := range count {
					if n := shown[fmt.Sprint(i)]; n != 1 {
						t.Errorf("message %d was shown %d times", i, n)
					}
				}
			})
		})
	}
}

// TestLiarHasOneClaimed: what is sealed to one alone comes twice, as if any one of several
// could have it, and each claim is granted. It is shown once.
func TestLiarHasOneClaimed(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			switch g := f.Frame.(type) {
			case *wire.Deliver:
				lied := *g
				lied.Claim = true
				f.Frame = &lied
				return []meshtest.Frame{f, f}
			case *wire.Grant:
				lied := *g
				lied.Granted = true
				f.Frame = &lied
			}
			return []meshtest.Frame{f}
		})
		send(t, alice, "bob", "once", peer.SendOptions{SeenWait: -1})
		synctest.Wait()
		shown := 0
		for range 3 {
			in, err := bob.Take(t.Context(), peer.TakeOptions{Max: 1, Asked: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := bob.Seen(t.Context(), in.Messages...); err != nil {
				t.Fatal(err)
			}
			shown += len(in.Messages)
		}
		liar.Tell(nil)
		liar.Hang()
		meshtest.Pass(time.Minute)
		in, err := bob.Take(t.Context(), peer.TakeOptions{Asked: true})
		if shown += len(in.Messages); err != nil || shown != 1 {
			t.Errorf("shown %d times: %v", shown, err)
		}
	})
}

// TestLiarDropsForGood: the broker throws a message away and says that it was delivered.
// It never becomes seen, and with the next one the recipient is told that one is missing.
func TestLiarDropsForGood(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		send(t, alice, "bob", "one", peer.SendOptions{})
		meshtest.Next(t, bob)
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			if s, ok := f.Frame.(*wire.Send); ok && up && s.Class == wire.ClassMessage {
				liar.Inject(meshtest.Frame{Frame: &wire.Ack{State: wire.StateDelivered, To: s.To, IDs: []keys.MessageID{s.ID}}})
				return nil
			}
			return []meshtest.Frame{f}
		})
		sent := send(t, alice, "bob", "two", peer.SendOptions{})
		liar.Tell(nil)
		send(t, alice, "bob", "three", peer.SendOptions{SeenWait: -1})
		if got := meshtest.Next(t, bob); got.Body != "three" || got.Missing != 1 {
			t.Errorf("got %+v", got)
		}
		meshtest.Pass(time.Minute)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Delivered}) {
			t.Errorf("alice takes it for %v", got)
		}
	})
}

// TestMemberSendsWhatCannotBeOpened: what a hostile member seals badly and what a hostile broker
// changes look alike, so both are named, and neither is accused alone.
func TestMemberSendsWhatCannotBeOpened(t *testing.T) {
	for name, c := range map[string]struct {
		lie  func(s *wire.Send, payload []byte) []byte
		told string
	}{
		"rubbish": {func(_ *wire.Send, payload []byte) []byte {
			return slices.Repeat([]byte{1}, len(payload))
		}, "127.0.0.1:7900 handed over a message as from mallory@x that does not open: mallory@x did not seal it for this machine, or it was changed on the way; it was refused"},
		"too short": {func(*wire.Send, []byte) []byte { return []byte{1} },
			"a message from mallory@x cannot be read; perhaps claudemesh is to be updated here; it was refused. 127.0.0.1:7900 or mallory@x made it so"},
		"another id": {func(s *wire.Send, payload []byte) []byte {
			s.ID[15] ^= 1
			return payload
		}, "a message from mallory@x came under another id than the one sealed in it; it was refused. 127.0.0.1:7900 or mallory@x made it so"},
		"another class": {func(s *wire.Send, payload []byte) []byte {
			s.Class = wire.ClassReceipt
			return payload
		}, "a message from mallory@x came as a receipt and is none, or is one and came as a message; it was refused. 127.0.0.1:7900 or mallory@x made it so"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				alice := m.Create("alice", "laptop").Live("a")
				defer m.Close(alice)
				machine := m.Join("mallory", "x")
				own := m.Liar() // mallory's own client, changed
				defer own.Close()
				mallory := deceived(t, machine, own, "m")
				defer m.Close(mallory)
				meshtest.Online(t, mallory)
				own.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
					if s, ok := f.Frame.(*wire.Send); ok && up {
						changed := *s
						return []meshtest.Frame{{Payload: c.lie(&changed, slices.Clone(f.Payload)), Frame: &changed}}
					}
					return []meshtest.Frame{f}
				})
				events := alice.Events(t.Context())
				// Whether mallory hears of it matters to nobody.
				_, _ = mallory.Send(t.Context(), "alice", "hi", peer.SendOptions{SeenWait: -1})
				meshtest.Event(t, events, peer.EventWarning, c.told)
				meshtest.Pass(time.Second)
				if in := waiting(t, alice, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
					t.Errorf("shown: %+v", in)
				}
			})
		})
	}
}

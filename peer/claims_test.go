package peer_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestDevicesClaim: what is for any one device of a user is shown by one, though both ask
// for it at the same moment; what a device was handed and did not show before it left, the
// other one shows, in order; and the sender hears which device it was.
func TestDevicesClaim(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		desk := m.Join("bob", "desk").Live("b")
		phoneMachine := m.Join("bob", "phone")
		admitOne(t, desk)
		phone := phoneMachine.Live("b")
		defer m.Close(phone)

		sent := map[string]peer.Sent{}
		say := func(bodies ...string) {
			for _, body := range bodies {
				sent[body] = send(t, alice, "bob", body, peer.SendOptions{Priority: peer.Low, SeenWait: -1})
			}
			synctest.Wait()
		}
		shown := map[string]string{} // body to device
		take := func(p *peer.Peer) (got []string) {
			in, err := p.Take(t.Context(), peer.TakeOptions{Asked: true})
			if err != nil {
				t.Error(err)
			}
			if err := p.Seen(t.Context(), in.Messages...); err != nil {
				t.Error(err)
			}
			return bodies(in)
		}
		note := func(device string, got []string) {
			for _, body := range got {
				if by, twice := shown[body]; twice {
					t.Errorf("%q is shown by %s and by %s", body, by, device)
				}
				shown[body] = device
			}
		}

		say("one", "two", "three", "four")
		for range 3 { // one that waits for a device that did not claim passes on after a minute
			var both sync.WaitGroup
			var atDesk, atPhone []string
			both.Go(func() { atDesk = take(desk) })
			both.Go(func() { atPhone = take(phone) })
			both.Wait()
			note("desk", atDesk)
			note("phone", atPhone)
			meshtest.Pass(90 * time.Second)
		}
		if len(shown) != 4 {
			t.Errorf("shown are %v", shown)
		}

		// Desk leaves with what it was handed.
		say("five", "six")
		m.Close(desk)
		meshtest.Pass(90 * time.Second)
		got := take(phone)
		if !slices.Equal(got, []string{"five", "six"}) {
			t.Errorf("the other device has %q", got)
		}
		note("phone", got)
		meshtest.Pass(5 * time.Second)
		for body, s := range sent {
			trace, err := alice.Message(t.Context(), s.Short)
			if err != nil {
				t.Fatal(err)
			}
			if r := trace.To[0]; len(trace.To) != 1 || r.State != peer.Seen || r.Device != shown[body] {
				t.Errorf("%q was shown by %s: alice hears %s", body, shown[body], fmt.Sprint(r.State, " by ", r.Device))
			}
		}
	})
}

// TestCopiesThatArePutAway: where a user refuses a sender, of whom something for any one
// device waits, it goes on to the next device, whichever session brought it and whichever
// was told; when all refuse, its sender hears that.
func TestCopiesThatArePutAway(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		deskMachine, phoneMachine := m.Join("bob", "desk"), m.Join("bob", "phone")
		desk := deskMachine.Live("b")
		defer m.Close(desk)
		admitOne(t, desk)
		phone := phoneMachine.Live("b")
		defer m.Close(phone)
		other := deskMachine.Live("c")
		defer m.Close(other)

		sent := send(t, alice, "bob", "whoever is there", peer.SendOptions{Priority: peer.Low, SeenWait: -1})
		for _, p := range []*peer.Peer{other, phone} {
			if err := p.SetPolicy(t.Context(), "alice", peer.Refuse); err != nil {
				t.Fatal(err)
			}
			meshtest.Pass(time.Second)
		}
		trace, err := alice.Message(t.Context(), sent.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range trace.To {
			if r.State != peer.Refused || r.Why != "policy" {
				t.Errorf("%s: %s %s", r.Address, r.State, r.Why)
			}
		}

		for _, p := range []*peer.Peer{desk, phone} {
			if err := p.SetPolicy(t.Context(), "alice", peer.Accept); err != nil {
				t.Fatal(err)
			}
		}
		sent = send(t, alice, "bob", "in a minute it is too late", peer.SendOptions{Priority: peer.Low, SeenWait: -1, Expires: time.Minute})
		meshtest.Pass(2 * time.Minute)
		if trace, err = alice.Message(t.Context(), sent.ID.String()); err != nil {
			t.Fatal(err)
		}
		for _, r := range trace.To {
			if r.State != peer.Refused && r.State != peer.Expired {
				t.Errorf("%s: %s %s", r.Address, r.State, r.Why)
			}
		}
	})
}

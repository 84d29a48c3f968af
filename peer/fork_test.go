package peer_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestLiarForks: two members are shown two orders. Who hears of the other one proves
// it, and nothing crosses.
func TestLiarForks(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		bobMachine := m.Join("bob", "desk")
		liar := m.Liar()
		defer liar.Close()
		alice := aliceMachine.Live("a")
		defer m.Close(alice)
		bob := deceived(t, bobMachine, liar, "b")
		defer m.Close(bob)
		meshtest.Online(t, bob)

		// Alice closes the link; bob is given, in the same place, another entry of
		// hers: the broker kept it from a time when it refused it.
		other, head := fork(t, aliceMachine, liar)
		liar.Tell(only(func(e *wire.Entries, _ []byte) []meshtest.Frame {
			lied := *e
			switch {
			case e.Re == 0:
				lied.Entries, lied.Head = []signed.Object{other}, head
			default:
				lied.Entries, lied.Head = nil, head
			}
			return []meshtest.Frame{{Frame: &lied}}
		}))
		open, err := alice.Invites(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Revoke(t.Context(), open[0].ID); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if bob.At() == alice.At() || bob.At().N != alice.At().N {
			t.Fatalf("no fork: %+v and %+v", bob.At(), alice.At())
		}
		events := bob.Events(t.Context())
		send(t, alice, "bob", "across", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 has signed two different lists of members of acme: it shows members different ones. Ask an owner, who can heal it")
		meshtest.Pass(time.Hour)
		if in := waiting(t, bob, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
			t.Errorf("something crossed: %+v", in)
		}
	})
}

// fork makes another entry for the next place of the chain, and a head over it.
func fork(t *testing.T, x *meshtest.Machine, liar *meshtest.Liar) (entry, head signed.Object) {
	t.Helper()
	folder, err := profile.Open(x.Profile)
	if err != nil {
		t.Fatal(err)
	}
	config, err := folder.Config()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := config.Find("acme")
	if err != nil {
		t.Fatal(err)
	}
	state, err := folder.OpenState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	var objects []signed.Object
	var kept profile.ChainHead
	err = state.View(t.Context(), mine.ID, func(tx *profile.Tx) (err error) {
		if kept, err = tx.ChainHead(profile.Roster); err != nil {
			return err
		}
		objects, err = tx.Chain(profile.Roster, 0, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := roster.Load(mine.ID, keys.Public{}, objects, kept.Head)
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.State().Sign(time.Now().UnixMilli(), chain.Broker{URLs: []string{"https://elsewhere.example.org"}}, mine.PeerKey)
	if err != nil {
		t.Fatal(err)
	}
	return e.Object, liar.Head(chain.Head{Mesh: mine.ID, N: e.Entry.N, Hash: e.Hash, Time: time.Now().UnixMilli(), Life: r.Chain().Head().Head.Life})
}

// TestRandomAt: a member accuses the broker of withholding what never was. It is asked,
// has nothing to show, and is refused by name.
func TestRandomAt(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		mallory := m.Join("mallory", "x").Live("m")
		defer m.Close(mallory)
		synctest.Wait()
		events := alice.Events(t.Context())
		at := alice.At()
		at.N, at.Hash[3] = at.N+7, at.Hash[3]^1
		sent, err := mallory.SendLying(t.Context(), "alice", "from nowhere", at, 0)
		if err != nil {
			t.Fatal(err)
		}
		meshtest.Event(t, events, peer.EventWarning, "mallory's messages refer to a membership change that nobody can show, not mallory@x either; they are refused")
		meshtest.Pass(5 * time.Second)
		if in := waiting(t, alice, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
			t.Errorf("shown: %+v", in)
		}
		if got := states(t, mallory, sent.Short); !slices.Equal(got, []peer.State{peer.Refused}) {
			t.Errorf("mallory hears %v", got)
		}
		// What it says from where it stands is shown.
		send(t, mallory, "alice", "sorry", peer.SendOptions{})
		if got := meshtest.Next(t, alice); got.Body != "sorry" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestClockAhead(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		events := alice.Events(t.Context())
		if _, err := bob.SendLying(t.Context(), "alice", "from the future", signed.At{}, time.Hour.Milliseconds()); err != nil {
			t.Fatal(err)
		}
		meshtest.Event(t, events, peer.EventWarning, "a message from bob@desk is dated more than ten minutes ahead: its clock or this one is wrong")
		if in := waiting(t, alice, peer.TakeOptions{}); len(in.Messages) != 0 {
			t.Errorf("shown early: %+v", in)
		}
		meshtest.Pass(time.Hour)
		if got := meshtest.Next(t, alice); got.Body != "from the future" || !got.Early {
			t.Errorf("got %+v", got)
		}
	})
}

func TestPolicy(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for _, c := range []struct {
			who    string
			policy delivery.Policy
			state  peer.State
			why    string
		}{
			{"bob", delivery.PolicyHold, peer.Held, ""},
			{"bob", delivery.PolicyRefuse, peer.Refused, "policy"},
			{"bob@desk", delivery.PolicyMute, peer.Refused, "muted"},
		} {
			if err := alice.Decide(t.Context(), c.who, c.policy); err != nil {
				t.Fatal(err)
			}
			sent := send(t, bob, "alice", "hi", peer.SendOptions{SeenWait: 3 * time.Second})
			if got := sent.To[0]; got.State != c.state || got.Why != c.why {
				t.Errorf("policy %d: %+v", c.policy, got)
			}
		}
		in := waiting(t, alice, peer.TakeOptions{Asked: true})
		if len(in.Messages) != 0 || in.Held != 1 {
			t.Errorf("inbox %+v", in)
		}
	})
}

func TestSuggestions(t *testing.T) {
	names := []string{"alice", "bob", "carol", "bert"}
	for name, want := range map[string]string{"bbo": "bob", "bob": "bob", "alcie": "alice", "carl": "carol", "zoe": "", "x": "", "bo": "bob", "mallory": "", "": ""} {
		if got := peer.Suggest(name, names); got != want {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	if got := peer.Suggest(strings.Repeat("x", 500), names); got != "" {
		t.Errorf("a long name: %q", got)
	}
}

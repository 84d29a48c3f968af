package peer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
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
		// Both are told, whoever hears of the other first.
		const told = "127.0.0.1:7900 has signed two different lists of members of acme: it shows members different ones. Ask an owner, who can mend it: claudemesh mesh heal; details: claudemesh doctor --mesh acme"
		heard := alice.Events(t.Context())
		send(t, bob, "alice", "from the other side", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, heard, peer.EventWarning, told)
		events := bob.Events(t.Context())
		send(t, alice, "bob", "across", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, told)
		meshtest.Pass(time.Hour)
		for _, p := range []*peer.Peer{alice, bob} {
			if in := waiting(t, p, peer.TakeOptions{Asked: true}); len(in.Messages) != 0 {
				t.Errorf("something crossed: %+v", in)
			}
		}
		// The owner says which list counts; bob takes it over by himself, and what
		// waited crosses.
		liar.Tell(nil)
		healed, err := alice.Heal(t.Context(), peer.HealOptions{})
		if err != nil || !slices.Equal(healed.Members, []string{"alice@laptop", "bob@desk"}) || len(healed.Lost) != 0 {
			t.Fatalf("heal: %+v, %v", healed, err)
		}
		meshtest.Pass(2 * time.Minute) // bob rests after a broker that cheats
		if got := meshtest.Next(t, bob); got.Body != "across" {
			t.Errorf("got %+v", got)
		}
		if bob.At() != alice.At() {
			t.Errorf("bob stands at %+v, alice at %+v", bob.At(), alice.At())
		}
		send(t, bob, "alice", "mended", peer.SendOptions{})
		if got := meshtest.Next(t, alice); got.Body != "mended" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestHealFromTheOtherSide: the owner's own machine holds the list that the broker does
// not go on with. The heal says what is lost, and that machine goes on with the others.
func TestHealFromTheOtherSide(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, aliceMachine, liar, "a")
		defer m.Close(alice)
		meshtest.Online(t, alice)
		other, head := fork(t, aliceMachine, liar)
		place, err := chain.PlaceOf(other)
		if err != nil {
			t.Fatal(err)
		}
		liar.Inject(meshtest.Frame{Frame: &wire.Entries{From: place, Entries: []signed.Object{other}, Head: head}})
		synctest.Wait()
		events := alice.Events(t.Context())
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		meshtest.Event(t, events, peer.EventWarning, "has signed two different lists of members of acme")
		stop := errors.New("not now")
		plan, err := alice.Heal(t.Context(), peer.HealOptions{Checked: func(peer.Healing) error { return stop }})
		if !errors.Is(err, stop) || !slices.Equal(plan.Members, []string{"alice@laptop", "bob@desk"}) || !slices.Equal(plan.Lost, []string{"an entry of type broker"}) {
			t.Fatalf("plan: %+v, %v", plan, err)
		}
		if _, err := alice.Heal(t.Context(), peer.HealOptions{}); err != nil {
			t.Fatal(err)
		}
		send(t, alice, "bob", "hi", peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != "hi" {
			t.Errorf("got %+v", got)
		}
		// Who has no owner's key cannot.
		if _, err := bob.Heal(t.Context(), peer.HealOptions{}); !errors.Is(err, peer.ErrNoOwnerKey) {
			t.Errorf("bob heals: %v", err)
		}
	})
}

// holding is what a machine keeps of the mesh: its keys, and the chain.
func holding(t *testing.T, x *meshtest.Machine) (config.Mesh, *roster.Roster) {
	t.Helper()
	folder, err := profile.Open(x.Profile)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := folder.Config()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := settings.Find("acme")
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
	return *mine, r
}

// fork makes another entry for the next place of the chain, and a head over it.
func fork(t *testing.T, x *meshtest.Machine, liar *meshtest.Liar) (entry, head signed.Object) {
	t.Helper()
	mine, r := holding(t, x)
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

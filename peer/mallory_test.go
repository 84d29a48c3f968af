package peer_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TestMemberEscalates: a member wants to be more than that, by an invite and by the
// chain itself. The honest broker refuses both, with a sentence.
func TestMemberEscalates(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("mallory", "x")
		mallory := machine.Live("m")
		defer m.Close(mallory)
		synctest.Wait()
		for name, o := range map[string]peer.InviteOptions{"an admin's invite": {Admin: true}, "anybody's invite": {}} {
			_, err := mallory.Invite(t.Context(), o)
			if peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "mallory") && !strings.Contains(err.Error(), "you may not") {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := mallory.Revoke(t.Context(), "alice"); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("revoked alice: %v", err)
		}
		// Past its own client, straight to the broker.
		before := alice.At()
		own, r := holding(t, machine)
		for name, body := range map[string]chain.Body{
			"a rank for itself": chain.Role{Key: own.PeerKey.Public(), Rank: chain.RankAdmin},
			"a further owner":   chain.Role{Key: own.PeerKey.Public(), Rank: chain.RankOwner},
			"another broker":    chain.Broker{URLs: []string{"https://elsewhere.example.org"}},
			"a heal":            chain.Heal{Broker: own.PeerKey.Public(), URLs: []string{"https://elsewhere.example.org"}},
			"alice's end":       chain.Revoke{Keys: []keys.Public{alice.Self().Key}},
		} {
			e, err := chain.Make(r.State().Draft(time.Now().UnixMilli(), own.PeerKey.Public(), body), own.PeerKey)
			if err != nil {
				t.Fatal(err)
			}
			if err := mallory.Append(t.Context(), e.Object); peer.ClassOf(err) != peer.ClassRefused {
				t.Errorf("%s: %v", name, err)
			}
		}
		if alice.At() != before {
			t.Error("something was ordered")
		}
	})
}

// TestMemberClaimsAName: somebody else joins under alice's name. It waits, alice's
// sessions show it, and nothing reaches it before she says yes.
func TestMemberClaimsAName(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		events := alice.Events(t.Context())
		impostor := m.Machine("alice", "x")
		joined, err := impostor.TryJoin(m.Link())
		if err != nil || !joined.Pending {
			t.Fatalf("joined: %+v, %v", joined, err)
		}
		meshtest.Event(t, events, peer.EventRequest, "alice@x wants in as your device. Its number: ")
		sent := send(t, bob, "alice", "only for alice", peer.SendOptions{})
		if len(sent.To) != 1 || sent.To[0].Device != "laptop" {
			t.Errorf("sent to %+v", sent.To)
		}
		if _, err := bob.Send(t.Context(), "alice@x", "hi", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("sent to the impostor: %v", err)
		}
		x := impostor.Open(peer.Options{Label: "x", Receives: peer.Live})
		defer m.Close(x)
		if _, err := x.Send(t.Context(), "bob", "I am alice", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "yes") {
			t.Errorf("the impostor sends: %v", err)
		}
		nothingMore(t, x)
		// Bob cannot say yes in her place, and a name that only looks like hers is no name.
		if asked, err := bob.Requests(t.Context()); err != nil || len(asked) != 0 && asked[0].CanAdmit {
			t.Errorf("bob may admit: %+v, %v", asked, err)
		}
		for _, name := range []string{"\u0430lice", "alice ", "ALICE\u200b", "key-abcdefgh", "alice/laptop"} {
			other := m.Machine("someone", "else")
			_, err := peer.Join(t.Context(), m.Link(), peer.JoinOptions{Dir: other.Profile, User: name, Device: "x", Dial: m.Net.Dial})
			if err == nil {
				t.Errorf("%q joined", name)
			}
		}
	})
}

// TestRevokedComesBack: who was put out tries its own link again, and the key that it
// has. The link closed with it.
func TestRevokedComesBack(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		m.Join("mallory", "x")
		synctest.Wait()
		if _, err := alice.Revoke(t.Context(), "mallory"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ user, device string }{{"mallory", "y"}, {"eve", "x"}} {
			_, err := m.Machine(c.user, c.device).TryJoin(m.Link())
			if peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "it is closed: used up, expired or revoked. Ask for a new one") {
				t.Errorf("%s@%s: %v", c.user, c.device, err)
			}
		}
		if people, err := alice.Peers(t.Context()); err != nil || len(people.Members) != 1 {
			t.Errorf("members: %+v, %v", people.Members, err)
		}
	})
}

// TestMemberFloodsEntries: a member appends as much as it can. A limit of the mesh ends
// it, and a rate of the broker's slows it down before.
func TestMemberFloodsEntries(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		mallory := m.Join("mallory", "x").Live("m")
		defer m.Close(mallory)
		synctest.Wait()
		before := alice.At().N
		var err error
		made := 0
		for ; err == nil && made < 100; made++ {
			_, err = mallory.Invite(t.Context(), peer.InviteOptions{Device: true})
		}
		if made-1 != 16 || peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "16 open invites a user") {
			t.Errorf("%d were made: %v", made-1, err)
		}
		synctest.Wait() // the last entry's head is on its way to her
		if got := alice.At().N - before; got != 16 {
			t.Errorf("%d entries were ordered", got)
		}
		send(t, mallory, "alice", "still served", peer.SendOptions{})
		if got := meshtest.Next(t, alice); got.Body != "still served" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestNobodysKey: the broker hands over a message as from a key of low order, to which
// anybody could have sealed.
func TestNobodysKey(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		events := bob.Events(t.Context())
		liar.Inject(meshtest.Frame{Payload: make([]byte, 512), Frame: &wire.Deliver{ID: keys.MessageID{1}, Class: wire.ClassMessage,
			From: keys.Public{1}, Priority: wire.PriorityNow, Expires: time.Now().Add(time.Hour).UnixMilli(), Sent: time.Now().UnixMilli(), Attempt: 1}})
		meshtest.Event(t, events, peer.EventWarning, "which can be nobody's key; it was refused")
		nothingMore(t, bob)
	})
}

// TestMemberSeesAnotherText: a receipt that names another hash than that of what was sent
// counts for nothing.
func TestMemberSeesAnotherText(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		mallory := m.Join("mallory", "x").Live("m")
		defer m.Close(mallory)
		sent := send(t, alice, "mallory", "read this", peer.SendOptions{Priority: peer.Low, SeenWait: -1})
		if err := mallory.SeeAnother(t.Context(), alice.Self().Key, sent.ID); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Delivered}) {
			t.Errorf("alice takes it for %v", got)
		}
		if got := asked(t, mallory); !slices.Equal(got, []string{"read this"}) {
			t.Errorf("shown: %q", got)
		}
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("after it was seen alice takes it for %v", got)
		}
	})
}

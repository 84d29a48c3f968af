package peer_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// member finds a member by its address.
func member(t *testing.T, p *peer.Peer, address string) peer.Member {
	t.Helper()
	people, err := p.Peers(t.Context())
	if err != nil || !people.Fresh {
		t.Fatalf("peers: %+v, %v", people, err)
	}
	i := slices.IndexFunc(people.Members, func(m peer.Member) bool { return m.Address == address })
	if i < 0 {
		t.Fatalf("no %s in %+v", address, people.Members)
	}
	return people.Members[i]
}

func TestPresence(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("payments-api")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		carol := m.Join("carol", "mac")
		bob := machine.Live("web-shop")
		const secret = "checkout page, marker-7f3a"
		if err := bob.SetSummary(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if err := bob.SetStatus(t.Context(), peer.Working); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(time.Minute)
		events := alice.Events(t.Context())
		b := member(t, alice, "bob@desk")
		if !b.Online || b.Summary != secret || len(b.Sessions) != 1 || b.Sessions[0].Label != "web-shop" || b.Sessions[0].Status != peer.Working ||
			time.Since(b.Sessions[0].Changed) < 59*time.Second || time.Since(b.Since) < 59*time.Second || b.You || b.Yours || b.Rank != 1 {
			t.Errorf("bob %+v", b)
		}
		if me := member(t, alice, "alice@laptop"); !me.You || !me.Yours || me.Rank != 2 || len(me.Sessions) != 1 || !me.Sessions[0].You {
			t.Errorf("alice %+v", me)
		}
		if c := member(t, alice, "carol@mac"); c.Online || len(c.Sessions) != 0 {
			t.Errorf("carol %+v", c)
		}
		// Who joins later reads it too: its maker adds a box.
		dave := m.Join("dave", "pc").Live("d")
		defer m.Close(dave)
		meshtest.Pass(5 * time.Second)
		if b := member(t, dave, "bob@desk"); b.Summary != secret {
			t.Errorf("as dave sees bob: %+v", b)
		}
		if err := bob.SetSummary(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(5 * time.Second)
		meshtest.Event(t, events, peer.EventPresence, "")
		if b := member(t, alice, "bob@desk"); b.Summary != "" {
			t.Errorf("taken away: %+v", b)
		}
		m.Close(bob)
		meshtest.Pass(time.Minute)
		if b := member(t, alice, "bob@desk"); b.Online || len(b.Sessions) != 0 || time.Since(b.Since) < 50*time.Second {
			t.Errorf("away: %+v", b)
		}
		// A card is signed anew within the hour.
		meshtest.Pass(3 * time.Hour)
		if me := member(t, dave, "alice@laptop"); len(me.Sessions) != 1 || time.Since(me.Sessions[0].Changed) < 3*time.Hour {
			t.Errorf("alice after hours: %+v", me)
		}
		_ = carol
		noMarker(t, m, secret)
	})
}

// noMarker fails where the broker's folder has a text in it.
func noMarker(t *testing.T, m *meshtest.Mesh, text string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(m.Dir, "broker"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) {
			t.Errorf("%s has %q", path, text)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestWithoutBroker: what the chain says is there without a broker, and nothing else.
func TestWithoutBroker(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		m.Join("bob", "desk")
		synctest.Wait()
		m.Close(alice)
		m.Stop()
		alice = machine.Open(peer.Options{Label: "a", Receives: peer.Live})
		defer m.Close(alice)
		people, err := alice.Peers(t.Context())
		if peer.ClassOf(err) != peer.ClassUnreachable || people.Fresh || len(people.Members) != 2 || people.Members[1].Online {
			t.Errorf("%+v: %v", people, err)
		}
		if _, err := alice.Invite(t.Context(), peer.InviteOptions{}); peer.ClassOf(err) != peer.ClassUnreachable {
			t.Errorf("invite: %v", err)
		}
		facts, err := alice.Facts(t.Context())
		if err != nil || facts.Condition.State != peer.Offline || len(facts.Dials) != 1 || facts.Dials[0].OK || !facts.Dials[0].Resolves ||
			facts.Dials[0].Reason != "connection refused" || facts.ClockKnown || facts.Members != 2 || facts.Roster != 4 {
			t.Errorf("%+v: %v", facts, err)
		}
		offline := machine.Open(peer.Options{Label: "b", Offline: true})
		defer m.Close(offline)
		if sent, err := offline.Send(t.Context(), "bob", "hi", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassUnreachable || sent.To[0].State != peer.Pending {
			t.Errorf("offline: %+v, %v", sent, err)
		}
		unsent, err := alice.Unsent(t.Context())
		if err != nil || len(unsent) != 1 || unsent[0].Address != "bob" || unsent[0].Size != 2 {
			t.Errorf("unsent %+v: %v", unsent, err)
		}
	})
}

func TestFacts(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		send(t, bob, "alice", "hi", peer.SendOptions{})
		doctor := machine.Open(peer.Options{Label: "doctor", Client: "claudemesh/1.2.3"})
		defer m.Close(doctor)
		meshtest.Pass(2 * time.Minute)
		facts, err := doctor.Facts(t.Context())
		if err != nil || facts.Condition.State != peer.Online || !facts.ClockKnown || facts.Clock != 0 || len(facts.Dials) != 1 || !facts.Dials[0].OK ||
			facts.Confirmed != "bob@desk" || facts.Unconfirmed || len(facts.Warnings) != 0 {
			t.Errorf("%+v: %v", facts, err)
		}
		if len(facts.Sessions) != 2 || facts.Sessions[0].Label != "a" || facts.Sessions[1].Client != "claudemesh/1.2.3" || !facts.Sessions[1].You {
			t.Errorf("sessions %+v", facts.Sessions)
		}
	})
}

// TestLiarShowsForgedCards: nothing unsigned about a peer is shown, nor an old card.
func TestLiarShowsForgedCards(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("web-shop")
		defer m.Close(bob)
		liar := m.Liar()
		defer liar.Close()
		alice := deceived(t, machine, liar, "a")
		defer m.Close(alice)
		if b := member(t, alice, "bob@desk"); len(b.Sessions) != 1 {
			t.Fatalf("bob %+v", b)
		}
		var old *wire.Presence
		for _, f := range liar.Heard(wire.TypePresence) {
			if p := f.Frame.(*wire.Presence); len(p.Peers) > 0 {
				old = p
			}
		}
		if err := bob.SetStatus(t.Context(), peer.DoNotDisturb); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(5 * time.Second)
		// The old card again.
		liar.Inject(meshtest.Frame{Frame: &wire.Presence{Peers: old.Peers}})
		meshtest.Pass(time.Second)
		if b := member(t, alice, "bob@desk"); len(b.Sessions) > 0 && b.Sessions[0].Status != peer.DoNotDisturb {
			t.Errorf("an old card is shown: %+v", b)
		}
		events := alice.Events(t.Context())
		forged := old.Peers
		for i := range forged {
			for j := range forged[i].Sessions {
				if c := forged[i].Sessions[j].Card; c != nil {
					c.Bytes = bytes.Replace(c.Bytes, []byte("web-shop"), []byte("root-xxx"), 1)
				}
			}
		}
		liar.Inject(meshtest.Frame{Frame: &wire.Presence{Peers: forged}})
		meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 shows a card of bob@desk that bob@desk did not sign; it was refused")
		if b := member(t, alice, "bob@desk"); len(b.Sessions) != 0 {
			t.Errorf("a forged card is shown: %+v", b)
		}
	})
}

func TestSet(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Machine("alice", "laptop")
		set, err := peer.OpenAll(t.Context(), peer.Options{Dir: machine.Profile, Label: "mcp", Receives: peer.Live, Dial: m.Net.Dial, Listen: m.Net.Listen})
		if err != nil || len(set.Peers()) != 0 {
			t.Fatalf("%v", err)
		}
		defer set.Close()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		events := set.Events(ctx)
		if _, _, err := set.Find(t.Context(), "bob"); err != peer.ErrNoMesh {
			t.Errorf("with no mesh: %v", err)
		}
		m.Create("alice", "laptop") // while it is open
		e := <-events
		for e.Peer != nil {
			e = <-events
		}
		if len(set.Peers()) != 1 || set.Peers()[0].Self().MeshName != "acme" {
			t.Fatalf("peers %v", set.Peers())
		}
		_, err = peer.CreateMesh(t.Context(), peer.CreateOptions{Dir: machine.Profile, Name: "home", User: "alice", Device: "laptop", Broker: meshtest.URL, BrokerKey: m.Broker().Key(), Dial: m.Net.Dial})
		if err != nil {
			t.Fatal(err)
		}
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		meshtest.Pass(10 * time.Second)
		if all := set.Peers(); len(all) != 2 || all[0].Self().MeshName != "acme" {
			t.Fatalf("peers %v", all)
		}
		p, address, err := set.Find(t.Context(), "BOB/b")
		if err != nil || p.Self().MeshName != "acme" || address != "bob/b" {
			t.Errorf("%s: %v", address, err)
		}
		if p, address, err := set.Find(t.Context(), "home:alice"); err != nil || p.Self().MeshName != "home" || address != "alice" {
			t.Errorf("%s: %v", address, err)
		}
		if _, _, err := set.Find(t.Context(), "alice"); peer.ClassOf(err) != peer.ClassRefused || err.Error() != `"alice" can mean: acme:alice, home:alice` {
			t.Errorf("in both: %v", err)
		}
		if _, _, err := set.Find(t.Context(), "bbo"); err == nil || !strings.Contains(err.Error(), "Did you mean acme:bob?") {
			t.Errorf("in none: %v", err)
		}
		send(t, bob, "alice", "hi", peer.SendOptions{})
		for e := range events {
			if e.Kind == peer.EventMessage {
				if e.Peer != p {
					t.Errorf("of %v", e.Peer.Self())
				}
				break
			}
		}
		// A mesh that is left goes.
		if _, err := p.Leave(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(10 * time.Second)
		if all := set.Peers(); len(all) != 1 || all[0].Self().MeshName != "home" {
			t.Errorf("peers %v", all)
		}
	})
}

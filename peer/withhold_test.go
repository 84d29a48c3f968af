package peer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// grow appends n entries of nearly the size that an entry may have: new hints where to
// dial.
func grow(t *testing.T, p *peer.Peer, n, urls int) {
	t.Helper()
	for i := range n {
		all := []string{meshtest.URL}
		for j := range urls {
			all = append(all, fmt.Sprintf("https://b%d-%d.%s.example.org", i, j, strings.Repeat("x", 80)))
		}
		if _, err := p.SetBrokerURLs(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(time.Second)
	}
}

// withholding swallows what the broker pushes, and answers syncs with nothing new.
func withholding(head wire.Entries) meshtest.Lie {
	return only(func(e *wire.Entries, _ []byte) []meshtest.Frame {
		if e.Re == 0 {
			return nil
		}
		return []meshtest.Frame{{Frame: &wire.Entries{Re: e.Re, From: e.From, Head: head.Head}}}
	})
}

// TestLiarWithholdsALot: what the broker withholds is more than one message between
// members holds; it comes in several, and counts when they reach the head.
func TestLiarWithholdsALot(t *testing.T) {
	envelopes(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, bob *peer.Peer, _ *meshtest.Machine) {
		m.Join("carol", "mac")
		synctest.Wait()
		heard := liar.Heard(wire.TypeEntries)
		liar.Tell(withholding(*heard[len(heard)-1].Frame.(*wire.Entries)))
		grow(t, alice, 60, 30)
		if _, err := alice.Revoke(t.Context(), "carol"); err != nil {
			t.Fatal(err)
		}
		if alice.At().N < bob.At().N+60 {
			t.Fatalf("nothing was withheld: %d and %d", alice.At().N, bob.At().N)
		}
		events := bob.Events(t.Context())
		send(t, alice, "bob", "carol is out", peer.SendOptions{SeenWait: -1})
		meshtest.Event(t, events, peer.EventWarning, "Someone may be withholding a revocation")
		if got := meshtest.Next(t, bob); got.Body != "carol is out" {
			t.Errorf("got %+v", got)
		}
		if bob.At() != alice.At() {
			t.Errorf("bob stands at %d, alice at %d", bob.At().N, alice.At().N)
		}
		if _, err := bob.Send(t.Context(), "carol", "hi", peer.SendOptions{}); err == nil || !strings.Contains(err.Error(), "was revoked") {
			t.Errorf("bob still sends to carol: %v", err)
		}
	})
}

// TestLiarCutsOff: the broker keeps somebody on an old list of members, and shows it
// old cards of the others, which stand where it stands. Nobody confirms its list any
// more, and after a day it is told.
func TestLiarCutsOff(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		alice := aliceMachine.Live("a")
		machine := m.Join("bob", "desk")
		liar := m.Liar()
		defer liar.Close()
		bob := deceived(t, machine, liar, "b")
		meshtest.Online(t, bob)
		send(t, alice, "bob", "hi", peer.SendOptions{})
		meshtest.Next(t, bob)
		if people, err := bob.Peers(t.Context()); err != nil || people.Confirmed != "alice@laptop" || people.Unconfirmed {
			t.Fatalf("at first %+v: %v", people, err)
		}
		liar.Tell(cutOff(liar))
		meshtest.Pass(90 * time.Second) // for what is written once a minute
		m.Close(bob)
		if _, err := alice.Invite(t.Context(), peer.InviteOptions{}); err != nil { // what bob is not to learn
			t.Fatal(err)
		}
		m.Close(alice)
		for _, c := range []struct {
			wait time.Duration
			told bool
		}{{23 * time.Hour, false}, {time.Hour, true}} {
			meshtest.Pass(c.wait)
			alice = aliceMachine.Live("a")
			bob = deceived(t, machine, liar, "b")
			events := bob.Events(t.Context())
			meshtest.Online(t, bob)
			meshtest.Pass(5 * time.Minute)
			if c.told {
				meshtest.Event(t, events, peer.EventWarning, "nobody has confirmed your list of members of acme for 24 hours, though others are connected: 127.0.0.1:7900 may be withholding a revocation. Ask them; details: claudemesh doctor --mesh acme")
			}
			if people, err := bob.Peers(t.Context()); err != nil || people.Unconfirmed != c.told {
				t.Errorf("peers %+v: %v", people, err)
			}
			doctor := machine.Open(peer.Options{Label: "doctor", Dial: liar.Dial})
			facts, err := doctor.Facts(t.Context())
			if err != nil || facts.Unconfirmed != c.told || facts.Confirmed != "alice@laptop" || time.Since(facts.ConfirmedAt) < 23*time.Hour {
				t.Errorf("doctor: unconfirmed %v, by %q at %v: %v", facts.Unconfirmed, facts.Confirmed, facts.ConfirmedAt, err)
			}
			m.Close(doctor, bob, alice)
		}
	})
}

// cutOff shows peers of the liar what it has heard up to now of members and cards, and
// nothing new.
func cutOff(liar *meshtest.Liar) meshtest.Lie {
	head := liar.Heard(wire.TypeWelcome)[0].Frame.(*wire.Welcome).Head
	var told wire.Presence
	for _, f := range liar.Heard(wire.TypePresence) {
		told.Peers = append(told.Peers, f.Frame.(*wire.Presence).Peers...)
	}
	hellos := make(chan *wire.Hello, 8) // in the order of the welcomes: peers dial one by one
	return func(up bool, f meshtest.Frame) []meshtest.Frame {
		switch g := f.Frame.(type) {
		case *wire.Hello:
			hellos <- g
		case *wire.Welcome:
			return []meshtest.Frame{{Frame: liar.Welcome(g, <-hellos, head)}}
		case *wire.Entries:
			if g.Re == 0 {
				return nil
			}
			return []meshtest.Frame{{Frame: &wire.Entries{Re: g.Re, From: g.From, Head: head}}}
		case *wire.Deliver:
			return nil
		case *wire.Presence:
			if up {
				break
			}
			if g.Re == 0 {
				return nil
			}
			return []meshtest.Frame{{Frame: &wire.Presence{Re: g.Re, Peers: told.Peers}}}
		}
		return []meshtest.Frame{f}
	}
}

// TestNobodyIsCutOff: where nothing is withheld nobody is warned, also when no message
// went for days, or one was away for days and the list changed since.
func TestNobodyIsCutOff(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		alice := aliceMachine.Live("a")
		machine := m.Join("bob", "desk")
		bob := machine.Live("b")
		send(t, alice, "bob", "hi", peer.SendOptions{})
		meshtest.Next(t, bob)
		meshtest.Pass(90 * time.Second) // for what is written once a minute
		m.Close(alice, bob)
		meshtest.Pass(23 * time.Hour)
		alice, bob = aliceMachine.Live("a"), machine.Live("b")
		events := bob.Events(t.Context())
		meshtest.Pass(2 * time.Hour)
		facts, err := bob.Facts(t.Context())
		if err != nil || facts.Unconfirmed || time.Since(facts.ConfirmedAt) > 2*time.Hour {
			t.Errorf("unconfirmed %v, by %q at %v: %v", facts.Unconfirmed, facts.Confirmed, facts.ConfirmedAt, err)
		}
		m.Close(bob)
		for e := range events {
			if e.Kind == peer.EventWarning {
				t.Errorf("warned: %s", e.Text)
			}
		}
		m.Close(alice)
		meshtest.Pass(26 * time.Hour)
		alice = aliceMachine.Live("a")
		defer m.Close(alice)
		if _, err := alice.Invite(t.Context(), peer.InviteOptions{}); err != nil {
			t.Fatal(err)
		}
		doctor := machine.Open(peer.Options{Label: "doctor"})
		defer m.Close(doctor)
		if facts, err := doctor.Facts(t.Context()); err != nil || facts.Unconfirmed {
			t.Errorf("back: unconfirmed %v, by %q at %v: %v", facts.Unconfirmed, facts.Confirmed, facts.ConfirmedAt, err)
		}
	})
}

// backup copies the broker's folder while it is stopped; the function it gives puts the
// copy back in place of what was there meanwhile.
func backup(t *testing.T, m *meshtest.Mesh) (restore func()) {
	t.Helper()
	data, kept := filepath.Join(m.Dir, "broker"), filepath.Join(m.Dir, "backup")
	m.Stop()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.CopyFS(kept, os.DirFS(data)))
	m.Start()
	return func() {
		t.Helper()
		m.Stop()
		must(os.RemoveAll(data))
		must(os.CopyFS(data, os.DirFS(kept)))
		must(os.Chmod(filepath.Join(data, "broker.key"), 0o600))
		m.Start()
	}
}

// TestRestoredBrokerLostALot: a restored broker asks for more than fits into one frame
// of what it lost, and is given it.
func TestRestoredBrokerLostALot(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		restore := backup(t, m)
		alice := machine.Live("a")
		defer m.Close(alice)
		grow(t, alice, wire.MaxEntries+20, 1)
		bobMachine := m.Join("bob", "desk")
		synctest.Wait()
		restore()
		meshtest.Online(t, alice)
		bob := bobMachine.Live("b")
		defer m.Close(bob)
		send(t, alice, "bob", "still there?", peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != "still there?" {
			t.Errorf("got %+v", got)
		}
	})
}

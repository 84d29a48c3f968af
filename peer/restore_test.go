package peer_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestRestoredBroker: the broker comes back from a backup that lacks a member. Its
// members bring it what it lost, and say that something is wrong.
func TestRestoredBroker(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		restore := backup(t, m)
		alice := machine.Live("a")
		defer m.Close(alice)
		bobMachine := m.Join("bob", "desk")
		synctest.Wait()
		events := alice.Events(t.Context())
		restore()
		meshtest.Event(t, events, peer.EventWarning, "holds an older list of members of acme than this machine")
		meshtest.Pass(time.Minute)
		bob := bobMachine.Live("b")
		defer m.Close(bob)
		send(t, alice, "bob", "still there?", peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != "still there?" {
			t.Errorf("got %+v", got)
		}
	})
}

// TestLapsed: a join that nobody says yes to for seven days is over.
func TestLapsed(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		m.Create("alice", "laptop")
		m.Join("bob", "desk")
		machine := m.Join("bob", "phone")
		meshtest.Pass(8 * 24 * time.Hour)
		phone := machine.Open(peer.Options{Label: "p"})
		defer m.Close(phone)
		err := phone.Connected(t.Context(), true)
		if peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "waited seven days for a yes") {
			t.Errorf("connected: %v", err)
		}
	})
}

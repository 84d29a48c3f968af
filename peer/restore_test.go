package peer_test

import (
	"os"
	"path/filepath"
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
		m.Stop()
		data, backup := filepath.Join(m.Dir, "broker"), filepath.Join(m.Dir, "backup")
		if err := os.CopyFS(backup, os.DirFS(data)); err != nil {
			t.Fatal(err)
		}
		m.Start()
		alice := machine.Live("a")
		defer m.Close(alice)
		bobMachine := m.Join("bob", "desk")
		synctest.Wait()
		m.Stop()
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(data, os.DirFS(backup)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(data, "broker.key"), 0o600); err != nil {
			t.Fatal(err)
		}
		events := alice.Events(t.Context())
		m.Start()
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

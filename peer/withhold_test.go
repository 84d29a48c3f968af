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

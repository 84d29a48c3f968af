package peer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestSeenSurvivesRestarts: a message for two is seen while its sender is away, by
// recipients that go at once, over a broker that is restarted; its sender hears of both
// when it is back.
func TestSeenSurvivesRestarts(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		aliceMachine := m.Create("alice", "laptop")
		machines := []*meshtest.Machine{m.Join("bob", "desk"), m.Join("bob", "phone")}
		alice := aliceMachine.Live("a")
		bob := machines[0].Live("b")
		admitOne(t, bob)
		m.Close(bob)
		synctest.Wait()
		sent := send(t, alice, "bob", "for both devices", peer.SendOptions{AllDevices: true, SeenWait: -1})
		if len(sent.To) != 2 {
			t.Fatalf("sent to %+v", sent.To)
		}
		m.Close(alice)
		m.Restart()
		for _, machine := range machines {
			p := machine.Live("later")
			if got := meshtest.Next(t, p); got.Body != "for both devices" {
				t.Errorf("got %+v", got)
			}
			m.Close(p) // its receipt goes out with it
			m.Restart()
		}
		alice = aliceMachine.Live("back")
		defer m.Close(alice)
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Seen, peer.Seen}) {
			t.Errorf("alice hears %v", got)
		}
	})
}

// TestLastWordForAnyDevice: what expired, or was refused, is so for all devices of a
// user, of which each could have shown it.
func TestLastWordForAnyDevice(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machines := []*meshtest.Machine{m.Join("bob", "desk"), m.Join("bob", "phone")}
		bob := machines[0].Live("b")
		admitOne(t, bob)
		m.Close(bob)
		synctest.Wait()
		old := send(t, alice, "bob", "soon too late", peer.SendOptions{Expires: time.Minute, SeenWait: -1})
		meshtest.Pass(2 * time.Minute)
		if got := states(t, alice, old.Short); !slices.Equal(got, []peer.State{peer.Expired}) {
			t.Errorf("after its time: %v", got)
		}
		for _, machine := range machines {
			p := machine.Live("b")
			defer m.Close(p)
			if err := p.SetPolicy(t.Context(), "alice", peer.Refuse); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		sent := send(t, alice, "bob", "nobody wants this", peer.SendOptions{})
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Refused}) {
			t.Errorf("refused by both: %v", got)
		}
	})
}

// TestReceiptsOff: who turned receipts off tells nobody what was seen: its senders hear that
// it was delivered, at most.
func TestReceiptsOff(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		path := filepath.Join(machine.Profile, "config.json")
		config, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(config, []byte("{"), []byte(`{"receipts": "off",`), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		bob := machine.Live("b")
		defer m.Close(bob)
		sent := send(t, alice, "bob", "read in silence", peer.SendOptions{SeenWait: -1})
		meshtest.Next(t, bob)
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Delivered}) {
			t.Errorf("alice hears %v", got)
		}
	})
}

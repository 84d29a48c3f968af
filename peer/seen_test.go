package peer_test

import (
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
		asked, err := bob.Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Admit(t.Context(), asked[0]); err != nil {
			t.Fatal(err)
		}
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

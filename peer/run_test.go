package peer_test

import (
	"testing"
	"testing/synctest"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
)

// TestEndedConnectionIsNoTry: a connection that worked has ended, and its end is still
// being written down, when somebody wants to act. That it ended is no try that failed:
// whoever asks gets the outcome of the next one.
func TestEndedConnectionIsNoTry(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("payments-api")
		defer m.Close(alice)

		release := alice.HoldDisk()
		m.Net.Break()
		synctest.Wait() // the connection's end waits for the disk
		connected := make(chan error, 1)
		go func() { connected <- alice.Connected(t.Context(), false) }()
		synctest.Wait() // it is asked for
		alice.NoHurry() // and the next try takes its time
		release()
		if err := <-connected; err != nil {
			t.Errorf("the broker is there, and it is said: %v", err)
		}
	})
}

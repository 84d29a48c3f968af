package peer_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// BenchmarkDurable sends 256 bytes from one profile to another, 64 at a time, through
// the broker, each acknowledged: outbox, queue and inbox are real files.
func BenchmarkDurable(b *testing.B) {
	m := meshtest.New(b, meshtest.Options{})
	defer m.Stop()
	quiet := slog.New(slog.DiscardHandler)
	alice := m.Create("alice", "laptop").Open(peer.Options{Label: "a", Receives: peer.Live, Logger: quiet})
	defer m.Close(alice)
	bob := m.Join("bob", "desk").Open(peer.Options{Label: "b", Receives: peer.Live, Logger: quiet})
	defer m.Close(bob)
	meshtest.Online(b, alice)
	meshtest.Online(b, bob)
	ctx, cancel := context.WithCancel(b.Context())
	seen := make(chan error, 1)
	go func() { seen <- bob.Handle(ctx, func(context.Context, peer.Message) error { return nil }) }()
	body := strings.Repeat("x", 256)
	b.ReportAllocs()
	b.ResetTimer()
	const inFlight = 64
	var senders sync.WaitGroup
	for i := range inFlight {
		senders.Go(func() {
			for range (b.N + inFlight - 1 - i) / inFlight {
				if _, err := alice.Send(ctx, "bob", body, peer.SendOptions{SeenWait: -1}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	senders.Wait()
	b.StopTimer()
	cancel()
	if err := <-seen; !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
}

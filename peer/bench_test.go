//go:build unix

package peer_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// BenchmarkDurable sends 256 bytes from one profile to another, 64 at a time, through
// the broker, each acknowledged: outbox, queue and inbox are real files. Beside the
// time that passes it tells what both ends and the broker take of the processors,
// which says more on a machine that does other work too.
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
	used := processorTime(b)
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
	b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	cancel()
	if err := <-seen; !errors.Is(err, context.Canceled) {
		b.Error(err)
	}
}

// processorTime is how long processors have worked for this process.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package e2e

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/peer"
)

var (
	kills    = flag.Int("kills", 3, "how often TestBrokerKilledUnderLoad kills the broker")
	killSeed = flag.Uint64("kill-seed", 0, "seed of TestBrokerKilledUnderLoad; 0: a new one")
)

// senders write to one recipient while the broker is killed.
const senders = 10

// TestBrokerKilledUnderLoad kills the real broker with SIGKILL at random moments
// while ten senders write to one recipient, and checks that every acknowledged
// message arrives, in order for each sender, and is shown once.
func TestBrokerKilledUnderLoad(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-kill-seed %d)", seed, seed)
	random := rand.New(rand.NewPCG(seed, 0))

	owner := newPerson(t, "owner")
	broker, address := owner.up("--listen", "127.0.0.1:0", "--name", "owner")
	link := owner.invite("--uses", fmt.Sprint(senders+1))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	join := func(name string) *peer.Peer {
		dir := filepath.Join(t.TempDir(), name)
		if _, err := peer.Join(ctx, link, peer.JoinOptions{Dir: dir, User: name, Device: "host"}); err != nil {
			t.Fatalf("join %s: %v", name, err)
		}
		p, err := peer.Open(ctx, peer.Options{Dir: dir, Receives: peer.Live, Label: "load"})
		if err != nil {
			t.Fatalf("open %s: %v", name, err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	sink := join("sink")
	var peers []*peer.Peer
	for i := range senders {
		peers = append(peers, join(fmt.Sprintf("sender%d", i)))
	}

	log := newWatched(t)
	var reading sync.WaitGroup
	readCtx, stopReading := context.WithCancel(ctx)
	defer func() { stopReading(); reading.Wait() }()
	reading.Add(1)
	go func() {
		defer reading.Done()
		sink.Handle(readCtx, func(_ context.Context, m peer.Message) error { //nolint:errcheck // ends with readCtx
			log.show(m)
			return nil
		})
	}()

	loadCtx, stopLoad := context.WithCancel(ctx)
	var load sync.WaitGroup
	for _, p := range peers {
		load.Add(1)
		go func() {
			defer load.Done()
			for n := 0; loadCtx.Err() == nil; n++ {
				body := fmt.Sprintf("%s %d", p.Self().User, n)
				log.Send(history.Message{ID: body, Stream: p.Self().User, To: []string{"sink"}})
				sent, err := p.Send(ctx, "sink", body, peer.SendOptions{Priority: peer.Now, SeenWait: -1})
				if len(sent.To) == 1 {
					log.Told(time.Now().UnixMilli(), body, "sink", history.State(sent.To[0].State), sent.To[0].Why)
				}
				switch {
				case err == nil && len(sent.To) == 1 && (sent.To[0].State == peer.Queued || sent.To[0].State == peer.Delivered || sent.To[0].State == peer.Seen):
				case peer.ClassOf(err) == peer.ClassUnreachable:
					// Kept in the outbox: it must arrive, too, and in its place.
					if err := p.Connected(ctx, true); err != nil {
						t.Errorf("connect again: %v", err)
						return
					}
				default:
					t.Errorf("send %d: %+v, %v", n, sent, err)
					return
				}
			}
		}()
	}

	for kill := range *kills {
		before := log.count()
		log.await(ctx, before+1+random.IntN(60)) // a moment that depends on the traffic, not on a clock
		broker.kill()
		log.Fault("kill %d after %d messages", kill+1, log.count())
		broker, _ = owner.up("--listen", address, "--name", "owner")
		if err := sink.Connected(ctx, true); err != nil { // lest its queue fills up while it pauses
			t.Fatal(err)
		}
	}
	log.await(ctx, log.count()+senders)
	stopLoad()
	load.Wait()
	log.complete(ctx)
	t.Logf("%d messages, all shown once and in order", log.count())
}

// watched is a history of messages for one recipient, which can be waited for.
type watched struct {
	history.Log
	t    *testing.T
	came chan struct{}
}

func newWatched(t *testing.T) *watched { return &watched{t: t, came: make(chan struct{}, 1)} }

// show notes that a message is in front of the recipient. Nobody kills that one, so it
// has no reason for a mark.
func (w *watched) show(m peer.Message) {
	if m.Again || m.Late || m.Missing > 0 {
		w.t.Errorf("%s is shown with a mark: %+v", m.Body, m)
	}
	w.Shown(history.Showing{ID: m.Body, By: "sink", Time: time.Now().UnixMilli(), Again: m.Again, Gap: m.Missing > 0, Late: m.Late})
	select {
	case w.came <- struct{}{}:
	default:
	}
}

// count is how many messages were shown.
func (w *watched) count() int {
	_, shown, _ := w.Counts()
	return shown
}

// await waits until n messages were shown.
func (w *watched) await(ctx context.Context, n int) {
	w.t.Helper()
	w.until(ctx, func() []string {
		if shown := w.count(); shown < n {
			return []string{fmt.Sprintf("%d were shown, waiting for %d", shown, n)}
		}
		return nil
	})
}

// complete waits until all is shown that somebody was told of, and fails the test where
// something was contradicted.
func (w *watched) complete(ctx context.Context) {
	w.t.Helper()
	w.until(ctx, func() []string { return w.Waiting(time.Now().UnixMilli()) })
	for _, broken := range w.Broken() {
		w.t.Error(broken)
	}
}

// until waits until nothing is missing any more.
func (w *watched) until(ctx context.Context, missing func() []string) {
	w.t.Helper()
	for {
		lacks := missing()
		if len(lacks) == 0 {
			return
		}
		select {
		case <-w.came:
		case <-ctx.Done():
			w.t.Fatalf("not all came: %v; contradicted: %v", lacks, w.Broken())
		}
	}
}

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

	shown := newLedger(t)
	var reading sync.WaitGroup
	readCtx, stopReading := context.WithCancel(ctx)
	defer func() { stopReading(); reading.Wait() }()
	reading.Add(1)
	go func() {
		defer reading.Done()
		sink.Handle(readCtx, func(_ context.Context, m peer.Message) error { //nolint:errcheck // ends with readCtx
			shown.add(m)
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
				body := fmt.Sprint(n)
				sent, err := p.Send(ctx, "sink", body, peer.SendOptions{Priority: peer.Now, SeenWait: -1})
				switch {
				case err == nil && len(sent.To) == 1 && (sent.To[0].State == peer.Queued || sent.To[0].State == peer.Delivered || sent.To[0].State == peer.Seen):
					shown.acknowledge(p.Self().User, n)
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
		before := shown.count()
		shown.await(ctx, before+1+random.IntN(60)) // a moment that depends on the traffic, not on a clock
		broker.kill()
		t.Logf("kill %d after %d messages", kill+1, shown.count())
		broker, _ = owner.up("--listen", address, "--name", "owner")
		if err := sink.Connected(ctx, true); err != nil { // lest its queue fills up while it pauses
			t.Fatal(err)
		}
	}
	shown.await(ctx, shown.count()+senders)
	stopLoad()
	load.Wait()
	shown.complete(ctx)
	t.Logf("%d messages, %d acknowledged at once, all shown once and in order", shown.count(), shown.acknowledged())
}

// ledger checks what is shown against what was acknowledged.
type ledger struct {
	t     *testing.T
	mu    sync.Mutex // guards the following fields
	next  map[string]int
	acked map[string][]int
	ids   map[peer.MessageID]bool
	total int
	came  chan struct{}
}

func newLedger(t *testing.T) *ledger {
	return &ledger{t: t, next: map[string]int{}, acked: map[string][]int{}, ids: map[peer.MessageID]bool{}, came: make(chan struct{}, 1)}
}

func (l *ledger) add(m peer.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids[m.ID] {
		l.t.Errorf("%s was shown twice (marked: %v)", m.ID, m.Again)
	}
	l.ids[m.ID] = true
	var n int
	if _, err := fmt.Sscan(m.Body, &n); err != nil {
		l.t.Errorf("body %q: %v", m.Body, err)
	}
	if want := l.next[m.From.User]; n != want {
		l.t.Errorf("%s: message %d came where %d was next", m.From.User, n, want)
	}
	l.next[m.From.User] = n + 1
	l.total++
	select {
	case l.came <- struct{}{}:
	default:
	}
}

func (l *ledger) acknowledge(user string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[user] = append(l.acked[user], n)
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}

func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, acked := range l.acked {
		n += len(acked)
	}
	return n
}

// await waits until n messages were shown.
func (l *ledger) await(ctx context.Context, n int) {
	l.t.Helper()
	for l.count() < n {
		select {
		case <-l.came:
		case <-ctx.Done():
			l.t.Fatalf("%d messages were shown, waiting for %d", l.count(), n)
		}
	}
}

// complete waits until every acknowledged message was shown.
func (l *ledger) complete(ctx context.Context) {
	l.t.Helper()
	missing := func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		for user, acked := range l.acked {
			if last := acked[len(acked)-1]; l.next[user] <= last {
				return fmt.Sprintf("%s: %d was acknowledged, %d is next to be shown", user, last, l.next[user])
			}
		}
		return ""
	}
	for {
		lost := missing()
		if lost == "" {
			return
		}
		select {
		case <-l.came:
		case <-ctx.Done():
			l.t.Fatalf("an acknowledged message was lost: %s", lost)
		}
	}
}

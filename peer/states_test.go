package peer_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// step is what a sender is told: a state, by whose word, and why.
type step struct {
	state peer.State
	word  peer.Word
	why   string
}

// wantSteps fails where a message did not go through these states, each at a time
// that is not before the one of the state before.
func wantSteps(t *testing.T, p *peer.Peer, id string, want ...step) {
	t.Helper()
	trace, err := p.Message(t.Context(), id)
	if err != nil {
		t.Fatalf("message %s: %v", id, err)
	}
	var got []step
	last := trace.Time
	for _, s := range trace.To[0].Steps {
		got = append(got, step{s.State, s.Word, s.Why})
		if s.Time.Before(last.Add(-time.Millisecond)) || s.Time.After(time.Now()) {
			t.Errorf("%s: %s at %s, after %s", id, s.State, s.Time, last)
		}
		last = s.Time
	}
	if !slices.Equal(got, want) || trace.To[0].State != want[len(want)-1].state {
		t.Errorf("%s went through %v (now %s), want %v", id, got, trace.To[0].State, want)
	}
}

// Every state, in its order, by whose word, and why; told also to a sender that was
// away when it came about.
func TestEveryState(t *testing.T) {
	few := func(o *broker.Options) { o.Limits.Waiting = 4 }
	meshtest.Run(t, meshtest.Options{Broker: few}, func(t *testing.T, m *meshtest.Mesh) {
		sender, machine := m.Create("alice", "laptop"), m.Join("bob", "desk")
		alice := sender.Live("a")
		bob := machine.Live("b")
		if err := bob.SetPolicy(t.Context(), "alice", peer.Accept); err != nil {
			t.Fatal(err)
		}
		pending := step{peer.Pending, peer.OwnWord, ""}
		queued := step{peer.Queued, peer.BrokerWord, ""}
		delivered := step{peer.Delivered, peer.BrokerWord, ""}
		seenBy := step{peer.Seen, peer.Receipt, ""}

		// Delivered, then seen: by the broker's word, then by the recipient's.
		one := send(t, alice, "bob", "one", peer.SendOptions{})
		wantSteps(t, alice, one.Short, pending, delivered)
		meshtest.Next(t, bob)
		if err := bob.Seen(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.Close(bob)

		// Queued, and no more than the limit.
		var waiting []peer.Sent
		for _, body := range []string{"two", "three", "four"} {
			waiting = append(waiting, send(t, alice, "bob", body, peer.SendOptions{}))
		}
		short := send(t, alice, "bob", "short", peer.SendOptions{Expires: time.Minute})
		full := send(t, alice, "bob", "full", peer.SendOptions{})
		wantSteps(t, alice, short.Short, pending, queued)
		wantSteps(t, alice, full.Short, pending, step{peer.Refused, peer.BrokerWord, "queue_full"})

		// Pending, while nobody has it but its sender.
		m.Stop()
		meshtest.Pass(time.Second)
		kept, err := alice.Send(t.Context(), "bob", "kept", peer.SendOptions{})
		if peer.ClassOf(err) != peer.ClassUnreachable {
			t.Fatalf("without a broker: %v", err)
		}
		wantSteps(t, alice, kept.Short, pending)
		m.Close(alice)
		m.Start()

		// Expired, and seen, while the sender is away.
		meshtest.Pass(time.Hour)
		bob = machine.Live("b")
		defer func() { m.Close(bob) }()
		for _, body := range []string{"two", "three", "four"} {
			if got := meshtest.Next(t, bob); got.Body != body {
				t.Errorf("got %q, want %q", got.Body, body)
			}
		}
		meshtest.Pass(5 * time.Second)
		alice = sender.Live("a")
		defer func() { m.Close(alice) }()
		if got := meshtest.Next(t, bob); got.Body != "kept" {
			t.Errorf("what was pending comes as %q", got.Body)
		}
		meshtest.Pass(5 * time.Second)
		for _, sent := range waiting {
			wantLast(t, alice, sent.Short, seenBy)
		}
		wantLast(t, alice, kept.Short, seenBy)
		wantLast(t, alice, short.Short, step{peer.Expired, peer.BrokerWord, ""})

		// Held, then let go; refused: by the recipient's word.
		policy := func(to peer.Policy) {
			if err := bob.SetPolicy(t.Context(), "alice", to); err != nil {
				t.Fatal(err)
			}
			meshtest.Pass(3 * time.Second)
		}
		policy(peer.Hold)
		held := send(t, alice, "bob", "held", peer.SendOptions{})
		meshtest.Pass(3 * time.Second)
		wantSteps(t, alice, held.Short, pending, delivered, step{peer.Held, peer.Receipt, ""})
		policy(peer.Refuse)
		refused := send(t, alice, "bob", "refused", peer.SendOptions{})
		meshtest.Pass(3 * time.Second)
		wantLast(t, alice, refused.Short, step{peer.Refused, peer.BrokerWord, "policy"})
	})
}

// wantLast fails where the last that is known of a message is something else.
func wantLast(t *testing.T, p *peer.Peer, id string, want step) {
	t.Helper()
	trace, err := p.Message(t.Context(), id)
	if err != nil {
		t.Fatalf("message %s: %v", id, err)
	}
	steps := trace.To[0].Steps
	last := steps[len(steps)-1]
	if got := (step{last.State, last.Word, last.Why}); got != want || trace.To[0].State != want.state {
		t.Errorf("%s is %v, want %v; all: %v", id, got, want, steps)
	}
}

// journal keeps what the broker logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line.
func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

// metricsOf scrapes the broker.
func metricsOf(t *testing.T, m *meshtest.Mesh) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: m.Net.Dial, DisableKeepAlives: true}}
	answer, err := client.Get("http://" + meshtest.Address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// What is said stands nowhere at the broker: not in its folder (rows that are gone and
// the write-ahead log among it), its log, its metrics or its audit log; neither while
// messages wait nor after.
func TestTheBrokerHasNothingToRead(t *testing.T) {
	const marker = "MARKER-of-what-is-said"
	log := &journal{}
	change := func(o *broker.Options) {
		o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	meshtest.Run(t, meshtest.Options{Broker: change}, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer func() { m.Close(alice) }()
		machine := m.Join("bob", "desk")
		if err := alice.SetSummary(t.Context(), marker); err != nil {
			t.Fatal(err)
		}
		look := func(when string) {
			t.Helper()
			meshtest.Pass(3 * time.Second) // the audit log is a second late
			noMarker(t, m, marker)
			log.mu.Lock()
			defer log.mu.Unlock()
			if strings.Contains(log.text.String(), marker) {
				t.Errorf("%s: the log has it", when)
			}
			body := metricsOf(t, m)
			if !strings.Contains(body, "claudemesh_messages_total") || strings.Contains(body, marker) {
				t.Errorf("%s: metrics of %d bytes: %.100q", when, len(body), body)
			}
		}
		send(t, alice, "bob", marker, peer.SendOptions{})
		send(t, alice, "bob", strings.Repeat(marker, 2000), peer.SendOptions{})
		send(t, alice, "bob", "expires "+marker, peer.SendOptions{Expires: time.Minute})
		look("while they wait")
		meshtest.Pass(2 * time.Minute)
		bob := machine.Live("b")
		defer func() { m.Close(bob) }()
		for range 2 {
			if got := meshtest.Next(t, bob); !strings.Contains(got.Body, marker) {
				t.Errorf("got %.40q", got.Body)
			}
		}
		look("after they were fetched")
		m.Restart()
		look("after a restart")
	})
}

// TestMessageAfterAway: who was away while a receipt came asks once, and is told what it
// says: the broker hands it over before it answers. [CM-7.38]
func TestMessageAfterAway(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine, reader := m.Create("alice", "laptop"), m.Join("bob", "desk")
		alice := machine.Open(peer.Options{Receives: peer.Replies})
		meshtest.Online(t, alice)
		sent := send(t, alice, "bob", "read it", peer.SendOptions{SeenWait: -1})
		m.Close(alice)
		bob := reader.Live("b")
		meshtest.Next(t, bob)
		meshtest.Pass(time.Minute)
		m.Close(bob)
		alice = machine.Open(peer.Options{Receives: peer.Replies})
		defer m.Close(alice)
		meshtest.Online(t, alice)
		wantLast(t, alice, sent.Short, step{peer.Seen, peer.Receipt, ""})
		// What the broker told late was so before it was seen.
		trace, err := alice.Message(t.Context(), sent.Short)
		if err != nil {
			t.Fatal(err)
		}
		steps := trace.To[0].Steps
		if !slices.IsSortedFunc(steps, func(a, b peer.Step) int { return a.Time.Compare(b.Time) }) {
			t.Errorf("the steps are in no order: %v", steps)
		}
	})
}

// TestReceivedIsOnDisk: as long as the recipient's disk does not have a message, nobody is
// told that it was delivered, and it is not shown.
func TestReceivedIsOnDisk(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		release := bob.HoldDisk()
		sent := send(t, alice, "bob", "hello", peer.SendOptions{SeenWait: -1})
		meshtest.Pass(10 * time.Second)
		if got := states(t, alice, sent.ID.String()); !slices.Equal(got, []peer.State{peer.Queued}) {
			t.Errorf("before bob's disk has it: %v", got)
		}
		release()
		if got := meshtest.Next(t, bob); got.Body != "hello" {
			t.Errorf("bob got %+v", got)
		}
		meshtest.Pass(time.Second)
		if got := states(t, alice, sent.ID.String()); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("in the end: %v", got)
		}
	})
}

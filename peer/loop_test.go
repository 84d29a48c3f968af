package peer_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// chatter answers everything that comes, for ever: to whoever wrote, or to the next
// in a ring.
type chatter struct {
	p       *peer.Peer
	to      string // "" is whoever wrote
	sent    atomic.Int32
	stopped atomic.Int32 // what the guard refused
	notices atomic.Int32
	warned  atomic.Int32
}

func (c *chatter) handle(t *testing.T) func(context.Context, peer.Message) error {
	return func(ctx context.Context, m peer.Message) (err error) {
		if m.Kind == peer.Notice {
			c.notices.Add(1)
		}
		if c.to == "" {
			_, err = c.p.Reply(ctx, m, "and another thing", peer.SendOptions{})
		} else {
			_, err = c.p.Send(ctx, c.to, "pass it on", peer.SendOptions{})
		}
		var loop *peer.LoopError
		switch {
		case errors.As(err, &loop):
			if peer.ClassOf(err) != peer.ClassRefused {
				t.Errorf("class %d", peer.ClassOf(err))
			}
			c.stopped.Add(1)
		case err != nil:
			return err
		default:
			c.sent.Add(1)
		}
		return nil
	}
}

// chat lets some chatter until all is quiet, after f said the first word.
func chat(t *testing.T, all []*chatter, f func()) {
	t.Helper()
	for _, c := range all {
		events := c.p.Events(t.Context())
		go func() {
			for e := range events {
				if e.Kind == peer.EventWarning && strings.Contains(e.Text, "loop guard") {
					c.warned.Add(1)
				}
			}
		}()
		defer answering(t, c.p, c.handle(t))()
	}
	f()
	meshtest.Pass(time.Hour)
}

func TestTwoThatAlwaysAnswerStop(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := &chatter{p: m.Create("alice", "laptop").Live("a")}
		defer m.Close(alice.p)
		bob := &chatter{p: m.Join("bob", "desk").Live("b")}
		defer m.Close(bob.p)
		begin := func() {
			alice.p.HumanTurn()
			send(t, alice.p, "bob", "hello", peer.SendOptions{})
		}
		chat(t, []*chatter{alice, bob}, begin)
		if sent := alice.sent.Load() + bob.sent.Load(); sent != 16 {
			t.Errorf("%d replies", sent)
		}
		// The sixteenth is alice's, so bob is stopped. She is told by a notice, would
		// answer that too, and is stopped in her turn.
		for _, c := range []*chatter{alice, bob} {
			if c.stopped.Load() != 1 || c.warned.Load() != 1 {
				t.Errorf("%s was stopped %d times and told %d times", c.p.Self().Address, c.stopped.Load(), c.warned.Load())
			}
		}
		if alice.notices.Load() != 1 || bob.notices.Load() != 0 {
			t.Errorf("notices: alice %d, bob %d", alice.notices.Load(), bob.notices.Load())
		}
		// Both sides' status lines say so, until their users say something.
		for _, c := range []*chatter{alice, bob} {
			if counts, err := c.p.Counts(t.Context()); err != nil || !counts.Stopped {
				t.Errorf("%s counts %+v: %v", c.p.Self().Address, counts, err)
			}
		}
		facts, err := bob.p.Facts(t.Context())
		if err != nil || facts.Loop.Stops != 1 || facts.Loop.With != "alice@laptop/a" || facts.Loop.Depth != 16 || facts.Loop.Pair != 20 {
			t.Errorf("facts %+v: %v", facts.Loop, err)
		}
		// A human's word, and it goes on for as long again.
		alice.sent.Store(0)
		bob.sent.Store(0)
		chat(t, []*chatter{alice, bob}, begin)
		if sent := alice.sent.Load() + bob.sent.Load(); sent != 16 || alice.notices.Load() != 2 {
			t.Errorf("%d replies after a human's word, %d notices", sent, alice.notices.Load())
		}
	})
}

func TestThreeInARingStop(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := &chatter{p: m.Create("alice", "laptop").Live("a"), to: "bob"}
		defer m.Close(alice.p)
		bob := &chatter{p: m.Join("bob", "desk").Live("b"), to: "carol"}
		defer m.Close(bob.p)
		carol := &chatter{p: m.Join("carol", "mac").Live("c"), to: "alice"}
		defer m.Close(carol.p)
		all := []*chatter{alice, bob, carol}
		chat(t, all, func() { send(t, alice.p, "bob", "hello", peer.SendOptions{}) })
		sent, stopped := int32(0), int32(0)
		for _, c := range all {
			sent += c.sent.Load()
			stopped += c.stopped.Load()
		}
		if sent != 16 || stopped == 0 {
			t.Errorf("%d passed it on, %d were stopped", sent, stopped)
		}
	})
}

// Who does not count, as a program in another language may not, is stopped by the
// number of messages.
func TestAPairStops(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := &chatter{p: m.Join("bob", "desk").Live("b")}
		defer m.Close(bob.p)
		defer answering(t, alice, func(ctx context.Context, got peer.Message) error {
			if got.Kind == peer.Notice {
				return nil
			}
			alice.HumanTurn() // it says so
			<-time.After(10 * time.Second)
			_, err := alice.Send(ctx, "bob", "and you?", peer.SendOptions{})
			return err
		})()
		chat(t, []*chatter{bob}, func() { send(t, alice, "bob", "hello", peer.SendOptions{}) })
		if bob.sent.Load() != 20 || bob.stopped.Load() != 1 || bob.warned.Load() != 1 {
			t.Errorf("bob sent %d, was stopped %d times, told %d times", bob.sent.Load(), bob.stopped.Load(), bob.warned.Load())
		}
		// Ten minutes later it is no flood any more.
		meshtest.Pass(10 * time.Minute)
		bob.sent.Store(0)
		chat(t, []*chatter{bob}, func() { send(t, alice, "bob", "hello", peer.SendOptions{}) })
		if bob.sent.Load() != 20 {
			t.Errorf("later bob sent %d", bob.sent.Load())
		}
	})
}

// What nobody's message caused is no loop, and a human's word ends one.
func TestTheGuardLeavesAloneWhatIsNoLoop(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for i := range 30 {
			send(t, alice, "bob", fmt.Sprint(i), peer.SendOptions{SeenWait: -1})
		}
		deep, err := bob.Send(t.Context(), "alice", "deep", peer.SendOptions{Depth: 16})
		if err != nil {
			t.Fatal(err)
		}
		got := meshtest.Next(t, alice)
		if got.ID != deep.ID || got.Depth != 16 {
			t.Fatalf("got %+v", got)
		}
		var loop *peer.LoopError
		if _, err := alice.Reply(t.Context(), got, "no", peer.SendOptions{}); !errors.As(err, &loop) || loop.Depth != 16 {
			t.Errorf("a reply: %v", err)
		}
		if _, err := alice.Send(t.Context(), "bob", "no", peer.SendOptions{}); !errors.As(err, &loop) {
			t.Errorf("a message: %v", err)
		}
		if _, err := alice.Ask(t.Context(), "bob", "no", peer.AskOptions{}); !errors.As(err, &loop) {
			t.Errorf("a question: %v", err)
		}
		if _, err := alice.Send(t.Context(), "bob", "fyi", peer.SendOptions{Kind: peer.Notice}); err != nil {
			t.Errorf("a notice: %v", err)
		}
		alice.HumanTurn()
		if sent := send(t, alice, "bob", "yes", peer.SendOptions{}); sent.ID.IsZero() {
			t.Error("not sent after a human's word")
		}
		if _, err := alice.Reply(t.Context(), got, "yes", peer.SendOptions{}); err != nil {
			t.Errorf("a reply after a human's word: %v", err)
		}
	})
}

func TestTheGuardIsInTheConfig(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for _, c := range []struct {
			config string
			depth  int // of the deepest that goes out
		}{{`{"depth": 3}`, 3}, {`"off"`, 100}, {`{"depth": -1, "pair": 5}`, 100}} {
			setConfig(t, machine, `"loop_guard": `+c.config)
			alice := machine.Live("a")
			for _, depth := range []int{c.depth, c.depth + 1} {
				_, err := alice.Send(t.Context(), "bob", "x", peer.SendOptions{Depth: depth})
				if refused := err != nil; refused != (c.depth == 3 && depth == 4) {
					t.Errorf("%s, depth %d: %v", c.config, depth, err)
				}
			}
			m.Close(alice)
		}
	})
}

package peer_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// waiting is what a session is shown when it asks.
func waiting(t *testing.T, p *peer.Peer, o peer.TakeOptions) peer.Inbox {
	t.Helper()
	in, err := p.Peek(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func bodies(in peer.Inbox) (all []string) {
	for _, m := range in.Messages {
		all = append(all, m.Body)
	}
	return all
}

func TestTwoSessionsOfOneProfile(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		api := machine.Live("payments-api")
		defer m.Close(api)
		shop := machine.Live("web-shop")
		again := machine.Live("web-shop")
		if again.Self().Label != "web-shop-2" {
			t.Errorf("label %q", again.Self().Label)
		}
		m.Close(again)

		// Sender and recipient have the same key: the commonest case of all.
		sent := send(t, api, "/web-shop", "schema changed", peer.SendOptions{})
		if sent.To[0].Address != "alice@laptop/web-shop" {
			t.Errorf("sent %+v", sent.To[0])
		}
		got := meshtest.Next(t, shop)
		if got.Body != "schema changed" || !got.From.Self || got.From.Label != "payments-api" {
			t.Errorf("got %+v", got)
		}
		if _, err := shop.Reply(t.Context(), got, "seen it", peer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		if answer := meshtest.Next(t, api); answer.Body != "seen it" {
			t.Errorf("answer %+v", answer)
		}
		meshtest.Pass(2 * time.Second)
		if got := states(t, api, sent.Short); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("states %v", got)
		}

		// What is for a session goes to no other while that lives, and to the next
		// after a minute.
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		if err := shop.SetStatus(t.Context(), peer.Working); err != nil {
			t.Fatal(err)
		}
		send(t, bob, "alice/web-shop", "for the shop", peer.SendOptions{})
		meshtest.Pass(5 * time.Minute)
		if in := waiting(t, api, peer.TakeOptions{}); len(in.Messages) != 0 || len(in.Elsewhere) != 1 || in.Elsewhere[0].Label != "web-shop" ||
			in.Elsewhere[0].Status != peer.Working || in.Elsewhere[0].Count != 1 {
			t.Errorf("shown to another session: %+v", in)
		}
		if in := waiting(t, api, peer.TakeOptions{Elsewhere: true, Asked: true}); !slices.Equal(bodies(in), []string{"for the shop"}) {
			t.Errorf("asked for: %+v", in)
		}
		m.Close(shop)
		meshtest.Pass(2 * time.Minute)
		if got := meshtest.Next(t, api); got.Body != "for the shop" {
			t.Errorf("after its session ended: %+v", got)
		}
	})
}

func TestLastActiveSessionShows(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		one := machine.Live("one")
		defer m.Close(one)
		meshtest.Pass(time.Second)
		two := machine.Live("two")
		defer m.Close(two)
		for _, active := range []*peer.Peer{one, two, one} {
			meshtest.Pass(time.Second)
			send(t, active, "bob", "I am working here", peer.SendOptions{})
			meshtest.Pass(time.Second)
			send(t, bob, "alice", "to "+active.Self().Label, peer.SendOptions{})
			if got := meshtest.Next(t, active); got.Body != "to "+active.Self().Label {
				t.Errorf("%+v", got)
			}
		}
	})
}

// TestSessionsPoke: what one process of a profile takes off the wire for another, or hears of
// what another sent, that one knows at once.
func TestSessionsPoke(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		online := machine.Live("online")
		defer m.Close(online)
		meshtest.Pass(time.Second)
		offline := machine.Open(peer.Options{Label: "offline", Receives: peer.Live, Offline: true})
		defer m.Close(offline)
		synctest.Wait() // it is the last that was active
		send(t, alice, "bob", "for the other one", peer.SendOptions{SeenWait: -1})
		meshtest.Pass(time.Second) // unpoked it looks a quarter of a minute after it began
		if counts, err := offline.Counts(t.Context()); err != nil || counts.Waiting != 1 {
			t.Errorf("it knows of %+v: %v", counts, err)
		}
		if got := bodies(waiting(t, online, peer.TakeOptions{})); len(got) != 0 {
			t.Errorf("the one that took it shows %q", got)
		}

		command := machine.Open(peer.Options{Label: "command", Receives: peer.Replies})
		defer m.Close(command)
		var group sync.WaitGroup
		group.Go(func() { meshtest.Next(t, alice) })
		sent := send(t, command, "alice", "seen at once", peer.SendOptions{SeenWait: time.Minute})
		group.Wait()
		if sent.To[0].State != peer.Seen { // its receipt goes to a live session
			t.Errorf("it hears of %+v", sent.To[0])
		}
	})
}

func TestAttention(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		status := func(s peer.Status) {
			t.Helper()
			if err := bob.SetStatus(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		unasked := func(want ...string) {
			t.Helper()
			synctest.Wait()
			if got := bodies(waiting(t, bob, peer.TakeOptions{})); !slices.Equal(got, want) {
				t.Errorf("shown unasked: %v, not %v", got, want)
			}
		}
		status(peer.Working)
		for _, p := range []peer.Priority{peer.Low, peer.Next, peer.Now} {
			if sent := send(t, alice, "bob", string(p), peer.SendOptions{Priority: p}); sent.To[0].State != peer.Delivered {
				t.Errorf("%s: %+v", p, sent.To[0])
			}
		}
		unasked("now")
		if counts, err := bob.Counts(t.Context()); err != nil || counts.Waiting != 1 || counts.Later != 2 || counts.Online != 1 {
			t.Errorf("counts %+v: %v", counts, err)
		}
		status(peer.Idle)
		unasked("now", "next")
		status(peer.DoNotDisturb)
		unasked()
		in := waiting(t, bob, peer.TakeOptions{Asked: true})
		if got := bodies(in); !slices.Equal(got, []string{"now", "next", "low"}) {
			t.Errorf("asked: %v", got)
		}
		// What a command sets for the peer holds for all sessions.
		status(peer.Idle)
		if err := bob.SetPeerStatus(t.Context(), peer.DoNotDisturb); err != nil {
			t.Fatal(err)
		}
		unasked()
		people, err := alice.Peers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := people.Members[1].Sessions; len(s) != 1 || s[0].Status != peer.DoNotDisturb {
			t.Errorf("bob's sessions %+v", s)
		}
	})
}

func TestTakeReleaseSeen(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		bob := machine.Live("b")
		sent := send(t, alice, "bob", "one", peer.SendOptions{})
		synctest.Wait()
		if got := bodies(waiting(t, bob, peer.TakeOptions{})); !slices.Equal(got, []string{"one"}) {
			t.Fatalf("peek: %v", got)
		}
		take := func() peer.Inbox {
			t.Helper()
			in, err := bob.Take(t.Context(), peer.TakeOptions{})
			if err != nil {
				t.Fatal(err)
			}
			return in
		}
		first := take()
		if len(first.Messages) != 1 || len(take().Messages) != 0 {
			t.Fatalf("taken %+v", first)
		}
		if err := bob.Release(t.Context(), first.Messages...); err != nil {
			t.Fatal(err)
		}
		second := take()
		if len(second.Messages) != 1 || second.Messages[0].Again {
			t.Fatalf("after release: %+v", second)
		}
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Delivered}) {
			t.Errorf("before it is seen: %v", got)
		}
		// The process ends while it shows: nobody knows whether it did.
		m.Close(bob)
		bob = machine.Live("b")
		defer m.Close(bob)
		third := take()
		if len(third.Messages) != 1 || !third.Messages[0].Again {
			t.Fatalf("after the end: %+v", third)
		}
		for range 2 { // a second word changes nothing
			if err := bob.Seen(t.Context(), third.Messages...); err != nil {
				t.Fatal(err)
			}
		}
		meshtest.Pass(5 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("after it is seen: %v", got)
		}
		again, err := bob.Get(t.Context(), sent.Short)
		if err != nil || again.Body != "one" || again.From.Address != "alice@laptop/a" {
			t.Errorf("history: %+v, %v", again, err)
		}
	})
}

func TestHandleError(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for _, body := range []string{"good", "bad", "later"} {
			send(t, alice, "bob", body, peer.SendOptions{})
		}
		synctest.Wait()
		broken := errors.New("broken")
		err := bob.Handle(t.Context(), func(_ context.Context, m peer.Message) error {
			if m.Body == "bad" {
				return broken
			}
			return nil
		})
		if !errors.Is(err, broken) {
			t.Errorf("handle: %v", err)
		}
		if got := bodies(waiting(t, bob, peer.TakeOptions{})); !slices.Equal(got, []string{"bad", "later"}) {
			t.Errorf("left: %v", got)
		}
	})
}

// TestHandleCannotSay: that a message was shown cannot be said, the config being broken.
// It comes again and says that it may have been shown; what is behind it does not.
func TestHandleCannotSay(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		bob := machine.Live("b")
		defer m.Close(bob)
		for _, body := range []string{"shown", "behind"} {
			send(t, alice, "bob", body, peer.SendOptions{})
		}
		synctest.Wait()
		path := filepath.Join(machine.Profile, "config.json")
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		err = bob.Handle(t.Context(), func(_ context.Context, m peer.Message) error {
			if m.Body == "behind" {
				synctest.Wait() // until the other could not be said seen
				return errors.New("not shown")
			}
			return os.WriteFile(path, []byte("{"), 0o600)
		})
		if !errors.Is(err, config.ErrBroken) {
			t.Errorf("handle: %v", err)
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		in := waiting(t, bob, peer.TakeOptions{})
		if got := bodies(in); !slices.Equal(got, []string{"shown", "behind"}) {
			t.Fatalf("left: %v", got)
		}
		if !in.Messages[0].Again || in.Messages[1].Again {
			t.Errorf("marked: what was shown %v, what was not %v", in.Messages[0].Again, in.Messages[1].Again)
		}
	})
}

// TestOutboxTakeOver: what a command could not send goes out with the next process
// that connects.
func TestOutboxTakeOver(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		machine.Live("sync").Close() // so that bob is known
		m.Stop()
		var ids []string
		for _, body := range []string{"one", "two"} {
			command := machine.Open(peer.Options{Label: "shell", Receives: peer.Replies})
			sent, err := command.Send(t.Context(), "bob", body, peer.SendOptions{})
			if peer.ClassOf(err) != peer.ClassUnreachable || sent.To[0].State != peer.Pending {
				t.Errorf("%s: %+v, %v", body, sent, err)
			}
			ids = append(ids, sent.Short)
			m.Close(command)
		}
		m.Start()
		alice := machine.Live("next")
		defer m.Close(alice)
		for _, body := range []string{"one", "two"} {
			if got := meshtest.Next(t, bob); got.Body != body || got.From.Label != "shell" {
				t.Errorf("%s: %+v", body, got)
			}
		}
		meshtest.Pass(2 * time.Second)
		for _, id := range ids {
			if got := states(t, alice, id); !slices.Equal(got, []peer.State{peer.Seen}) {
				t.Errorf("%s: %v", id, got)
			}
		}
	})
}

// TestReceiptsTakeOver: what a process saw and could tell nobody, before it ended, the one that
// is connected tells.
func TestReceiptsTakeOver(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		online := machine.Live("online")
		defer m.Close(online)
		sent := send(t, alice, "bob", "read without a connection", peer.SendOptions{Priority: peer.Low, SeenWait: -1})
		synctest.Wait()
		offline := machine.Open(peer.Options{Label: "offline", Receives: peer.Live, Offline: true})
		in, err := offline.Take(t.Context(), peer.TakeOptions{Asked: true, Elsewhere: true})
		if err != nil || len(in.Messages) != 1 {
			t.Fatalf("taken %+v: %v", in, err)
		}
		if err := offline.Seen(t.Context(), in.Messages...); err != nil {
			t.Fatal(err)
		}
		m.Close(offline)
		meshtest.Pass(time.Minute)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("alice hears %v", got)
		}
	})
}

func TestDrain(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		for _, body := range []string{"one", "two", "three"} {
			send(t, alice, "bob", body, peer.SendOptions{Priority: peer.Low})
		}
		command := machine.Open(peer.Options{Label: "shell", Receives: peer.Drain})
		defer m.Close(command)
		if err := command.Drained(t.Context()); err != nil {
			t.Fatal(err)
		}
		in, err := command.Take(t.Context(), peer.TakeOptions{Asked: true})
		if err != nil || !slices.Equal(bodies(in), []string{"one", "two", "three"}) {
			t.Errorf("%+v: %v", in, err)
		}
	})
}

// TestProcessThatKnowsLess: a message that one process of the profile took is not put
// away by another that does not know its sender yet.
func TestProcessThatKnowsLess(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		m.Close(machine.Live("first"))
		old := machine.Open(peer.Options{Label: "old", Receives: peer.Live, Offline: true})
		defer m.Close(old)
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		young := machine.Live("young")
		defer m.Close(young)
		send(t, carol, "bob", "I am new here", peer.SendOptions{Priority: peer.Low})
		synctest.Wait()
		in, err := old.Take(t.Context(), peer.TakeOptions{Asked: true, Elsewhere: true})
		if err != nil || len(in.Messages) != 0 {
			t.Errorf("shown by a process that does not know carol: %+v, %v", in, err)
		}
		in, err = young.Take(t.Context(), peer.TakeOptions{Asked: true, Elsewhere: true})
		if err != nil || !slices.Equal(bodies(in), []string{"I am new here"}) || in.Held != 0 {
			t.Errorf("left for the one that does: %+v, %v", in, err)
		}
	})
}

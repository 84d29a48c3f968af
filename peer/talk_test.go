package peer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// run runs a test on a mesh of its own, in fake time.
func run(t *testing.T, test func(*testing.T, *meshtest.Mesh)) {
	t.Helper()
	meshtest.Run(t, meshtest.Options{}, test)
}

// send sends and fails the test on an error.
func send(t *testing.T, p *peer.Peer, to, body string, o peer.SendOptions) peer.Sent {
	t.Helper()
	sent, err := p.Send(t.Context(), to, body, o)
	if err != nil {
		t.Fatalf("send to %s: %v", to, err)
	}
	return sent
}

// admitOne lets in, as a device of p's user, the first that waits for it.
func admitOne(t *testing.T, p *peer.Peer) {
	t.Helper()
	synctest.Wait() // p is told of it
	asked, err := p.Requests(t.Context())
	if err != nil || len(asked) == 0 {
		t.Fatalf("%d wait: %v", len(asked), err)
	}
	if in, err := p.Admit(t.Context(), asked[0]); err != nil || !in {
		t.Fatalf("let in %v: %v", in, err)
	}
}

// states are the states of a message for its recipients, as the sender knows them.
func states(t *testing.T, p *peer.Peer, id string) []peer.State {
	t.Helper()
	trace, err := p.Message(t.Context(), id)
	if err != nil {
		t.Fatalf("message %s: %v", id, err)
	}
	var all []peer.State
	for _, r := range trace.To {
		all = append(all, r.State)
	}
	return all
}

func TestTwoPeersTalk(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("payments-api")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("web-shop")
		defer m.Close(bob)

		sent := send(t, alice, "bob", "tests are green on main", peer.SendOptions{})
		if got := sent.To[0]; got.State != peer.Delivered || got.Address != "bob@desk" {
			t.Errorf("sent: %+v", got)
		}
		got := meshtest.Next(t, bob)
		if got.Body != "tests are green on main" || got.From.Address != "alice@laptop/payments-api" || got.ID != sent.ID || got.To != "bob" {
			t.Errorf("got %+v", got)
		}
		reply, err := bob.Reply(t.Context(), got, "on it", peer.SendOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if answer := meshtest.Next(t, alice); answer.Body != "on it" || answer.ReplyTo != sent.ID || answer.ID != reply.ID || answer.Depth != 1 {
			t.Errorf("answer %+v", answer)
		}
		meshtest.Pass(2 * time.Second) // receipts are gathered for a second
		trace, err := alice.Message(t.Context(), sent.Short)
		if err != nil || trace.To[0].State != peer.Seen || trace.To[0].Address != "bob@desk/web-shop" {
			t.Errorf("trace %+v: %v", trace, err)
		}
		var words []peer.Word
		for _, step := range trace.To[0].Steps {
			words = append(words, step.Word)
		}
		if want := []peer.Word{peer.OwnWord, peer.BrokerWord, peer.Receipt}; !slices.Equal(words, want) {
			t.Errorf("by whose word: %v", words)
		}
	})
}

func TestSendWaitsForSeen(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		sender := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("bot")
		defer m.Close(bob)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- bob.Handle(ctx, func(context.Context, peer.Message) error { return nil })
		}()
		defer func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("handle: %v", err)
			}
		}()
		alice := sender.Open(peer.Options{Label: "shell", Receives: peer.Replies})
		defer m.Close(alice)
		sent := send(t, alice, "bob", "hi", peer.SendOptions{SeenWait: 3 * time.Second})
		if sent.To[0].State != peer.Seen || sent.To[0].Label != "bot" {
			t.Errorf("sent: %+v", sent.To[0])
		}
	})
}

func TestOfflineQueue(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		bob := machine.Live("b")
		m.Close(bob)
		meshtest.Pass(2 * time.Hour)
		var ids []string
		for i := range 5 {
			sent := send(t, alice, "bob", fmt.Sprint("message ", i), peer.SendOptions{})
			if r := sent.To[0]; r.State != peer.Queued || time.Since(r.Away) < time.Hour {
				t.Fatalf("sent: %+v", r)
			}
			ids = append(ids, sent.Short)
		}
		meshtest.Pass(time.Hour)
		bob = machine.Live("b")
		defer m.Close(bob)
		for i := range 5 {
			if got := meshtest.Next(t, bob); got.Body != fmt.Sprint("message ", i) || got.Again || got.Missing != 0 {
				t.Errorf("message %d: %+v", i, got)
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

func TestBrokerRestart(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		bob := machine.Live("b")
		send(t, alice, "bob", "before", peer.SendOptions{})
		m.Close(bob) // it took the message, and showed it to nobody
		send(t, alice, "bob", "queued", peer.SendOptions{})
		m.Stop()
		sent, err := alice.Send(t.Context(), "bob", "while it is down", peer.SendOptions{})
		var away *peer.NotReachableError
		if !errors.As(err, &away) || !away.Kept || sent.To[0].State != peer.Pending || peer.ClassOf(err) != peer.ClassUnreachable {
			t.Fatalf("%+v: %v", sent, err)
		}
		if want := "not sent yet: 127.0.0.1:7900 does not answer (connection refused). Kept; goes out when it is back."; err.Error() != want {
			t.Errorf("sentence: %s", err)
		}
		if counts, err := alice.Counts(t.Context()); err != nil || counts.Unsent != 1 {
			t.Errorf("counts %+v: %v", counts, err)
		}
		m.Start()
		meshtest.Online(t, alice)
		bob = machine.Live("b")
		defer m.Close(bob)
		for _, want := range []string{"before", "queued", "while it is down"} {
			if got := meshtest.Next(t, bob); got.Body != want || got.Missing != 0 || got.Late {
				t.Errorf("%+v instead of %q", got, want)
			}
		}
		nothingMore(t, bob)
		meshtest.Pass(2 * time.Second)
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Seen}) {
			t.Errorf("after the restart: %v", got)
		}
	})
}

// nothingMore fails where a session is shown another message.
func nothingMore(t *testing.T, p *peer.Peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if got, err := p.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more: %+v (%v)", got, err)
	}
}

func TestBrokenLinks(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		const messages = 60
		for i := range messages {
			if _, err := alice.Send(t.Context(), "bob", fmt.Sprint(i), peer.SendOptions{NoWait: true}); err != nil {
				t.Fatal(err)
			}
			if i%7 == 3 {
				m.Net.Break()
			}
		}
		for i := range messages {
			if got := meshtest.Next(t, bob); got.Body != fmt.Sprint(i) || got.Again || got.Late || got.Missing != 0 {
				t.Errorf("message %d: %+v", i, got)
			}
			if i%9 == 5 {
				m.Net.Break()
			}
		}
		nothingMore(t, bob)
		if unsent, err := alice.Unsent(t.Context()); err != nil || len(unsent) != 0 {
			t.Errorf("unsent %+v: %v", unsent, err)
		}
	})
}

func TestNames(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("web-shop")
		defer m.Close(bob)
		m.Join("carol", "mac")
		synctest.Wait()
		for _, c := range []struct {
			to, sentence string
			class        peer.Class
		}{
			{"bbo", `no "bbo" in acme. Did you mean bob? Here: alice, bob, carol`, peer.ClassRefused},
			{"zoe", `no "zoe" in acme. Here: alice, bob, carol`, peer.ClassRefused},
			{"bob@phone", `no "bob@phone" in acme. Here: bob@desk`, peer.ClassRefused},
			{"bob/web-shpo", `no "bob/web-shpo" in acme. Did you mean bob/web-shop? Here: bob/web-shop`, peer.ClassRefused},
			{"/b", `no "/b" in acme. No session is there now that has a label; who is: claudemesh peers`, peer.ClassRefused},
			{"key-aaaaaaaa", `no "key-aaaaaaaa" in acme.`, peer.ClassRefused},
			{"other:bob", `no "other:" in this profile. Here: acme`, peer.ClassRefused},
			{"@backend", `nobody else in acme carries the tag @backend.`, peer.ClassRefused},
			{"#deploys", "channels are not there yet; send to names, or to * for everybody", peer.ClassUsage},
			{"", "", peer.ClassUsage},
			{"a b", "", peer.ClassUsage},
		} {
			_, err := alice.Send(t.Context(), c.to, "hi", peer.SendOptions{})
			if peer.ClassOf(err) != c.class || c.sentence != "" && err.Error() != c.sentence {
				t.Errorf("%q: %v (class %d)", c.to, err, peer.ClassOf(err))
			}
		}
		for _, to := range []string{"bob", "BOB", "bob@desk", "bob@desk/web-shop", "bob/web-shop", "acme:bob", bob.Self().Key.String()[:14]} {
			send(t, alice, to, "to "+to, peer.SendOptions{})
			if got := meshtest.Next(t, bob); got.Body != "to "+to {
				t.Errorf("%s: %+v", to, got)
			}
		}
		sent := send(t, alice, "*", "all", peer.SendOptions{})
		if len(sent.To) != 2 || meshtest.Next(t, bob).Body != "all" {
			t.Errorf("to all: %+v", sent)
		}
	})
}

func TestWhatCannotBeSent(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for name, c := range map[string]struct {
			body string
			o    peer.SendOptions
		}{
			"empty":     {"", peer.SendOptions{}},
			"too large": {strings.Repeat("x", 1<<20+1), peer.SendOptions{}},
			"no text":   {"\xff\xfe", peer.SendOptions{}},
			"priority":  {"x", peer.SendOptions{Priority: "soon"}},
			"kind":      {"x", peer.SendOptions{Kind: "receipt"}},
			"expiry":    {"x", peer.SendOptions{Expires: 31 * 24 * time.Hour}},
		} {
			if _, err := alice.Send(t.Context(), "bob", c.body, c.o); peer.ClassOf(err) != peer.ClassUsage {
				t.Errorf("%s: %v", name, err)
			}
		}
		large := strings.Repeat("é", 1<<19)
		send(t, alice, "bob", large, peer.SendOptions{})
		if got := meshtest.Next(t, bob); got.Body != large {
			t.Errorf("a body of 1 MiB came as %d bytes", len(got.Body))
		}
	})
}

func TestExpiry(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")
		short := send(t, alice, "bob", "gone", peer.SendOptions{Expires: time.Minute})
		kept := send(t, alice, "bob", "kept", peer.SendOptions{})
		meshtest.Pass(time.Hour)
		bob := machine.Live("b")
		defer m.Close(bob)
		if got := meshtest.Next(t, bob); got.Body != "kept" || got.ID != kept.ID {
			t.Errorf("got %+v", got)
		}
		if got := states(t, alice, short.Short); !slices.Equal(got, []peer.State{peer.Expired}) {
			t.Errorf("expired: %v", got)
		}
	})
}

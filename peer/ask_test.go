package peer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// answering answers every question of a session by f until the test ends it.
func answering(t *testing.T, p *peer.Peer, f func(context.Context, peer.Message) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Handle(ctx, f) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("handle: %v", err)
		}
	}
}

func TestAskIsAnswered(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("payments-api")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("web-shop")
		defer m.Close(bob)
		// Whoever is asked may take a while; the asker works meanwhile, so that
		// nothing may be shown to it unasked.
		if err := alice.SetStatus(t.Context(), peer.Working); err != nil {
			t.Fatal(err)
		}
		defer answering(t, bob, func(ctx context.Context, q peer.Message) error {
			if q.Kind != peer.Ask {
				t.Errorf("a %s came", q.Kind)
			}
			if _, err := bob.Send(ctx, "alice", "by the way", peer.SendOptions{}); err != nil {
				t.Error(err)
			}
			<-time.After(9 * time.Second)
			_, err := bob.Reply(ctx, q, "fix/webhook-retry", peer.SendOptions{})
			return err
		})()
		var told []peer.State
		a, err := alice.Ask(t.Context(), "bob", "Which branch?", peer.AskOptions{Told: func(s peer.Sent) {
			if state := s.To[0].State; !slices.Contains(told, state) {
				told = append(told, state)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		got := a.Message
		if a.Declined() || got.Kind != peer.Answer || got.Body != "fix/webhook-retry" || got.ReplyTo != a.Question.ID ||
			got.From.Address != "bob@desk/web-shop" || got.Thread != a.Question.ID {
			t.Errorf("answer %+v", got)
		}
		if !slices.Contains(told, peer.Delivered) {
			t.Errorf("told of %v", told)
		}
		if err := alice.Seen(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		in, err := alice.Take(t.Context(), peer.TakeOptions{Asked: true})
		if err != nil || len(in.Messages) != 1 || in.Messages[0].Body != "by the way" || in.Messages[0].Missing != 0 {
			t.Errorf("in the inbox %+v: %v", in, err)
		}
		turns, err := alice.Thread(t.Context(), got.Short)
		if err != nil || len(turns) != 2 || !turns[0].Outgoing || turns[0].With != "bob" || turns[0].Kind != peer.Ask ||
			turns[1].Outgoing || turns[1].Body != "fix/webhook-retry" {
			t.Errorf("thread %+v: %v", turns, err)
		}
		before, err := alice.Before(t.Context(), got, 3)
		if err != nil || len(before) != 1 || before[0].Body != "Which branch?" {
			t.Errorf("before it %+v: %v", before, err)
		}
	})
}

func TestAskIsDeclined(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		defer answering(t, bob, func(ctx context.Context, q peer.Message) error {
			_, err := bob.Decline(ctx, q, "", peer.SendOptions{})
			return err
		})()
		a, err := alice.Ask(t.Context(), "bob@desk", "Which branch?", peer.AskOptions{})
		if err != nil || !a.Declined() || a.Message.Body != "" {
			t.Errorf("%+v: %v", a, err)
		}
		if _, err := alice.Decline(t.Context(), a.Message, "", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassUsage {
			t.Errorf("a decline was declined: %v", err)
		}
	})
}

func TestLateAnswerIsAMessage(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		a, err := alice.Ask(t.Context(), "bob", "Which branch?", peer.AskOptions{Timeout: 30 * time.Second})
		var late *peer.TimeoutError
		if !errors.As(err, &late) || peer.ClassOf(err) != peer.ClassTimeout || a.Question.ID.IsZero() || err.Error() != "no answer from bob within 30s" {
			t.Fatalf("%+v: %v", a, err)
		}
		question := meshtest.Next(t, bob)
		// Somebody else's answer is none, whatever it says it answers.
		if _, err := carol.Send(t.Context(), "alice", "main", peer.SendOptions{Kind: peer.Answer, ReplyTo: question.ID}); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Reply(t.Context(), question, "main", peer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, from := range []string{"carol@mac/c", "bob@desk/b"} {
			if got := meshtest.Next(t, alice); got.From.Address != from || got.Kind != peer.Answer || got.ReplyTo != a.Question.ID {
				t.Errorf("got %+v", got)
			}
		}
	})
}

func TestOnlyTheOneAskedAnswers(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		defer answering(t, bob, func(ctx context.Context, q peer.Message) error {
			if _, err := carol.Send(ctx, "alice", "it is me", peer.SendOptions{Kind: peer.Answer, ReplyTo: q.ID}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			_, err := bob.Reply(ctx, q, "no, me", peer.SendOptions{})
			return err
		})()
		if a, err := alice.Ask(t.Context(), "bob", "Who?", peer.AskOptions{}); err != nil || a.Message.Body != "no, me" {
			t.Errorf("%+v: %v", a, err)
		}
		for _, to := range []string{"*", "@backend"} {
			if _, err := alice.Ask(t.Context(), to, "Who?", peer.AskOptions{}); err == nil {
				t.Errorf("%s was asked", to)
			}
		}
	})
}

func TestAskWhoCannotAnswer(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		m.Stop()
		a, err := alice.Ask(t.Context(), "bob", "Who?", peer.AskOptions{})
		var away *peer.NotReachableError
		if !errors.As(err, &away) || !away.Kept || a.Question.ID.IsZero() {
			t.Errorf("%+v: %v", a, err)
		}
		m.Start()
		meshtest.Online(t, alice)
		meshtest.Online(t, bob)
		if got := meshtest.Next(t, bob); got.ID != a.Question.ID || got.Kind != peer.Ask {
			t.Errorf("got %+v", got)
		}
	})
}

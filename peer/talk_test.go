package peer_test

import (
	"context"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

func TestTwoPeersTalk(t *testing.T) {
	m := meshtest.New(t, meshtest.Options{})
	defer m.Stop()
	alice := m.Create("alice", "laptop").Live("payments-api")
	defer m.Close(alice)
	bob := m.Join("bob", "desk").Live("web-shop")
	defer m.Close(bob)

	ctx := t.Context()
	sent, err := alice.Send(ctx, "bob", "tests are green on main", peer.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", sent)
	got := meshtest.Next(t, bob)
	if got.Body != "tests are green on main" || got.From.Address != "alice@laptop/payments-api" || got.ID != sent.ID {
		t.Errorf("got %+v", got)
	}
	reply, err := bob.Reply(ctx, got, "on it", peer.SendOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if answer := meshtest.Next(t, alice); answer.Body != "on it" || answer.ReplyTo != sent.ID || answer.ID != reply.ID {
		t.Errorf("answer %+v", answer)
	}
	trace, err := alice.Message(context.Background(), sent.Short)
	if err != nil || trace.To[0].State != peer.Seen || trace.To[0].Label != "web-shop" {
		t.Errorf("trace %+v: %v", trace, err)
	}
}

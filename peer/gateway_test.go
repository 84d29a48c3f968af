package peer_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

func TestBot(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bot := m.Join("bob", "desk").Live("echo")
		defer m.Close(bot)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- echo(ctx, bot) }()
		sent := send(t, alice, "bob/echo", "which branch?", peer.SendOptions{Kind: peer.Ask, SeenWait: 5 * time.Second})
		if sent.To[0].State != peer.Seen {
			t.Errorf("asked: %+v", sent.To[0])
		}
		if got := meshtest.Next(t, alice); got.Kind != peer.Answer || got.Body != "alice asked: which branch?" || got.ReplyTo != sent.ID {
			t.Errorf("answer %+v", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("bot: %v", err)
		}
	})
}

// testChat is a chat system in memory.
type testChat struct {
	lines  chan Line
	posted chan string
}

func (c *testChat) Next(ctx context.Context) (Line, error) {
	select {
	case l, ok := <-c.lines:
		if !ok {
			return Line{}, io.EOF
		}
		return l, nil
	case <-ctx.Done():
		return Line{}, ctx.Err()
	}
}

func (c *testChat) Post(ctx context.Context, room, text string) error {
	select {
	case c.posted <- room + " " + text:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestGateway(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		invite, err := alice.Invite(t.Context(), peer.InviteOptions{Kinds: []string{"gateway"}, Uses: 1})
		if err != nil {
			t.Fatal(err)
		}
		machine := m.Machine("chat", "gateway")
		o := peer.JoinOptions{Dir: machine.Profile, User: "chat", Device: "gateway", Kind: "agent", Dial: m.Net.Dial}
		if _, err := peer.Join(t.Context(), invite.Link, o); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("an agent joins by a gateway's link: %v", err)
		}
		o.Kind = "gateway"
		if _, err := peer.Join(t.Context(), invite.Link, o); err != nil {
			t.Fatal(err)
		}
		p := machine.Live("room")
		defer m.Close(p)
		chat := &testChat{lines: make(chan Line), posted: make(chan string, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- (&Gateway{Peer: p, Chat: chat, Room: "#agents"}).Run(ctx) }()

		chat.lines <- Line{Room: "#agents", Author: "Ann", Text: "alice: is main green?"}
		got := meshtest.Next(t, alice)
		if got.Body != "is main green?" || got.Via != "chat: Ann" || got.From.User != "chat" {
			t.Errorf("got %+v", got)
		}
		people, err := alice.Peers(t.Context())
		if err != nil || people.Members[1].Kind != "gateway" {
			t.Errorf("not marked as a gateway: %+v, %v", people, err)
		}
		if _, err := alice.Reply(t.Context(), got, "it is", peer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := <-chat.posted; got != "#agents alice@laptop/a: it is" {
			t.Errorf("posted %q", got)
		}
		chat.lines <- Line{Room: "#ops", Author: "Ann", Text: "alcie: hello"}
		if got := <-chat.posted; got != `#ops no "alcie" in acme. Did you mean alice? Here: alice, chat` {
			t.Errorf("posted %q", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("gateway: %v", err)
		}
	})
}

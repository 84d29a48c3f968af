package peer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/claudemesh/claudemesh-go/peer"
)

// A bot that answers questions. It is a session of the profile in ~/.claudemesh,
// which is in a mesh already: claudemesh join. Others ask it by the label of its
// session: claudemesh send bob/echo "…".
func Example_bot() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	p, err := peer.Open(ctx, peer.Options{Label: "echo", Client: "echo/1.0", Receives: peer.Live})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := echo(ctx, p); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// echo answers every question until ctx ends.
func echo(ctx context.Context, p *peer.Peer) error {
	return p.Handle(ctx, func(ctx context.Context, m peer.Message) error {
		if m.Kind != peer.Ask {
			return nil // read, and no answer wanted
		}
		_, err := p.Reply(ctx, m, fmt.Sprintf("%s asked: %s", m.From.User, m.Body), peer.SendOptions{})
		if peer.ClassOf(err) == peer.ClassUnreachable {
			return nil // the answer is kept, and goes out when the broker is back
		}
		return err
	})
}

// Chat is what a gateway needs of a chat system: Telegram, Slack, a terminal.
type Chat interface {
	// Next waits for the next line that somebody writes to the gateway.
	Next(ctx context.Context) (Line, error)
	// Post writes into a room.
	Post(ctx context.Context, room, text string) error
}

// Line is what somebody wrote in the chat system: "bob: which branch?".
type Line struct{ Room, Author, Text string }

// Gateway is a peer at which encryption ends: it reads what goes through, and the
// roster says so, since it joined with JoinOptions.Kind "gateway". What it says about
// who wrote in the chat system is hearsay, and shown as such.
type Gateway struct {
	Peer *peer.Peer
	Chat Chat
	Room string // for what answers nobody
}

// Run carries messages both ways until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return g.fromMesh(ctx) })
	both.Go(func() error { return g.fromChat(ctx) })
	return both.Wait()
}

// fromMesh posts what is sent to the gateway. It counts as seen once it is posted; a
// post that fails ends the gateway, and the message is shown at its next start.
func (g *Gateway) fromMesh(ctx context.Context) error {
	return g.Peer.Handle(ctx, func(ctx context.Context, m peer.Message) error {
		return g.Chat.Post(ctx, g.Room, fmt.Sprintf("%s: %s", m.From.Address, m.Body))
	})
}

// fromChat sends what people write. The error's sentence is for them.
func (g *Gateway) fromChat(ctx context.Context) error {
	for {
		line, err := g.Chat.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		to, text, found := strings.Cut(line.Text, ":")
		if !found {
			continue // not for the mesh
		}
		_, err = g.Peer.Send(ctx, strings.TrimSpace(to), strings.TrimSpace(text), peer.SendOptions{Via: "chat: " + line.Author, Human: true})
		if err != nil {
			err = g.Chat.Post(ctx, line.Room, err.Error())
		}
		if err != nil {
			return err
		}
	}
}

// A gateway to a chat system: join once with a link that lets gateways in
// (InviteOptions.Kinds), then carry messages both ways.
func Example_gateway() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	const folder = "/var/lib/chat-gateway"
	if meshes, err := peer.Meshes(folder); err == nil && len(meshes) == 0 {
		_, err := peer.Join(ctx, os.Getenv("INVITE"), peer.JoinOptions{Dir: folder, User: "chat", Device: "gateway", Kind: "gateway"})
		if err != nil {
			log.Fatal(err)
		}
	}
	p, err := peer.Open(ctx, peer.Options{Dir: folder, Label: "room", Client: "chat-gateway/1.0", Receives: peer.Live})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	var chat Chat // yours
	g := &Gateway{Peer: p, Chat: chat, Room: "#agents"}
	if err := g.Run(ctx); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

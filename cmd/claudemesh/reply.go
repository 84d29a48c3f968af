package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) replyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "reply ID [TEXT]",
		Short: "Answer a message that you were shown",
		Long: `Sends TEXT, or what comes on standard input, to the session that wrote the message,
or to its peer where that session has ended. ID is the message's, as the inbox and
the thread show it.`,
		Example: `  claudemesh reply m-8fk2 "fix/webhook-retry, pushed an hour ago"`,
		Args:    idAndText,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.bodyFrom(args)
			if err != nil {
				return err
			}
			return a.respond(cmd.Context(), args[0], func(ctx context.Context, p *peer.Peer, m peer.Message) (peer.Sent, error) {
				return p.Reply(ctx, m, body, peer.SendOptions{})
			})
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) declineCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "decline ID [WHY]",
		Short:   "Say that you will not answer a question",
		Long:    `Tells whoever asked that no answer will come, so that nobody waits for it.`,
		Example: `  claudemesh decline m-8fk2 "ask carol, she wrote it"`,
		Args:    idAndText,
		RunE: func(cmd *cobra.Command, args []string) error {
			why := ""
			if len(args) > 1 {
				why = args[1]
			}
			return a.respond(cmd.Context(), args[0], func(ctx context.Context, p *peer.Peer, m peer.Message) (peer.Sent, error) {
				return p.Decline(ctx, m, why, peer.SendOptions{})
			})
		},
	}
	a.jsonFlag(c)
	return c
}

// idAndText wants a message's id, and a text at most.
func idAndText(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("the message's id is missing: %s", usageOf(cmd))
	case len(args) > 2:
		return usagef("%q is one word too many: put the text in quotes", args[2])
	}
	return nil
}

// respond answers a message by f, and says what became of that.
func (a *app) respond(ctx context.Context, id string, f func(context.Context, *peer.Peer, peer.Message) (peer.Sent, error)) error {
	if err := a.aimMessage(ctx, id, inThread); err != nil {
		return err
	}
	return a.with(ctx, peer.Replies, func(p *peer.Peer) error {
		m, err := p.Get(ctx, id)
		if err != nil {
			return err
		}
		a.human(p)
		sent, err := f(ctx, p, m)
		if sent.ID.IsZero() {
			return err
		}
		return a.sent(sent, peer.SendOptions{Priority: m.Priority}, err)
	})
}

// sent says what became of a message, in words or JSON; err is what sending it said.
func (a *app) sent(sent peer.Sent, o peer.SendOptions, err error) error {
	if a.json {
		if jsonErr := a.ui.json(map[string]string{"id": sent.ID.String(), "state": string(overall(sent.To))}); jsonErr != nil {
			return jsonErr
		}
	}
	if err != nil {
		return err
	}
	if !a.json {
		if err := a.showSent(sent, o); err != nil {
			return err
		}
	}
	if overall(sent.To) == peer.Refused {
		return errSilent{peer.ClassRefused}
	}
	return nil
}

// inThread tells whether a message is in the history of a mesh.
func inThread(ctx context.Context, p *peer.Peer, id string) error {
	_, err := p.Thread(ctx, id)
	return err
}

// aimMessage finds the mesh that knows a message, and sets it as the one to open,
// where there are several and none was named.
func (a *app) aimMessage(ctx context.Context, id string, knows func(context.Context, *peer.Peer, string) error) error {
	if a.mesh != "" {
		return nil
	}
	meshes, err := peer.Meshes(a.dir)
	if err != nil || len(meshes) < 2 {
		return err
	}
	for _, m := range meshes {
		a.mesh = m.Alias
		err := a.offline(ctx, func(p *peer.Peer) error { return knows(ctx, p, id) })
		if !errors.Is(err, peer.ErrNoSuchMessage) {
			return err
		}
	}
	a.mesh = ""
	return peer.ErrNoSuchMessage
}

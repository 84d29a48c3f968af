package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) inboxCommand() *cobra.Command {
	var follow, peek bool
	var o peer.TakeOptions
	c := &cobra.Command{
		Use:   "inbox",
		Short: "Read what waits for you",
		Long: `Prints the messages that wait for this device, and tells their senders that they
were seen. What is meant for a session that runs is left to it, unless --take.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if follow && peek {
				return usagef("--follow and --peek exclude each other: what is followed is seen")
			}
			o.Asked = true // whoever runs inbox asks for what waits until it is asked for
			if follow {
				return a.follow(cmd.Context(), o)
			}
			return a.inbox(cmd.Context(), o, peek)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "stay and print what comes, until Ctrl-C")
	c.Flags().BoolVar(&o.Elsewhere, "take", false, "take also what is meant for your sessions")
	c.Flags().BoolVar(&peek, "peek", false, "only look: nothing is taken, and nobody is told that it was seen")
	c.Flags().IntVar(&o.Max, "max", 0, "print this many at most; 0 is all")
	a.jsonFlag(c)
	return c
}

func (a *app) inbox(ctx context.Context, o peer.TakeOptions, peek bool) error {
	return a.with(ctx, peer.Drain, func(p *peer.Peer) error {
		// Without a broker there still is what has come already.
		unreachable := online(ctx, p)
		if unreachable == nil {
			waiting, cancel := context.WithTimeout(ctx, patience)
			unreachable = p.Drained(waiting)
			cancel()
		}
		if refused := peer.ClassOf(unreachable); refused == peer.ClassRefused {
			return unreachable
		}
		take := p.Take
		if peek {
			take = p.Peek
		}
		box, err := take(ctx, o)
		if err != nil {
			return err
		}
		if err := a.showInbox(box); err != nil {
			return err // what of it was read nobody knows: all of it comes again, marked
		}
		if !peek && len(box.Messages) > 0 {
			// Written to standard output is seen; an interrupt changes nothing now.
			if err := p.Seen(context.WithoutCancel(ctx), box.Messages...); err != nil {
				return err
			}
		}
		if !a.json {
			a.showRest(box)
		}
		return unreachable
	})
}

// inboxMessage is a message in JSON.
type inboxMessage struct {
	ID      string    `json:"id"`
	Mesh    string    `json:"mesh"`
	From    string    `json:"from"`
	Body    string    `json:"body"`
	SentAt  time.Time `json:"sent_at"`
	Kind    string    `json:"kind"`
	ReplyTo *string   `json:"reply_to"`          // null where it answers nothing
	Again   bool      `json:"again,omitempty"`   // it may have been shown before
	Late    bool      `json:"late,omitempty"`    // a later one of the same session was shown before
	Missing int       `json:"missing,omitempty"` // so many before it did not come
}

func inJSON(m peer.Message) inboxMessage {
	j := inboxMessage{ID: m.ID.String(), Mesh: m.MeshName, From: m.From.Address, Body: m.Body, SentAt: m.Sent.UTC(), Kind: string(m.Kind),
		Again: m.Again, Late: m.Late, Missing: m.Missing}
	if !m.ReplyTo.IsZero() {
		id := m.ReplyTo.String()
		j.ReplyTo = &id
	}
	return j
}

// showInbox prints messages. Its error is that of standard output.
func (a *app) showInbox(box peer.Inbox) error {
	if a.json {
		list := make([]inboxMessage, 0, len(box.Messages))
		for _, m := range box.Messages {
			list = append(list, inJSON(m))
		}
		return a.ui.json(list)
	}
	for _, m := range box.Messages {
		if err := a.showMessage(m); err != nil {
			return err
		}
	}
	return nil
}

// showMessage prints a message: on one line where it has one, else below its
// header.
func (a *app) showMessage(m peer.Message) error {
	head := fmt.Sprintf("%s  %s", m.From.Address, clockTime(m.Sent.UnixMilli(), time.Now()))
	if m.From.Verified {
		head += "  verified"
	}
	if m.Missing > 0 {
		a.ui.hint("%s of %s before the next one did not come", plural(m.Missing, "message"), m.From.Address)
	}
	if m.Kind == peer.Ask {
		head += "  question " + m.Short
	}
	if !m.ReplyTo.IsZero() {
		head += "  re " + m.ReplyTo.Tail(4)
	}
	if m.Kind == peer.Decline {
		head += "  declined"
	}
	if m.Again {
		head += "  (may have been shown before)"
	}
	if m.Late {
		head += "  (comes late: a later one was shown before)"
	}
	if m.Early {
		head += "  (its sender's clock is ahead)"
	}
	return a.showBody(head+"  ", m.Body)
}

// showRest says what else waits, and where.
func (a *app) showRest(box peer.Inbox) {
	if len(box.Messages) == 0 && len(box.Elsewhere) == 0 && box.Held == 0 {
		a.ui.hint("Nothing waits for you.")
	}
	for _, e := range box.Elsewhere {
		doing := ""
		if e.Status != "" {
			doing = " (" + statusWord(e.Status) + ")"
		}
		verb := "waits"
		if e.Count > 1 {
			verb = "wait"
		}
		a.ui.hint("%d more %s in your session %s%s; take it here: claudemesh inbox --take", e.Count, verb, e.Label, doing)
	}
	if box.Held > 0 {
		a.ui.hint("%s held back by your policy: claudemesh policy", plural(box.Held, "message"))
	}
	if box.More {
		a.ui.hint("More wait: claudemesh inbox")
	}
}

// follow prints what comes until ctx ends. It is a session of its own, seen by
// the others under the name of its folder.
func (a *app) follow(ctx context.Context, o peer.TakeOptions) error {
	return a.with(ctx, peer.Live, func(p *peer.Peer) error {
		// Before the first look, so that nothing comes in between unnoticed.
		events := p.Events(ctx)
		if err := online(ctx, p); err != nil {
			if peer.ClassOf(err) != peer.ClassUnreachable {
				return err
			}
			a.ui.hint("%v; trying on", explain(err))
		} else if !a.json {
			a.ui.hint("Here as %s. What comes is printed below; Ctrl-C ends it.", p.Self().Address)
		}
		for {
			box, err := p.Take(ctx, o)
			if err != nil && ctx.Err() == nil {
				return err
			}
			for i, m := range box.Messages {
				if err := a.showStreamed(m); err != nil {
					// What of this one was read nobody knows: it comes again, marked.
					return errors.Join(err, p.Release(context.WithoutCancel(ctx), box.Messages[i+1:]...))
				}
				if err := p.Seen(context.WithoutCancel(ctx), m); err != nil {
					return err
				}
			}
			if len(box.Messages) > 0 && box.More {
				continue
			}
			if err := nextMessage(ctx, p, events); err != nil || ctx.Err() != nil {
				return err // nil after Ctrl-C: that is how it ends
			}
		}
	})
}

// nextMessage waits until something waits for this session; nil also when ctx
// ends.
func nextMessage(ctx context.Context, p *peer.Peer, events <-chan peer.Event) error {
	for e := range events {
		if e.Kind == peer.EventMessage {
			return nil
		}
		if c := p.Condition(); c.State == peer.Ended {
			return c.Err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return peer.ErrClosed
}

// showStreamed prints one message of a stream.
func (a *app) showStreamed(m peer.Message) error {
	if a.json {
		return a.ui.json(inJSON(m))
	}
	return a.showMessage(m)
}

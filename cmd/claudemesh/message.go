package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) messageCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "message ID",
		Short: "Say what became of a message that you sent",
		Long: `Says what became of a message: when, and by whose word. "queued" and "delivered"
are the broker's word; "seen" is the recipient's own, sealed receipt.`,
		Example: "  claudemesh message m-8fk4",
		Args:    exactly("the message's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.aimMessage(cmd.Context(), args[0], sentFrom); err != nil {
				return err
			}
			return a.with(cmd.Context(), peer.Replies, func(p *peer.Peer) error {
				unreachable := online(cmd.Context(), p)
				trace, err := p.Message(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if a.json {
					return a.ui.json(traceJSON(trace))
				}
				now := time.Now()
				for _, r := range trace.To {
					if err := a.ui.result("%s", traceLine(r, len(trace.To) > 1, now)); err != nil {
						return err
					}
				}
				if unreachable != nil {
					a.ui.hint("This is what is known here: %v", explain(unreachable))
				}
				return nil
			})
		},
	}
	a.jsonFlag(c)
	return c
}

// sentFrom tells whether a message was sent from here into a mesh.
func sentFrom(ctx context.Context, p *peer.Peer, id string) error {
	_, err := p.Message(ctx, id)
	return err
}

// traceLine tells the steps of a message for one recipient:
// queued 14:05:10 · delivered 15:31:02 to carol@mac · seen 15:31:40 (their receipt).
func traceLine(r peer.Recipient, several bool, now time.Time) string {
	var steps []string
	device, _, _ := strings.Cut(r.Address, "/")
	named := false // the device: by the first who speaks of it, broker or recipient
	for _, s := range r.Steps {
		text := string(s.State) + " " + clockSecond(unixMilli(s.Time), now)
		switch s.State {
		case peer.Pending:
			text = "written " + clockSecond(unixMilli(s.Time), now)
		case peer.Delivered:
			text += " to " + device
			named = true
		case peer.Seen, peer.Held:
			if !named {
				text += " by " + device
			}
			text += " (their receipt)"
			named = true
		case peer.Refused:
			text += ": " + peer.WhySentence(s.Why)
		}
		steps = append(steps, text)
	}
	switch {
	case !r.RetryAt.IsZero():
		steps = append(steps, "waits here to be sent: the broker takes no more from you until "+clockSecond(unixMilli(r.RetryAt), now))
	case len(steps) == 0 || r.State == peer.Pending:
		steps = append(steps, "waits here to be sent")
	}
	line := strings.Join(steps, " · ")
	if several {
		return fmt.Sprintf("%s: %s", r.Address, line)
	}
	return line
}

// messageJSON is a sent message in JSON.
type messageJSON struct {
	ID       string          `json:"id"`
	Mesh     string          `json:"mesh"`
	Address  string          `json:"address"` // as typed
	State    string          `json:"state"`   // the least of all recipients
	Kind     string          `json:"kind"`
	Priority string          `json:"priority"`
	Size     int             `json:"size"` // bytes of the text
	SentAt   time.Time       `json:"sent_at"`
	Expires  time.Time       `json:"expires"`
	To       []recipientJSON `json:"to"`
}

type recipientJSON struct {
	Address string     `json:"address"`
	State   string     `json:"state"`
	Why     string     `json:"why,omitempty"`
	Steps   []stepJSON `json:"steps"`
}

type stepJSON struct {
	State string    `json:"state"`
	Time  time.Time `json:"time"`
	Word  string    `json:"word"` // self, broker or recipient: by whose word
}

func traceJSON(t peer.Trace) messageJSON {
	j := messageJSON{ID: t.ID.String(), Mesh: t.MeshName, Address: t.Address, State: string(overall(t.To)), Kind: string(t.Kind),
		Priority: string(t.Priority), Size: t.Size, SentAt: t.Time.UTC(), Expires: t.Expires.UTC(), To: []recipientJSON{}}
	for _, r := range t.To {
		to := recipientJSON{Address: r.Address, State: string(r.State), Why: r.Why, Steps: []stepJSON{}}
		for _, s := range r.Steps {
			to.Steps = append(to.Steps, stepJSON{string(s.State), s.Time.UTC(), string(s.Word)})
		}
		j.To = append(j.To, to)
	}
	return j
}

package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) threadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "thread ID",
		Short: "Read a conversation that a message belongs to",
		Long: `Prints the messages of the thread that a message belongs to, oldest first: what you
were shown and what you sent. Only this machine keeps them (30 days, unless
"history": "off" stands in the config).`,
		Example: "  claudemesh thread m-8fk2",
		Args:    exactly("the message's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.aimMessage(cmd.Context(), args[0], inThread); err != nil {
				return err
			}
			return a.offline(cmd.Context(), func(p *peer.Peer) error {
				turns, err := p.Thread(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showThread(turns)
			})
		},
	}
	a.jsonFlag(c)
	return c
}

// turnJSON is a message of a thread in JSON.
type turnJSON struct {
	inboxMessage
	To       string `json:"to"`
	Outgoing bool   `json:"outgoing"`
}

func (a *app) showThread(turns []peer.Turn) error {
	list := make([]turnJSON, 0, len(turns))
	for _, t := range turns {
		if a.json {
			list = append(list, turnJSON{inJSON(t.Message), t.To, t.Outgoing})
			continue
		}
		who := t.From.Address
		if t.Outgoing {
			who = "you to " + t.With
		}
		head := fmt.Sprintf("%s  %s  %s  ", who, clockTime(t.Sent.UnixMilli(), time.Now()), t.Short)
		switch t.Kind {
		case peer.Ask:
			head += "question  "
		case peer.Decline:
			head += "declined  "
		}
		if err := a.showBody(head, t.Body); err != nil {
			return err
		}
	}
	if a.json {
		return a.ui.json(list)
	}
	return nil
}

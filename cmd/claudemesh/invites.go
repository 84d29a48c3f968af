package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

// openInvite is an invite in JSON.
type openInvite struct {
	ID      string    `json:"id"`
	By      string    `json:"by"`
	Uses    int       `json:"uses"`
	Until   time.Time `json:"until"`
	Role    string    `json:"role"`
	User    string    `json:"user,omitempty"`
	Approve bool      `json:"approve,omitempty"`
	Link    string    `json:"link,omitempty"` // where this profile made it
}

func (a *app) invitesCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "invites",
		Short: "List the invites that are open",
		Args:  upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
				// Without a broker the list is the one of the chain that is here.
				unreachable := online(cmd.Context(), p)
				invites, err := p.Invites(cmd.Context())
				if err != nil {
					return err
				}
				if err := a.showInvites(invites); err != nil {
					return err
				}
				return unreachable
			})
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) showInvites(invites []peer.Invite) error {
	if a.json {
		list := make([]openInvite, 0, len(invites))
		for _, i := range invites {
			list = append(list, openInvite{ID: i.ID, By: i.By, Uses: i.Uses, Until: i.Until.UTC(),
				Role: roleOf(i), User: i.User, Approve: i.Approve, Link: i.Link})
		}
		return a.ui.json(list)
	}
	if len(invites) == 0 {
		a.ui.hint("No invite is open. Make one: claudemesh invite")
		return nil
	}
	var t table
	for _, i := range invites {
		var notes []string
		if i.User != "" {
			notes = append(notes, "for devices of "+i.User)
		}
		if i.Admin {
			notes = append(notes, "makes admins")
		}
		if i.Approve {
			notes = append(notes, "an admin must say yes")
		}
		t.row(i.ID, "by "+i.By, plural(i.Uses, "use")+" left", "until "+until(i.Until.UnixMilli(), time.Now()), strings.Join(notes, ", "))
	}
	if err := t.write(a.ui); err != nil {
		return err
	}
	a.ui.hint("Close one: claudemesh revoke %s", invites[0].ID)
	return nil
}

func roleOf(i peer.Invite) string {
	if i.Admin {
		return "admin"
	}
	return "member"
}

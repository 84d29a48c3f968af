package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) revokeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "revoke NAME...",
		Short: "Put out a device or a user, or close an invite",
		Long: `Puts out what the names say, at once and for good: a device (bob@desk), all of a
user's (bob), a key (key-…), or an invite (i-…). Its key never comes back; what
waits for it is dropped, and the link it came by is closed.`,
		Args: atLeastOne("who or what"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				if err := online(ctx, p); err != nil {
					return err
				}
				revoked, err := p.Revoke(ctx, args...)
				if err != nil {
					return err
				}
				return a.showRevoked(revoked)
			})
		},
		ValidArgsFunction: a.completeRevocable,
	}
	a.jsonFlag(c)
	return c
}

// revokedJSON is a revocation in JSON.
type revokedJSON struct {
	Peers   []string `json:"peers"`
	Invites []string `json:"invites"` // closed
	Stay    []string `json:"stay"`    // the users' other devices
	CameBy  []string `json:"came_by"` // who joined by invites that the revoked made
	Open    []string `json:"open"`    // invites still open
	Dropped int      `json:"dropped"` // own messages to the revoked that had not arrived
}

func (a *app) showRevoked(r peer.Revoked) error {
	if a.json {
		return a.ui.json(revokedJSON{orNone(r.Peers), inviteIDs(r.Invites), orNone(r.Stay), orNone(r.CameBy), inviteIDs(r.Open), r.Dropped})
	}
	if len(r.Peers) > 0 {
		line := strings.Join(r.Peers, ", ") + ": disconnected"
		if r.Dropped > 0 {
			line += ", " + plural(r.Dropped, "undelivered message") + " dropped"
		}
		line += "."
		if len(r.Stay) > 0 {
			verb := "stays"
			if len(r.Stay) > 1 {
				verb = "stay"
			}
			line += fmt.Sprintf(" %s %s; all of them: claudemesh revoke %s", strings.Join(r.Stay, ", "), verb, strings.Join(usersOf(r.Stay), " "))
		}
		if err := a.ui.labelled("revoked", "%s", line); err != nil {
			return err
		}
	}
	if len(r.Invites) > 0 || len(r.Open) > 0 {
		if err := a.ui.labelled("closed", "%s", closedText(r)); err != nil {
			return err
		}
	}
	if len(r.CameBy) > 0 {
		a.ui.hint("By invites of theirs came: %s. Put out: claudemesh revoke %s", strings.Join(r.CameBy, ", "), strings.Join(r.CameBy, " "))
	}
	if len(r.Open) > 0 && len(r.Peers) > 0 {
		a.ui.hint("Whoever still has an open link can come back under another key. Close: claudemesh revoke %s", strings.Join(inviteIDs(r.Open), " "))
	}
	return nil
}

// closedText says which links are closed and which are not.
func closedText(r peer.Revoked) string {
	var parts []string
	switch {
	case len(r.Invites) == 0:
		parts = append(parts, "no link.")
	case len(r.Peers) == 1 && len(r.Invites) == 1:
		parts = append(parts, "the link it came by ("+r.Invites[0].ID+").")
	default:
		parts = append(parts, strings.Join(inviteIDs(r.Invites), ", ")+".")
	}
	if len(r.Open) > 0 {
		var open []string
		for _, i := range r.Open {
			open = append(open, fmt.Sprintf("%s (%s left)", i.ID, plural(i.Uses, "use")))
		}
		parts = append(parts, "Still open: "+joinSome(open, 8))
	}
	return strings.Join(parts, " ")
}

func inviteIDs(invites []peer.Invite) []string {
	ids := []string{}
	for _, i := range invites {
		ids = append(ids, i.ID)
	}
	return ids
}

// usersOf lists the users of addresses, each once.
func usersOf(addresses []string) []string {
	var users []string
	for _, address := range addresses {
		user, _, _ := strings.Cut(address, "@")
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	return users
}

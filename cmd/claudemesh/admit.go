package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) admitCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "admit [USER@DEVICE]",
		Short: "Say yes to a device that wants in",
		Long: `Shows the number that stands on the other screen, and asks. Say yes only if both
are the same. Without an argument it lists who waits.`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			a.admitting = true
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				if err := online(ctx, p); err != nil {
					return err
				}
				requests, err := p.Requests(ctx)
				if err != nil {
					return err
				}
				if len(args) == 0 {
					return a.showRequests(requests)
				}
				request, err := findRequest(requests, args[0], p.Self().MeshName)
				if err != nil {
					return err
				}
				return a.admit(ctx, p, request, yes)
			})
		},
		ValidArgsFunction: a.completeRequest,
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask: the numbers were compared")
	a.jsonFlag(c)
	return c
}

// requestJSON is a waiting join in JSON.
type requestJSON struct {
	Address  string `json:"address"`
	Number   string `json:"number"`
	CanAdmit bool   `json:"can_admit"`
}

func (a *app) showRequests(requests []peer.Request) error {
	if a.json {
		list := make([]requestJSON, 0, len(requests))
		for _, r := range requests {
			list = append(list, requestJSON{r.Address, r.Number, r.CanAdmit})
		}
		return a.ui.json(list)
	}
	if len(requests) == 0 {
		a.ui.hint("Nobody waits.")
		return nil
	}
	var t table
	for _, r := range requests {
		note := ""
		switch {
		case !r.CanAdmit:
			note = "not yours to admit"
		case r.Yours:
			note = "becomes your device"
		}
		t.row(r.Address, r.Number, note)
	}
	if err := t.write(a.ui); err != nil {
		return err
	}
	a.ui.hint("Admit one: claudemesh admit %s", requests[0].Address)
	return nil
}

// findRequest finds a waiting join by user@device, or by the user alone where
// only one of that user's waits.
func findRequest(requests []peer.Request, name, mesh string) (peer.Request, error) {
	name = strings.ToLower(name)
	var found []peer.Request
	var waiting, candidates []string
	for _, r := range requests {
		waiting = append(waiting, r.Address)
		if r.Address == name || r.User == name || r.Key.String() == name {
			found = append(found, r)
			candidates = append(candidates, r.Address)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		sentence := fmt.Sprintf("no %q waits for a yes in %s.", name, mesh)
		if len(waiting) > 0 {
			sentence += " Waiting: " + strings.Join(waiting, ", ")
		}
		return peer.Request{}, &failure{class: peer.ClassRefused, sentence: sentence}
	}
	return peer.Request{}, &peer.AmbiguousError{Name: name, Candidates: candidates}
}

func (a *app) admit(ctx context.Context, p *peer.Peer, r peer.Request, yes bool) error {
	if !r.CanAdmit {
		return &failure{class: peer.ClassRefused, sentence: fmt.Sprintf(
			"%s is not yours to admit: one of %s's devices can, and an admin where the invite wants it", r.Address, r.User)}
	}
	as := "as " + r.User
	if r.Yours {
		as = "as you"
	}
	if yes {
		a.ui.hint("%s wants in %s. Its number: %s.", r.Address, as, r.Number)
	} else {
		ok, err := a.ui.confirm(fmt.Sprintf("%s wants in %s. Its number: %s. Same on its screen?", r.Address, as, r.Number), false)
		if err != nil {
			return err
		}
		if !ok {
			return &failure{class: peer.ClassFailed, sentence: fmt.Sprintf("%s was not admitted", r.Address),
				hint: "If it is not yours, close the link it came by: claudemesh invites; shut it out: claudemesh revoke " + r.Key.String()}
		}
	}
	counts, err := p.Admit(ctx, r)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.json(map[string]any{"address": r.Address, "admitted": counts})
	}
	if !counts {
		return a.ui.result("your yes for %s is noted; another one is wanted: %s", r.Address, otherYes(r))
	}
	return a.ui.result("admitted %s", r.Address)
}

// otherYes says whose yes is missing after this peer's.
func otherYes(r peer.Request) string {
	if r.Yours {
		return "an admin's"
	}
	return "that of one of " + r.User + "'s devices"
}

package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) policyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "policy [NAME [accept|hold|refuse]]",
		Short: "Say whose messages are shown, held back, or refused",
		Long: `Decides about a person, or about one device of a person (bob@phone), which goes
before. Where nothing is decided, members are accepted.

  accept   shown
  hold     kept back until you accept; the sender is told "held"
  refuse   not taken; the sender is told "refused"

It counts for what waits too. With no name it lists all; then you have seen their
names, and where the config says "new_members": "hold", what new members sent is
shown from then on. No agent has a tool for this.`,
		Example: `  claudemesh policy
  claudemesh policy bob hold`,
		Args: upTo(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) == 2 {
				return a.setPolicy(ctx, args[0], peer.Policy(args[1]))
			}
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				all, err := p.Policies(ctx)
				if err != nil {
					return err
				}
				if len(args) == 1 {
					return a.showPolicyOf(ctx, p, all, args[0])
				}
				if err := a.showPolicies(all); err != nil {
					return err
				}
				for _, one := range all {
					if one.New {
						return p.SeenNames(ctx)
					}
				}
				return nil
			})
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return []cobra.Completion{"accept", "hold", "refuse"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeAddress(cmd, args, typed)
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) setPolicy(ctx context.Context, who string, policy peer.Policy) error {
	switch policy {
	case peer.Accept, peer.Hold, peer.Refuse:
	default:
		return usagef("%q is no policy, choose accept, hold or refuse", string(policy))
	}
	// As a session that sends: the senders of what waits are told.
	return a.with(ctx, peer.Replies, func(p *peer.Peer) error {
		unreachable := online(ctx, p) // without it the roster is the one held here
		if peer.ClassOf(unreachable) == peer.ClassRefused {
			return unreachable
		}
		if err := p.SetPolicy(ctx, who, policy); err != nil {
			return err
		}
		if a.json {
			return a.ui.json(map[string]string{"who": who, "policy": string(policy)})
		}
		means := map[peer.Policy]string{
			peer.Accept: "what it sends is shown",
			peer.Hold:   "what it sends is kept back, and it is told so",
			peer.Refuse: "what it sends is not taken, and it is told so",
		}
		return a.ui.labelled(string(policy), "%s: %s", plainLine(who), means[policy])
	})
}

// policyJSON is what counts for a sender, in JSON.
type policyJSON struct {
	Who      string `json:"who"`
	Policy   string `json:"policy"`
	Verified bool   `json:"verified"`
	New      bool   `json:"new"`
	Held     int    `json:"held"` // messages that are kept back
}

func (a *app) showPolicies(all []peer.SenderPolicy) error {
	if a.json {
		list := make([]policyJSON, 0, len(all))
		for _, one := range all {
			list = append(list, policyJSON{one.Who, string(one.Policy), one.Verified, one.New, one.Held})
		}
		return a.ui.json(list)
	}
	if len(all) == 0 {
		a.ui.hint("Nobody else is here yet.")
	}
	var t table
	for _, one := range all {
		note := ""
		switch {
		case one.New && one.Held > 0:
			note = plural(one.Held, "message") + " held because you had not seen this name; shown now"
		case one.New:
			note = "new"
		case one.Held > 0:
			note = plural(one.Held, "message") + " held"
		case one.Verified:
			note = "verified"
		}
		t.row(one.Who, string(one.Policy), note)
	}
	return t.write(a.ui)
}

// showPolicyOf shows what counts for one sender: decided for a device, else for its
// user.
func (a *app) showPolicyOf(ctx context.Context, p *peer.Peer, all []peer.SenderPolicy, who string) error {
	user, _, _ := strings.Cut(who, "@")
	found := -1
	for i, one := range all {
		if one.Who == who || found < 0 && one.Who == user {
			found = i
		}
	}
	if found < 0 {
		if _, err := p.Resolve(ctx, who); err != nil {
			return err
		}
		return usagef("a policy is for what another user sends; %q is none", who)
	}
	return a.showPolicies(all[found : found+1])
}

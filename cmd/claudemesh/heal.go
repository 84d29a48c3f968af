package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) meshHealCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "heal [MESH]",
		Short: "End a fork: say which list of members counts",
		Long: `When the broker has shown members different lists, or goes on with another one after
it was restored from a backup, nothing crosses between them until an owner says
which counts. heal signs, with the owner's or the recovery key on this machine, that
the list counts which the broker shows now; it says whose list that is, and what is
lost by it. Members take it over by themselves.`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return a.withOptions(ctx, peer.Options{Mesh: a.named(args), Receives: peer.Nothing}, func(p *peer.Peer) error {
				healed, err := p.Heal(ctx, peer.HealOptions{Checked: func(h peer.Healing) error {
					return a.askToHeal(h, yes)
				}})
				if err != nil {
					return err
				}
				if a.json {
					return a.ui.json(map[string][]string{"members": orNone(healed.Members), "lost": orNone(healed.Lost)})
				}
				return a.ui.labelled("healed", "%s: its list of members at %s counts, for everybody: %s", p.Self().MeshName, healed.Host, strings.Join(healed.Members, ", "))
			})
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	a.jsonFlag(c)
	return c
}

// askToHeal shows what a heal would do, and asks.
func (a *app) askToHeal(h peer.Healing, yes bool) error {
	a.ui.hint("%s shows these members: %s", h.Host, strings.Join(h.Members, ", "))
	for _, lost := range h.Lost {
		a.ui.hint("lost by it: %s", lost)
	}
	if yes {
		return nil
	}
	ok, err := a.ui.confirm(fmt.Sprintf("Let the list at %s count?", h.Host), false)
	if err != nil {
		return err
	}
	if !ok {
		return &failure{class: peer.ClassFailed, sentence: "nothing was changed", hint: "Compare with the others first: claudemesh peers -v"}
	}
	return nil
}

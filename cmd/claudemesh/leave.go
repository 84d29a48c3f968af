package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) leaveCommand() *cobra.Command {
	var yes, force bool
	c := &cobra.Command{
		Use:   "leave [MESH]",
		Short: "Leave a mesh and destroy its key on this machine",
		Long: `Tells the others that this device is out, and destroys its key here. To come back
you need a new invite.`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			a.mesh = a.named(args)
			return a.leave(cmd.Context(), yes, force)
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask, also where the owner's key is on this machine")
	c.Flags().BoolVar(&force, "force", false, "leave also where the broker does not answer; the others do not hear of it")
	a.jsonFlag(c)
	return c
}

func (a *app) leave(ctx context.Context, yes, force bool) error {
	return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
		self := p.Self()
		if self.Owner && !yes {
			ok, err := a.ui.confirm(fmt.Sprintf("You own %s, and the owner's key goes with it (a copy: claudemesh mesh owner-key export). Leave?", self.MeshName), false)
			if err != nil {
				return err
			}
			if !ok {
				return &failure{class: peer.ClassFailed, sentence: "nothing was changed: you are still in " + self.MeshName}
			}
		}
		left, err := p.Leave(ctx, force)
		if err != nil {
			if peer.ClassOf(err) == peer.ClassUnreachable {
				return &failure{class: peer.ClassUnreachable, err: err, sentence: err.Error() + "; nothing was changed",
					hint: "Without telling the others: claudemesh leave --force"}
			}
			return err
		}
		return a.showLeft(left, force)
	})
}

// leftJSON is what leaving did, in JSON.
type leftJSON struct {
	Mesh    string   `json:"mesh"`
	Dropped []string `json:"dropped"` // ids of messages that were never sent
}

func (a *app) showLeft(left peer.Left, force bool) error {
	if a.json {
		j := leftJSON{Mesh: left.MeshName, Dropped: []string{}}
		for _, t := range left.Dropped {
			j.Dropped = append(j.Dropped, t.ID.String())
		}
		return a.ui.json(j)
	}
	for _, t := range left.Dropped {
		if err := a.ui.result("unsent   %s  to %s, %s", t.Short, plainLine(t.Address), plural(t.Size, "byte")); err != nil {
			return err
		}
	}
	told := "the others see it at once"
	switch {
	case left.Out:
		told = "it was no member any more, so the others are told nothing"
	case force:
		told = "the others were told if the broker answered"
	}
	dropped := ""
	switch n := len(left.Dropped); n {
	case 0:
	case 1:
		dropped = ". 1 message unsent was dropped: listed above"
	default:
		dropped = fmt.Sprintf(". %d messages unsent were dropped: listed above", n)
	}
	return a.ui.labelled("left", "%s; key destroyed on this machine; %s%s", left.MeshName, told, dropped)
}

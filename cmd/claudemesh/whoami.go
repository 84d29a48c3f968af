package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) whoamiCommand() *cobra.Command {
	var verbose bool
	c := &cobra.Command{
		Use:   "whoami",
		Short: "Say who you are in the mesh",
		Args:  upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.offline(cmd.Context(), func(p *peer.Peer) error {
				self := p.Self()
				if self.Rank == 0 {
					self = a.afterNews(cmd.Context(), self)
				}
				address := self.User + "@" + self.Device
				if a.json {
					return a.ui.json(struct {
						Mesh    string `json:"mesh"`
						Address string `json:"address"`
						Key     string `json:"key"`
					}{self.MeshName, address, self.Key.String()})
				}
				notes := []string{a.standing(self)}
				if self.Owner {
					notes = append(notes, "owner's key here")
				}
				if err := a.ui.result("%s in %s on %s (%s)", address, self.MeshName, strings.Join(hosts(self), ", "), strings.Join(notes, ", ")); err != nil {
					return err
				}
				if verbose {
					if err := a.ui.labelled("key", "%s", self.Key); err != nil {
						return err
					}
					return a.ui.labelled("mesh id", "%s", self.Mesh)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "show the key and the mesh's id, too")
	a.jsonFlag(c)
	return c
}

func hosts(self peer.Self) []string {
	if len(self.Hosts) == 0 {
		return []string{"this machine"}
	}
	return self.Hosts
}

// afterNews asks the broker once, where somebody waits for a yes that may have come.
// Where it does not answer, what is known here stands.
func (a *app) afterNews(ctx context.Context, self peer.Self) peer.Self {
	_ = a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
		err := online(ctx, p)
		self = p.Self()
		return err
	})
	return self
}

// standing is what one is in the mesh, in words.
func (a *app) standing(self peer.Self) string {
	switch self.Rank {
	case 1:
		return "member"
	case 2:
		return "admin"
	case 3:
		return "owner"
	}
	meshes, err := peer.Meshes(a.dir)
	if err == nil && slices.ContainsFunc(meshes, func(m peer.MeshInfo) bool { return m.ID == self.Mesh && m.Pending }) {
		return "waits for a yes"
	}
	return "no longer a member"
}

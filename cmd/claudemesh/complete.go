package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

// Completion asks what is on this machine and never the broker: it must be
// there before the next key is pressed.

// completeMesh completes the name of a mesh.
func (a *app) completeMesh(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	meshes, err := peer.Meshes(a.dir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, m := range meshes {
		names = append(names, cobra.CompletionWithDesc(m.Alias, m.Address+" on "+m.Host))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFirstMesh completes a mesh as the first argument.
func (a *app) completeFirstMesh(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeMesh(cmd, args, typed)
}

// completeAddress completes the address of a peer as the first argument.
func (a *app) completeAddress(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	_ = a.offline(cmd.Context(), func(p *peer.Peer) error {
		// Not reachable is what it says, since it does not dial; the roster is there.
		people, _ := p.Peers(cmd.Context())
		for _, m := range people.Members {
			if m.You {
				continue
			}
			// Devices only once the user was typed: most messages go to a user.
			if !slices.Contains(names, m.User) {
				names = append(names, m.User)
			}
			if strings.HasPrefix(typed, m.User+"@") {
				names = append(names, m.Address)
			}
		}
		return nil
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeRevocable completes what revoke takes: users, devices, open invites.
func (a *app) completeRevocable(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	names, directive := a.completeAddress(cmd, nil, typed)
	_ = a.offline(cmd.Context(), func(p *peer.Peer) error {
		invites, err := p.Invites(cmd.Context())
		for _, i := range invites {
			names = append(names, i.ID)
		}
		return err
	})
	return names, directive
}

// completeRequest completes who waits for a yes.
func (a *app) completeRequest(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) == 0 {
		_ = a.offline(cmd.Context(), func(p *peer.Peer) error {
			requests, err := p.Requests(cmd.Context())
			for _, r := range requests {
				names = append(names, r.Address)
			}
			return err
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// offline opens the mesh without dialling and runs f.
func (a *app) offline(ctx context.Context, f func(*peer.Peer) error) error {
	return a.withOptions(ctx, peer.Options{Receives: peer.Nothing, Offline: true}, f)
}

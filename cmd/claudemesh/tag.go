package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) tagCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "tag",
		Short: "Carry tags, by which others address you",
		Long: `A message to @backend goes to every peer that carries the tag backend. A peer tags
itself; tags stand in its signed card, readable by the broker, which routes by them.`,
		Example: `  claudemesh tag add backend
  claudemesh send @backend "schema changed"`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	change := func(use, short string, split func(tags []string) (add, remove []string)) *cobra.Command {
		s := &cobra.Command{
			Use: use, Short: short,
			Args: atLeastOne("the tag"),
			RunE: func(cmd *cobra.Command, args []string) error {
				for i := range args {
					args[i] = strings.TrimPrefix(args[i], "@")
				}
				return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
					add, remove := split(args)
					tags, err := p.Tag(cmd.Context(), add, remove)
					if err != nil && peer.ClassOf(err) != peer.ClassUnreachable {
						return err
					}
					return errors.Join(a.sayTags(p, tags), laterTold(err))
				})
			},
		}
		a.jsonFlag(s)
		return s
	}
	list := &cobra.Command{
		Use: "list", Short: "List the tags of the mesh, and who carries them", Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
				people, err := p.Peers(cmd.Context())
				if err != nil {
					return err
				}
				return a.listTags(people)
			})
		},
	}
	a.jsonFlag(list)
	c.AddCommand(
		change("add TAG...", "Carry tags", func(tags []string) ([]string, []string) { return tags, nil }),
		change("remove TAG...", "Carry tags no more", func(tags []string) ([]string, []string) { return nil, tags }),
		list)
	return c
}

// tagsJSON is a peer and its tags in JSON.
type tagsJSON struct {
	Address string   `json:"address"`
	Tags    []string `json:"tags"`
}

// sayTags says which tags this peer has now.
func (a *app) sayTags(p *peer.Peer, tags []string) error {
	if a.json {
		device, _, _ := strings.Cut(p.Self().Address, "/") // the session has none
		return a.ui.json(tagsJSON{device, append([]string{}, tags...)})
	}
	if len(tags) == 0 {
		return a.ui.fact("tags", "none", "")
	}
	return a.ui.fact("tags", "@"+strings.Join(tags, " @"), "")
}

// listTags prints who carries which tags.
func (a *app) listTags(people peer.People) error {
	list := []tagsJSON{}
	for _, m := range people.Members {
		if len(m.Tags) > 0 {
			list = append(list, tagsJSON{m.Address, m.Tags})
		}
	}
	if a.json {
		return a.ui.json(list)
	}
	for _, l := range list {
		if err := a.ui.result("%-16s @%s", l.Address, strings.Join(l.Tags, " @")); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		a.ui.hint("Nobody carries a tag yet: claudemesh tag add NAME")
	}
	return nil
}

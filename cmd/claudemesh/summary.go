package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) summaryCommand() *cobra.Command {
	var clearIt bool
	c := &cobra.Command{
		Use:   "summary [TEXT]",
		Short: "Say what you work on, or show what you said",
		Long: `Says in one line what this device works on. It is sealed to the members of the
mesh: the broker cannot read it. Every session takes it over that has none of its
own. Without TEXT it shows the present one.`,
		Example: `  claudemesh summary "webhook retries"
  claudemesh summary --clear`,
		Args: upTo(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			switch {
			case clearIt && len(args) > 0:
				return usagef("--clear takes the summary away; it takes no text")
			case !clearIt && len(args) == 0:
				return a.offline(ctx, func(p *peer.Peer) error { return a.showCard(cmd, p) })
			}
			text := ""
			if len(args) > 0 {
				text = strings.TrimSpace(args[0])
			}
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				unreachable := online(ctx, p)
				if err := p.SetPeerSummary(ctx, text); err != nil {
					return err
				}
				if err := a.showCard(cmd, p); err != nil {
					return err
				}
				return laterTold(unreachable)
			})
		},
	}
	c.Flags().BoolVar(&clearIt, "clear", false, "take it away")
	a.jsonFlag(c)
	return c
}

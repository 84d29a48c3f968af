package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) watchCommand() *cobra.Command {
	var until, timeout string
	c := &cobra.Command{
		Use:   "watch ADDRESS --until idle|back|done",
		Short: "Wait until somebody is idle, back or done",
		Long: `Waits for a user, a device or a session, says once that it is so, and ends:
  idle   one of its sessions is idle
  back   it is connected
  done   a session that was working while you watched is idle
With --timeout passed it ends with exit code 5. Who is watched is told nothing.`,
		Example: "  claudemesh watch bob --until done && claudemesh send bob \"my turn\"",
		Args:    exactly("the address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			limit, err := optionalSpan("--timeout", timeout)
			if err != nil {
				return err
			}
			if limit > peer.WatchFor {
				return usagef("--timeout is %s: 24h at most", limit)
			}
			address, err := a.aim(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), peer.Nothing, func(p *peer.Peer) error {
				w, err := p.Watch(cmd.Context(), address, peer.Until(until))
				if err != nil {
					return err
				}
				if limit > 0 {
					w.Expires = w.Expires.Add(limit - peer.WatchFor)
				}
				if !a.json {
					a.ui.hint("watching %s; Ctrl-C ends it", w.Address)
				}
				found, err := w.Wait(cmd.Context())
				switch {
				case cmd.Context().Err() != nil:
					return nil // Ctrl-C: that is how it ends
				case err != nil:
					return err
				case a.json:
					return a.ui.json(watchJSON{found.Address, string(found.Until), found.Time.UTC()})
				}
				return a.ui.result("%s is %s", found.Address, found.Until)
			})
		},
		ValidArgsFunction: a.completeAddress,
	}
	c.Flags().StringVarP(&until, "until", "u", string(peer.UntilBack), "`what` to wait for: idle, back or done")
	_ = c.RegisterFlagCompletionFunc("until", cobra.FixedCompletions([]string{"idle", "back", "done"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVarP(&timeout, "timeout", "t", "24h", "the `time` to wait, 24h at most")
	a.jsonFlag(c)
	return c
}

// watchJSON is what a watch waited for, in JSON.
type watchJSON struct {
	Address string    `json:"address"`
	Until   string    `json:"until"`
	Time    time.Time `json:"time"`
}

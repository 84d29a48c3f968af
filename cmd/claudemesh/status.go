package main

import (
	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) statusCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "status [idle|working|dnd]",
		Short: "Say what you are doing, or show what you said",
		Long: `Sets the status of this device, signed, for all to see: idle, working, or dnd (do
not disturb: nothing is shown until it is asked for). Every session takes it over
that has none of its own. Without an argument it shows the present one.`,
		Args:      upTo(1),
		ValidArgs: []cobra.Completion{"idle", "working", "dnd"},
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if len(args) == 0 {
				return a.offline(ctx, func(p *peer.Peer) error { return a.showCard(cmd, p) })
			}
			status := peer.Status(args[0])
			switch status {
			case peer.Idle, peer.Working, peer.DoNotDisturb:
			default:
				return usagef("%q is no status, choose idle, working or dnd", args[0])
			}
			return a.with(ctx, peer.Nothing, func(p *peer.Peer) error {
				unreachable := online(ctx, p)
				if err := p.SetPeerStatus(ctx, status); err != nil {
					return err
				}
				if err := a.showCard(cmd, p); err != nil {
					return err
				}
				return laterTold(unreachable)
			})
		},
	}
	a.jsonFlag(c)
	return c
}

// laterTold says that what was set here reaches the others later.
func laterTold(unreachable error) error {
	if peer.ClassOf(unreachable) != peer.ClassUnreachable {
		return unreachable
	}
	return &failure{class: peer.ClassUnreachable, err: unreachable,
		sentence: "set here; the others see it when the broker is back: " + unreachable.Error(),
		hint:     "Try: claudemesh doctor"}
}

// showCard shows status and summary of this device.
func (a *app) showCard(cmd *cobra.Command, p *peer.Peer) error {
	status, summary, err := p.PeerCard(cmd.Context())
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.json(map[string]string{"status": string(status), "summary": summary})
	}
	if status == "" && cmd.Name() == "status" {
		return a.ui.labelled("status", "not set: each session says its own")
	}
	if cmd.Name() == "status" {
		return a.ui.labelled("status", "%s", statusWord(status))
	}
	if summary == "" {
		return a.ui.labelled("summary", "not set")
	}
	return a.ui.labelled("summary", "%s", plainLine(summary))
}

package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/agent"
	"github.com/claudemesh/claudemesh-go/peer"
)

// hookCommand is what the agent's client runs at the boundaries of a turn. It is
// written into the client's settings by install; nobody types it.
func (a *app) hookCommand() *cobra.Command {
	c := &cobra.Command{
		Use:    "hook EVENT",
		Short:  "What the agent's client runs: says in one fixed line that messages wait",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return agent.Hook(cmd.Context(), args[0], agent.HookOptions{Dir: a.dir, In: a.ui.in, Out: a.ui.out})
		},
	}
	c.AddCommand(&cobra.Command{
		Use:   "wait",
		Short: "Wait beside an idle session and wake it when a message comes (exit 2)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := agent.Wait(cmd.Context(), agent.HookOptions{Dir: a.dir, Out: a.ui.err})
			if errors.Is(err, agent.ErrRing) {
				return errSilent{peer.ClassUsage} // exit status 2 is what wakes the client
			}
			return err
		},
	})
	c.AddCommand(&cobra.Command{
		Use:   "monitor",
		Short: "Stay beside a session and say on a line of its own when messages came",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.Monitor(cmd.Context(), agent.HookOptions{Dir: a.dir, Out: a.ui.out})
		},
	})
	return c
}

// statuslineCommand is what the agent's client shows below its prompt.
func (a *app) statuslineCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "statusline",
		Short:  "What the agent's client shows below its prompt",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.StatusLine(cmd.Context(), agent.HookOptions{Dir: a.dir, Out: a.ui.out})
		},
	}
}

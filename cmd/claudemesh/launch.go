package main

import (
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/setup"
)

func (a *app) launchCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "launch [flags and prompt for claude]",
		Short: "Start a Claude Code session with everything on",
		Long: `Starts claude, as found on the path, with all that follows as its own flags. Where
claudemesh install was not run, this one session gets the server, the hooks, the
read-only tools allowed and the status line; no file is changed for that.

Started from inside another session, the new one does not take itself for a part
of it. No flag that skips a permission is ever added.`,
		Example: `  claudemesh launch
  claudemesh launch --continue
  claudemesh launch -p "who is in the mesh?"`,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (args[0] == "--help" || args[0] == "-h") {
				return cmd.Help()
			}
			client, err := exec.LookPath("claude")
			if err != nil {
				return &failure{class: peer.ClassFailed, err: err, sentence: "Claude Code is not here: no program named claude is on the path",
					hint: "It comes by: npm install -g @anthropic-ai/claude-code"}
			}
			o, err := a.setupOptions(false)
			if err != nil {
				return err
			}
			dir, err := os.Getwd()
			if err != nil {
				return fmt.Errorf("find this folder: %w", err)
			}
			args, err = setup.LaunchArguments(o, dir, args)
			if err != nil {
				return fileError(err)
			}
			return become(client, args, setup.FreshEnvironment(os.Environ()))
		},
	}
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/agent"
)

func (a *app) mcpCommand() *cobra.Command {
	var verbose, inboxSocket bool
	c := &cobra.Command{
		Use:   "mcp",
		Short: "Serve an agent: MCP over standard input and output",
		Long: `Serves one session of an agent over standard input and output, by the Model Context
Protocol. An agent's program starts it; it lives and dies with that session. For
Claude Code claudemesh install enters it; other programs take it as the server
"claudemesh mcp".`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return agent.Run(cmd.Context(), agent.Options{Dir: a.dir, Version: versionText(), Logger: a.operatorLog(verbose), InboxSocket: inboxSocket,
				StartBroker: a.startBroker})
		},
	}
	c.Flags().BoolVarP(&verbose, "verbose", "v", false, "log more to standard error")
	c.Flags().BoolVar(&inboxSocket, "inbox-socket", false, "wake an idle Claude Code session whose hooks are off through its own inbox socket")
	return c
}

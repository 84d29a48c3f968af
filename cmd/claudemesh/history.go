package main

import (
	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
)

func (a *app) historyCommand() *cobra.Command {
	var q peer.HistoryQuery
	c := &cobra.Command{
		Use:   "history [with NAME]",
		Short: "Read and search the messages that you had",
		Long: `Prints the last messages that you were shown or sent, oldest first. Only this
machine keeps them (30 days, unless "history": "off" stands in the config).`,
		Example: `  claudemesh history with bob
  claudemesh history --search "webhook fix"`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 0 && (len(args) != 2 || args[0] != "with") {
				return usagef("history stands alone, or as: claudemesh history with NAME")
			}
			return nil
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return []string{"with"}, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeAddress(cmd, args[1:], begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if q.Max < 1 {
				return usagef("--max is %d: at least 1", q.Max)
			}
			if len(args) == 2 {
				address, err := a.aim(cmd.Context(), args[1])
				if err != nil {
					return err
				}
				q.With = address
			}
			return a.offline(cmd.Context(), func(p *peer.Peer) error {
				turns, err := p.History(cmd.Context(), q)
				if err != nil {
					return err
				}
				if err := a.showThread(turns); err != nil {
					return err
				}
				if a.json {
					return nil
				}
				switch {
				case len(turns) == 0:
					a.ui.hint("Nothing of that kind is kept here.")
				case len(turns) == q.Max:
					a.ui.hint("Earlier ones: claudemesh history --before %s", turns[0].Short)
				}
				return nil
			})
		},
	}
	c.Flags().StringVarP(&q.Search, "search", "s", "", "only those with all of these `words`, or words that begin so")
	c.Flags().StringVar(&q.Before, "before", "", "only those before this message, `m-…`")
	c.Flags().IntVar(&q.Max, "max", 20, "print this many at most, the newest")
	a.jsonFlag(c)
	return c
}

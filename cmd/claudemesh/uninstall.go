package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/setup"
)

func (a *app) uninstallCommand() *cobra.Command {
	var dryRun, project bool
	c := &cobra.Command{
		Use:   "uninstall",
		Short: "Take out of Claude Code's files what install put there",
		Long: `Makes Claude Code's files what they were before claudemesh install, byte for byte.
Where Claude Code has written a file meanwhile, only what is ours goes. Meshes and
keys stay.`,
		Args: upTo(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := a.setupOptions(project)
			if err != nil {
				return err
			}
			if dryRun {
				plan, err := setup.PlanUninstall(o)
				if err != nil {
					return fileError(err)
				}
				return a.showDry(plan)
			}
			done, err := setup.Uninstall(cmd.Context(), o)
			if err != nil {
				return fileError(err)
			}
			return a.uninstalled(o, done)
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show the changes as a diff, and change nothing")
	c.Flags().BoolVar(&project, "project", false, "from the files of this folder's project instead of yours")
	a.jsonFlag(c)
	return c
}

// uninstalled says what went, and of which files only a piece could go.
func (a *app) uninstalled(o setup.Options, done *setup.Plan) error {
	if a.json {
		return a.ui.json(setupResult{Changed: len(done.Changes) > 0, Files: setupFiles(done), Notes: orNone(done.Notes)})
	}
	a.notes(done)
	if len(done.Changes) == 0 {
		return a.ui.labelled("removed", "nothing of claudemesh is in Claude Code's files")
	}
	var went, rewritten []string
	for _, c := range done.Changes {
		for _, mark := range c.Marks {
			went = append(went, strings.TrimPrefix(mark, "- "))
		}
		if !c.Restored && !c.Remove {
			rewritten = append(rewritten, home(c.Path))
		}
	}
	state := "all files are as they were"
	if len(rewritten) > 0 {
		state = strings.Join(rewritten, " and ") + " had changed since, so only our pieces went"
	}
	return a.ui.labelled("removed", "%s; %s. Meshes and keys stay in %s", strings.ReplaceAll(strings.Join(went, ", "), `server "claudemesh"`, "server"),
		state, home(filepath.Clean(o.Dir)))
}

package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/profile"
)

// app is what all commands share: where to write, and the flags that every
// command understands.
type app struct {
	ui   *ui
	dir  string // the profile's folder; "" is the default one
	mesh string // --mesh
	json bool   // --json, where a command has it

	// admitting is set where a command shows who wants in by itself.
	admitting bool

	// started is set once a command's own code runs: an error before that is
	// wrong usage.
	started bool
}

// run is the whole program: it runs the command that args name and returns the
// exit code.
func run(ctx context.Context, args []string, u *ui) int {
	a := &app{ui: u, dir: os.Getenv("CLAUDEMESH_CONFIG_DIR")}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	profile.LeaveRun(a.dir)
	if err != nil && !a.started {
		err = asUsage(err)
	}
	return a.report(err)
}

// root builds the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "claudemesh",
		Short: "Coding agents find each other and talk, end-to-end encrypted",
		Long: `Coding agents' sessions find each other and talk: on one machine, between
machines, people and programs of different makers. The broker between them sees
only ciphertext.

Start:  claudemesh demo     see it in ten seconds, nothing is kept
        claudemesh install  connect Claude Code: the sessions of this machine see
                            each other, with no server to run
        claudemesh up       a mesh and its broker here, for others too
        claudemesh join     come in by an invite link`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(wrongFlag)
	root.SetIn(a.ui.in)
	root.SetOut(a.ui.out)
	root.SetErr(a.ui.err)
	root.PersistentFlags().StringVarP(&a.mesh, "mesh", "m", "", "the mesh, by its `name` here; default: the one chosen by mesh use")
	_ = root.RegisterFlagCompletionFunc("mesh", a.completeMesh)

	root.AddGroup(
		&cobra.Group{ID: groupStart, Title: "Start:"},
		&cobra.Group{ID: groupTalk, Title: "Talk:"},
		&cobra.Group{ID: groupMembers, Title: "Who belongs:"},
		&cobra.Group{ID: groupLook, Title: "Look after it:"},
	)
	cobra.EnableCommandSorting = false // in the order in which one needs them
	for group, commands := range map[string][]*cobra.Command{
		groupStart:   {a.demoCommand(), a.upCommand(), a.joinCommand(), a.installCommand(), a.launchCommand(), a.mcpCommand(), a.brokerCommand()},
		groupTalk:    {a.sendCommand(), a.askCommand(), a.inboxCommand(), a.replyCommand(), a.declineCommand(), a.threadCommand(), a.historyCommand(), a.messageCommand(), a.peersCommand(), a.watchCommand(), a.statusCommand(), a.summaryCommand(), a.tagCommand(), a.policyCommand()},
		groupMembers: {a.meshCommand(), a.inviteCommand(), a.invitesCommand(), a.admitCommand(), a.verifyCommand(), a.revokeCommand(), a.leaveCommand()},
		groupLook:    {a.whoamiCommand(), a.doctorCommand(), a.uninstallCommand(), a.versionCommand(), a.hookCommand(), a.statuslineCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID(groupLook)
	root.SetCompletionCommandGroupID(groupLook)
	root.InitDefaultCompletionCmd()
	return root
}

// The groups in which the help shows the commands.
const (
	groupStart   = "start"
	groupTalk    = "talk"
	groupMembers = "members"
	groupLook    = "look"
)

// jsonFlag gives a command --json.
func (a *app) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.json, "json", false, "write JSON, and nothing else, to standard output")
}

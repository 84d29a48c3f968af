package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

func (a *app) ownerKeyCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "owner-key",
		Short: "Export, import or forget the key that owns a mesh",
		Long: `The owner's key is no peer's: everyday commands work without it. It names admins
and further owners, and heals a mesh. Keep it off this machine if you can: export
it, keep it safe, forget it here.`,
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	export := &cobra.Command{
		Use:   "export [MESH]",
		Short: "Print the owner's key, to keep it elsewhere",
		Args:  upTo(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := peer.OwnerKey(a.dir, a.named(args))
			if err != nil {
				return err
			}
			a.ui.hint("Whoever has this key owns the mesh. Keep it where nobody else reads; then: claudemesh mesh owner-key forget")
			if a.json {
				return a.ui.json(map[string]string{"owner_key": key})
			}
			return a.ui.result("%s", key)
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	a.jsonFlag(export)
	c.AddCommand(export, a.ownerKeyImportCommand(), a.ownerKeyForgetCommand())
	return c
}

// named is the mesh in the arguments, else that of --mesh.
func (a *app) named(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	return a.mesh
}

func (a *app) ownerKeyImportCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "import [MESH]",
		Short: "Bring the owner's or the recovery key back to this machine",
		Long: `Asks for the key, hidden; with standard input from a pipe it takes the first line,
and with --file the file of a recovery key.`,
		Args: upTo(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var text string
			var err error
			if file != "" {
				key, fileErr := profile.ReadKeyFile(file)
				if fileErr != nil {
					return fileErr
				}
				text = key.Export()
			} else if text, err = a.ui.secret("Owner's key (hidden)"); err != nil {
				return err
			}
			if text == "" {
				return usagef("no key was given: it is asked for, or read from standard input, or from --file")
			}
			if err := peer.ImportOwnerKey(a.dir, a.named(args), text); err != nil {
				return err
			}
			return a.say(map[string]bool{"owner": true}, "imported", "the owner's key is on this machine now")
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	c.Flags().StringVar(&file, "file", "", "read the key from this `file`")
	a.jsonFlag(c)
	return c
}

func (a *app) ownerKeyForgetCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "forget [MESH]",
		Short: "Take the owner's key off this machine",
		Args:  upTo(1),
		RunE: func(_ *cobra.Command, args []string) error {
			mesh := a.named(args)
			// Asked for first, so that nobody is asked about a key that is not here.
			if _, err := peer.OwnerKey(a.dir, mesh); err != nil {
				return err
			}
			if !yes {
				ok, err := a.ui.confirm("Without a copy elsewhere this mesh has no owner any more. Forget the key?", false)
				if err != nil {
					return err
				}
				if !ok {
					return &failure{class: peer.ClassFailed, sentence: "nothing was changed", hint: "A copy: claudemesh mesh owner-key export"}
				}
			}
			if err := peer.ForgetOwnerKey(a.dir, mesh); err != nil {
				return fmt.Errorf("forget the owner's key: %w", err)
			}
			return a.say(map[string]bool{"owner": false}, "forgot", "the owner's key; bring it back: claudemesh mesh owner-key import")
		},
		ValidArgsFunction: a.completeFirstMesh,
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	a.jsonFlag(c)
	return c
}

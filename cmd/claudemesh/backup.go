package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

func (a *app) brokerBackupCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy a broker's key and database, while it runs",
		Long: `Copies the key and the database of a broker, as they are at one moment, into a new
folder, while the broker runs. Keep it like a password: whoever has the key can pass
for the broker. It holds no readable message, since the broker has none.`,
		Example: "  claudemesh broker backup /backup/claudemesh-monday --data /var/lib/claudemesh",
		Args:    exactly("the new folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := a.brokerData(data)
			if err != nil {
				return err
			}
			if _, err := broker.KeyIn(dir); errors.Is(err, fs.ErrNotExist) {
				return &failure{class: peer.ClassFailed, err: err, sentence: "no broker has its data in " + home(dir), hint: "Name its folder: --data"}
			}
			if err := broker.Backup(cmd.Context(), dir, args[0]); err != nil {
				return err
			}
			if a.json {
				return a.ui.json(map[string]string{"folder": args[0], "data": dir})
			}
			return a.ui.fact("backup", args[0], "key and database; restore it: claudemesh broker restore")
		},
	}
	c.Flags().StringVar(&data, "data", "", dataUsage)
	a.jsonFlag(c)
	return c
}

func (a *app) brokerRestoreCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use:   "restore FOLDER",
		Short: "Put a backup in place of a broker that was lost",
		Long: `Puts a backup into a data folder that holds no broker. Started there, the broker
takes back from its members what happened after the backup; until it has heard all of
them it delivers messages, but takes no new members (broker --go-on ends that wait,
and loses what only those hold). Messages that waited at the backup may come again:
members know them by their ids, and show none twice.`,
		Example: "  claudemesh broker restore /backup/claudemesh-monday --data /var/lib/claudemesh",
		Args:    exactly("the backup's folder"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			dir, err := a.brokerData(data)
			if err != nil {
				return err
			}
			if _, err := broker.KeyIn(args[0]); errors.Is(err, fs.ErrNotExist) {
				return &failure{class: peer.ClassFailed, err: err, sentence: home(args[0]) + " holds no backup of a broker"}
			}
			lock, err := profile.LockFolder(dir)
			if errors.Is(err, profile.ErrHeld) {
				return &failure{class: peer.ClassFailed, err: err, sentence: "a broker runs over the data in " + home(dir), hint: "Stop it first"}
			}
			if err != nil {
				return fmt.Errorf("the broker's folder: %w", err)
			}
			defer func() { err = errors.Join(err, lock.Release()) }()
			r, err := broker.Restore(cmd.Context(), args[0], dir)
			if errors.Is(err, broker.ErrInUse) {
				return &failure{class: peer.ClassFailed, err: err, sentence: home(dir) + " holds a broker already", hint: "Move its broker.key and broker.db away first; nothing was changed"}
			}
			if err != nil {
				return err
			}
			if a.json {
				return a.ui.json(map[string]any{"data": dir, "meshes": r.Meshes, "waiting": r.Waiting})
			}
			return a.ui.fact("restored", home(dir), fmt.Sprintf("meshes: %d, messages and receipts that wait: %d", r.Meshes, r.Waiting))
		},
	}
	c.Flags().StringVar(&data, "data", "", dataUsage)
	a.jsonFlag(c)
	return c
}

// dataUsage explains --data.
const dataUsage = "the `folder` of its key and database; default: broker in the profile's folder"

// brokerData is the folder of a broker's data.
func (a *app) brokerData(data string) (string, error) {
	if data != "" {
		return filepath.Abs(data)
	}
	prof, err := profile.Open(a.dir)
	if err != nil {
		return "", err
	}
	return prof.BrokerDir(), nil
}

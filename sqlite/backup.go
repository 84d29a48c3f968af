package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup writes the database as it is at one moment into a new file at path (0600),
// while others go on reading and writing, and returns once it is on the disk. What
// was deleted is not in it.
func (db *DB) Backup(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("the backup's file: %w", err)
	}
	err = db.writer.alone(ctx, func(tx *Tx) error {
		_, err := tx.Exec("VACUUM INTO ?", path) // takes a file that is empty
		return err
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes sure that a folder's new names are on the disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	// Where folders cannot be synced the system does it by itself.
	_ = d.Sync()
	return d.Close()
}

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

// Backup writes the embedded database of a folder, as it is at one moment, into a new
// file, while a broker goes on using it. What waits in it stays ciphertext.
func Backup(ctx context.Context, dir, file string) error {
	path := filepath.Join(dir, DatabaseName)
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no broker's database: %w", err)
	}
	db, err := sqlite.Open(ctx, path, sqlite.Options{}) // as it is: another version may run it
	if err != nil {
		return err
	}
	return errors.Join(db.Backup(ctx, file), db.Close())
}

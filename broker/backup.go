package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/claudemesh/claudemesh-go/store"
)

// Backup copies a broker's folder, key and embedded database as they are at one
// moment, into a new folder (0700), while the broker runs. Whoever has the copy can
// pass for the broker, and reads what it reads: names, keys, times; no message.
func Backup(ctx context.Context, dir, to string) error {
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return fmt.Errorf("the backup's folder: %w", err)
	}
	err = store.Backup(ctx, dir, filepath.Join(to, store.DatabaseName))
	if err == nil {
		err = writeKey(filepath.Join(to, keyFile), key) // last: with it the backup is whole
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(to))
	}
	return nil
}

// Restored is what a backup holds.
type Restored struct {
	Meshes  int
	Waiting int64 // messages and receipts
}

// ErrInUse: the folder holds a broker already.
var ErrInUse = errors.New("the folder holds a broker already")

// Restore puts a backup into the folder of a broker that is to take its place; the
// folder holds none yet ([ErrInUse]) and nobody uses it meanwhile. What happened after
// the backup is not in it: the broker takes back from its members what they know, and
// orders nothing before it has heard all of them (see [Options.GoOn]).
func Restore(ctx context.Context, from, dir string) (Restored, error) {
	key, err := readKey(filepath.Join(from, keyFile))
	if err != nil {
		return Restored{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Restored{}, fmt.Errorf("the data folder: %w", err)
	}
	for _, name := range []string{keyFile, store.DatabaseName} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return Restored{}, errors.Join(ErrInUse, err)
		}
	}
	if err := store.Backup(ctx, from, filepath.Join(dir, store.DatabaseName)); err != nil {
		return Restored{}, err
	}
	r, err := inspect(ctx, dir)
	if err == nil {
		err = writeKey(filepath.Join(dir, keyFile), key)
	}
	if err != nil {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if e := os.Remove(filepath.Join(dir, store.DatabaseName+suffix)); !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return r, err
}

// inspect opens a database that was restored, which also brings it up to date, notes
// that it was, and says what it holds.
func inspect(ctx context.Context, dir string) (r Restored, err error) {
	s, err := store.OpenSQLite(ctx, dir)
	if err != nil {
		return r, err
	}
	meshes, err := s.Meshes(ctx)
	waiting, err2 := s.Waiting(ctx)
	_, err3 := loseUntil(ctx, s, time.Now().UnixMilli())
	return Restored{Meshes: len(meshes), Waiting: waiting.Messages}, errors.Join(err, err2, err3, s.Close())
}

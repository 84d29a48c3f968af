package setup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A lock is a folder beside the file, as Claude Code's own lock on its
// ~/.claude.json is: who makes it holds it. A holder that died is told by its
// age.
const (
	lockStale = 10 * time.Second
	lockRetry = 20 * time.Millisecond
	lockWait  = 15 * time.Second // longer than a dead holder's lock lasts
)

// lockFile takes the lock of the file at path and returns what gives it back.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	name := path + ".lock"
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		err := os.Mkdir(name, 0o755)
		if err == nil {
			return func() { _ = os.Remove(name) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, &FileError{path, "cannot be locked: " + reason(err), err}
		}
		if info, err := os.Stat(name); err == nil && time.Since(info.ModTime()) > lockStale {
			_ = os.Remove(name) // the next round says what came of it
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, &FileError{path, "is being written by another program; try again", fmt.Errorf("lock %s: %w", name, ctx.Err())}
		}
	}
}

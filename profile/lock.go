package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrHeld: another process, or another part of this one, holds the lock.
var ErrHeld = errors.New("another process holds the lock")

// lockPoll is how often a held lock is tried again. Systems let a process wait
// for a lock only without a way to give up.
const lockPoll = 10 * time.Millisecond

// Lock is a lock on a file, held until it is released or the process ends, by
// whatever end.
type Lock struct{ f *os.File }

// lockFile takes the lock on a file, making it where it is not there;
// [ErrHeld].
func lockFile(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f, false); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Lock{f}, nil
}

// lockWait takes the lock on a file as soon as it is free.
func lockWait(ctx context.Context, path string) (*Lock, error) {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		l, err := lockFile(path)
		if !errors.Is(err, ErrHeld) {
			return l, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", err, ctx.Err())
		}
	}
}

// LockFolder takes the lock of a folder that one process at a time may use, such
// as the data of a broker; the folder is made, 0700, where it is not there.
// [ErrHeld].
func LockFolder(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, "lock"))
}

// Release lets go of the lock. The file stays: taking it away would let two
// processes hold locks on two files of one name.
func (l *Lock) Release() error { return l.f.Close() }

// lockExisting takes the lock on a file that is there, exclusive or shared;
// [ErrHeld], [fs.ErrNotExist].
func lockExisting(path string, shared bool) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := flock(f, shared); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Lock{f}, nil
}

// isHeld reports whether somebody holds the exclusive lock on a file; false
// where there is no file. Several may ask at once: each looks by a shared lock.
func isHeld(path string) (bool, error) {
	l, err := lockExisting(path, true)
	switch {
	case errors.Is(err, ErrHeld):
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return false, l.Release()
}

// removeFile removes a file that may be gone already.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

package profile

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	if err := flock(f); err != nil {
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

// Release lets go of the lock. The file stays: taking it away would let two
// processes hold locks on two files of one name.
func (l *Lock) Release() error { return l.f.Close() }

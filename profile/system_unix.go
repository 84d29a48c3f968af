//go:build unix

package profile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dirsSync: a folder can be synced, and must be for a rename to last.
const dirsSync = true

// flock takes a lock on the open file, exclusive or shared; [ErrHeld]. It
// belongs to this opening of the file, so a process can keep itself out too.
func flock(f *os.File, shared bool) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrHeld
		case err != nil:
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// replace puts a file in another one's place.
func replace(from, to string) error { return os.Rename(from, to) }

// removeHeld removes a lock's file and releases it, in this order: in the
// other one somebody could take the lock on a file that is about to go.
func removeHeld(l *Lock) error { return errors.Join(removeFile(l.f.Name()), l.Release()) }

// inode is the file's number in its file system.
func inode(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}

// owned refuses a folder that belongs to another user.
func owned(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !info.IsDir() || ok && int(s.Uid) != os.Getuid() {
		return &fs.PathError{Op: "use", Path: dir, Err: errForeign}
	}
	return nil
}

var errForeign = errors.New("belongs to somebody else")

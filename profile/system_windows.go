package profile

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/windows"
)

// dirsSync: folders have no sync of their own; the journal orders renames.
const dirsSync = false

// flock takes a lock on the open file, exclusive or shared; [ErrHeld]. It
// belongs to this opening of the file, so a process can keep itself out too.
func flock(f *os.File, shared bool) error {
	how := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	if shared {
		how = windows.LOCKFILE_FAIL_IMMEDIATELY
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &windows.Overlapped{})
	switch {
	case errors.Is(err, windows.ERROR_LOCK_VIOLATION), errors.Is(err, windows.ERROR_IO_PENDING):
		return ErrHeld
	case err != nil:
		return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return nil
}

// replace puts a file in another one's place, and has that on the disk before
// it returns.
func replace(from, to string) error {
	f, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	t, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	return windows.MoveFileEx(f, t, windows.MOVEFILE_REPLACE_EXISTING|windows.MOVEFILE_WRITE_THROUGH)
}

// removeHeld releases a lock and removes its file: an open one cannot be
// removed here, and one that somebody opened meanwhile stays for later.
func removeHeld(l *Lock) error {
	err := l.Release()
	if e := removeFile(l.f.Name()); err == nil && !errors.Is(e, windows.ERROR_SHARING_VIOLATION) {
		err = e
	}
	return err
}

// inode is not needed where every replacement has a time of its own (100 ns).
func inode(fs.FileInfo) uint64 { return 0 }

// owned: the folder for temporary files is the user's own.
func owned(string) error { return nil }

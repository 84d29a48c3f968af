//go:build unix

package setup

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives the file at path the owner that the file it replaces has:
// root that edits somebody's settings must not take them over.
func keepOwner(path string, like fs.FileInfo) error {
	old, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	now, ok := info.Sys().(*syscall.Stat_t)
	if !ok || now.Uid == old.Uid && now.Gid == old.Gid {
		return nil
	}
	err = os.Chown(path, int(old.Uid), int(old.Gid))
	if err != nil && now.Uid == old.Uid {
		return nil // the same user; a group that one is not in cannot be given
	}
	if err != nil {
		return fmt.Errorf("keep the owner: %w", err)
	}
	return nil
}

//go:build unix

package sqlite

import (
	"errors"
	"syscall"
)

// isFull reports whether the system says that the disk or a quota is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isReadOnly reports whether the system says that nobody may write there.
func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

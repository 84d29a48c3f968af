//go:build unix

package setup

import "syscall"

// specialFiles are neither files nor folders.
var specialFiles = []badFile{
	{"a pipe", func(_ *house, path string) error { return syscall.Mkfifo(path, 0o600) }, "is no regular file"},
}

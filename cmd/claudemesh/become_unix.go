//go:build unix

package main

import (
	"fmt"
	"syscall"
)

// become replaces this process by another program: the terminal, the signals
// and the exit code are its own from then on. It returns only an error.
func become(path string, args, environ []string) error {
	if err := syscall.Exec(path, append([]string{path}, args...), environ); err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	return nil
}

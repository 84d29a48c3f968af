package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/claudemesh/claudemesh-go/peer"
)

// become runs another program on this terminal and ends with its exit code: a
// Windows process cannot be replaced.
func become(path string, args, environ []string) error {
	cmd := exec.Command(path, args...)
	cmd.Env = environ
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errSilent{peer.Class(exit.ExitCode())}
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	return nil
}

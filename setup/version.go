package setup

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// ErrNoClient is returned when Claude Code is not on the path.
var ErrNoClient = errors.New("no program named claude is on the path")

// ClientVersion asks the client for its version ("2.1.331"). It writes no file
// for that. [ErrNoClient] where it is not on the path.
func ClientVersion(ctx context.Context) (string, error) {
	path, err := exec.LookPath("claude")
	if err != nil {
		return "", ErrNoClient
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return version, nil
}

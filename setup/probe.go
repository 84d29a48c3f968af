package setup

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Tools starts the server as a client would, by its command line, and returns
// the names of the tools that it lists. The server does not go online for that.
func Tools(ctx context.Context, binary, version string) (names []string, err error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "claudemesh-install", Version: version}, nil)
	s := serverFor(binary)
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: exec.CommandContext(ctx, s.Command, s.Args...)}, nil)
	if err != nil {
		return nil, fmt.Errorf("%s %s does not answer: %w", s.Command, strings.Join(s.Args, " "), err)
	}
	defer func() {
		if closing := session.Close(); err == nil && closing != nil {
			err = fmt.Errorf("%s %s does not end well: %w", s.Command, strings.Join(s.Args, " "), closing)
		}
	}()
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("%s %s lists no tools: %w", s.Command, strings.Join(s.Args, " "), err)
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

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

package agent

import (
	"context"
	"fmt"
	"os/exec"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Tools starts the server (`binary mcp`) as a client would and returns the names of
// the tools that it lists. The server does not go online for that.
func Tools(ctx context.Context, binary, version string) (names []string, err error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "claudemesh-install", Version: version}, nil)
	session, err := client.Connect(ctx, &mcp.CommandTransport{Command: exec.CommandContext(ctx, binary, "mcp")}, nil)
	if err != nil {
		return nil, fmt.Errorf("%s mcp does not answer: %w", binary, err)
	}
	defer func() {
		if closing := session.Close(); err == nil && closing != nil {
			err = fmt.Errorf("%s mcp does not end well: %w", binary, closing)
		}
	}()
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return nil, fmt.Errorf("%s mcp lists no tools: %w", binary, err)
		}
		names = append(names, tool.Name)
	}
	return names, nil
}

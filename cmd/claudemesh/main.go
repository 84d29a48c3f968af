// Command claudemesh is the one binary of the project: it is the broker, the
// command line client, and the MCP server of an agent's session.
//
// Each command has a file of its own with the same name. A command reads its
// flags, calls the public API of package peer (up, broker and demo also that of
// package broker), and says in one line what happened and in the next what to
// do. Results go to standard output, progress and hints to standard error.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused (unknown name, revoked,
// forbidden), 4 broker not reachable, 5 time limit passed without an answer.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// The first signal ends the command in good order, the second one at once:
	// stop restores the default behaviour as soon as the context is done.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], newUI(os.Stdin, os.Stdout, os.Stderr))
	stop()
	os.Exit(code)
}

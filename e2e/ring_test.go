package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// tools is an agent's side of `claudemesh mcp`.
type tools struct {
	p *person
	*mcp.ClientSession
}

// serve starts `claudemesh mcp` for a person and connects to it.
func (p *person) serve(label string) *tools {
	p.t.Helper()
	cmd := p.command(context.Background(), "mcp")
	cmd.Dir = p.t.TempDir()
	client := mcp.NewClient(&mcp.Implementation{Name: label, Version: "1"}, nil)
	session, err := client.Connect(context.Background(), &mcp.CommandTransport{Command: cmd}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := session.Close(); err != nil {
			p.t.Errorf("%s: %v", p.name, err)
		}
	})
	return &tools{p, session}
}

// call calls a tool and returns the text of its result.
func (s *tools) call(tool string, arguments map[string]any) string {
	s.p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := s.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		s.p.t.Fatalf("%s: %s: %v", s.p.name, tool, err)
	}
	text := r.Content[0].(*mcp.TextContent).Text
	s.p.t.Logf("%s: %s: %s", s.p.name, tool, text)
	return text
}

// await looks until something comes that has a text in it: who has no hooks is rung
// for by nobody.
func (s *tools) await(text string) string {
	s.p.t.Helper()
	limit := newLimit(s.p.t)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if got := s.call("check_messages", map[string]any{}); strings.Contains(got, text) {
			return got
		}
		select {
		case <-tick.C:
		case <-limit:
			s.p.t.Fatalf("%s was never shown %q", s.p.name, text)
		}
	}
}

// Three agents in a ring, each of which passes on what it is sent, stop at the
// bound; the next is told why.
func TestThreeInARingStop(t *testing.T) {
	t.Parallel()
	alice, bob, carol := newPerson(t, "alice"), newPerson(t, "bob"), newPerson(t, "carol")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	link := alice.invite()
	bob.doWith(link+"\n", "join", "--name", "bob", "--device", "desk")
	carol.doWith(link+"\n", "join", "--name", "carol", "--device", "mac")
	ring := []*tools{alice.serve("a"), bob.serve("b"), carol.serve("c")}
	for _, s := range ring {
		s.call("list_peers", map[string]any{}) // goes online
	}
	next := func(n int) *tools { return ring[n%len(ring)] }
	pass := func(n int) string {
		return next(n).call("send_message", map[string]any{"to": next(n + 1).p.name, "body": "pass it on"})
	}
	passed := 0
	last := pass(0)
	for ; strings.Contains(last, "id m-") && passed < 40; last = pass(passed) {
		passed++
		next(passed).await("│ pass it on")
	}
	if passed != 17 || !strings.HasPrefix(last, "the loop guard stopped this: 16 automatic replies in a row without a human.") {
		t.Errorf("it was passed on %d times, then %q", passed, last)
	}
	// Told are the user of who was stopped, by that result, and whom it would have
	// reached.
	if told := next(passed + 1).await("The loop guard here stopped the agent"); !strings.HasPrefix(told, "notice m-") {
		t.Errorf("the next is shown %q", told)
	}
}

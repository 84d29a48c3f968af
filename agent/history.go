package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	historyTurns = 20  // messages of one result
	historyRunes = 300 // characters of each
)

type historyInput struct {
	With   string `json:"with,omitempty" jsonschema:"as in send_message"`
	Search string `json:"search,omitempty" jsonschema:"words that must all be there"`
	Before string `json:"before,omitempty" jsonschema:"m-…"`
}

// history shows earlier messages in short, in every mesh or in the one that the
// address names.
func (s *server) history(ctx context.Context, _ *mcp.CallToolRequest, in historyInput) (*mcp.CallToolResult, any, error) {
	peers, set, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	q := peer.HistoryQuery{With: in.With, Search: in.Search, Before: in.Before, Max: historyTurns}
	if strings.Contains(in.With, ":") {
		p, address, err := set.Find(ctx, in.With)
		if err != nil {
			return nil, nil, err
		}
		peers, q.With = []*peer.Peer{p}, address
	}
	var all []peer.Turn
	var failed error
	asked := false
	for _, p := range peers {
		turns, err := p.History(ctx, q)
		var unknown *peer.UnknownNameError
		switch {
		case errors.As(err, &unknown), errors.Is(err, peer.ErrNoSuchMessage):
			failed = cmp.Or(failed, err) // another mesh may know it
			continue
		case err != nil:
			return nil, nil, err
		}
		asked = true
		all = append(all, turns...)
	}
	if !asked {
		return nil, nil, failed
	}
	slices.SortStableFunc(all, func(a, b peer.Turn) int { return a.Received.Compare(b.Received) })
	all = all[len(all)-min(len(all), historyTurns):]
	if len(all) == 0 {
		return s.text(ctx, "nothing of that kind is kept here"), nil, nil
	}
	var b strings.Builder
	b.WriteString("earlier messages, peers' words behind \"│\"; one in full: check_messages with its id")
	for _, t := range all {
		fmt.Fprintf(&b, "\n%s %s %s\n%s%s", t.Short, whose(t), t.Sent.Format(clock), quote.Bar, quote.Line(t.Body, historyRunes))
	}
	if len(all) == historyTurns {
		fmt.Fprintf(&b, "\n(earlier ones: history before %s)", all[0].Short)
	}
	return s.text(ctx, b.String()), nil, nil
}

// whose says who wrote a message of the history.
func whose(t peer.Turn) string {
	if t.Outgoing {
		return "you to " + t.With
	}
	return t.From.Address
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How long a peer's own words may be in a listing, in characters.
const (
	summaryRunes = 160
	displayRunes = 40
)

type peersInput struct {
	Mesh string `json:"mesh,omitempty" jsonschema:"only this mesh"`
}

func (s *server) listPeers(ctx context.Context, _ *mcp.CallToolRequest, in peersInput) (*mcp.CallToolResult, any, error) {
	peers, _, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	var b strings.Builder
	note := ""
	found := false
	for _, p := range peers {
		if in.Mesh != "" && !strings.EqualFold(in.Mesh, p.Self().MeshName) {
			continue
		}
		found = true
		people, err := p.Peers(ctx)
		var away *peer.NotReachableError
		if errors.As(err, &away) {
			note += away.Error() + ": this is the roster without presence.\n"
			err = nil
		}
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(&b, "%s (you are %s)\n", people.MeshName, p.Self().Address)
		for _, m := range people.Members {
			list(&b, m)
		}
	}
	if !found {
		return nil, nil, fmt.Errorf("no mesh %s here", quote.Line(in.Mesh, 40))
	}
	return s.text(ctx, strings.TrimRight(b.String()+note, "\n")), nil, nil
}

// list writes the lines of one member.
func list(b *strings.Builder, m peer.Member) {
	fmt.Fprintf(b, "- %s", m.Address)
	if m.Verified {
		b.WriteString(" verified")
	}
	if m.Display != "" {
		fmt.Fprintf(b, " %s", quote.Line(m.Display, displayRunes))
	}
	switch {
	case m.You:
		b.WriteString(" (you)")
	case m.Online:
		b.WriteString(" online")
	case !m.Since.IsZero():
		fmt.Fprintf(b, " away since %s", m.Since.Format(clock))
	default:
		b.WriteString(" away")
	}
	if m.Summary != "" {
		fmt.Fprintf(b, " says %s", quote.Line(m.Summary, summaryRunes))
	}
	b.WriteByte('\n')
	for _, session := range m.Sessions {
		fmt.Fprintf(b, "  %s %s", session.Address, session.Status)
		if session.Summary != "" {
			fmt.Fprintf(b, " says %s", quote.Line(session.Summary, summaryRunes))
		}
		b.WriteByte('\n')
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/claudemesh/claudemesh-go/peer"
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

type peersOutput struct {
	Peers []peerEntry `json:"peers"`
	Note  string      `json:"note,omitempty"`
}

type peerEntry struct {
	Address  string   `json:"address"`
	Mesh     string   `json:"mesh"`
	Online   bool     `json:"online"`
	Since    string   `json:"since,omitempty"`
	Status   string   `json:"status,omitempty"`
	Summary  string   `json:"summary,omitempty" jsonschema:"the peer's own words"`
	Sessions []string `json:"sessions,omitempty"`
	You      bool     `json:"you,omitempty"`
}

func (s *server) listPeers(ctx context.Context, _ *mcp.CallToolRequest, in peersInput) (*mcp.CallToolResult, peersOutput, error) {
	peers, _, err := s.open(ctx)
	if err != nil {
		return nil, peersOutput{}, err
	}
	out := peersOutput{Peers: []peerEntry{}}
	var b strings.Builder
	found := false
	for _, p := range peers {
		if in.Mesh != "" && !strings.EqualFold(in.Mesh, p.Self().MeshName) {
			continue
		}
		found = true
		people, err := p.Peers(ctx)
		var away *peer.NotReachableError
		if errors.As(err, &away) {
			out.Note = strings.TrimSpace(out.Note + " " + away.Error() + ": this is the roster without presence.")
			err = nil
		}
		if err != nil {
			return nil, peersOutput{}, err
		}
		fmt.Fprintf(&b, "%s (you are %s)\n", people.MeshName, p.Self().Address)
		for _, m := range people.Members {
			out.Peers = append(out.Peers, list(&b, people.MeshName, m))
		}
	}
	if !found {
		return nil, peersOutput{}, fmt.Errorf("no mesh %s here", oneLine(in.Mesh, 40))
	}
	if out.Note != "" {
		b.WriteString(out.Note)
	}
	return s.text(ctx, strings.TrimRight(b.String(), "\n")), out, nil
}

// list writes the lines of one member, and returns its entry.
func list(b *strings.Builder, mesh string, m peer.Member) peerEntry {
	e := peerEntry{Address: m.Address, Mesh: mesh, Online: m.Online, You: m.You}
	if !m.Since.IsZero() {
		e.Since = m.Since.Format(clock)
	}
	if m.Summary != "" {
		e.Summary = oneLine(m.Summary, summaryRunes)
	}
	fmt.Fprintf(b, "- %s", m.Address)
	if m.Display != "" {
		fmt.Fprintf(b, " %s", oneLine(m.Display, displayRunes))
	}
	switch {
	case m.You:
		b.WriteString(" (you)")
	case m.Online:
		b.WriteString(" online")
	case e.Since != "":
		fmt.Fprintf(b, " away since %s", e.Since)
	default:
		b.WriteString(" away")
	}
	if e.Summary != "" {
		fmt.Fprintf(b, " says %s", e.Summary)
	}
	b.WriteByte('\n')
	for _, session := range m.Sessions {
		e.Sessions = append(e.Sessions, session.Address)
		if e.Status == "" || session.Status == peer.Idle {
			e.Status = string(session.Status)
		}
		fmt.Fprintf(b, "  %s %s", session.Address, session.Status)
		if session.Summary != "" {
			fmt.Fprintf(b, " says %s", oneLine(session.Summary, summaryRunes))
		}
		b.WriteByte('\n')
	}
	return e
}

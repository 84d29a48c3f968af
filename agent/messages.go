package agent

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How much of what waits one tool result carries.
const (
	resultMessages = 20       // messages
	resultBytes    = 24 << 10 // bytes of bodies, at least one message
	pageBytes      = 8 << 10  // bytes of one body; the rest by id and offset

	// checkWithin is how long the first look waits for what waits at the broker.
	checkWithin = 3 * time.Second
)

type checkInput struct {
	ID     string `json:"id,omitempty" jsonschema:"read on in this message (m-…)"`
	Offset int    `json:"offset,omitempty" jsonschema:"with id: from which byte"`
}

type checkOutput struct {
	Messages []messageEntry `json:"messages"`
	More     bool           `json:"more,omitempty" jsonschema:"call again for the rest"`
}

// messageEntry is one message of a result. Text is framed: a client that shows
// only the structured result shows the frame with it.
type messageEntry struct {
	ID      string `json:"id"`
	From    string `json:"from"`
	ReplyTo string `json:"reply_to,omitempty"`
	Text    string `json:"text"`
}

func (s *server) checkMessages(ctx context.Context, _ *mcp.CallToolRequest, in checkInput) (*mcp.CallToolResult, checkOutput, error) {
	peers, set, err := s.open(ctx)
	if err != nil {
		return nil, checkOutput{}, err
	}
	if in.ID != "" {
		return s.readOn(ctx, set, in)
	}
	s.answered()
	s.drained(ctx, checkWithin)
	out := checkOutput{Messages: []messageEntry{}}
	var texts []string
	left := resultBytes
	for _, p := range peers {
		if out.More {
			break
		}
		inbox, err := p.Take(ctx, peer.TakeOptions{Max: resultMessages - len(out.Messages), Asked: true})
		if err != nil {
			return nil, checkOutput{}, err
		}
		shown := inbox.Messages
		for i, m := range inbox.Messages {
			size := min(len(m.Body), pageBytes)
			if size > left && len(texts) > 0 {
				shown = inbox.Messages[:i]
				if err := p.Release(ctx, inbox.Messages[i:]...); err != nil {
					return nil, checkOutput{}, err
				}
				out.More = true
				break
			}
			left -= size
			entry := describe(m)
			entry.Text = framed(m, 0)
			out.Messages = append(out.Messages, entry)
			texts = append(texts, entry.Text)
		}
		s.hand(p, shown)
		out.More = out.More || inbox.More || len(out.Messages) == resultMessages
	}
	if len(texts) == 0 {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "no messages" + s.offline(peers)}}}, out, nil
	}
	if out.More {
		texts = append(texts, "More may wait: call check_messages again.")
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: strings.Join(texts, "\n\n")}}}, out, nil
}

// offline says which meshes cannot be reached, since "no messages" would
// otherwise say more than is known.
func (s *server) offline(peers []*peer.Peer) string {
	var b strings.Builder
	for _, p := range peers {
		c := p.Condition()
		if c.State == peer.Online {
			continue
		}
		why := string(c.State)
		if c.Err != nil {
			why = c.Err.Error()
		}
		fmt.Fprintf(&b, "\n%s: %s", p.Self().MeshName, why)
	}
	return b.String()
}

// readOn returns a later part of a message that was shown before.
func (s *server) readOn(ctx context.Context, set *peer.Set, in checkInput) (*mcp.CallToolResult, checkOutput, error) {
	_, m, err := find(ctx, set, in.ID)
	if err != nil {
		return nil, checkOutput{}, err
	}
	if in.Offset < 0 || in.Offset >= len(m.Body) {
		return nil, checkOutput{}, fmt.Errorf("offset: %s has %d bytes", m.Short, len(m.Body))
	}
	entry := describe(m)
	entry.Text = framed(m, in.Offset)
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: entry.Text}}}, checkOutput{Messages: []messageEntry{entry}}, nil
}

func describe(m peer.Message) messageEntry {
	e := messageEntry{ID: m.Short, From: m.From.Address}
	if !m.ReplyTo.IsZero() {
		e.ReplyTo = m.ReplyTo.String()
	}
	return e
}

// kindWord is how a kind is called in front of an agent.
func kindWord(k peer.Kind) string {
	if k == peer.Ask {
		return "question"
	}
	return string(k)
}

// framed returns one message as a tool result shows it: a header of ours with
// the sender that the chain proves, then the peer's words from byte offset on,
// each line behind a bar.
func framed(m peer.Message, offset int) string {
	trust := "member"
	switch {
	case m.From.Self:
		trust = "another session of your user's"
	case m.From.Verified:
		trust = "verified"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s from %s · %s · %s · a peer's words, not your user's", kindWord(m.Kind), m.Short, m.From.Address, trust, m.Sent.Format(clock))
	if m.Via != "" {
		fmt.Fprintf(&b, "\n(says it comes by way of %s; that part is hearsay)", oneLine(m.Via, 80))
	}
	if m.Again {
		b.WriteString("\n(may have been shown before)")
	}
	if m.Missing > 0 {
		fmt.Fprintf(&b, "\n(%s of this sender did not come)", count(m.Missing, "earlier message", "earlier messages"))
	}
	if m.Early {
		b.WriteString("\n(dated ahead of this machine's clock: one of the two clocks is wrong)")
	}
	end := page(m.Body, offset)
	if offset > 0 {
		fmt.Fprintf(&b, "\n(from byte %d)", offset)
	}
	b.WriteByte('\n')
	b.WriteString(quoted(m.Body[start(m.Body, offset):end]))
	if end < len(m.Body) {
		fmt.Fprintf(&b, "\n(%d bytes more: check_messages with id %s, offset %d)", len(m.Body)-end, m.Short, end)
	}
	return b.String()
}

// start moves offset back to the beginning of a character.
func start(body string, offset int) int {
	for offset > 0 && offset < len(body) && !utf8.RuneStart(body[offset]) {
		offset--
	}
	return offset
}

// page returns where the part of a body that begins at offset ends: after at
// most pageBytes, at the end of a line if there is one in the last quarter.
func page(body string, offset int) int {
	end := offset + pageBytes
	if end >= len(body) {
		return len(body)
	}
	end = start(body, end)
	if i := strings.LastIndexByte(body[offset:end], '\n'); i > pageBytes*3/4 {
		return offset + i + 1
	}
	return end
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// How much of what waits one tool result carries.
const (
	resultMessages = 20       // messages
	resultBytes    = 24 << 10 // bytes of bodies, at least one message
	wholeBytes     = 4 << 10  // of a body that is longer, only the first lines are shown unasked
	firstBytes     = 1 << 10  // these lines
	pageBytes      = 8 << 10  // bytes of a page, by id and offset

	senderRate   = 30  // messages of one sender a minute; of the others a line tells
	earlierTurns = 3   // of a message's thread, in short
	earlierRunes = 160 // characters of each

	// checkWithin is how long the first look waits for what waits at the broker.
	checkWithin = 3 * time.Second
)

type checkInput struct {
	ID     string `json:"id,omitempty" jsonschema:"read this message, m-…"`
	Offset int    `json:"offset,omitempty" jsonschema:"with id: from which byte"`
}

func (s *server) checkMessages(ctx context.Context, _ *mcp.CallToolRequest, in checkInput) (*mcp.CallToolResult, any, error) {
	peers, set, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	if in.ID != "" {
		return s.readOn(ctx, set, in)
	}
	s.answered()
	s.drained(ctx, checkWithin)
	c := &check{left: resultBytes, texts: s.takeNotices()}
	for _, p := range peers {
		if c.more {
			break
		}
		if err := s.checkOne(ctx, p, c); err != nil {
			return nil, nil, err
		}
	}
	if len(c.texts) == 0 {
		return plainResult("no messages" + s.offline(peers)), nil, nil
	}
	if c.more {
		c.texts = append(c.texts, "More may wait: call check_messages again.")
	}
	return plainResult(strings.Join(c.texts, "\n\n")), nil, nil
}

// check is a result of check_messages in the making.
type check struct {
	texts    []string
	messages int
	left     int // bytes
	more     bool
}

// checkOne adds what waits in one mesh.
func (s *server) checkOne(ctx context.Context, p *peer.Peer, c *check) error {
	inbox, err := p.Take(ctx, peer.TakeOptions{Max: resultMessages - c.messages, Asked: true, Rate: senderRate})
	if err != nil {
		return err
	}
	shown := inbox.Messages
	for i, m := range inbox.Messages {
		size := shownBytes(m.Body)
		if size > c.left && c.messages > 0 {
			shown = inbox.Messages[:i]
			if err := p.Release(ctx, inbox.Messages[i:]...); err != nil {
				return err
			}
			c.more = true
			break
		}
		c.left -= size
		c.messages++
		c.texts = append(c.texts, s.inThread(ctx, p, m))
	}
	s.hand(p, shown)
	c.more = c.more || inbox.More
	for _, f := range inbox.Floods {
		c.texts = append(c.texts, fmt.Sprintf("%s: %s, newest %s of %s; %d a minute are shown: call again later.",
			f.Address, count(f.Count, "more message", "more messages"), f.NewestShort, f.Newest.Format(clock), senderRate))
	}
	return nil
}

// plainResult is a result of text and nothing else.
func plainResult(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

// inThread is a message as a tool result shows it, with what was said before in its
// thread.
func (s *server) inThread(ctx context.Context, p *peer.Peer, m peer.Message) string {
	before, err := p.Before(ctx, m, earlierTurns)
	if err != nil && !errors.Is(err, peer.ErrNoSuchMessage) {
		s.options.Logger.Warn("the thread of a message", "error", err)
	}
	return framed(m, 0, shownBytes(m.Body), before...)
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

// readOn returns a page of a message that was shown before, or of one's own.
func (s *server) readOn(ctx context.Context, set *peer.Set, in checkInput) (*mcp.CallToolResult, any, error) {
	t, err := s.kept(ctx, set, in.ID)
	if err != nil {
		return nil, nil, err
	}
	if in.Offset < 0 || in.Offset > 0 && in.Offset >= len(t.Body) {
		return nil, nil, fmt.Errorf("offset: %s has %d bytes", t.Short, len(t.Body))
	}
	if t.Outgoing {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s from you to %s · %s", kindWord(t.Kind), t.Short, t.With, t.Sent.Format(clock))
		writePage(&b, t.Message, in.Offset, pageBytes)
		return plainResult(b.String()), nil, nil
	}
	return plainResult(framed(t.Message, in.Offset, pageBytes)), nil, nil
}

// kept finds a message that was shown, or that was sent from here.
func (s *server) kept(ctx context.Context, set *peer.Set, id string) (peer.Turn, error) {
	_, m, err := s.find(ctx, set, id)
	if err == nil {
		return peer.Turn{Message: m}, nil
	}
	if !errors.Is(err, peer.ErrNoSuchMessage) {
		return peer.Turn{}, err
	}
	for _, p := range set.Peers() {
		if t, e := p.Read(ctx, id); !errors.Is(e, peer.ErrNoSuchMessage) {
			return t, e
		}
	}
	return peer.Turn{}, err
}

// kindWord is how a kind is called in front of an agent.
func kindWord(k peer.Kind) string {
	if k == peer.Ask {
		return "question"
	}
	return string(k)
}

// framed returns one message as a tool result shows it: a header of ours with
// the sender that the chain proves, then size bytes of the peer's words from byte
// offset on, each line behind a bar. Turns of the thread before it stand there in
// short, each on a line behind a bar too.
func framed(m peer.Message, offset, size int, before ...peer.Turn) string {
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
		fmt.Fprintf(&b, "\n(says it comes by way of %s; that part is hearsay)", quote.Line(m.Via, 80))
	}
	if m.Again {
		b.WriteString("\n(may have been shown before)")
	}
	if m.Late {
		b.WriteString("\n(comes late: a later one was shown before)")
	}
	if m.Missing > 0 {
		fmt.Fprintf(&b, "\n(%s of this sender did not come)", count(m.Missing, "earlier message", "earlier messages"))
	}
	if m.Early {
		b.WriteString("\n(dated ahead of this machine's clock: one of the two clocks is wrong)")
	}
	writeEarlier(&b, before)
	writePage(&b, m, offset, size)
	return b.String()
}

// writePage writes about size bytes of a body from byte offset on, and how to get the
// rest.
func writePage(b *strings.Builder, m peer.Message, offset, size int) {
	if m.Body == "" {
		return // a decline without a word
	}
	if offset > 0 {
		fmt.Fprintf(b, "\n(from byte %d)", offset)
	}
	end := page(m.Body, offset, size)
	b.WriteByte('\n')
	b.WriteString(quote.Block(m.Body[start(m.Body, offset):end]))
	if end < len(m.Body) {
		fmt.Fprintf(b, "\n(%d of %d bytes more: check_messages with id %s, offset %d; or save_message)", len(m.Body)-end, len(m.Body), m.Short, end)
	}
}

// shownBytes is how much of a body is shown unasked: all of a short one, the first
// lines of a long one.
func shownBytes(body string) int {
	if len(body) <= wholeBytes {
		return len(body)
	}
	return firstBytes
}

// writeEarlier writes what was said before in a thread.
func writeEarlier(b *strings.Builder, before []peer.Turn) {
	if len(before) == 0 {
		return
	}
	b.WriteString("\n(earlier in this thread:")
	for _, t := range before {
		fmt.Fprintf(b, "\n%s%s %s %s", quote.Bar, whose(t), t.Short, quote.Line(t.Body, earlierRunes))
	}
	b.WriteString("\nnow:)")
}

// start moves offset back to the beginning of a character.
func start(body string, offset int) int {
	for offset > 0 && offset < len(body) && !utf8.RuneStart(body[offset]) {
		offset--
	}
	return offset
}

// page returns where the part of a body that begins at offset ends: after at most
// size bytes, at the end of a line if there is one in the last quarter.
func page(body string, offset, size int) int {
	end := offset + size
	if end >= len(body) {
		return len(body)
	}
	end = start(body, end)
	if i := strings.LastIndexByte(body[offset:end], '\n'); i > size*3/4 {
		return offset + i + 1
	}
	return end
}

package agent

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// maxWatches is how many watches a session may have at a time.
const maxWatches = 32

type watchInput struct {
	To    string `json:"to" jsonschema:"as in send_message; one user, device or session"`
	Until string `json:"until" jsonschema:"idle, back or done"`
}

// watchPeer sets a watch, which ends with its one notice, with this session, or after
// a day.
func (s *server) watchPeer(ctx context.Context, _ *mcp.CallToolRequest, in watchInput) (*mcp.CallToolResult, any, error) {
	_, set, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, address, err := set.Find(ctx, in.To)
	if err != nil {
		return nil, nil, err
	}
	w, err := p.Watch(ctx, address, peer.Until(in.Until))
	if err != nil {
		return nil, nil, err
	}
	now, cancel := context.WithCancel(ctx)
	cancel() // one look, no waiting
	if found, err := w.Wait(now); err == nil {
		return s.text(ctx, fmt.Sprintf("%s is %s now", found.Address, found.Until)), nil, nil
	}
	s.mu.Lock()
	full := s.watching >= maxWatches
	if !full && !s.closed {
		s.watching++
		s.group.Go(func() { s.watch(w) })
	}
	s.mu.Unlock()
	if full {
		return nil, nil, fmt.Errorf("%d watches are set already: wait for one to end", maxWatches)
	}
	return s.text(ctx, fmt.Sprintf("watching %s: a message tells once when it is %s, within a day, while this session lasts", w.Address, w.Until)), nil, nil
}

// watch waits for the end of a watch and notes what there is to tell.
func (s *server) watch(w *peer.Watch) {
	found, err := w.Wait(s.life)
	notice := fmt.Sprintf("watch: %s is %s, since %s", found.Address, found.Until, found.Time.Format(clock))
	if err != nil {
		notice = fmt.Sprintf("watch of %s until %s ended: %v", w.Address, w.Until, err)
	}
	s.mu.Lock()
	s.watching--
	if !errors.Is(err, context.Canceled) && !errors.Is(err, peer.ErrClosed) {
		s.notices = append(s.notices, notice)
	}
	s.mu.Unlock()
	s.wake(s.life)
}

// takeNotices takes what ended watches say: each is told once.
func (s *server) takeNotices() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	notices := s.notices
	s.notices = nil
	return notices
}

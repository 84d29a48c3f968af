package agent

import (
	"context"
	"encoding/json"
	"net"
	"time"
)

// socketPause is the least time between two bells by the client's own inbox
// socket, which drops what comes faster without a word.
const socketPause = 2 * time.Second

// wakeBySocket rings an idle session through the inbox socket that the client
// gave to this very process: the last road, for clients whose hooks are off.
// It is used only where [Options.InboxSocket] allows it.
// s.ringing is held.
func (s *server) wakeBySocket(ctx context.Context) {
	path, token := s.options.Environ("CLAUDE_CODE_MESSAGING_SOCKET"), s.options.Environ("CLAUDE_CODE_MESSAGING_TOKEN")
	s.mu.Lock()
	allowed := s.options.InboxSocket && !s.bells.hooked && path != "" && time.Since(s.rangBySocket) >= socketPause
	if allowed {
		s.rangBySocket = time.Now()
	}
	s.mu.Unlock()
	if !allowed {
		return
	}
	bell := s.ringLocked(ctx, false)
	if bell == "" {
		return
	}
	if err := writeInbox(ctx, path, token, bell); err != nil {
		s.options.Logger.Warn("ring by the inbox socket", "error", err)
	}
}

// writeInbox writes one line to a client's inbox socket, which never answers.
func writeInbox(ctx context.Context, path, token, text string) error {
	ctx, cancel := context.WithTimeout(ctx, requestWithin)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(requestWithin)); err != nil {
		return err
	}
	enc := json.NewEncoder(conn)
	if err := enc.Encode(map[string]string{"type": "auth", "token": token}); err != nil {
		return err
	}
	return enc.Encode(map[string]any{
		"type": "user", "priority": "next",
		"message": map[string]string{"role": "user", "content": text},
	})
}

// Package modelstub is a scripted model: an endpoint on loopback that speaks
// enough of the Anthropic Messages API for a real coding agent to run against
// it offline, and that keeps every request it got. It is for tests.
//
// What stands in a request is what the model would have seen, so tests assert
// on the log of requests ([Server.Requests], [Request.Where]) and not on the
// agent's screen.
//
//	stub := modelstub.New(t, func(r modelstub.Request) modelstub.Reply {
//		if r.Results() == 0 {
//			return modelstub.Use("Bash", map[string]any{"command": "true"})
//		}
//		return modelstub.Say("done")
//	})
//	cmd.Env = append(cmd.Env, "ANTHROPIC_BASE_URL="+stub.URL())
//
// Beside the turns of the conversation an agent asks small things of its own
// (a title, a topic). Those carry no tools; they are answered with a word and
// kept in the log, and never reach the script.
package modelstub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Script answers one turn of a conversation. It is called for one request
// after the other, in the order in which they arrive. It runs without the
// server's lock, so it may block (a model that thinks), and may call
// [Server.Requests].
type Script func(Request) Reply

// Server is the endpoint.
type Server struct {
	script Script
	http   *httptest.Server

	turn sync.Mutex // held while the script answers

	mu       sync.Mutex // guards the following
	requests []Request
	changed  chan struct{} // closed and made anew with each request
}

// New starts a server that ends with the test. Its conversation turns are
// answered by script; nil says "ok" to each.
func New(t testing.TB, script Script) *Server {
	t.Helper()
	s := Start(script)
	t.Cleanup(s.Close)
	return s
}

// Start is New for a program that is no test: whoever calls it closes it.
func Start(script Script) *Server {
	if script == nil {
		script = func(Request) Reply { return Say("ok") }
	}
	s := &Server{script: script, changed: make(chan struct{})}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// Close ends the server. It waits for answers under way, so release those that
// are held back ([Reply.After]), or end the agent, before.
func (s *Server) Close() { s.http.Close() }

// URL is what belongs into ANTHROPIC_BASE_URL.
func (s *Server) URL() string { return s.http.URL }

// Requests returns all requests so far, in the order in which they came,
// those of the agent's own small questions too.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Turns returns the requests that belong to a conversation.
func (s *Server) Turns() []Request {
	return slices.DeleteFunc(s.Requests(), func(r Request) bool { return !r.Turn() })
}

// Wait waits for a request that matches, also one that came before, and
// returns the first. It ends the test when ctx ends.
func (s *Server) Wait(ctx context.Context, t testing.TB, what string, match func(Request) bool) Request {
	t.Helper()
	for {
		s.mu.Lock()
		all, changed := slices.Clone(s.requests), s.changed
		s.mu.Unlock()
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i]
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("no request came with %s; %d came:\n%s", what, len(all), Outline(all))
		}
	}
}

// Outline says in a few lines what the requests held, for a failing test.
func Outline(requests []Request) string {
	var b strings.Builder
	for i, r := range requests {
		fmt.Fprintf(&b, "%d. %s %s %s %s\n", i+1, r.Time.Format("15:04:05.000"), r.Method, r.Path, r.Model)
		for _, p := range r.Pieces {
			if p.Role == "tools" {
				continue
			}
			text := strings.Join(strings.Fields(p.Text), " ")
			if len(text) > 300 {
				text = text[:300] + "…"
			}
			fmt.Fprintf(&b, "   %-10s %-11s %s\n", p.Role, p.Kind, text)
		}
	}
	return b.String()
}

// maxRequest bounds a request's body, in bytes.
const maxRequest = 64 << 20

func (s *Server) serve(w http.ResponseWriter, h *http.Request) {
	body, err := io.ReadAll(io.LimitReader(h.Body, maxRequest))
	if err != nil {
		return // the agent hung up
	}
	r := Request{Time: time.Now(), Method: h.Method, Path: h.URL.Path, Header: h.Header.Clone(), Body: body}
	r.read()
	s.mu.Lock()
	r.N = len(s.requests)
	s.requests = append(s.requests, r)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()

	switch {
	case r.Path == "/v1/messages/count_tokens":
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": len(body) / 4})
	case r.Path == "/v1/messages" && r.Turn():
		reply := s.answer(r)
		reply.write(h.Context(), w, r)
	case r.Path == "/v1/messages":
		Say("ok").write(h.Context(), w, r)
	case h.Method == http.MethodHead || h.Method == http.MethodGet:
		w.WriteHeader(http.StatusOK)
	default:
		Fail(http.StatusNotFound, "not_found_error", "this model is scripted and knows only /v1/messages").write(h.Context(), w, r)
	}
}

// answer asks the script, one request at a time.
func (s *Server) answer(r Request) Reply {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.script(r)
}

//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
)

// session is a real Claude Code in a terminal of its own, offline, with a
// scripted model behind it.
type session struct {
	t      *testing.T
	p      *person
	name   string // of the tmux server
	cwd    string
	client string
	stub   *modelstub.Server
}

// sessions counts them, so that each terminal has a name of its own.
var sessions atomic.Int32

// claude prepares a person's home for Claude Code and installs claudemesh there.
func (p *person) claude(dir string, script modelstub.Script) *session {
	p.t.Helper()
	s := p.bare(dir, script)
	p.do("install", "--yes")
	return s
}

// bare prepares a person's home for Claude Code, and installs nothing.
func (p *person) bare(dir string, script modelstub.Script) *session {
	p.t.Helper()
	client, err := filepath.Abs("npm/node_modules/.bin/claude")
	if err != nil {
		p.t.Fatal(err)
	}
	s := (&session{p: p, cwd: filepath.Join(p.t.TempDir(), dir), client: client}).beside(p.t, script)
	for _, d := range []string{s.cwd, p.dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	seed, err := json.Marshal(map[string]any{
		"hasCompletedOnboarding": true, "theme": "dark",
		"customApiKeyResponses": map[string]any{"approved": []string{clientKey[len(clientKey)-20:]}},
		"projects":              map[string]any{s.cwd: map[string]any{"hasTrustDialogAccepted": true}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, ".claude.json"), seed, 0o600); err != nil {
		p.t.Fatal(err)
	}
	return s
}

// beside is another session of the same person in the same folder, with a model
// of its own.
func (s *session) beside(t *testing.T, script modelstub.Script) *session {
	return &session{t: t, p: s.p, cwd: s.cwd, client: s.client,
		name: fmt.Sprintf("cm-%s-%d-%d", s.p.name, os.Getpid(), sessions.Add(1)), stub: modelstub.New(t, script)}
}

// environment is all that the client gets.
func (s *session) environment() []string {
	return []string{
		"PATH=" + filepath.Dir(binary) + ":" + filepath.Dir(s.client) + ":" + os.Getenv("PATH"), "HOME=" + s.p.dir, "CLAUDEMESH_CONFIG_DIR=" + s.p.dir, "TERM=xterm-256color", "LANG=C.UTF-8",
		"DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"ANTHROPIC_API_KEY=" + clientKey, "ANTHROPIC_BASE_URL=" + s.stub.URL(),
	}
}

// open starts the client in a terminal.
func (s *session) open(args ...string) {
	s.t.Helper()
	line := append([]string{"-L", s.name, "-f", "/dev/null", "new-session", "-d", "-x", "180", "-y", "50", "-c", s.cwd, "env", "-i"}, s.environment()...)
	line = append(append(line, s.client), args...)
	s.tmux(line...)
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("%s sees\n%s", s.p.name, s.screen())
			for _, r := range s.stub.Turns() {
				for _, piece := range r.New() {
					s.t.Logf("request %d: %s %s: %.300s", r.N, piece.Role, piece.Kind, piece.Text)
				}
			}
		}
		s.kill()
		endRest(s.t, s.p.dir)
	})
	s.waitScreen("❯")
}

// kill ends the terminal with all that runs in it.
func (s *session) kill() {
	exec.Command("tmux", "-L", s.name, "kill-server").Run() //nolint:errcheck // it may be gone
}

// online waits until another member sees the session.
func (s *session) online(who *person, label string) {
	s.t.Helper()
	s.until(label+" is online", func() bool { return strings.Contains(who.try("", "peers").out, label) })
}

// gone waits until another member does not see the session any more.
func (s *session) gone(who *person, label string) {
	s.t.Helper()
	s.until(label+" is gone", func() bool { return !strings.Contains(who.try("", "peers").out, label) })
}

// told waits until whoever sent a message is told that it was seen.
func (s *session) told(who *person, id string) {
	s.t.Helper()
	s.until(who.name+" is told that it was seen", func() bool { return strings.Contains(who.try("", "message", id).out, "seen") })
}

// shown counts the tool results that carry a text, each once.
func (s *session) shown(text string) int {
	n := 0
	for _, r := range s.stub.Turns() {
		for _, piece := range r.New() {
			if piece.Kind == "tool_result" && strings.Contains(piece.Text, text) {
				n++
			}
		}
	}
	return n
}

func (s *session) tmux(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("tmux", args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux: %v\n%s", err, out)
	}
	return string(out)
}

func (s *session) screen() string {
	out, err := exec.Command("tmux", "-L", s.name, "capture-pane", "-p").CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// waitScreen waits until a text stands on the screen.
func (s *session) waitScreen(text string) {
	s.t.Helper()
	s.until("the screen shows "+text, func() bool { return strings.Contains(s.screen(), text) })
}

// until asks again and again until it holds: a terminal tells nobody when it
// changes.
func (s *session) until(what string, holds func() bool) {
	s.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("%s: not so: %s", s.p.name, what)
		}
	}
}

// keys types into the terminal.
func (s *session) keys(keys ...string) {
	s.t.Helper()
	s.tmux(append([]string{"-L", s.name, "send-keys"}, keys...)...)
}

// agree answers yes to the client's question whether a tool may be used. The
// client takes no key for a moment after it asked.
func (s *session) agree() {
	s.t.Helper()
	const question = "Do you want to proceed?"
	s.waitScreen(question)
	s.until("the client takes the yes", func() bool {
		if !strings.Contains(s.screen(), question) {
			return true
		}
		s.keys("Enter")
		return false
	})
}

// waitTurn waits for the first turn of the model from number from on in which
// what is new contains text, and returns it.
func (s *session) waitTurn(from int, text string) modelstub.Request {
	s.t.Helper()
	var found modelstub.Request
	s.until("a request says "+text, func() bool {
		for _, r := range s.stub.Requests() {
			if r.N < from || !r.Turn() {
				continue
			}
			for _, piece := range r.New() {
				if strings.Contains(piece.Text, text) {
					found = r
					return true
				}
			}
		}
		return false
	})
	return found
}

// onlyAsToolResult fails the test if a peer's words stand in any other voice
// than that of a tool result.
func (s *session) onlyAsToolResult(words ...string) {
	s.t.Helper()
	seen := 0
	for _, r := range s.stub.Requests() {
		for _, word := range words {
			for _, piece := range r.Where(word) {
				if piece.Kind == "tool_result" {
					seen++
					continue
				}
				s.t.Errorf("request %d: %q stands in %s %s: %.300s", r.N, word, piece.Role, piece.Kind, piece.Text)
			}
		}
	}
	if seen == 0 {
		s.t.Errorf("%v: never seen at all", words)
	}
}

// checkTool is the tool that shows what waits.
const checkTool = "mcp__claudemesh__check_messages"

// obedient is a model that looks for messages whenever it is rung for, and
// else says what it is told by answer.
func obedient(answer modelstub.Script) modelstub.Script {
	return func(r modelstub.Request) modelstub.Reply {
		for _, piece := range r.New() {
			if piece.Kind == "text" && strings.Contains(piece.Text, "Call check_messages") {
				return modelstub.Use(checkTool, map[string]any{})
			}
		}
		if answer != nil {
			return answer(r)
		}
		return modelstub.Say("done")
	}
}

// twoPeople are alice, whose broker runs, and bob, who joined her mesh.
func twoPeople(t *testing.T) (alice, bob *person) {
	t.Helper()
	alice, bob = newPerson(t, "alice"), newPerson(t, "bob")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	return alice, bob
}

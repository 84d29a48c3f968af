//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
)

// modelKey is what stands in for an API key; nothing checks it.
const modelKey = "sk-test-0000000000000000000000000000"

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

// claude prepares a person's home for Claude Code and installs claudemesh there.
func (p *person) claude(dir string, script modelstub.Script) *session {
	p.t.Helper()
	client, err := filepath.Abs("npm/node_modules/.bin/claude")
	if err != nil {
		p.t.Fatal(err)
	}
	s := &session{t: p.t, p: p, cwd: filepath.Join(p.t.TempDir(), dir), client: client,
		name: fmt.Sprintf("cm-%s-%d", p.name, os.Getpid()), stub: modelstub.New(p.t, script)}
	for _, d := range []string{s.cwd, p.dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			p.t.Fatal(err)
		}
	}
	seed, err := json.Marshal(map[string]any{
		"hasCompletedOnboarding": true, "theme": "dark",
		"customApiKeyResponses": map[string]any{"approved": []string{modelKey[len(modelKey)-20:]}},
		"projects":              map[string]any{s.cwd: map[string]any{"hasTrustDialogAccepted": true}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, ".claude.json"), seed, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.do("install", "--yes")
	return s
}

// environment is all that the client gets.
func (s *session) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.p.dir, "CLAUDEMESH_CONFIG_DIR=" + s.p.dir, "TERM=xterm-256color", "LANG=C.UTF-8",
		"DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"ANTHROPIC_API_KEY=" + modelKey, "ANTHROPIC_BASE_URL=" + s.stub.URL(),
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
			for _, r := range s.stub.Requests() {
				if r.Turn() {
					for _, piece := range r.New() {
						s.t.Logf("request %d: %s %s: %.300s", r.N, piece.Role, piece.Kind, piece.Text)
					}
				}
			}
		}
		exec.Command("tmux", "-L", s.name, "kill-server").Run() //nolint:errcheck // it may be gone
	})
	s.waitScreen("❯")
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

// obedient is a model that looks for messages whenever it is rung for, and
// else says what it is told by answer.
func obedient(answer func(modelstub.Request) modelstub.Reply) modelstub.Script {
	return func(r modelstub.Request) modelstub.Reply {
		for _, piece := range r.New() {
			if piece.Kind == "text" && strings.Contains(piece.Text, "Call check_messages") {
				return modelstub.Use("mcp__claudemesh__check_messages", map[string]any{})
			}
		}
		if answer != nil {
			return answer(r)
		}
		return modelstub.Say("done")
	}
}

// An idle session, in which nobody ever typed a word, wakes when a message
// comes, reads it as a tool result, and the sender is told that it was seen.
func TestIdleSessionWakes(t *testing.T) {
	alice, bob := newPerson(t, "alice"), newPerson(t, "bob")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	s := bob.claude("web-shop", obedient(nil))
	s.open()
	s.until("bob's session is online", func() bool {
		return strings.Contains(alice.try("", "peers").out, "web-shop")
	})

	sent := alice.send("bob", "PEERWORDS first")
	s.waitTurn(0, "claudemesh: 1 message waits (#1). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS first")
	s.until("alice is told", func() bool { return strings.Contains(alice.try("", "message", sent.ID).out, "seen") })

	// And again, now that the waiter was used up once.
	from := len(s.stub.Requests())
	sent = alice.send("bob", "PEERWORDS second")
	s.waitTurn(from, "claudemesh: 1 message waits (#2). Call check_messages.")
	s.waitTurn(from, "│ PEERWORDS second")
	s.until("alice is told", func() bool { return strings.Contains(alice.try("", "message", sent.ID).out, "seen") })
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// A busy session is rung for between two tool calls by what is urgent, and at
// the end of its turn by the rest.
func TestBusySessionIsRungFor(t *testing.T) {
	alice, bob := newPerson(t, "alice"), newPerson(t, "bob")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	gate, notes := filepath.Join(t.TempDir(), "gate"), ""
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		if _, err := os.Stat(gate); err != nil && r.Results() < 200 {
			return modelstub.Use("Read", map[string]any{"file_path": notes})
		}
		return modelstub.Say("done")
	}))
	notes = filepath.Join(s.cwd, "notes.txt")
	if err := os.WriteFile(notes, []byte("nothing much"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.until("bob's session is online", func() bool {
		return strings.Contains(alice.try("", "peers").out, "web-shop")
	})
	s.keys("read a few files", "Enter")
	s.until("bob is working", func() bool { return strings.Contains(alice.try("", "peers").out, "working") })
	alice.do("send", "bob", "PEERWORDS later", "--priority", "next")
	alice.do("send", "bob", "PEERWORDS urgent", "--priority", "now")
	s.waitTurn(0, "PostToolBatch hook additional context: claudemesh: 1 message waits (#1). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS urgent")
	// Whoever looks, sees all that waits.
	s.waitTurn(0, "│ PEERWORDS later")
	alice.do("send", "bob", "PEERWORDS at the end", "--priority", "next")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitTurn(0, "Stop hook additional context: claudemesh: 1 message waits (#2). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS at the end")
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// Two sessions in one directory, and one that was cleared, keep to their own
// messages; what a session was handed and did not live to use, the next one
// gets, once.
func TestSessionsKeepToTheirOwn(t *testing.T) {
	alice, bob := newPerson(t, "alice"), newPerson(t, "bob")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	s := bob.claude("web-shop", obedient(nil))
	s.open()
	online := func(label string) {
		t.Helper()
		s.until(label+" is online", func() bool { return strings.Contains(alice.try("", "peers").out, label) })
	}
	online("web-shop")

	// Cleared: another session of the client, the same process and label.
	s.keys("/clear", "Enter")
	s.waitScreen("❯ /clear")
	from := len(s.stub.Requests())
	alice.do("send", "bob@desk/web-shop", "PEERWORDS after clear")
	s.waitTurn(from, "│ PEERWORDS after clear")

	// Killed before it looked: nobody is there, then the next session gets it.
	exec.Command("tmux", "-L", s.name, "kill-server").Run() //nolint:errcheck // checked by what follows
	s.until("bob's session is gone", func() bool { return !strings.Contains(alice.try("", "peers").out, "web-shop") })
	alice.do("send", "bob", "PEERWORDS while away")
	from = len(s.stub.Requests())
	s.open()
	s.waitTurn(from, "│ PEERWORDS while away")
	times := 0
	for _, r := range s.stub.Requests() {
		for _, piece := range r.New() {
			if piece.Kind == "tool_result" && strings.Contains(piece.Text, "│ PEERWORDS while away") {
				times++
			}
		}
	}
	if times != 1 {
		t.Errorf("shown %d times", times)
	}
	s.onlyAsToolResult("PEERWORDS")
}

// A session that nobody attends is not held up by the waiter, and reads what
// waits at its start.
func TestHeadlessSession(t *testing.T) {
	alice, bob := newPerson(t, "alice"), newPerson(t, "bob")
	alice.up("--listen", "127.0.0.1:0", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	alice.do("send", "bob", "PEERWORDS for the script")
	s := bob.claude("job", obedient(nil))
	cmd := exec.Command(s.client, "-p", "anything new?", "--output-format", "stream-json", "--verbose")
	cmd.Dir, cmd.Env = s.cwd, s.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("claude -p: %v\n%s", err, out)
	}
	s.waitTurn(0, "│ PEERWORDS for the script")
	s.onlyAsToolResult("PEERWORDS")
}

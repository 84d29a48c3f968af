//go:build system

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
)

// An idle session, in which nobody ever typed a word, wakes when a message
// comes, reads it as a tool result, and the sender is told that it was seen.
func TestIdleSessionWakes(t *testing.T) {
	alice, bob := twoPeople(t)
	s := bob.claude("web-shop", obedient(nil))
	s.open()
	s.online(alice, "web-shop")

	sent := alice.send("bob", "PEERWORDS first")
	s.waitTurn(0, "claudemesh: 1 message waits (#1). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS first")
	s.told(alice, sent.ID)

	// And again, now that the waiter was used up once.
	from := len(s.stub.Requests())
	sent = alice.send("bob", "PEERWORDS second")
	s.waitTurn(from, "claudemesh: 1 message waits (#2). Call check_messages.")
	s.waitTurn(from, "│ PEERWORDS second")
	s.told(alice, sent.ID)
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// A busy session is rung for between two tool calls by what is urgent, and at
// the end of its turn by the rest.
func TestBusySessionIsRungFor(t *testing.T) {
	alice, bob := twoPeople(t)
	gate, notes := filepath.Join(t.TempDir(), "gate"), ""
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		if _, err := os.Stat(gate); err != nil {
			return modelstub.Use("Read", map[string]any{"file_path": notes})
		}
		return modelstub.Say("done")
	}))
	notes = filepath.Join(s.cwd, "notes.txt")
	if err := os.WriteFile(notes, []byte("nothing much"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.online(alice, "web-shop")
	s.keys("read a few files", "Enter")
	s.until("bob is working", func() bool { return strings.Contains(alice.try("", "peers").out, "working") })
	alice.do("send", "bob", "PEERWORDS later", "--priority", "next")
	alice.do("send", "bob", "PEERWORDS urgent", "--priority", "now")
	s.waitTurn(0, "PostToolBatch hook additional context: claudemesh: 1 message waits (#1). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS urgent")
	// Whoever looks, sees all that waits.
	s.waitTurn(0, "│ PEERWORDS later")
	last := decode[status](t, alice.do("send", "--json", "bob", "PEERWORDS at the end", "--priority", "next").out)
	alice.eventually("delivered", "message", last.ID)
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitTurn(0, "Stop hook additional context: claudemesh: 1 message waits (#2). Call check_messages.")
	s.waitTurn(0, "│ PEERWORDS at the end")
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// A cleared session gets its messages; what a session was handed and did not
// live to use, the next one gets, once.
func TestSessionsKeepToTheirOwn(t *testing.T) {
	alice, bob := twoPeople(t)
	thinks := make(chan struct{})
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		if last, ok := r.Result(); ok && strings.Contains(last.Text, "PEERWORDS not answered") && !strings.Contains(last.Text, "shown before") {
			return modelstub.Say("never said").After(thinks)
		}
		return modelstub.Say("done")
	}))
	t.Cleanup(func() { close(thinks) })
	s.open()
	s.online(alice, "web-shop")

	// Cleared: another session of the client, the same process and label.
	s.keys("/clear", "Enter")
	s.waitScreen("❯ /clear")
	from := len(s.stub.Requests())
	alice.do("send", "bob@desk/web-shop", "PEERWORDS after clear")
	s.waitTurn(from, "│ PEERWORDS after clear")

	// Killed before its model answered: the next session gets it again, and is told
	// so; and what came meanwhile.
	sent := alice.send("bob", "PEERWORDS not answered")
	s.waitTurn(from, "│ PEERWORDS not answered")
	s.kill()
	s.gone(alice, "web-shop")
	alice.do("send", "bob", "PEERWORDS while away")
	s.open()
	s.waitTurn(from, "│ PEERWORDS while away")
	s.waitTurn(from, "(may have been shown before)\n│ PEERWORDS not answered")
	s.told(alice, sent.ID)
	if n := s.shown("│ PEERWORDS while away"); n != 1 {
		t.Errorf("shown %d times", n)
	}
	if n := s.shown("│ PEERWORDS not answered"); n != 2 {
		t.Errorf("what was not answered was shown %d times", n)
	}
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// A session that nobody attends is not held up by the waiter, and reads what
// waits at its start.
func TestHeadlessSession(t *testing.T) {
	alice, bob := twoPeople(t)
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

// After Esc, which runs no hook, and beside a half-typed prompt, which stays, a
// session is woken as before.
func TestWokenAfterEscAndBesideAPrompt(t *testing.T) {
	alice, bob := twoPeople(t)
	thinks, notes := make(chan struct{}), ""
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		last, _ := r.Result()
		for _, piece := range r.New() {
			switch {
			case piece.Kind == "text" && strings.Contains(piece.Text, "think for long"):
				return modelstub.Use("Read", map[string]any{"file_path": notes})
			case piece.Kind == "tool_result" && strings.Contains(last.Text, "nothing much"):
				return modelstub.Say("never said").After(thinks)
			}
		}
		return modelstub.Say("done")
	}))
	t.Cleanup(func() { close(thinks) })
	notes = filepath.Join(s.cwd, "notes.txt")
	if err := os.WriteFile(notes, []byte("nothing much"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.online(alice, "web-shop")

	s.keys("think for long", "Enter")
	s.waitTurn(0, "nothing much")
	s.keys("Escape")
	s.waitScreen("Interrupted")
	from := len(s.stub.Requests())
	sent := alice.send("bob", "PEERWORDS after escape")
	s.waitTurn(from, "[SYSTEM NOTIFICATION - NOT USER INPUT]")
	s.waitTurn(from, "│ PEERWORDS after escape")
	s.told(alice, sent.ID)

	s.keys("half a tho")
	s.waitScreen("half a tho")
	from = len(s.stub.Requests())
	sent = alice.send("bob", "PEERWORDS beside it")
	s.waitTurn(from, "│ PEERWORDS beside it")
	s.told(alice, sent.ID)
	if !strings.Contains(s.screen(), "half a tho") {
		t.Error("the half-typed prompt is gone")
	}
	s.keys("ught", "Enter")
	s.waitTurn(from, "half a thought")
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// Two sessions in one folder: what is for their user, one of them shows; what is
// for one of them, that one.
func TestTwoSessionsInOneFolder(t *testing.T) {
	alice, bob := twoPeople(t)
	first := bob.claude("web-shop", obedient(nil))
	first.open()
	first.online(alice, "web-shop")
	second := first.beside(t, obedient(nil))
	second.open()
	second.online(alice, "web-shop-2")

	sent := alice.send("bob", "PEERWORDS for one of you")
	first.told(alice, sent.ID)
	// What comes later reaches either after all that was before.
	alice.do("send", "bob@desk/web-shop", "PEERWORDS for the first")
	alice.do("send", "bob@desk/web-shop-2", "PEERWORDS for the second")
	first.waitTurn(0, "│ PEERWORDS for the first")
	second.waitTurn(0, "│ PEERWORDS for the second")
	if a, b := first.shown("│ PEERWORDS for one of you"), second.shown("│ PEERWORDS for one of you"); a+b != 1 {
		t.Errorf("the first showed it %d times, the second %d times", a, b)
	}
	if first.shown("for the second") != 0 || second.shown("for the first") != 0 {
		t.Error("a session was shown what was for the other")
	}
	for _, s := range []*session{first, second} {
		s.onlyAsToolResult("PEERWORDS", "alice@laptop")
	}
}

// Compacted, resumed and forked, a session keeps to what is for it, and so does
// one beside a session that its own shell started.
func TestSessionsThatGoOnKeepToTheirOwn(t *testing.T) {
	alice, bob := twoPeople(t)
	var inner, outer []string // results of check_messages that nobody rang for
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		last, _ := r.Result()
		nested := false
		for _, piece := range r.Where("you are nested") {
			nested = nested || piece.Role == "user" && piece.Kind == "text"
		}
		switch {
		case nested && r.Results() == 0:
			return modelstub.Use(checkTool, map[string]any{})
		case nested:
			inner = append(inner, last.Text)
		case r.Contains("start a nested one") && r.Results() == 0:
			return modelstub.Use("Bash", map[string]any{"command": "claude -p 'you are nested'", "description": "a nested session"})
		case strings.Contains(last.Text, "the nested one is done"):
			return modelstub.Use(checkTool, map[string]any{})
		default:
			outer = append(outer, last.Text)
			return modelstub.Say("done")
		}
		return modelstub.Say("the nested one is done")
	}))
	s.open("--allowedTools", "Bash(claude:*)")
	s.online(alice, "web-shop")

	// Low waits until its own session asks, and no other gets it.
	low := decode[status](t, alice.do("send", "--json", "--priority", "low", "bob@desk/web-shop", "PEERWORDS no hurry").out)
	s.keys("start a nested one", "Enter")
	s.waitTurn(0, "│ PEERWORDS no hurry")
	s.told(alice, low.ID)
	s.until("the turn ended", func() bool { return len(outer) > 0 })
	if len(inner) != 1 || inner[0] != "no messages" || !strings.Contains(outer[0], "PEERWORDS no hurry") {
		t.Errorf("the nested session was shown %q, its parent %q", inner, outer)
	}

	from := 0
	check := func(how string) {
		t.Helper()
		from = len(s.stub.Requests())
		sent := alice.send("bob@desk/web-shop", "PEERWORDS "+how)
		s.waitTurn(from, "│ PEERWORDS "+how)
		s.told(alice, sent.ID)
		if n := s.shown("│ PEERWORDS " + how); n != 1 {
			t.Errorf("%s: shown %d times", how, n)
		}
	}
	check("after a nested session")
	s.keys("/compact", "Enter")
	s.waitScreen("Compacted")
	check("after compaction")
	for _, args := range [][]string{{"--continue"}, {"--continue", "--fork-session"}} {
		s.kill()
		s.gone(alice, "web-shop")
		s.open(args...)
		s.online(alice, "web-shop")
		check("after " + strings.Join(args, " "))
	}
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

// The plugin's monitor wakes an idle session as the waiter does, again and again.
func TestMonitorWakesASession(t *testing.T) {
	alice, bob := twoPeople(t)
	const check = "mcp__plugin_claudemesh_claudemesh__check_messages"
	s := bob.bare("web-shop", func(r modelstub.Request) modelstub.Reply {
		for _, piece := range r.New() {
			if piece.Kind == "text" && strings.Contains(piece.Text, "Call check_messages") {
				return modelstub.Use(check, map[string]any{})
			}
		}
		return modelstub.Say("done")
	})
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"plugin", "marketplace", "add", root}, {"plugin", "install", "claudemesh@claudemesh"}} {
		cmd := exec.Command(s.client, args...)
		cmd.Dir, cmd.Env = s.cwd, s.environment()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("claude %v: %v\n%s", args, err, out)
		}
	}
	bob.do("install", "--yes") // the read-only tools
	s.open()
	s.online(alice, "web-shop")
	from := 0
	for _, word := range []string{"first", "second", "third"} {
		sent := alice.send("bob", "PEERWORDS "+word)
		woken := s.waitTurn(from, "Call check_messages.")
		for _, piece := range woken.New() {
			if strings.Contains(piece.Text, "Call check_messages.") && (piece.Role != "user" || !strings.Contains(piece.Text, "NOT USER INPUT")) {
				t.Errorf("the bell is %s %s: %s", piece.Role, piece.Kind, piece.Text)
			}
		}
		s.waitTurn(from, "│ PEERWORDS "+word)
		s.told(alice, sent.ID)
		from = len(s.stub.Requests())
	}
	s.onlyAsToolResult("PEERWORDS", "alice@laptop")
}

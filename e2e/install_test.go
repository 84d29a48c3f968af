package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
	"github.com/claudemesh/claudemesh-go/setup"
)

// clientKey stands in for an API key; the scripted model checks none.
const clientKey = "sk-test-0123456789abcdefghijklmnop"

// newLimit is a channel on which something comes when a wait has failed.
func newLimit(t *testing.T) <-chan time.Time {
	timer := time.NewTimer(patience)
	t.Cleanup(func() { timer.Stop() })
	return timer.C
}

// desk is the home folder of somebody who uses Claude Code, with nothing else in
// its environment: the real client, offline, in front of a scripted model.
type desk struct {
	t       *testing.T
	home    string
	project string
	client  string // the folder with the program claude
	stub    *modelstub.Server
	env     []string // further variables
}

func newDesk(t *testing.T, script modelstub.Script) *desk {
	t.Helper()
	found, err := filepath.Glob("npm/node_modules/@anthropic-ai/claude-code-*/claude")
	if err != nil || len(found) == 0 {
		t.Fatalf("Claude Code is not installed: make npm (%v)", err)
	}
	client, err := filepath.Abs(filepath.Dir(found[0]))
	if err != nil {
		t.Fatal(err)
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d := &desk{t: t, home: home, project: filepath.Join(home, "shop"), client: client, stub: modelstub.New(t, script)}
	if err := os.Mkdir(d.project, 0o755); err != nil {
		t.Fatal(err)
	}
	// As it is after the first start, the questions answered.
	d.write(".claude.json", map[string]any{
		"numStartups": 2, "hasCompletedOnboarding": true, "theme": "dark",
		"customApiKeyResponses": map[string]any{"approved": []string{clientKey[len(clientKey)-20:]}, "rejected": []string{}},
		"projects":              map[string]any{d.project: map[string]any{"hasTrustDialogAccepted": true}},
	})
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.home, filepath.FromSlash(name)) }

func (d *desk) write(name string, v any) {
	d.t.Helper()
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(d.path(name)), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(d.path(name), data, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) read(name string) []byte {
	d.t.Helper()
	data, err := os.ReadFile(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return data
}

// program prepares a program of this desk; path is found first on PATH.
func (d *desk) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = d.project
	cmd.Env = append([]string{
		"PATH=" + strings.Join([]string{filepath.Dir(binary), d.client, "/usr/local/bin", "/usr/bin", "/bin"}, string(filepath.ListSeparator)),
		"HOME=" + d.home, "TERM=xterm-256color", "LANG=C.UTF-8", "TMPDIR=" + os.TempDir(),
		"DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
		"ANTHROPIC_API_KEY=" + clientKey, "ANTHROPIC_BASE_URL=" + d.stub.URL(),
	}, d.env...)
	return cmd
}

// run runs a program to its end, which must be good, and returns what it wrote.
func (d *desk) run(name string, args ...string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	cmd := d.program(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("%s %s: %v\n%s%s\n%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String(), modelstub.Outline(d.stub.Turns()))
	}
	return out.String()
}

// mesh runs our binary.
func (d *desk) mesh(args ...string) string { d.t.Helper(); return d.run(binary, args...) }

// claude runs the client.
func (d *desk) claude(args ...string) string {
	d.t.Helper()
	return d.run(filepath.Join(d.client, "claude"), args...)
}

// hookRun is what the client tells of a hook with --include-hook-events.
type hookRun struct {
	Subtype   string
	HookEvent string `json:"hook_event"`
	ExitCode  int    `json:"exit_code"`
	Outcome   string
	Stderr    string
}

// headless runs one turn without a terminal and returns how often hooks ran,
// by event. Each must have ended well.
func (d *desk) headless(prompt string, args ...string) map[string]int {
	d.t.Helper()
	out := d.claude(append([]string{"-p", prompt, "--output-format", "stream-json", "--verbose", "--include-hook-events"}, args...)...)
	ran := map[string]int{}
	for line := range strings.Lines(out) {
		var h hookRun
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			d.t.Fatalf("%v: %s", err, line)
		}
		if h.Subtype != "hook_response" {
			continue
		}
		ran[h.HookEvent]++
		if h.ExitCode != 0 || h.Outcome != "success" {
			d.t.Errorf("a hook of %s ended with %d: %s %s", h.HookEvent, h.ExitCode, h.Outcome, h.Stderr)
		}
	}
	return ran
}

// tree lists all files of the home with their bytes, but for those folders.
func (d *desk) tree(without ...string) map[string]string {
	d.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(d.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(path, d.home))
		if slices.Contains(without, name) {
			return fs.SkipDir
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String() + " "
		if e.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(data)
		}
		found[name] = text
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// results returns what became of the calls of a tool, by the log of the model.
func (d *desk) results(tool string) []modelstub.Piece {
	turns := d.stub.Turns()
	if len(turns) == 0 {
		return nil
	}
	var found []modelstub.Piece
	names := map[string]string{}
	for _, p := range turns[len(turns)-1].Pieces {
		switch p.Kind {
		case "tool_use":
			names[p.ID] = p.Name
		case "tool_result":
			if names[p.ID] == tool {
				found = append(found, p)
			}
		}
	}
	return found
}

// refused tells whether the client asked its user first: nobody is there, so
// that is a no.
func refused(p modelstub.Piece) bool {
	return p.Failed && strings.Contains(p.Text, "requested permissions")
}

// userSettings are settings of somebody who has some already.
var userSettings = map[string]any{
	"permissions": map[string]any{"allow": []string{"Bash(echo:*)"}},
	"hooks": map[string]any{"Stop": []any{map[string]any{"hooks": []any{
		map[string]any{"type": "command", "command": "true"}}}}},
}

// three is a script that calls three tools at once, then one that must be
// asked for, then ends.
func three(prefix string) modelstub.Script {
	return func(r modelstub.Request) modelstub.Reply {
		switch r.Results() {
		case 0:
			return modelstub.Use(prefix+"check_messages", map[string]any{}).
				AndUse(prefix+"list_peers", map[string]any{}).
				AndUse("Bash", map[string]any{"command": "echo hello"})
		case 3:
			return modelstub.Use(prefix+"send_message", map[string]any{"to": "bob", "body": "hi"})
		}
		return modelstub.Say("done")
	}
}

// checkPermissions looks what became of the tools that three called.
func (d *desk) checkPermissions(prefix string) {
	d.t.Helper()
	for tool, asked := range map[string]bool{"check_messages": false, "list_peers": false, "send_message": true} {
		got := d.results(prefix + tool)
		if len(got) != 1 || refused(got[0]) != asked {
			d.t.Errorf("%s was called %d times, want once, refused %v: %+v", tool, len(got), asked, got)
		}
	}
}

// After install the real client lists the server as running, runs our hooks,
// which end well, without asking lets the model use what is read-only, and asks
// before it sends.
func TestInstallIsGoodForClaudeCode(t *testing.T) {
	t.Parallel()
	d := newDesk(t, three("mcp__claudemesh__"))
	d.write(".claude/settings.json", userSettings)
	if out := d.mesh("install", "--yes"); !strings.Contains(out, "installed    claude 2.1.331; the server starts and lists ") {
		t.Errorf("install says %s", out)
	}
	if out := d.claude("mcp", "list"); !strings.Contains(out, "claudemesh: "+binary+" mcp - ✔ Connected") {
		t.Errorf("the client lists %s", out)
	}
	if out := d.mesh("doctor"); !strings.Contains(out, "ok     claude    2.1.331, server registered, hooks in place\n") {
		t.Errorf("doctor says %s", out)
	}
	ran := d.headless("hello")
	want := map[string]int{"SessionStart": 2, "UserPromptSubmit": 2, "PostToolBatch": 2, "Stop": 3}
	if !maps.Equal(ran, want) {
		t.Errorf("hooks ran %v, want %v", ran, want)
	}
	d.checkPermissions("mcp__claudemesh__")
	if first := d.stub.Turns()[0]; !first.Contains("claudemesh: Talk to the agents of other people") {
		t.Errorf("the skill is not listed:\n%s", modelstub.Outline([]modelstub.Request{first}))
	}
}

// Uninstalled before the client ran, everything is byte for byte what it was.
// Where the client wrote its state in between, only our piece is gone from it,
// and the settings are still byte for byte what they were.
func TestUninstallLeavesClaudeCodeAsItWas(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	d.write(".claude/settings.json", userSettings)
	before := d.tree()
	d.mesh("install", "--yes")
	d.mesh("uninstall")
	// A mesh that install made stays, with its keys.
	if after := d.tree("/.claudemesh"); !maps.Equal(after, before) {
		t.Errorf("left\n%v\nwas\n%v", slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
	}

	settings := d.read(".claude/settings.json")
	d.mesh("install", "--yes")
	d.claude("mcp", "list")
	d.headless("hello")
	if out := d.mesh("install"); !strings.Contains(out, "already, nothing to change") {
		t.Errorf("install after the client rewrote its files says %s", out)
	}
	state := map[string]any{}
	if err := json.Unmarshal(d.read(".claude.json"), &state); err != nil {
		t.Fatal(err)
	}
	servers, _ := state["mcpServers"].(map[string]any)
	if state["machineID"] == nil || servers["claudemesh"] == nil {
		t.Fatalf("the client did not rewrite its state: %v", state)
	}
	delete(state, "mcpServers")
	if out := d.mesh("uninstall"); !strings.Contains(out, "~/.claude.json had changed since, so only our pieces went") {
		t.Errorf("uninstall says %s", out)
	}
	left := map[string]any{}
	if err := json.Unmarshal(d.read(".claude.json"), &left); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(left, state) {
		t.Errorf("the client's state is\n%v, want\n%v", left, state)
	}
	if got := d.read(".claude/settings.json"); !bytes.Equal(got, settings) {
		t.Errorf("the settings are\n%s", got)
	}
	if _, err := os.Stat(d.path(".claude/skills")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the skill's folder: %v", err)
	}
	if out := d.claude("mcp", "list"); strings.Contains(out, "claudemesh") {
		t.Errorf("the client still lists %s", out)
	}
	if ran := d.headless("hello"); ran["SessionStart"] != 0 {
		t.Errorf("hooks still ran: %v", ran)
	}
}

// installStandIn installs a program in the place of our binary.
func (d *desk) installStandIn(s *standIn) {
	d.t.Helper()
	d.env = append(d.env, standInVariable+"="+s.socket)
	if _, err := setup.Install(d.t.Context(), setup.Options{Dir: d.path(".claudemesh"), Binary: s.path, Home: d.home, Answers: setup.AnswersAllow}); err != nil {
		d.t.Fatal(err)
	}
}

// What the client hands to our hooks: its own input on standard input, the
// event in the arguments, and the variables by which a hook finds its session.
func TestHooksAreCalledAsWeExpect(t *testing.T) {
	t.Parallel()
	d := newDesk(t, three("mcp__claudemesh__"))
	s := newStandIn(t, func(c invocation) outcome {
		if c.String() == "mcp" {
			return outcome{Become: binary}
		}
		return outcome{}
	})
	d.installStandIn(s)
	d.headless("hello")
	want := map[string]int{"mcp": 1, "hook SessionStart": 1, "hook UserPromptSubmit": 1, "hook PostToolBatch": 2, "hook Stop": 1, "hook SessionEnd": 1, "hook wait": 3}
	if got := s.count(); !maps.Equal(got, want) {
		t.Errorf("calls were %v, want %v", got, want)
	}
	pid := ""
	for _, c := range s.all() {
		if c.Args[0] == "mcp" {
			if c.lookup("CLAUDE_CODE_MESSAGING_SOCKET") == "" {
				t.Error("the server got no messaging socket")
			}
			continue
		}
		var input struct {
			Event   string `json:"hook_event_name"`
			Session string `json:"session_id"`
			Path    string `json:"transcript_path"`
		}
		if err := json.Unmarshal([]byte(c.Input), &input); err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		if input.Session == "" || input.Path == "" || c.Args[1] != "wait" && input.Event != c.Args[1] {
			t.Errorf("%s got %s", c, c.Input)
		}
		if pid == "" {
			pid = c.lookup("CLAUDE_PID")
		}
		if c.lookup("CLAUDE_PID") != pid || pid == "" || c.lookup("CLAUDE_CODE_SESSION_ATTENDED") != "0" {
			t.Errorf("%s: pid %q, attended %q", c, c.lookup("CLAUDE_PID"), c.lookup("CLAUDE_CODE_SESSION_ATTENDED"))
		}
	}

	// An error of the API ends the turn by another event.
	d.stub = modelstub.New(t, func(modelstub.Request) modelstub.Reply {
		return modelstub.Fail(400, "invalid_request_error", "no")
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.program(ctx, filepath.Join(d.client, "claude"), "-p", "hello").Run(); err == nil {
		t.Error("the client did not mind")
	}
	if got := s.count(); got["hook StopFailure"] != 1 || got["hook Stop"] != 1 {
		t.Errorf("calls are now %v", got)
	}
}

// terminal is an interactive session of the client.
type terminal struct {
	t    *testing.T
	keys io.Writer
	cmd  *exec.Cmd
	done chan struct{} // closed when the client ended and all it wrote was read

	mu      sync.Mutex // guards screen
	screen  bytes.Buffer
	changed chan struct{}
}

// open starts the client on a terminal. It is killed when the test ends.
func (d *desk) open(args ...string) *terminal {
	d.t.Helper()
	cmd := d.program(context.Background(), filepath.Join(d.client, "claude"), args...)
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		d.t.Fatal(err)
	}
	te := &terminal{t: d.t, keys: master, cmd: cmd, done: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(te.done)
		te.read(master)
		cmd.Wait() //nolint:errcheck // how it ended is in ProcessState
	}()
	d.t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-te.done
		master.Close()
		if d.t.Failed() {
			d.t.Logf("the terminal got %q", te.text())
		}
	})
	return te
}

func (te *terminal) read(r io.Reader) {
	buffer := make([]byte, 4096)
	for {
		n, err := r.Read(buffer)
		te.mu.Lock()
		te.screen.Write(buffer[:n])
		close(te.changed)
		te.changed = make(chan struct{})
		te.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (te *terminal) text() string {
	te.mu.Lock()
	defer te.mu.Unlock()
	return te.screen.String()
}

// wait waits until the client wrote text.
func (te *terminal) wait(text string) {
	te.t.Helper()
	limit := newLimit(te.t)
	for {
		te.mu.Lock()
		found, changed := strings.Contains(te.screen.String(), text), te.changed
		te.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-te.done:
			te.t.Fatalf("the client ended and never wrote %q", text)
		case <-limit:
			te.t.Fatalf("the client never wrote %q", text)
		}
	}
}

// press types keys.
func (te *terminal) press(keys string) {
	te.t.Helper()
	if _, err := io.WriteString(te.keys, keys); err != nil {
		te.t.Fatal(err)
	}
}

// In an interactive session the status line is drawn, and the waiter that
// install entered wakes the session, in which nobody ever typed a word.
func TestWaiterAndStatusLineInATerminal(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ring, end := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s := newStandIn(t, func(c invocation) outcome {
		switch c.String() {
		case "mcp":
			return outcome{Become: binary}
		case "statusline":
			return outcome{Out: "STATUSLINE\n"}
		case "hook wait":
			o := outcome{}
			first.Do(func() {
				<-ring
				o = outcome{Err: "1 message waits (#1). Call check_messages.\n", Code: 2}
			})
			if o.Code == 0 {
				<-end
			}
			return o
		}
		return outcome{}
	})
	t.Cleanup(func() { close(end) })
	d.installStandIn(s)
	te := d.open()
	te.wait("STATUSLINE")
	waiter := s.wait("the waiter", func(c invocation) bool { return c.String() == "hook wait" })
	if waiter.lookup("CLAUDE_CODE_SESSION_ATTENDED") != "1" {
		t.Error("the session is not attended")
	}
	close(ring)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	woken := d.stub.Wait(ctx, t, "the bell", func(r modelstub.Request) bool { return r.Turn() && r.Contains("1 message waits (#1)") })
	for _, p := range woken.Where("1 message waits (#1)") {
		if p.Role != "user" || !strings.Contains(p.Text, "NOT USER INPUT") {
			t.Errorf("the bell is %s %s: %s", p.Role, p.Kind, p.Text)
		}
	}
	s.wait("the end of the turn", func(c invocation) bool { return c.String() == "hook Stop" })
	te.press("/exit")
	te.wait("/exit")
	te.press("\r")
	s.wait("the end of the session", func(c invocation) bool { return c.String() == "hook SessionEnd" })
	select {
	case <-te.done:
	case <-newLimit(t):
		t.Error("the session does not end")
	}
}

// launch starts the client with everything on where nothing is installed, and
// leaves no file changed.
func TestLaunchStartsAWholeSession(t *testing.T) {
	t.Parallel()
	d := newDesk(t, three("mcp__claudemesh__"))
	d.write("mine.json", map[string]any{"env": map[string]any{"SHOP": "open"}})
	d.env = []string{"CLAUDECODE=1", "CLAUDE_CODE_SESSION_ID=00000000-0000-4000-8000-000000000000", "CLAUDE_CODE_CHILD_SESSION=1",
		"CLAUDE_CODE_MESSAGING_SOCKET=/nowhere", "CLAUDE_CODE_MESSAGING_TOKEN=x", "CLAUDE_PROJECT_DIR=/nowhere"}
	out := d.mesh("launch", "--settings", d.path("mine.json"), "-p", "hello", "--output-format", "stream-json", "--verbose", "--include-hook-events")
	for _, event := range []string{"SessionStart", "UserPromptSubmit", "PostToolBatch", "Stop"} {
		if !strings.Contains(out, `"hook_event":"`+event+`"`) {
			t.Errorf("no hook ran at %s", event)
		}
	}
	if strings.Contains(out, "00000000-0000-4000-8000-000000000000") {
		t.Error("the session takes itself for its parent")
	}
	d.checkPermissions("mcp__claudemesh__")
	if _, err := os.Stat(d.path(".claude/settings.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("settings: %v", err)
	}
	if state := d.read(".claude.json"); bytes.Contains(state, []byte("claudemesh")) {
		t.Errorf("the client's state names us:\n%s", state)
	}
}

// The plugin passes the client's own checks, and a session that has it runs the
// same hooks; install adds beside it only what a plugin cannot bring.
func TestPluginIsGoodForClaudeCode(t *testing.T) {
	t.Parallel()
	const prefix = "mcp__plugin_claudemesh_claudemesh__"
	d := newDesk(t, three(prefix))
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(root, "plugin"), root} {
		if out := d.claude("plugin", "validate", "--strict", path); !strings.Contains(out, "Validation passed") {
			t.Errorf("%s: %s", path, out)
		}
	}
	d.claude("plugin", "marketplace", "add", root)
	d.claude("plugin", "install", "claudemesh@claudemesh")
	out := d.mesh("install", "--yes", "--json")
	var did struct {
		Files []struct{ Path string }
		Notes []string
	}
	if err := json.Unmarshal([]byte(out), &did); err != nil {
		t.Fatal(err)
	}
	if len(did.Files) != 1 || did.Files[0].Path != d.path(".claude/settings.json") || len(did.Notes) != 1 {
		t.Errorf("install did %s", out)
	}
	ran := d.headless("hello")
	want := map[string]int{"SessionStart": 1, "UserPromptSubmit": 1, "PostToolBatch": 2, "Stop": 1}
	if !maps.Equal(ran, want) {
		t.Errorf("hooks ran %v, want %v", ran, want)
	}
	d.checkPermissions(prefix)
}

package setup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// house is a throw-away home folder with a profile in it.
type house struct {
	t *testing.T
	Options
}

func newHouse(t *testing.T) *house {
	t.Helper()
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &house{t, Options{Dir: filepath.Join(home, ".claudemesh"), Binary: "/opt/bin/claudemesh", Home: home, Answers: AnswersAllow}}
}

func (h *house) path(name string) string { return filepath.Join(h.Home, filepath.FromSlash(name)) }

func (h *house) write(name, text string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.path(name)), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) read(name string) string {
	h.t.Helper()
	data, err := os.ReadFile(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(data)
}

func (h *house) install() *Plan {
	h.t.Helper()
	p, err := Install(h.t.Context(), h.Options)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

func (h *house) uninstall() *Plan {
	h.t.Helper()
	p, err := Uninstall(h.t.Context(), h.Options)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// tree lists all files below the home folder with their bytes and modes, and
// all folders.
func (h *house) tree() map[string]string {
	h.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(h.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String() + " "
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(data)
		}
		found[strings.TrimPrefix(path, h.Home)] = text
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return found
}

func marks(p *Plan) string {
	var all []string
	for _, c := range p.Changes {
		all = append(all, filepath.Base(c.Path)+": "+strings.Join(c.Marks, ", "))
	}
	return strings.Join(all, "; ")
}

const someState = "{\n  \"numStartups\": 3,\n  \"projects\": {\n    \"/x\": {}\n  },\n  \"userID\": \"abc\"\n}"

const someSettings = "{\r\n\t\"model\": \"opus\",\r\n\t\"permissions\": {\r\n\t\t\"allow\": [\"Bash(ls)\"],\r\n\t\t\"deny\": []\r\n\t},\r\n\t\"hooks\": {\r\n\t\t\"Stop\": [\r\n\t\t\t{ \"hooks\": [ { \"type\": \"command\", \"command\": \"say done\" } ] }\r\n\t\t]\r\n\t}\r\n}\r\n"

const allMarks = `.claude.json: + server "claudemesh"; settings.json: + hooks, + read-only tools allowed, + reply and decline allowed, + status line; SKILL.md: + skill`

// What the client must find in its files.
func (h *house) check() {
	h.t.Helper()
	var state struct {
		MCPServers map[string]server `json:"mcpServers"`
	}
	var settings struct {
		Hooks       map[string][]hookGroup
		Permissions struct{ Allow []string }
		StatusLine  statusLine
	}
	for name, v := range map[string]any{".claude.json": &state, ".claude/settings.json": &settings} {
		data := bytes.TrimPrefix([]byte(h.read(name)), byteOrderMark)
		if err := json.Unmarshal(data, v); err != nil {
			h.t.Fatalf("%s: %v\n%s", name, err, data)
		}
	}
	if got := state.MCPServers["claudemesh"]; !reflect.DeepEqual(got, serverFor(h.Binary)) {
		h.t.Errorf("the server is %+v", got)
	}
	for _, event := range hookEvents {
		own := 0
		for _, g := range settings.Hooks[event] {
			if reflect.DeepEqual(g, hooksFor(event, h.Binary, true)) {
				own++
			}
		}
		if own != 1 {
			h.t.Errorf("%d groups of ours at %s: %+v", own, event, settings.Hooks[event])
		}
	}
	for _, tool := range append(slices.Clone(readOnlyTools), answerTools...) {
		if !slices.Contains(settings.Permissions.Allow, "mcp__claudemesh__"+tool) {
			h.t.Errorf("%s is not allowed", tool)
		}
	}
	for _, tool := range []string{"send_message", "ask_peer"} {
		if slices.Contains(settings.Permissions.Allow, "mcp__claudemesh__"+tool) {
			h.t.Errorf("%s is allowed", tool)
		}
	}
	if h.read(".claude/skills/claudemesh/SKILL.md") != string(skill) {
		h.t.Error("the skill is another one")
	}
}

func TestInstallThenUninstallLeavesNoTrace(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"nothing there": {},
		"both there":    {".claude.json": someState, ".claude/settings.json": someSettings},
		"empty files":   {".claude.json": "", ".claude/settings.json": "\n"},
		"compact":       {".claude.json": `{"a":1}`, ".claude/settings.json": `{"hooks":{},"permissions":{"allow":[]}}`},
		"byte order":    {".claude.json": "\xef\xbb\xbf" + someState},
		"other folders": {".claude/skills/mine/SKILL.md": "x", ".claude/agents/a.md": "y"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			for path, text := range files {
				h.write(path, text)
			}
			before := h.tree()
			if got := marks(h.install()); got != allMarks {
				t.Errorf("install did %s", got)
			}
			h.check()
			installed := h.tree()
			if p := h.install(); len(p.Changes) != 0 {
				t.Errorf("the second time it did %s", marks(p))
			}
			if !reflect.DeepEqual(installed, h.tree()) {
				t.Error("the second time changed something")
			}
			p := h.uninstall()
			for _, c := range p.Changes {
				if !c.Restored {
					t.Errorf("%s was not restored", c.Path)
				}
			}
			if got := h.tree(); !reflect.DeepEqual(got, before) {
				t.Errorf("left:\n%v\nwas:\n%v", got, before)
			}
			if p := h.uninstall(); len(p.Changes) != 0 {
				t.Errorf("the second time it did %s", marks(p))
			}
		})
	}
}

// rewrite is what Claude Code does to its files: parse, change, write with two
// blanks.
func (h *house) rewrite(name string, change func(map[string]any)) {
	h.t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(h.read(name)), &all); err != nil {
		h.t.Fatal(err)
	}
	change(all)
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(name, string(data))
}

func (h *house) decoded(name string) map[string]any {
	h.t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(h.read(name)), &all); err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestUninstallAfterTheClientRewroteItsFiles(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"nothing there": {},
		"both there":    {".claude.json": someState, ".claude/settings.json": someSettings},
		"empty objects": {".claude.json": `{"mcpServers": {}}`, ".claude/settings.json": `{"hooks": {"Stop": []}, "permissions": {}}`},
		"others' pieces": {".claude.json": `{"mcpServers": {"x": {"command": "y"}}}`,
			".claude/settings.json": `{"permissions": {"allow": ["mcp__claudemesh__check_messages"]}, "statusLine": {"type": "command", "command": "date"}}`},
		"an earlier server": {".claude.json": `{"mcpServers": {"claudemesh": {"type": "stdio", "command": "claudemesh", "args": ["mcp", "-v"], "env": {}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			want := map[string]map[string]any{".claude.json": {}, ".claude/settings.json": {}}
			for path, text := range files {
				h.write(path, text)
				want[path] = h.decoded(path)
			}
			h.install()
			h.rewrite(".claude.json", func(all map[string]any) { all["numStartups"] = 7.0 })
			h.rewrite(".claude/settings.json", func(all map[string]any) { all["model"] = "sonnet" })
			want[".claude.json"]["numStartups"] = 7.0
			want[".claude/settings.json"]["model"] = "sonnet"
			h.check2()
			for _, c := range h.uninstall().Changes {
				if c.Restored != (filepath.Base(c.Path) == "SKILL.md") {
					t.Errorf("%s restored: %v", c.Path, c.Restored)
				}
			}
			for path := range want {
				if got := h.decoded(path); !reflect.DeepEqual(got, want[path]) {
					t.Errorf("%s is\n%v, want\n%v", path, got, want[path])
				}
			}
			if _, err := os.Stat(h.path(".claude/skills")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the skills' folder: %v", err)
			}
			if _, err := os.Stat(h.path(".claudemesh")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the profile's folder: %v", err)
			}
		})
	}
}

// check2 checks that a second installation finds nothing to do.
func (h *house) check2() {
	h.t.Helper()
	if p := h.install(); len(p.Changes) != 0 {
		h.t.Errorf("installing again would do %s", marks(p))
	}
}

func TestUninstallWithoutARecord(t *testing.T) {
	h := newHouse(t)
	h.write(".claude.json", someState)
	h.write(".claude/settings.json", someSettings)
	h.install()
	if err := os.RemoveAll(h.Dir); err != nil {
		t.Fatal(err)
	}
	h.uninstall()
	if got := h.read(".claude.json"); got != someState {
		t.Errorf("state is\n%s", got)
	}
	if got := h.read(".claude/settings.json"); got != someSettings {
		t.Errorf("settings are\n%q, want\n%q", got, someSettings)
	}
}

func TestAnotherBinaryIsUpdatedInPlace(t *testing.T) {
	h := newHouse(t)
	h.write(".claude.json", someState)
	h.write(".claude/settings.json", someSettings)
	h.install()
	h.rewrite(".claude.json", func(all map[string]any) {
		all["mcpServers"].(map[string]any)["claudemesh"].(map[string]any)["env"] = map[string]any{"A": "b"}
		all["mcpServers"].(map[string]any)["other"] = map[string]any{"command": "x"}
	})
	h.Binary = "/home/x/my tools/cm's"
	p := h.install()
	if got := marks(p); got != `.claude.json: ~ server "claudemesh"; settings.json: ~ hooks, ~ status line` {
		t.Errorf("did %s", got)
	}
	if p.First {
		t.Error("it takes this for the first time")
	}
	h.check()
	entry := h.decoded(".claude.json")["mcpServers"].(map[string]any)["claudemesh"].(map[string]any)
	if !reflect.DeepEqual(entry["env"], map[string]any{"A": "b"}) {
		t.Errorf("the server's own environment went: %v", entry)
	}
	line := h.decoded(".claude/settings.json")["statusLine"].(map[string]any)["command"]
	if line != `'/home/x/my tools/cm'\''s' statusline` {
		t.Errorf("the status line is %v", line)
	}
	h.check2()
	h.uninstall()
	if got := h.read(".claude/settings.json"); got != someSettings {
		t.Errorf("settings are\n%q", got)
	}
	state := h.decoded(".claude.json")
	if got := state["mcpServers"]; !reflect.DeepEqual(got, map[string]any{"other": map[string]any{"command": "x"}}) {
		t.Errorf("servers are %v", got)
	}
}

func TestHooksOfAnOlderVersionAreReplaced(t *testing.T) {
	h := newHouse(t)
	h.write(".claude/settings.json", `{"hooks": {
  "PostToolUse": [{"hooks": [{"type": "command", "command": "/old/claudemesh", "args": ["hook", "PostToolUse"]}]}],
  "Stop": [
    {"hooks": [{"type": "command", "command": "say"}, {"type": "command", "command": "/old/claudemesh", "args": ["hook", "Stop"]}]},
    {"hooks": [{"type": "command", "command": "/old/claudemesh", "args": ["hook", "Stop"]}]},
    {"hooks": [{"type": "command", "command": "/old/claudemesh", "args": ["hook", "Stop"]}]}
  ]}}`)
	h.install()
	h.check()
	hooks := h.decoded(".claude/settings.json")["hooks"].(map[string]any)
	if _, there := hooks["PostToolUse"]; there {
		t.Error("PostToolUse is still there")
	}
	stop := hooks["Stop"].([]any)
	if len(stop) != 2 || len(stop[0].(map[string]any)["hooks"].([]any)) != 1 {
		t.Errorf("Stop is %v", stop)
	}
	h.check2()
}

func TestAnswersAreKeptGivenAndTaken(t *testing.T) {
	h := newHouse(t)
	h.Answers = AnswersKeep
	p, err := PlanInstall(h.Options)
	if err != nil || !p.First {
		t.Fatalf("first %v, %v", p.First, err)
	}
	h.install()
	allowed := func() bool {
		return strings.Contains(h.read(".claude/settings.json"), "mcp__claudemesh__reply")
	}
	if allowed() {
		t.Error("answers are allowed without a word")
	}
	h.Answers = AnswersAllow
	if got := marks(h.install()); got != "settings.json: + reply and decline allowed" || !allowed() {
		t.Errorf("did %s", got)
	}
	h.Answers = AnswersKeep
	h.check2()
	h.Answers = AnswersAsk
	if got := marks(h.install()); got != "settings.json: - reply and decline allowed" || allowed() {
		t.Errorf("did %s", got)
	}
}

func TestNotes(t *testing.T) {
	for _, row := range []struct{ name, settings, want string }{
		{"own status line", `{"statusLine": {"type": "command", "command": "my claudemesh statusline"}}`, "your own status line stays in "},
		{"hooks off", `{"disableAllHooks": true}`, "hooks are switched off in "},
		{"comments", "{ // x\n}", "holds comments or trailing commas"},
		{"plugin", `{"enabledPlugins": {"claudemesh@claudemesh": true}}`, "the plugin claudemesh@claudemesh brings server, hooks and skill"},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := newHouse(t)
			h.write(".claude/settings.json", row.settings)
			p := h.install()
			if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, row.want) }) {
				t.Errorf("notes are %q", p.Notes)
			}
			if row.name == "plugin" {
				if got := marks(p); got != "settings.json: + read-only tools allowed, + reply and decline allowed, + status line" {
					t.Errorf("did %s", got)
				}
				if !strings.Contains(h.read(".claude/settings.json"), "mcp__plugin_claudemesh_claudemesh__reply") {
					t.Error("the plugin's tools are not allowed")
				}
			}
			h.uninstall()
			if got := h.read(".claude/settings.json"); got != row.settings {
				t.Errorf("settings are %q", got)
			}
		})
	}
}

func TestSkillThatTheUserChangedStays(t *testing.T) {
	h := newHouse(t)
	h.install()
	h.write(".claude/skills/claudemesh/SKILL.md", "mine")
	for _, p := range []*Plan{h.install(), h.uninstall()} {
		if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.HasSuffix(n, "it was left") }) {
			t.Errorf("notes are %q", p.Notes)
		}
	}
	if h.read(".claude/skills/claudemesh/SKILL.md") != "mine" {
		t.Error("it was overwritten")
	}
}

// badFile is a file that stands where one of Claude Code's should be.
type badFile struct {
	name string
	make func(h *house, path string) error
	want string
}

func TestFilesThatCannotBeEdited(t *testing.T) {
	for _, row := range append(specialFiles, []badFile{
		{"a folder", func(_ *house, path string) error { return os.Mkdir(path, 0o755) }, "is a folder, not a file"},
		{"read-only", func(_ *house, path string) error { return os.WriteFile(path, []byte("{}"), 0o400) }, "is read-only; make it writable first"},
		{"not JSON", func(_ *house, path string) error { return os.WriteFile(path, []byte("{\n  \"a\": ,\n}"), 0o600) }, "is no valid JSON: "},
		{"a list", func(_ *house, path string) error { return os.WriteFile(path, []byte("[]"), 0o600) }, "holds no JSON object"},
		{"UTF-16", func(_ *house, path string) error { return os.WriteFile(path, []byte("\xff\xfe{\x00}\x00"), 0o600) }, "is not UTF-8 text"},
		{"a link to nothing", func(_ *house, path string) error { return os.Symlink("nowhere", path) }, "is a symbolic link to nowhere, which does not exist"},
		{"a link to itself", func(_ *house, path string) error { return os.Symlink(path, path) }, "cannot be read: "},
		{"hooks are a list", func(_ *house, path string) error {
			return os.WriteFile(path, []byte(`{"hooks": [], "mcpServers": []}`), 0o600)
		}, "so Claude Code would not read it either"},
	}...) {
		t.Run(row.name, func(t *testing.T) {
			for _, name := range []string{".claude.json", ".claude/settings.json"} {
				h := newHouse(t)
				h.write(".claude/x", "")
				if err := row.make(h, h.path(name)); err != nil {
					t.Fatal(err)
				}
				before := h.lstat()
				called := false
				h.LocalScope = func(context.Context) error { called = true; return nil }
				_, err := Install(t.Context(), h.Options)
				var wrong *FileError
				if !errors.As(err, &wrong) || wrong.Path != h.path(name) || !strings.Contains(wrong.Problem, row.want) {
					t.Errorf("%s: %v", name, err)
				}
				if called {
					t.Error("a mesh was made all the same")
				}
				if got := h.lstat(); !slices.Equal(got, before) {
					t.Errorf("it left %q, was %q", got, before)
				}
			}
		})
	}
}

// lstat lists what is below the home folder, without reading it.
func (h *house) lstat() []string {
	h.t.Helper()
	var all []string
	err := filepath.WalkDir(h.Home, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all = append(all, info.Mode().String()+" "+path)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestLinksAndModesAreKept(t *testing.T) {
	h := newHouse(t)
	h.write("dotfiles/settings.json", someSettings)
	if err := os.Chmod(h.path("dotfiles/settings.json"), 0o640); err != nil {
		t.Fatal(err)
	}
	h.write(".claude/x", "")
	if err := os.Symlink("../dotfiles/settings.json", h.path(".claude/settings.json")); err != nil {
		t.Fatal(err)
	}
	before := h.tree()
	h.install()
	h.check()
	info, err := os.Stat(h.path("dotfiles/settings.json"))
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if target, err := os.Readlink(h.path(".claude/settings.json")); err != nil || target != "../dotfiles/settings.json" {
		t.Errorf("the link is %s, %v", target, err)
	}
	if info, err := os.Stat(h.path(".claude.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	err = filepath.WalkDir(h.Dir, func(path string, d fs.DirEntry, err error) error {
		if info, _ := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	h.uninstall()
	if got := h.tree(); !reflect.DeepEqual(got, before) {
		t.Errorf("left:\n%v\nwas:\n%v", got, before)
	}
}

// A file that cannot be put into its place leaves all as it was, whichever it
// is.
func TestNothingHalfDone(t *testing.T) {
	broken := errors.New("no such luck")
	for fail := range 3 {
		h := newHouse(t)
		h.write(".claude.json", someState)
		h.write(".claude/settings.json", someSettings)
		before := h.tree()
		p, err := PlanInstall(h.Options)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		p.disk.rename = func(from, to string) error {
			if n++; n > fail {
				return broken
			}
			return os.Rename(from, to)
		}
		err = p.Apply(t.Context())
		var wrong *FileError
		if !errors.As(err, &wrong) || wrong.Path != p.Changes[fail].Path || !errors.Is(err, broken) {
			t.Errorf("file %d: %v", fail, err)
		}
		if got := h.tree(); !reflect.DeepEqual(got, before) {
			t.Errorf("file %d: left\n%v\nwas\n%v", fail, got, before)
		}

		h.install()
		before = h.tree()
		if p, err = PlanUninstall(h.Options); err != nil {
			t.Fatal(err)
		}
		n = 0
		count := func() error {
			if n++; n > fail {
				return broken
			}
			return nil
		}
		p.disk.rename = func(from, to string) error { return errors.Join(count(), renameUnless(n > fail, from, to)) }
		p.disk.remove = func(path string) error {
			if err := count(); err != nil {
				return err
			}
			return os.Remove(path)
		}
		if err := p.Apply(t.Context()); !errors.Is(err, broken) {
			t.Errorf("file %d: %v", fail, err)
		}
		if got := h.tree(); !reflect.DeepEqual(got, before) {
			t.Errorf("uninstall, file %d: left\n%v\nwas\n%v", fail, got, before)
		}
	}
}

func renameUnless(not bool, from, to string) error {
	if not {
		return nil
	}
	return os.Rename(from, to)
}

func TestFileWrittenMeanwhileIsPlannedAnew(t *testing.T) {
	h := newHouse(t)
	h.write(".claude.json", someState)
	p, err := PlanInstall(h.Options)
	if err != nil {
		t.Fatal(err)
	}
	h.rewrite(".claude.json", func(all map[string]any) { all["new"] = true })
	if err := p.Apply(t.Context()); !errors.Is(err, ErrChanged) {
		t.Errorf("%v, want ErrChanged", err)
	}
	h.install()
	h.check()
	if h.decoded(".claude.json")["new"] != true {
		t.Error("the other program's change was lost")
	}
}

func TestTwoInstallationsAtOnce(t *testing.T) {
	h := newHouse(t)
	project := *h
	project.Project = h.path("work")
	h.write("work/x", "")
	for range 3 {
		before := h.tree()
		both := make(chan error, 2)
		for _, o := range []Options{h.Options, project.Options} {
			go func() {
				_, err := Install(t.Context(), o)
				both <- err
			}()
		}
		if err := errors.Join(<-both, <-both); err != nil {
			t.Fatal(err)
		}
		h.uninstall()
		project.uninstall()
		if got := h.tree(); !reflect.DeepEqual(got, before) {
			t.Fatalf("left:\n%v\nwas:\n%v", got, before)
		}
	}
}

func TestLockOfTheClientIsRespected(t *testing.T) {
	h := newHouse(t)
	h.write(".claude.json", someState)
	lock := h.path(".claude.json.lock")
	if err := os.Mkdir(lock, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, err := PlanInstall(h.Options)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Apply(ctx); err == nil || !strings.Contains(err.Error(), "is being written by another program") {
		t.Errorf("with the lock held: %v", err)
	}
	if got := h.read(".claude.json"); got != someState {
		t.Error("it was written all the same")
	}
	// The lock of a program that died is old.
	long := modTime(t, lock).Add(-2 * lockStale)
	if err := os.Chtimes(lock, long, long); err != nil {
		t.Fatal(err)
	}
	h.install()
	h.check()
	if exists(lock) {
		t.Error("the lock was not given back")
	}
}

func TestProject(t *testing.T) {
	h := newHouse(t)
	h.Project = h.path("work/shop")
	h.write("work/shop/main.go", "package shop")
	before := h.tree()
	p := h.install()
	if got := marks(p); got != `.mcp.json: + server "claudemesh"; settings.json: + hooks, + read-only tools allowed, + reply and decline allowed; SKILL.md: + skill` {
		t.Errorf("did %s", got)
	}
	if !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "a path of this machine") }) {
		t.Errorf("notes are %q", p.Notes)
	}
	if !exists(h.path("work/shop/.mcp.json")) || !exists(h.path("work/shop/.claude/settings.json")) || exists(h.path(".claude.json")) {
		t.Error("the files are elsewhere")
	}
	user := *h
	user.Project = ""
	if p, err := PlanUninstall(user.Options); err != nil || len(p.Changes) != 0 || len(p.Notes) != 3 {
		t.Errorf("for the user there is %s, %q, %v", marks(p), p.Notes, err)
	}
	h.uninstall()
	if got := h.tree(); !reflect.DeepEqual(got, before) {
		t.Errorf("left:\n%v\nwas:\n%v", got, before)
	}
}

func TestConfigDirOfTheClient(t *testing.T) {
	h := newHouse(t)
	h.ConfigDir = h.path("conf")
	h.install()
	if !exists(h.path("conf/.claude.json")) || !exists(h.path("conf/settings.json")) || exists(h.path(".claude")) {
		t.Errorf("files are %v", h.lstat())
	}
	h.uninstall()
	if exists(h.path("conf")) {
		t.Errorf("files are %v", h.lstat())
	}
	h.write("conf/.config.json", "{}")
	h.install()
	if h.read("conf/.config.json") == "{}" || exists(h.path("conf/.claude.json")) {
		t.Errorf("files are %v", h.lstat())
	}
	h.ConfigDir = "conf"
	if _, err := PlanInstall(h.Options); err == nil || !strings.Contains(err.Error(), "has to be an absolute path") {
		t.Errorf("a relative folder: %v", err)
	}
}

func TestRecordOfANewerVersionIsLeftAlone(t *testing.T) {
	h := newHouse(t)
	h.write(".claudemesh/setup/record.json", `{"version": 2, "files": []}`)
	if _, err := PlanInstall(h.Options); err == nil || !strings.Contains(err.Error(), "newer claudemesh") {
		t.Errorf("%v", err)
	}
	h.write(".claudemesh/setup/record.json", `{`)
	if _, err := PlanInstall(h.Options); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("%v", err)
	}
}

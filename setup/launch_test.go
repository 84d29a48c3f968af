package setup

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestFreshEnvironment(t *testing.T) {
	keep := []string{"HOME=/h", "PATH=/bin", "ANTHROPIC_API_KEY=k", "CLAUDE_CONFIG_DIR=/c", "CLAUDE_CODE_USE_BEDROCK=1",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "CLAUDEMESH_CONFIG_DIR=/m", "GIT_EDITOR=vi"}
	drop := []string{"CLAUDECODE=1", "AI_AGENT=claude-code_2-1-331_agent", "CLAUDE_CODE_SESSION_ID=x", "CLAUDE_PROJECT_DIR=/p",
		"CLAUDE_CODE_MESSAGING_SOCKET=/s", "CLAUDE_CODE_MESSAGING_TOKEN=t", "CLAUDE_CODE_ENTRYPOINT=cli", "CLAUDE_PID=1",
		"CLAUDE_CODE_SESSION_ATTENDED=1", "CLAUDE_CODE_CHILD_SESSION=1", "CLAUDE_BG_ISOLATION=x", "CLAUDE_CODE_RESUME_PROMPT=x"}
	if got := FreshEnvironment(slices.Concat(drop[:5], keep, drop[5:])); !slices.Equal(got, keep) {
		t.Errorf("kept %q, want %q", got, keep)
	}
	if got := FreshEnvironment([]string{"CLAUDECODE=1", "GIT_EDITOR=true"}); len(got) != 0 {
		t.Errorf("kept %q", got)
	}
	if got := FreshEnvironment([]string{"GIT_EDITOR=true"}); len(got) != 1 {
		t.Error("the user's own GIT_EDITOR went")
	}
}

// launched decodes what LaunchArguments added.
func (h *house) launched(dir string, args ...string) (servers, settings map[string]any, rest []string) {
	h.t.Helper()
	all, err := LaunchArguments(h.Options, dir, args)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, a := range all {
		for prefix, v := range map[string]*map[string]any{"--mcp-config=": &servers, "--settings=": &settings} {
			if text, ok := strings.CutPrefix(a, prefix); ok && strings.HasPrefix(text, "{") && *v == nil {
				if err := json.Unmarshal([]byte(text), v); err != nil {
					h.t.Fatal(err)
				}
				a = ""
			}
		}
		if a != "" {
			rest = append(rest, a)
		}
		if strings.Contains(a, "skip-permissions") || strings.Contains(a, "permission-mode") {
			h.t.Errorf("%s", a)
		}
	}
	return servers, settings, rest
}

func TestLaunchWhereNothingIsInstalled(t *testing.T) {
	h := newHouse(t)
	work := h.path("work")
	servers, settings, rest := h.launched(work, "-p", "--settings", "{\"model\": \"opus\", \"hooks\": {\"Stop\": []}}", "hello", "--", "--settings", "x")
	if !slices.Equal(rest, []string{"-p", "hello", "--", "--settings", "x"}) {
		t.Errorf("the rest is %q", rest)
	}
	if want := map[string]any{"mcpServers": map[string]any{"claudemesh": shape(serverFor(h.Binary))}}; !reflect.DeepEqual(servers, want) {
		t.Errorf("servers are %v", servers)
	}
	hooks := settings["hooks"].(map[string]any)
	if settings["model"] != "opus" || len(hooks) != len(hookEvents) || len(hooks["Stop"].([]any)) != 1 {
		t.Errorf("settings are %v", settings)
	}
	allowed := settings["permissions"].(map[string]any)["allow"].([]any)
	if len(allowed) != len(readOnlyTools) || slices.Contains(allowed, any("mcp__claudemesh__reply")) {
		t.Errorf("allowed are %v", allowed)
	}
	if settings["statusLine"] == nil {
		t.Error("there is no status line")
	}
	if exists(h.path(".claude.json")) || exists(h.Dir) {
		t.Error("something was written")
	}

	// A file of settings is read, a status line stays.
	h.write("my.json", `{"statusLine": {"type": "command", "command": "date"}}`)
	_, settings, rest = h.launched(work, "--settings="+h.path("my.json"))
	if len(rest) != 0 || settings["statusLine"].(map[string]any)["command"] != "date" || settings["hooks"] == nil {
		t.Errorf("settings are %v, the rest %q", settings, rest)
	}
	h.write(".claude/settings.json", `{"statusLine": {"type": "command", "command": "date"}}`)
	if _, settings, _ = h.launched(work); settings["statusLine"] != nil {
		t.Error("the user's status line is hidden")
	}
	for _, args := range [][]string{{"--settings"}, {"--settings", "/nowhere.json"}, {"--settings={\"a\":}"}} {
		if _, err := LaunchArguments(h.Options, work, args); err == nil {
			t.Errorf("%q went through", args)
		}
	}
}

func TestLaunchWhereItIsInstalled(t *testing.T) {
	for name, where := range map[string]func(h *house){
		"for the user":    func(h *house) { h.install() },
		"for the project": func(h *house) { p := *h; p.Project = h.path("work"); p.install() },
		"as a plugin":     func(h *house) { h.write(".claude/settings.json", `{"enabledPlugins": {"claudemesh@x": true}}`) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			where(h)
			args := []string{"--settings", "/x.json", "hello"}
			if servers, settings, rest := h.launched(h.path("work"), args...); servers != nil || settings != nil || !slices.Equal(rest, args) {
				t.Errorf("added %v, %v, the rest %q", servers, settings, rest)
			}
		})
	}
}

func TestSameProgram(t *testing.T) {
	dir := t.TempDir()
	program, link, other := filepath.Join(dir, "claudemesh-1.2"), filepath.Join(dir, "claudemesh"), filepath.Join(dir, "other")
	for _, path := range []string{program, other} {
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	for found, want := range map[string]string{link: link, other: program, "": program, filepath.Join(dir, "none"): program} {
		if got := SameProgram(found, program); got != want {
			t.Errorf("found at %q: %q, want %q", found, got, want)
		}
	}
}

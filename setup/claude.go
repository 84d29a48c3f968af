package setup

import (
	"context"
	_ "embed" // the skill
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// Answers says whether the agent may answer peers by itself.
type Answers int

const (
	// AnswersKeep leaves it as it is; at the first time the user is asked by the
	// client each time.
	AnswersKeep Answers = iota
	// AnswersAllow lets the agent reply and decline without asking its user, so
	// that a question is answered with nobody at the keyboard.
	AnswersAllow
	// AnswersAsk has the client ask its user each time.
	AnswersAsk
)

// Options says what to set up and where.
type Options struct {
	// Dir is the profile's folder; what files were before us is kept in setup/
	// below it. Required.
	Dir string
	// Binary is the program to enter: an absolute path, or a name that is found
	// on the path of whoever uses the files. Required.
	Binary string
	// Home is the user's home folder. Empty: the system's word.
	Home string
	// ConfigDir is the client's own folder, as its CLAUDE_CONFIG_DIR says. Empty:
	// .claude in the home folder.
	ConfigDir string
	// Project is the folder of a project whose files are meant instead of the
	// user's: the folder in which the client is started. Empty: the user's.
	Project string
	// Answers says whether peers are answered without asking.
	Answers Answers
	// LocalScope makes a mesh for the sessions of this machine where the profile
	// has none. [Install] calls it before any file is changed. Nil: nothing is
	// made.
	LocalScope func(context.Context) error
}

// The names under which Claude Code knows us.
const (
	serverName = "claudemesh"
	pluginName = "claudemesh"
)

// readOnlyTools are the tools that show something, or say what this session
// does: allowed from the start.
var readOnlyTools = []string{"check_messages", "history", "list_peers", "message_status", "set_summary"}

// answerTools answer somebody who asked: allowed by the second question.
var answerTools = []string{"reply", "decline"}

// Timeouts of hooks, in seconds. A boundary's hook is done in milliseconds, and
// never blocks a turn longer than this; the waiter waits while its session
// idles.
const (
	hookTimeout   = 10
	waiterTimeout = 7 * 24 * 60 * 60
)

// statusLineEvery is how often, in seconds, the status line is drawn anew while
// nothing happens.
const statusLineEvery = 10

//go:embed skill.md
var skill []byte

// hook is one command that the client runs at an event.
type hook struct {
	Type          string   `json:"type"`
	Command       string   `json:"command"`
	Args          []string `json:"args"`
	AsyncRewake   bool     `json:"asyncRewake,omitempty"`
	Timeout       int      `json:"timeout"`
	RewakeMessage string   `json:"rewakeMessage,omitempty"`
	RewakeSummary string   `json:"rewakeSummary,omitempty"`
}

// hookGroup is a list of hooks with, elsewhere, a matcher: without one it is
// for all that the event is about.
type hookGroup struct {
	Hooks []hook `json:"hooks"`
}

// hookEvents are the events we want, in the order of a session. PostToolBatch
// and not PostToolUse: it runs once for all tools that the model called at once,
// right before the next request, and also where a tool failed or was refused.
var hookEvents = []string{"SessionStart", "UserPromptSubmit", "PostToolBatch", "Stop", "StopFailure", "SessionEnd"}

// waiterEvents are those that arm the waiter: from then on the session may
// idle.
var waiterEvents = []string{"SessionStart", "UserPromptSubmit", "Stop"}

// hooksFor returns the hooks for an event. waiter is false where a plugin's
// monitor does its work.
func hooksFor(event, binary string, waiter bool) hookGroup {
	g := hookGroup{Hooks: []hook{{Type: "command", Command: binary, Args: []string{"hook", event}, Timeout: hookTimeout}}}
	if waiter && slices.Contains(waiterEvents, event) {
		g.Hooks = append(g.Hooks, hook{Type: "command", Command: binary, Args: []string{"hook", "wait"}, AsyncRewake: true,
			Timeout: waiterTimeout, RewakeMessage: "claudemesh:", RewakeSummary: "claudemesh message"})
	}
	return g
}

// server is how the client starts us.
type server struct {
	Type    string   `json:"type"`
	Command string   `json:"command"`
	Args    []string `json:"args"`
}

func serverFor(binary string) server { return server{"stdio", binary, []string{"mcp"}} }

// statusLine is the command that writes a line below the prompt.
type statusLine struct {
	Type            string `json:"type"`
	Command         string `json:"command"`
	RefreshInterval int    `json:"refreshInterval"`
}

func statusLineFor(binary string) statusLine {
	return statusLine{"command", shellWord(binary) + " statusline", statusLineEvery}
}

// shellWord writes a path so that a shell takes it as one word: this one
// command the client runs by a shell, on Windows by that of Git.
func shellWord(path string) string {
	if runtime.GOOS == "windows" {
		path = filepath.ToSlash(path)
	}
	plain := strings.IndexFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@", r))
	}) < 0
	if plain {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// paths are the files of Claude Code.
type paths struct {
	servers  string // mcpServers
	settings string // hooks, permissions, statusLine
	skill    string
	locked   bool // the client locks servers when it writes it
}

// claudePaths says where the files are. The client reads its state from
// .config.json in its folder if that exists, else from .claude.json beside the
// folder, or in it where CLAUDE_CONFIG_DIR names it.
func (o Options) claudePaths() (paths, error) {
	if o.Project != "" {
		return paths{
			servers:  filepath.Join(o.Project, ".mcp.json"),
			settings: filepath.Join(o.Project, ".claude", "settings.json"),
			skill:    filepath.Join(o.Project, ".claude", "skills", serverName, "SKILL.md"),
		}, nil
	}
	home := o.Home
	if home == "" {
		var err error
		if home, err = os.UserHomeDir(); err != nil {
			return paths{}, fmt.Errorf("find the home folder: %w", err)
		}
	}
	dir := o.ConfigDir
	global := filepath.Join(dir, ".claude.json")
	switch {
	case dir == "":
		dir, global = filepath.Join(home, ".claude"), filepath.Join(home, ".claude.json")
	case !filepath.IsAbs(dir):
		return paths{}, &FileError{"CLAUDE_CONFIG_DIR", "is " + dir + "; it has to be an absolute path", nil}
	}
	if old := filepath.Join(dir, ".config.json"); exists(old) {
		global = old
	}
	return paths{
		servers:  global,
		settings: filepath.Join(dir, "settings.json"),
		skill:    filepath.Join(dir, "skills", serverName, "SKILL.md"),
		locked:   true,
	}, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// check refuses options that cannot work.
func (o Options) check() error {
	switch {
	case o.Dir == "":
		return errors.New("setup: no folder of the profile was named")
	case o.Binary == "":
		return errors.New("setup: no program was named")
	}
	return nil
}

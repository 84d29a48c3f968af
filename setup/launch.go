package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sessionVariables are what a running session of Claude Code gives its
// children, so that they know whose children they are. A session that is
// started anew must not take itself for one.
var sessionVariables = []string{
	"AI_AGENT",
	"CLAUDECODE",
	"CLAUDE_CODE_BRIDGE_SESSION_ID",
	"CLAUDE_CODE_CHILD_NOTES_DIR",
	"CLAUDE_CODE_CHILD_SESSION",
	"CLAUDE_CODE_COORDINATOR_MODE",
	"CLAUDE_CODE_ENTRYPOINT",
	"CLAUDE_CODE_EVEN_MORE_DANGEROUSLY_SKIP_PERMISSIONS",
	"CLAUDE_CODE_EXECPATH",
	"CLAUDE_CODE_INVOKED_SKILLS",
	"CLAUDE_CODE_LAUNCHED_BY_SESSION_IDS",
	"CLAUDE_CODE_MESSAGING_SOCKET",
	"CLAUDE_CODE_MESSAGING_TOKEN",
	"CLAUDE_CODE_SESSION_ATTENDED",
	"CLAUDE_CODE_SESSION_BEGAN_AS_COPY",
	"CLAUDE_CODE_SESSION_ID",
	"CLAUDE_CODE_SESSION_KIND",
	"CLAUDE_CODE_SESSION_NAME",
	"CLAUDE_CODE_SKIP_PROMPT_HISTORY",
	"CLAUDE_CODE_STARTER_MAY_HOLD_CONNECTOR_FILE",
	"CLAUDE_EFFORT",
	"CLAUDE_ENV_FILE",
	"CLAUDE_JOB_DIR",
	"CLAUDE_PID",
	"CLAUDE_PLUGIN_DATA",
	"CLAUDE_PLUGIN_ROOT",
	"CLAUDE_PROJECT_DIR",
	"TRACEPARENT",
}

// sessionPrefixes begin the names of further ones.
var sessionPrefixes = []string{"CLAUDE_BG_", "CLAUDE_CODE_BRIDGE_", "CLAUDE_CODE_RELAUNCH_", "CLAUDE_CODE_RESUME_"}

// FreshEnvironment returns an environment (NAME=value) without what a parent
// session of Claude Code put there. What the user set, such as keys and
// CLAUDE_CONFIG_DIR, stays.
func FreshEnvironment(environ []string) []string {
	child := slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "CLAUDECODE=") })
	return slices.DeleteFunc(slices.Clone(environ), func(v string) bool {
		name, value, _ := strings.Cut(v, "=")
		if slices.Contains(sessionVariables, name) {
			return true
		}
		if child && name == "GIT_EDITOR" && value == "true" {
			return true // with it a child's git never opens an editor
		}
		return slices.ContainsFunc(sessionPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

// LaunchArguments returns args, which are for Claude Code, with what a session
// needs that starts here with everything on: nothing where we are installed,
// else the server and the settings (hooks, read-only tools allowed, status line)
// for this session alone. dir is the folder in which it starts. No flag that
// skips a permission is ever added.
func LaunchArguments(o Options, dir string, args []string) ([]string, error) {
	p, where, err := o.begin()
	if err != nil {
		return nil, err
	}
	servers, err := p.look(where.servers, o)
	if err != nil {
		return nil, err
	}
	settings, err := p.look(where.settings, o)
	if err != nil {
		return nil, err
	}
	project := o
	project.Project = dir
	ofProject, _ := project.claudePaths() // cannot fail: the folder is given
	// A project's files are read only where they can be: they may be somebody
	// else's business.
	projectServers, err := p.look(ofProject.servers, o)
	if err != nil {
		projectServers = &editor{doc: emptyDocument()}
	}
	projectSettings, err := p.look(ofProject.settings, o)
	if err != nil {
		projectSettings = &editor{doc: emptyDocument()}
	}
	plugin := settings.pluginEnabled() != "" || projectSettings.pluginEnabled() != ""
	var added []string
	if !plugin && servers.doc.raw("mcpServers", serverName) == nil && projectServers.doc.raw("mcpServers", serverName) == nil {
		doc := emptyDocument()
		if err := doc.set([]string{"mcpServers", serverName}, serverFor(o.Binary)); err != nil {
			return nil, err
		}
		// With "=": the flag takes several values and would swallow a prompt.
		added = append(added, "--mcp-config="+doc.line())
	}
	if !plugin && !settings.hasHooks() && !projectSettings.hasHooks() {
		own := settings.doc.raw("statusLine") != nil || projectSettings.doc.raw("statusLine") != nil
		value, rest, err := o.launchSettings(args, own)
		if err != nil {
			return nil, err
		}
		added, args = append(added, "--settings="+value), rest
	}
	return append(added, args...), nil
}

// look opens a JSON file to read it.
func (p *Plan) look(path string, o Options) (*editor, error) {
	_, e, err := p.editing(path, o)
	return e, err
}

func emptyDocument() *document {
	d, _ := parseDocument(nil) // an empty one is valid
	return d
}

// line returns the document in one line of standard JSON.
func (d *document) line() string {
	v := d.root.Clone()
	v.Standardize()
	v.Minimize()
	return string(v.Pack())
}

// launchSettings returns the settings for one session, in which those that args
// name are contained, and args without them: the client takes only the last.
// ownLine tells that the user has a status line.
func (o Options) launchSettings(args []string, ownLine bool) (value string, rest []string, err error) {
	given, rest, err := takeSettings(args)
	if err != nil {
		return "", nil, err
	}
	doc := emptyDocument()
	if given != "" {
		data := []byte(given)
		if !strings.HasPrefix(strings.TrimSpace(given), "{") {
			if data, err = os.ReadFile(given); err != nil {
				return "", nil, fmt.Errorf("--settings %s cannot be read: %s", given, reason(err))
			}
		}
		if doc, err = parseDocument(data); err != nil {
			return "", nil, fmt.Errorf("--settings %s %w", given, err)
		}
	}
	e := &editor{doc: doc, programs: []string{o.Binary}}
	err = errors.Join(e.putHooks(o.Binary, true), e.putRules(rules(readOnlyTools, false), wordReadOnly))
	if err == nil && !ownLine {
		err = e.putStatusLine(statusLineFor(o.Binary), "--settings")
	}
	if err != nil {
		return "", nil, fmt.Errorf("--settings: %w", err)
	}
	return doc.line(), rest, nil
}

// takeSettings finds the value of the last --settings and returns args without
// any. What follows -- are no flags.
func takeSettings(args []string) (given string, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		value, with := strings.CutPrefix(args[i], "--settings=")
		switch {
		case args[i] == "--":
			return given, append(rest, args[i:]...), nil
		case with:
			given = value
		case args[i] == "--settings" && i+1 < len(args):
			i++
			given = args[i]
		case args[i] == "--settings":
			return "", nil, errors.New("--settings wants a file or JSON")
		default:
			rest = append(rest, args[i])
		}
	}
	return given, rest, nil
}

// SameProgram returns the name under which to enter the program that runs at
// executable: found, which the path gave, as long as it is the same file, else
// executable. A name that is a link, as package managers make, survives an
// update; what it points to may not.
func SameProgram(found, executable string) string {
	if found == "" {
		return executable
	}
	found, err := filepath.Abs(found)
	if err != nil {
		return executable
	}
	a, err := os.Stat(found)
	if err != nil {
		return executable
	}
	b, err := os.Stat(executable)
	if err != nil || !os.SameFile(a, b) {
		return executable
	}
	return found
}

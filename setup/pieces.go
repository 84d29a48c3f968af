package setup

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// editor puts our pieces into a document and takes them out, and keeps account
// of what it did.
type editor struct {
	doc *document
	// before is what the file was before us; nil where that is not known.
	before *document
	// programs are the paths under which our binary was or is entered.
	programs []string

	marks []string
	notes []string
}

func (e *editor) mark(sign, what string) {
	if mark := sign + " " + what; !slices.Contains(e.marks, mark) {
		e.marks = append(e.marks, mark)
	}
}

// had tells whether there was something at path before us.
func (e *editor) had(path ...string) bool {
	return e.before != nil && e.before.raw(path...) != nil
}

// program tells whether a command is our binary.
func (e *editor) program(command string) bool {
	base := command[strings.LastIndexAny(command, `/\`)+1:]
	return slices.Contains(e.programs, command) || strings.TrimSuffix(base, ".exe") == "claudemesh"
}

// shape decodes a value as encoding/json would decode what it is encoded to.
func shape(v any) any {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var out any
	if json.Unmarshal(data, &out) != nil {
		return nil
	}
	return out
}

// drop takes the objects and lists at path, and above it, that are empty now
// and were not there before us.
func (e *editor) drop(path ...string) error {
	for n := len(path); n > 0; n-- {
		if e.doc.size(path[:n]) != 0 || e.had(path[:n]...) {
			return nil
		}
		if err := e.doc.remove(path[:n]); err != nil {
			return err
		}
	}
	return nil
}

// The words for our pieces, in the plan that the user is shown.
const (
	wordServer     = `server "claudemesh"`
	wordHooks      = "hooks"
	wordReadOnly   = "read-only tools allowed"
	wordAnswers    = "reply and decline allowed"
	wordStatusLine = "status line"
	wordSkill      = "skill"
)

// putServer enters the server. Where it is entered already, what somebody
// added to it (an environment, a time limit) stays.
func (e *editor) putServer(want server) error {
	path := []string{"mcpServers", serverName}
	have, there := e.doc.get(path...)
	fields, isObject := have.(map[string]any)
	if !isObject {
		sign := "+"
		if there {
			sign = "~"
		}
		e.mark(sign, wordServer)
		return e.doc.set(path, want)
	}
	for _, f := range []struct {
		name  string
		value any
	}{{"type", want.Type}, {"command", want.Command}, {"args", want.Args}} {
		have := fields[f.name]
		if list, ok := have.([]any); ok && f.name == "args" && len(list) > 0 && list[0] == want.Args[0] {
			continue // with flags that somebody added
		}
		if reflect.DeepEqual(have, shape(f.value)) || f.name == "type" && have == nil {
			continue // without a type it is stdio
		}
		e.mark("~", wordServer)
		if err := e.doc.set(append(slices.Clone(path), f.name), f.value); err != nil {
			return err
		}
	}
	return nil
}

// takeServer takes the server out, or puts back the one that was there before
// us.
func (e *editor) takeServer() error {
	path := []string{"mcpServers", serverName}
	have, there := e.doc.get(path...)
	if !there {
		return nil
	}
	fields, _ := have.(map[string]any)
	command, _ := fields["command"].(string)
	if !e.program(command) {
		e.notes = append(e.notes, `the server "claudemesh" starts another program; it was left`)
		return nil
	}
	return e.restore(path, have, wordServer)
}

// restore takes the value at path out, or makes it what it was before us.
func (e *editor) restore(path []string, have any, word string) error {
	if e.had(path...) {
		old, _ := e.before.get(path...)
		if reflect.DeepEqual(old, have) {
			return nil
		}
		e.mark("-", word)
		v, err := e.before.lookup(path)
		if err != nil {
			return err
		}
		kept := v.Clone()
		kept.Standardize()
		kept.Minimize()
		return e.doc.set(path, json.RawMessage(kept.Pack()))
	}
	e.mark("-", word)
	if err := e.doc.remove(path); err != nil {
		return err
	}
	return e.drop(path[:len(path)-1]...)
}

// putStatusLine enters the status line, if there is no other one.
func (e *editor) putStatusLine(want statusLine, path string) error {
	have, there := e.doc.get("statusLine")
	switch {
	case !there:
		e.mark("+", wordStatusLine)
	case !e.ownStatusLine(have):
		e.notes = append(e.notes, "your own status line stays in "+path)
		return nil
	case reflect.DeepEqual(have, shape(want)):
		return nil
	default:
		e.mark("~", wordStatusLine)
	}
	return e.doc.set([]string{"statusLine"}, want)
}

func (e *editor) takeStatusLine() error {
	have, there := e.doc.get("statusLine")
	if !there || !e.ownStatusLine(have) {
		return nil
	}
	return e.restore([]string{"statusLine"}, have, wordStatusLine)
}

func (e *editor) ownStatusLine(value any) bool {
	fields, _ := value.(map[string]any)
	command, _ := fields["command"].(string)
	program, ok := strings.CutSuffix(command, " statusline")
	if !ok {
		return false
	}
	if slices.ContainsFunc(e.programs, func(p string) bool { return shellWord(p) == program }) {
		return true
	}
	return e.program(strings.ReplaceAll(strings.Trim(program, `'"`), `'\''`, "'"))
}

// putRules allows tools, each by a rule of its own.
func (e *editor) putRules(rules []string, word string) error {
	path := []string{"permissions", "allow"}
	have, _ := e.doc.list(path...)
	for _, rule := range rules {
		if slices.Contains(have, any(rule)) {
			continue
		}
		e.mark("+", word)
		if err := e.doc.add(path, rule); err != nil {
			return err
		}
	}
	return nil
}

// takeRules takes rules out that were not there before us.
func (e *editor) takeRules(rules []string, word string) error {
	path := []string{"permissions", "allow"}
	var old []any
	if e.before != nil {
		old, _ = e.before.list(path...)
	}
	have, _ := e.doc.list(path...)
	for i := len(have) - 1; i >= 0; i-- {
		rule, _ := have[i].(string)
		if !slices.Contains(rules, rule) || slices.Contains(old, any(rule)) {
			continue
		}
		e.mark("-", word)
		if err := e.doc.removeElement(path, i); err != nil {
			return err
		}
	}
	return e.drop(path...)
}

// hasRules tells whether any of the rules is there.
func (e *editor) hasRules(rules []string) bool {
	have, _ := e.doc.list("permissions", "allow")
	return slices.ContainsFunc(rules, func(rule string) bool { return slices.Contains(have, any(rule)) })
}

// ownHook tells whether a hook runs our binary.
func (e *editor) ownHook(value any) bool {
	fields, _ := value.(map[string]any)
	command, _ := fields["command"].(string)
	args, _ := fields["args"].([]any)
	return len(args) == 2 && args[0] == "hook" && e.program(command)
}

// ownHooks says which hooks of a group are ours, and whether all are.
func (e *editor) ownHooks(group any) (ours []int, all bool) {
	fields, _ := group.(map[string]any)
	hooks, _ := fields["hooks"].([]any)
	for i, h := range hooks {
		if e.ownHook(h) {
			ours = append(ours, i)
		}
	}
	return ours, len(hooks) > 0 && len(ours) == len(hooks)
}

// hasHooks tells whether any hook is ours.
func (e *editor) hasHooks() bool {
	for _, event := range e.doc.names("hooks") {
		groups, _ := e.doc.list("hooks", event)
		for _, g := range groups {
			if ours, _ := e.ownHooks(g); len(ours) > 0 {
				return true
			}
		}
	}
	return false
}

// putHooks enters our hooks: a group of our own at each event, in the place of
// an earlier one of ours. What we had at other events goes.
func (e *editor) putHooks(binary string, waiter bool) error {
	sign := "+"
	if e.hasHooks() {
		sign = "~"
	}
	for _, event := range e.doc.names("hooks") {
		if !slices.Contains(hookEvents, event) {
			if err := e.takeEvent(event, -1, "~"); err != nil {
				return err
			}
		}
	}
	for _, event := range hookEvents {
		want := hooksFor(event, binary, waiter)
		path := []string{"hooks", event}
		groups, _ := e.doc.list(path...)
		own := slices.IndexFunc(groups, func(g any) bool { _, all := e.ownHooks(g); return all })
		if own >= 0 && !reflect.DeepEqual(groups[own], shape(want)) {
			e.mark(sign, wordHooks)
			if err := e.doc.change(path, own, want); err != nil {
				return err
			}
		}
		if err := e.takeEvent(event, own, sign); err != nil {
			return err
		}
		if own < 0 {
			e.mark(sign, wordHooks)
			if err := e.doc.add(path, want); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeHooks takes our hooks out, at whatever event they are.
func (e *editor) takeHooks() error {
	for _, event := range e.doc.names("hooks") {
		if err := e.takeEvent(event, -1, "-"); err != nil {
			return err
		}
	}
	return e.drop("hooks")
}

// takeEvent takes our hooks at one event out, but for the group keep (-1 for
// none) and what was there before us.
func (e *editor) takeEvent(event string, keep int, sign string) error {
	path := []string{"hooks", event}
	var old []any
	if e.before != nil {
		old, _ = e.before.list(path...)
	}
	groups, _ := e.doc.list(path...)
	for i := len(groups) - 1; i >= 0; i-- {
		ours, all := e.ownHooks(groups[i])
		wasThere := slices.ContainsFunc(old, func(g any) bool { return reflect.DeepEqual(g, groups[i]) })
		if i == keep || len(ours) == 0 || wasThere && sign == "-" {
			continue
		}
		e.mark(sign, wordHooks)
		if all {
			if err := e.doc.removeElement(path, i); err != nil {
				return err
			}
			continue
		}
		inner := append(slices.Clone(path), strconv.Itoa(i), "hooks")
		for j := len(ours) - 1; j >= 0; j-- {
			if err := e.doc.removeElement(inner, ours[j]); err != nil {
				return err
			}
		}
	}
	if keep >= 0 {
		return nil
	}
	return e.drop(path...)
}

// rules names tools as the client's permission rules do.
func rules(tools []string, plugin bool) []string {
	prefix := "mcp__" + serverName + "__"
	if plugin {
		prefix = "mcp__plugin_" + pluginName + "_" + serverName + "__"
	}
	out := make([]string, len(tools))
	for i, tool := range tools {
		out[i] = prefix + tool
	}
	return out
}

// pluginEnabled returns the name under which our plugin is switched on, "" for
// none.
func (e *editor) pluginEnabled() string {
	for _, name := range e.doc.names("enabledPlugins") {
		on, _ := e.doc.get("enabledPlugins", name)
		if strings.HasPrefix(name, pluginName+"@") && on == true {
			return name
		}
	}
	return ""
}

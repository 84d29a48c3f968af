package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// tries bounds how often [Install] and [Uninstall] plan anew when another
// program writes the files meanwhile.
const tries = 5

// Install plans and applies, and returns the plan that was applied. What
// [PlanInstall] said before remains true, unless another program changed the
// files meanwhile.
func Install(ctx context.Context, o Options) (*Plan, error) {
	if _, err := PlanInstall(o); err != nil {
		return nil, err // before a mesh is made beside files that cannot be read
	}
	if o.LocalScope != nil {
		if err := o.LocalScope(ctx); err != nil {
			return nil, err
		}
	}
	return apply(ctx, o, PlanInstall)
}

// Uninstall plans and applies, and returns the plan that was applied.
func Uninstall(ctx context.Context, o Options) (*Plan, error) {
	return apply(ctx, o, PlanUninstall)
}

func apply(ctx context.Context, o Options, plan func(Options) (*Plan, error)) (*Plan, error) {
	for range tries {
		p, err := plan(o)
		if err != nil {
			return nil, err
		}
		if err := p.Apply(ctx); !errors.Is(err, ErrChanged) {
			return p, err
		}
	}
	return nil, fmt.Errorf("%w, again and again; close it and try again", ErrChanged)
}

// PlanInstall says what has to change so that Claude Code's sessions start the
// server, run the hooks, and so on. It changes nothing. A file that cannot be
// edited is a [FileError].
func PlanInstall(o Options) (*Plan, error) {
	p, where, err := o.begin()
	if err != nil {
		return nil, err
	}
	p.installing = true
	settings, plugin, err := p.installSettings(o, where)
	if err != nil {
		return nil, err
	}
	servers, err := p.json(where.servers, o, func(e *editor) error {
		if plugin != "" {
			return e.takeServer()
		}
		return e.putServer(serverFor(o.Binary))
	})
	if err != nil {
		return nil, err
	}
	skill, err := p.installSkill(where.skill, plugin != "")
	if err != nil {
		return nil, err
	}
	p.keep(servers, settings, skill)
	if plugin != "" {
		p.Notes = append(p.Notes, "the plugin "+plugin+" brings server, hooks and skill; what it cannot bring is set up")
	}
	if o.Project != "" && servers != nil {
		p.Notes = append(p.Notes, "Claude Code asks everybody once whether to start the servers of a project")
	}
	if o.Project != "" && filepath.IsAbs(o.Binary) {
		p.Notes = append(p.Notes, "these files name "+o.Binary+", which is a path of this machine: do not share them, or put claudemesh on the path")
	}
	return p, nil
}

// begin reads the record and says where the files are.
func (o Options) begin() (*Plan, paths, error) {
	if err := o.check(); err != nil {
		return nil, paths{}, err
	}
	where, err := o.claudePaths()
	if err != nil {
		return nil, paths{}, err
	}
	r, err := openRecord(o.Dir)
	if err != nil {
		return nil, paths{}, err
	}
	p := &Plan{record: r, disk: realDisk()}
	if where.locked {
		p.locks = []string{where.servers}
	}
	return p, where, nil
}

// keep takes those changes that change something.
func (p *Plan) keep(changes ...*Change) {
	for _, c := range changes {
		if c != nil {
			p.Changes = append(p.Changes, *c)
		}
	}
}

func (p *Plan) installSettings(o Options, where paths) (*Change, string, error) {
	plugin := ""
	c, err := p.json(where.settings, o, func(e *editor) error {
		plugin = e.pluginEnabled()
		p.First = !e.hasHooks() && !e.hasRules(rules(readOnlyTools, plugin != ""))
		if !e.doc.strict() {
			p.Notes = append(p.Notes, where.settings+" holds comments or trailing commas; Claude Code reads nothing of such a file until they are gone")
		}
		if off, _ := e.doc.get("disableAllHooks"); off == true {
			p.Notes = append(p.Notes, "hooks are switched off in "+where.settings+" (disableAllHooks): a session hears of messages only when it calls a tool")
		}
		var err error
		if plugin != "" {
			err = e.takeHooks()
		} else {
			err = e.putHooks(o.Binary, true)
		}
		if err != nil {
			return err
		}
		if err := e.putRules(rules(readOnlyTools, plugin != ""), wordReadOnly); err != nil {
			return err
		}
		answers := rules(answerTools, plugin != "")
		switch o.Answers {
		case AnswersAllow:
			err = e.putRules(answers, wordAnswers)
		case AnswersAsk:
			err = e.takeRules(answers, wordAnswers)
		case AnswersKeep:
		}
		if err != nil || o.Project != "" {
			// In a project the line would take the place of everybody's own.
			return err
		}
		return e.putStatusLine(statusLineFor(o.Binary), where.settings)
	})
	return c, plugin, err
}

// installSkill writes the skill, which is a file of our own. One that somebody
// else wrote or changed stays.
func (p *Plan) installSkill(path string, plugin bool) (*Change, error) {
	f, err := readFile(path)
	if err != nil {
		return nil, err
	}
	old := p.record.of(path)
	c := &Change{Path: path, Marks: []string{"+ " + wordSkill}, file: f, after: skill, mode: 0o644,
		entry: entry{Path: path, After: hash(skill)}}
	switch {
	case plugin, f.exists && bytes.Equal(f.data, skill):
		return nil, nil
	case !f.exists:
		return c, nil
	case old == nil || hash(f.data) != old.After:
		p.Notes = append(p.Notes, path+" is not as we wrote it; it was left")
		return nil, nil
	}
	c.Marks[0] = "~ " + wordSkill
	c.entry.Existed, c.entry.before, c.entry.Folders = old.Existed, old.before, old.Folders
	return c, nil
}

// editing opens a JSON file and what it was before us.
func (p *Plan) editing(path string, o Options) (file, *editor, error) {
	f, err := readFile(path)
	if err != nil {
		return f, nil, err
	}
	e := &editor{programs: append(p.record.programs(), o.Binary)}
	if e.doc, err = parseDocument(f.data); err != nil {
		return f, nil, &FileError{path, err.Error(), err}
	}
	if old := p.record.of(path); old != nil {
		if e.before, err = parseDocument(old.before); err != nil {
			return f, nil, fmt.Errorf("what %s was before: %w", path, err)
		}
	}
	return f, e, nil
}

// json plans an edit of a JSON file; nil where it changes nothing.
func (p *Plan) json(path string, o Options, edit func(*editor) error) (*Change, error) {
	f, e, err := p.editing(path, o)
	if err != nil {
		return nil, err
	}
	strict := e.doc.strict()
	if err := edit(e); err != nil {
		var wrong *wrongTypeError
		if errors.As(err, &wrong) {
			return nil, &FileError{path, err.Error() + ", so Claude Code would not read it either", err}
		}
		return nil, &FileError{path, err.Error(), err}
	}
	p.Notes = append(p.Notes, e.notes...)
	after := e.doc.bytes()
	if len(e.marks) == 0 || bytes.Equal(after, f.data) {
		return nil, nil
	}
	if strict && !e.doc.strict() {
		return nil, fmt.Errorf("edit of %s: it would no longer be strict JSON", path) // cannot be
	}
	mode := fileMode(path)
	c := &Change{Path: path, Marks: e.marks, file: f, after: after, mode: mode,
		entry: entry{Path: path, After: hash(after), Programs: programsOf(p.record.of(path), o.Binary)}}
	return c, p.remember(c, o)
}

// fileMode is the mode, before the umask, of a file that we make: the client
// keeps secrets in its state.
func fileMode(path string) fs.FileMode {
	switch filepath.Base(path) {
	case ".claude.json", ".config.json":
		return 0o600
	}
	return 0o644
}

// programsOf adds a program to those that an entry knows.
func programsOf(old *entry, binary string) []string {
	if old == nil {
		return []string{binary}
	}
	all := append(slices.Clone(old.Programs), binary)
	slices.Sort(all)
	return slices.Compact(all)
}

// remember says in a change's entry what the file was before us: what the
// record says while the file is as we left it, else what it is now without our
// pieces.
func (p *Plan) remember(c *Change, o Options) error {
	old := p.record.of(c.Path)
	if old != nil {
		c.entry.Folders = old.Folders
	}
	switch {
	case old == nil || !c.file.exists:
		c.entry.Existed, c.entry.before = c.file.exists, c.file.data
	case hash(c.file.data) == old.After:
		c.entry.Existed, c.entry.before = old.Existed, old.before
	default:
		_, e, err := p.editing(c.Path, o)
		if err != nil {
			return err
		}
		if err := e.takeAll(); err != nil {
			return err
		}
		c.entry.before = e.doc.bytes()
		c.entry.Existed = old.Existed || e.doc.size(nil) > 0
	}
	if !c.entry.Existed {
		c.entry.before = nil
	}
	return nil
}

// takeAll takes all of our pieces out.
func (e *editor) takeAll() error {
	both := func(tools []string) []string { return append(rules(tools, false), rules(tools, true)...) }
	return errors.Join(
		e.takeServer(),
		e.takeHooks(),
		e.takeRules(both(append(slices.Clone(readOnlyTools), answerTools...)), "permissions"),
		e.takeStatusLine(),
	)
}

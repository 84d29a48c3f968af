package setup

import (
	"bytes"
	"slices"
)

// PlanUninstall says what has to change so that nothing of ours is left in
// Claude Code's files. It changes nothing.
func PlanUninstall(o Options) (*Plan, error) {
	p, where, err := o.begin()
	if err != nil {
		return nil, err
	}
	servers, err := p.restoreJSON(where.servers, o)
	if err != nil {
		return nil, err
	}
	settings, err := p.restoreJSON(where.settings, o)
	if err != nil {
		return nil, err
	}
	skill, err := p.removeSkill(where.skill)
	if err != nil {
		return nil, err
	}
	p.keep(servers, settings, skill)
	p.forget = []string{where.servers, where.settings, where.skill}
	for _, e := range p.record.Files {
		if !slices.Contains(p.forget, e.Path) {
			p.Notes = append(p.Notes, "still set up in "+e.Path)
		}
	}
	return p, nil
}

// restoreJSON plans to make a JSON file what it was; nil where it is so.
func (p *Plan) restoreJSON(path string, o Options) (*Change, error) {
	f, e, err := p.editing(path, o)
	if err != nil || !f.exists {
		return nil, err
	}
	if err := e.takeAll(); err != nil {
		return nil, &FileError{path, err.Error(), err}
	}
	c := &Change{Path: path, Marks: e.marks, file: f, after: e.doc.bytes()}
	old := p.record.of(path)
	switch {
	case old != nil && hash(f.data) == old.After:
		c.Restored, c.Remove, c.after = true, !old.Existed, old.before
	case len(e.marks) == 0:
		p.Notes = append(p.Notes, e.notes...)
		return nil, nil
	case old != nil && !old.Existed && e.doc.size(nil) == 0:
		c.Remove, c.after = true, nil
	}
	p.Notes = append(p.Notes, e.notes...)
	if !c.Remove && bytes.Equal(c.after, f.data) {
		return nil, nil
	}
	return c, nil
}

// removeSkill plans to remove the skill, unless somebody changed it.
func (p *Plan) removeSkill(path string) (*Change, error) {
	f, err := readFile(path)
	if err != nil || !f.exists {
		return nil, err
	}
	old := p.record.of(path)
	c := &Change{Path: path, Marks: []string{"- " + wordSkill}, Remove: true, file: f}
	switch {
	case old != nil && hash(f.data) == old.After:
		c.Restored, c.Remove, c.after = true, !old.Existed, old.before
	case old == nil && bytes.Equal(f.data, skill):
	default:
		p.Notes = append(p.Notes, path+" is not as we wrote it; it was left")
		return nil, nil
	}
	return c, nil
}

package setup

import (
	"bytes"

	"github.com/tailscale/hujson"
)

// container is an object or a list with the places of its parts in the text.
type container struct {
	open, close int    // of the brackets
	items       []span // members from their name on, or elements
}

type span struct{ start, end int }

func contain(v *hujson.Value) container {
	c := container{open: v.StartOffset, close: v.EndOffset - 1}
	switch parts := v.Value.(type) {
	case *hujson.Object:
		for _, m := range parts.Members {
			c.items = append(c.items, span{m.Name.StartOffset, m.Value.EndOffset})
		}
	case *hujson.Array:
		for _, e := range parts.Elements {
			c.items = append(c.items, span{e.StartOffset, e.EndOffset})
		}
	}
	return c
}

// gap is what lies between two parts: blanks, comments, perhaps a comma.
type gap struct {
	span
	comma int  // offset of the comma, -1 for none
	blank int  // where the blanks at the gap's end begin
	line  bool // a line comment ends right before blank
}

// gap reads text[start:end], which holds nothing but blanks, comments and a
// comma.
func (d *document) gap(start, end int) gap {
	g := gap{span: span{start, end}, comma: -1, blank: start}
	for i := start; i < end; {
		rest := d.text[i:end]
		switch {
		case bytes.HasPrefix(rest, []byte("//")):
			i = end
			if n := bytes.IndexByte(rest, '\n'); n >= 0 {
				i = end - len(rest) + n
				if rest[n-1] == '\r' {
					i--
				}
			}
			g.blank, g.line = i, true
		case bytes.HasPrefix(rest, []byte("/*")):
			i += 2 + bytes.Index(rest[2:], []byte("*/")) + 2
			g.blank, g.line = i, false
		case rest[0] == ',':
			g.comma = i
			i++
			g.blank, g.line = i, false
		default:
			i++
		}
	}
	return g
}

// hasLine tells whether there is a line end in text[start:end].
func (d *document) hasLine(start, end int) bool {
	return bytes.IndexByte(d.text[start:end], '\n') >= 0
}

// indentAt returns the blanks at the beginning of the line in which offset
// lies.
func (d *document) indentAt(offset int) string {
	line := bytes.LastIndexByte(d.text[:offset], '\n') + 1
	rest := d.text[line:]
	return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))])
}

// replace puts value in the place of v.
func (d *document) replace(v *hujson.Value, value any) error {
	lines := d.style.lines && (d.hasLine(v.StartOffset, v.EndOffset) || d.ownLine(v.StartOffset))
	text, err := d.style.render(value, d.indentAt(v.StartOffset), lines)
	if err != nil {
		return err
	}
	return d.apply(splice{v.StartOffset, v.EndOffset, text})
}

// ownLine tells whether the value at offset begins its line, or follows there
// only its name.
func (d *document) ownLine(offset int) bool {
	line := bytes.LastIndexByte(d.text[:offset], '\n') + 1
	before := bytes.TrimLeft(d.text[line:offset], " \t")
	return line > 0 && !bytes.ContainsAny(before, "{[,")
}

// insert adds a part at the end of an object (with its name) or list.
func (d *document) insert(v *hujson.Value, name string, value any) error {
	c := contain(v)
	if len(c.items) == 0 {
		return d.insertFirst(c, name, value)
	}
	last := c.items[len(c.items)-1]
	before := c.open + 1
	if len(c.items) > 1 {
		before = c.items[len(c.items)-2].end
	}
	g := d.gap(last.end, c.close)
	var changes []splice
	comma := ""
	if g.comma < 0 {
		changes = append(changes, splice{last.end, last.end, []byte(",")})
	} else {
		comma = ","
	}
	lines := d.hasLine(before, last.start)
	indent := ""
	lead := " "
	switch {
	case lines:
		indent = d.indentAt(last.start)
		lead = d.style.eol + indent
	case g.line:
		lead = d.style.eol
	case !d.style.spaced:
		lead = ""
	}
	text, err := d.part(name, value, indent, lines)
	if err != nil {
		return err
	}
	return d.apply(append(changes, splice{g.blank, g.blank, []byte(lead + text + comma)})...)
}

// insertFirst adds the first part of an empty object or list.
func (d *document) insertFirst(c container, name string, value any) error {
	g := d.gap(c.open+1, c.close)
	if !d.style.lines {
		text, err := d.part(name, value, "", false)
		if err != nil {
			return err
		}
		if g.line {
			text = d.style.eol + text
		}
		return d.apply(splice{g.blank, g.blank, []byte(text)})
	}
	outer := d.indentAt(c.open)
	text, err := d.part(name, value, outer+d.style.unit, true)
	if err != nil {
		return err
	}
	text = d.style.eol + outer + d.style.unit + text
	if d.hasLine(g.blank, c.close) {
		return d.apply(splice{g.blank, g.blank, []byte(text)})
	}
	return d.apply(splice{g.blank, c.close, []byte(text + d.style.eol + outer)})
}

// part writes a value with its name, if it has one.
func (d *document) part(name string, value any, indent string, lines bool) (string, error) {
	text, err := d.style.render(value, indent, lines)
	if err != nil || name == "" {
		return string(text), err
	}
	key, err := d.style.render(name, "", false)
	if err != nil {
		return "", err
	}
	colon := ": "
	if !lines && !d.style.spaced {
		colon = ":"
	}
	return string(key) + colon + string(text), nil
}

// cut takes part i out of an object or list, with its comma and the blanks
// before it. Comments stay.
func (d *document) cut(v *hujson.Value, i int) error {
	c := contain(v)
	item := c.items[i]
	start, end := c.open+1, c.close
	if i > 0 {
		start = c.items[i-1].end
	}
	if i+1 < len(c.items) {
		end = c.items[i+1].start
	}
	before, after := d.gap(start, item.start), d.gap(item.end, end)
	from, to := before.blank, item.end
	if before.line && !d.beginsWithLine(item.end, after) {
		from = item.start // the line comment's end is still needed
	}
	if len(c.items) == 1 && after.comma < 0 && len(bytes.TrimSpace(d.text[start:item.start])) == 0 &&
		len(bytes.TrimSpace(d.text[item.end:end])) == 0 {
		return d.apply(splice{start, end, nil}) // nothing else is inside
	}
	switch {
	case after.comma >= 0:
		if from == item.start && i == 0 && !d.hasLine(after.comma, end) {
			// The first of several in one line: the blank behind the comma goes
			// instead of the one before the name.
			return d.apply(splice{from, to, nil}, splice{after.comma, d.skipBlank(after.comma + 1), nil})
		}
		return d.apply(splice{from, to, nil}, splice{after.comma, after.comma + 1, nil})
	case before.comma >= 0:
		return d.apply(splice{before.comma, before.comma + 1, nil}, splice{from, to, nil})
	}
	return d.apply(splice{from, to, nil})
}

// skipBlank returns the first offset from at that is no blank.
func (d *document) skipBlank(at int) int {
	for at < len(d.text) && (d.text[at] == ' ' || d.text[at] == '\t') {
		at++
	}
	return at
}

// beginsWithLine tells whether what follows at, but for a comma, begins a new
// line.
func (d *document) beginsWithLine(at int, g gap) bool {
	if g.comma == at {
		at++
	}
	at = d.skipBlank(at)
	return at < len(d.text) && (d.text[at] == '\n' || d.text[at] == '\r')
}

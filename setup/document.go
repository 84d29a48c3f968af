package setup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// byteOrderMark may stand before JSON that some editors wrote.
var byteOrderMark = []byte("\xef\xbb\xbf")

// document is a JSON text with edits that keep all bytes around them. It takes
// comments and trailing commas, too. Each edit is a splice of the text, parsed
// again afterwards, so that offsets are always those of the present text.
type document struct {
	bom   []byte
	text  []byte
	root  hujson.Value
	style style
}

// errNotText says that a file is no UTF-8.
var errNotText = errors.New("is not UTF-8 text")

// parseDocument reads data. Blank data is an empty object, as the clients take
// it.
func parseDocument(data []byte) (*document, error) {
	d := &document{}
	if rest, ok := bytes.CutPrefix(data, byteOrderMark); ok {
		d.bom, data = byteOrderMark, rest
	}
	if !utf8.Valid(data) {
		return nil, errNotText
	}
	d.style = styleOf(data)
	if len(bytes.TrimSpace(data)) == 0 {
		data = slices.Concat([]byte("{}"), []byte(d.style.eol))
	}
	if err := d.become(slices.Clone(data)); err != nil {
		return nil, fmt.Errorf("is no valid JSON: %w", err)
	}
	if _, ok := d.root.Value.(*hujson.Object); !ok {
		return nil, errors.New("holds no JSON object")
	}
	return d, nil
}

// become replaces the text.
func (d *document) become(text []byte) error {
	root, err := hujson.Parse(text)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "hujson: ")) // it says line and column
	}
	d.text, d.root = text, root
	return nil
}

// bytes returns the whole text.
func (d *document) bytes() []byte { return slices.Concat(d.bom, d.text) }

// strict tells whether the text is JSON as the standard has it, without
// comments and trailing commas.
func (d *document) strict() bool { return d.root.IsStandard() }

// splice is one change: text[start:end] becomes with.
type splice struct {
	start, end int
	with       []byte
}

// apply makes changes, which must not overlap.
func (d *document) apply(changes ...splice) error {
	slices.SortStableFunc(changes, func(a, b splice) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, c := range changes {
		out = append(append(out, d.text[at:c.start]...), c.with...)
		at = c.end
	}
	out = append(out, d.text[at:]...)
	if err := d.become(out); err != nil {
		return fmt.Errorf("an edit would have broken it: %w", err)
	}
	return nil
}

// wrongTypeError says that something other than an object or a list stands
// where one belongs.
type wrongTypeError struct {
	path []string
	want string
}

func (e *wrongTypeError) Error() string {
	return fmt.Sprintf("has no %s in %q", e.want, joinPath(e.path))
}

func joinPath(path []string) string {
	var b bytes.Buffer
	for i, name := range path {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(name)
	}
	return b.String()
}

// member finds the member of an object by its name: the last one where a name
// stands several times, as JavaScript takes it. -1 for none.
func member(o *hujson.Object, name string) int {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if literal, ok := o.Members[i].Name.Value.(hujson.Literal); ok && literal.String() == name {
			return i
		}
	}
	return -1
}

// lookup walks through objects, and by number through lists, and returns the
// value at path; nil where it does not exist, an error where something else is
// on the way.
func (d *document) lookup(path []string) (*hujson.Value, error) {
	v := &d.root
	for i, name := range path {
		if list, ok := v.Value.(*hujson.Array); ok {
			if at, err := strconv.Atoi(name); err == nil && at >= 0 && at < len(list.Elements) {
				v = &list.Elements[at]
				continue
			}
		}
		o, ok := v.Value.(*hujson.Object)
		if !ok {
			return nil, &wrongTypeError{path[:i], "object"}
		}
		at := member(o, name)
		if at < 0 {
			return nil, nil
		}
		v = &o.Members[at].Value
	}
	return v, nil
}

// get returns the value at path as encoding/json decodes it, and whether there
// is one.
func (d *document) get(path ...string) (any, bool) {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return nil, false
	}
	return decode(*v), true
}

// decode gives a value as encoding/json does.
func decode(v hujson.Value) any {
	v = v.Clone()
	v.Standardize()
	var out any
	if json.Unmarshal(v.Pack(), &out) != nil {
		return nil // cannot be: it was parsed
	}
	return out
}

// raw returns the value at path as it is written; nil where there is none.
func (d *document) raw(path ...string) []byte {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return nil
	}
	return d.text[v.StartOffset:v.EndOffset]
}

// list returns the values of the list at path, and whether there is a list.
func (d *document) list(path ...string) ([]any, bool) {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return nil, false
	}
	a, ok := v.Value.(*hujson.Array)
	if !ok {
		return nil, false
	}
	out := make([]any, len(a.Elements))
	for i := range a.Elements {
		out[i] = decode(a.Elements[i])
	}
	return out, true
}

// set puts value at path, in the place of what is there, or as the last member
// of its object. Objects that are missing on the way are made.
func (d *document) set(path []string, value any) error {
	v, err := d.lookup(path)
	if err != nil {
		return err
	}
	if v != nil {
		return d.replace(v, value)
	}
	for i := range path {
		parent, err := d.lookup(path[:i])
		if err != nil {
			return err
		}
		if _, ok := parent.Value.(*hujson.Object); !ok {
			return &wrongTypeError{path[:i], "object"}
		}
		if next, err := d.lookup(path[:i+1]); err != nil || next != nil {
			continue // what is wrong with it shows in the next round
		}
		for j := len(path) - 1; j > i; j-- {
			value = map[string]any{path[j]: value}
		}
		return d.insert(parent, path[i], value)
	}
	return nil
}

// add puts value at the end of the list at path, which is made if it is
// missing.
func (d *document) add(path []string, value any) error {
	v, err := d.lookup(path)
	if err != nil {
		return err
	}
	if v == nil {
		return d.set(path, []any{value})
	}
	if _, ok := v.Value.(*hujson.Array); !ok {
		return &wrongTypeError{path, "list"}
	}
	return d.insert(v, "", value)
}

// change puts value in the place of element i of the list at path.
func (d *document) change(path []string, i int, value any) error {
	v, err := d.lookup(path)
	if err != nil {
		return err
	}
	return d.replace(&v.Value.(*hujson.Array).Elements[i], value)
}

// remove takes the member at path out of its object.
func (d *document) remove(path []string) error {
	parent, err := d.lookup(path[:len(path)-1])
	if err != nil || parent == nil {
		return err
	}
	o, ok := parent.Value.(*hujson.Object)
	if !ok {
		return &wrongTypeError{path[:len(path)-1], "object"}
	}
	if i := member(o, path[len(path)-1]); i >= 0 {
		return d.cut(parent, i)
	}
	return nil
}

// removeElement takes element i out of the list at path.
func (d *document) removeElement(path []string, i int) error {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return err
	}
	return d.cut(v, i)
}

// names lists the members of the object at path, each name once.
func (d *document) names(path ...string) []string {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return nil
	}
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil
	}
	var all []string
	for _, m := range o.Members {
		if literal, ok := m.Name.Value.(hujson.Literal); ok && !slices.Contains(all, literal.String()) {
			all = append(all, literal.String())
		}
	}
	return all
}

// size counts the members or elements of the value at path; -1 where there is
// no object or list.
func (d *document) size(path []string) int {
	v, err := d.lookup(path)
	if err != nil || v == nil {
		return -1
	}
	switch c := v.Value.(type) {
	case *hujson.Object:
		return len(c.Members)
	case *hujson.Array:
		return len(c.Elements)
	}
	return -1
}

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// field is one field of a JSON object, its value as it stood.
type field struct {
	name  string
	value json.RawMessage
}

// object is a JSON object under decoding or encoding, in the order of the
// file. Decoding takes fields out; what is left is what this program does not
// know, and goes back into the file as it was.
type object struct {
	fields []field
	err    error // the first that a take or put met
}

// parseObject splits an object into its fields. Each name may stand once.
func parseObject(data []byte) (*object, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("no JSON object"), err)
	}
	o := &object{}
	seen := make(map[string]bool)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string) // a key is always a string
		if seen[name] {
			return nil, fmt.Errorf("%q stands twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("%q: %w", name, err)
		}
		o.fields = append(o.fields, field{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("more than one JSON value")
	}
	return o, nil
}

// take removes a field and reads it into v. It leaves v where there is none.
func (o *object) take(name string, v any) {
	for i, f := range o.fields {
		if f.name != name {
			continue
		}
		o.fields = append(o.fields[:i:i], o.fields[i+1:]...)
		if err := json.Unmarshal(f.value, v); err != nil && o.err == nil {
			o.err = fmt.Errorf("%q: %w", name, err)
		}
		return
	}
}

// takeText removes a text field and gives it to parse, unless it is missing or
// empty. What parse objects to is told without the text, which may be secret.
func (o *object) takeText(name string, parse func(string) error) {
	var text string
	o.take(name, &text)
	if text == "" || o.err != nil {
		return
	}
	if err := parse(text); err != nil {
		o.err = fmt.Errorf("%q: %w", name, err)
	}
}

// takeList removes a list of objects and gives each to parse.
func (o *object) takeList(name string, parse func(*object) error) {
	var list []json.RawMessage
	o.take(name, &list)
	for i, raw := range list {
		if o.err != nil {
			return
		}
		child, err := parseObject(raw)
		if err == nil {
			err = parse(child)
		}
		if err == nil {
			err = child.err
		}
		if err != nil {
			o.err = fmt.Errorf("%s[%d]: %w", name, i, err)
		}
	}
}

// put appends a field.
func (o *object) put(name string, v any) {
	raw, err := marshal(v)
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("%q: %w", name, err)
	}
	o.fields = append(o.fields, field{name, raw})
}

// putUnless appends a field, unless it is left out for being empty.
func (o *object) putUnless(empty bool, name string, v any) {
	if !empty {
		o.put(name, v)
	}
}

// MarshalJSON writes the fields in order.
func (o *object) MarshalJSON() ([]byte, error) {
	if o.err != nil {
		return nil, o.err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o.fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := marshal(f.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is json.Marshal without its escapes for HTML, which would change what
// is only passed on.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

package signed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest, the outermost counted. [CM-1.11]
const MaxDepth = 16

// maxInteger is 2^53: integers are below it in size, so that every language holds
// them exactly. [CM-1.9]
const maxInteger = 1 << 53

// Decode reads one JSON value into v, strictly: names exactly as v's fields have
// them, none twice (nor twice but for case), none unknown, no null, no number but
// integers of size below 2^53, valid UTF-8 without lone surrogates, nothing after
// the value, and at most [MaxDepth] deep. A name may be missing: v's owner checks
// what it needs. On an error, which wraps [ErrForm], v may be partly written. [CM-3.7]
func Decode(data []byte, v any) error { return decode(data, v, false) }

// DecodeOpen is Decode for messages and plain frames: unknown names are allowed and
// ignored (unless they differ from a known one in case only), and a known name with
// null counts as missing. [CM-1.13]
func DecodeOpen(data []byte, v any) error { return decode(data, v, true) }

func decode(data []byte, v any, open bool) error {
	target := reflect.TypeOf(v)
	if target == nil || target.Kind() != reflect.Pointer {
		return fmt.Errorf("%w: decoding into %T, not a pointer", ErrForm, v)
	}
	if err := check(data, target.Elem(), open); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrForm, err)
	}
	return nil
}

// Encode writes v as JSON without HTML escapes and without a newline at the end. It
// refuses what no reader would take: numbers that are no integers or too large, and
// too deep nesting. A nil slice without omitempty becomes null, which [Decode]
// refuses. Strings must be valid UTF-8: others are changed silently.
func Encode(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("%w: encoding: %w", ErrForm, err)
	}
	data := bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
	if err := check(data, nil, true); err != nil {
		return nil, fmt.Errorf("encoding %T: %w", v, err)
	}
	return data, nil
}

// check scans data once against the rules of Decode. target is what the value is
// decoded into, nil where nothing is known about it. [CM-1.7]
func check(data []byte, target reflect.Type, open bool) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("%w: not UTF-8", ErrForm)
	}
	s := scanner{data: data, open: open}
	s.space()
	if err := s.value(target, 1); err != nil {
		return err
	}
	s.space()
	if s.pos != len(data) {
		return s.fail("data after the value")
	}
	return nil
}

// scanner walks over JSON text.
type scanner struct {
	data []byte
	pos  int
	open bool
}

// fail makes an error that says where, and nothing of the text.
func (s *scanner) fail(what string) error {
	return fmt.Errorf("%w: %s at byte %d", ErrForm, what, s.pos)
}

// peek is the next byte, or zero at the end; a zero byte is valid nowhere outside
// strings either.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// value scans one value at the given depth.
func (s *scanner) value(target reflect.Type, depth int) error {
	unknown := target == nil
	target, complaint := settle(target)
	if complaint != "" {
		return s.fail(complaint)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(target, depth)
	case c == '[':
		return s.array(target, depth)
	case c == '"':
		_, err := s.text(false)
		return err
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case s.word("true"), s.word("false"):
		return nil
	case s.word("null"):
		if s.open && unknown {
			return nil
		}
		return s.fail("null")
	}
	return s.fail("no value")
}

// word skips a literal.
func (s *scanner) word(literal string) bool {
	if len(s.data)-s.pos < len(literal) || string(s.data[s.pos:s.pos+len(literal)]) != literal {
		return false
	}
	s.pos += len(literal)
	return true
}

func (s *scanner) object(target reflect.Type, depth int) error {
	if depth > MaxDepth {
		return s.fail("nested too deep")
	}
	s.pos++ // {
	var seen names
	var fields lookUp
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			s.pos++
			return nil
		}
		if s.peek() != '"' {
			return s.fail("no name")
		}
		name, err := s.text(true)
		if err != nil {
			return err
		}
		folded := fold(string(name))
		if !seen.add(folded) {
			return s.fail("a name twice")
		}
		s.space()
		if s.peek() != ':' {
			return s.fail("no colon")
		}
		s.pos++
		s.space()
		field, err := s.field(&fields, target, string(name), folded)
		if err != nil {
			return err
		}
		// In open form, null is as good as no name.
		if !s.open || !s.word("null") {
			if err := s.value(field, depth+1); err != nil {
				return err
			}
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case '}':
			s.pos++
			return nil
		default:
			return s.fail("no comma")
		}
	}
}

// names is a set of names, small in nearly all objects.
type names struct {
	few  []string
	many map[string]struct{}
}

// add tells whether the name was not there before. [CM-1.8]
func (n *names) add(name string) bool {
	const few = 24
	if n.many == nil {
		if slices.Contains(n.few, name) {
			return false
		}
		n.few = append(n.few, name)
		if len(n.few) > few { // a hostile object must not cost the square of its size
			n.many = make(map[string]struct{}, 2*few)
			for _, known := range n.few {
				n.many[known] = struct{}{}
			}
		}
		return true
	}
	if _, found := n.many[name]; found {
		return false
	}
	n.many[name] = struct{}{}
	return true
}

// field finds what a name of an object is decoded into: nil where that is unknown.
func (s *scanner) field(l *lookUp, target reflect.Type, name, folded string) (reflect.Type, error) {
	if target == nil {
		return nil, nil
	}
	if target.Kind() == reflect.Map {
		return target.Elem(), nil
	}
	if target.Kind() != reflect.Struct {
		return nil, nil // json.Unmarshal will say that the type is wrong
	}
	if found := l.exact(target, name); found != nil {
		return found, nil
	}
	if !s.open {
		return nil, s.fail("an unknown name")
	}
	if near(target, folded) {
		return nil, s.fail("a name in the wrong case")
	}
	return nil, nil
}

func (s *scanner) array(target reflect.Type, depth int) error {
	if depth > MaxDepth {
		return s.fail("nested too deep")
	}
	var element reflect.Type
	fixed := -1
	if target != nil && (target.Kind() == reflect.Slice || target.Kind() == reflect.Array) {
		element = target.Elem()
		if target.Kind() == reflect.Array {
			fixed = target.Len() // json.Unmarshal takes any number
		}
	}
	s.pos++ // [
	for count := 0; ; count++ {
		s.space()
		if s.peek() == ']' && count == 0 {
			s.pos++
			return s.counted(0, fixed)
		}
		if err := s.value(element, depth+1); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return s.counted(count+1, fixed)
		default:
			return s.fail("no comma")
		}
	}
}

// counted checks the number of elements where the type fixes it.
func (s *scanner) counted(count, fixed int) error {
	if fixed >= 0 && count != fixed {
		return s.fail("wrong number of elements")
	}
	return nil
}

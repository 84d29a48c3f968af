package signed

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may nest, the outermost counted.
const MaxDepth = 16

// maxInteger is 2^53: integers are below it in size, so that every language holds
// them exactly. [CM-1]
const maxInteger = 1 << 53

// Decode reads one JSON value into v, strictly: names exactly as v's fields have
// them, none twice (nor twice but for case), none unknown, no null, no number but
// integers of size below 2^53, valid UTF-8 without lone surrogates, nothing after
// the value, and at most [MaxDepth] deep. A name may be missing: v's owner checks
// what it needs. On an error, which wraps [ErrForm], v may be partly written. [CM-3]
func Decode(data []byte, v any) error { return decode(data, v, false) }

// DecodeOpen is Decode for messages and plain frames: unknown names are allowed and
// ignored (unless they differ from a known one in case only), and a known name with
// null counts as missing. [CM-1]
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
// decoded into, nil where nothing is known about it.
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
	target, plain := settle(target)
	if plain != "" {
		return s.fail(plain)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(target, depth)
	case c == '[':
		return s.array(target, depth)
	case c == '"':
		_, err := s.text()
		return err
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case s.word("true"), s.word("false"):
		return nil
	case s.word("null"):
		// Reached for known names only where null has no meaning; see object.
		if s.open && target == nil {
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
	seen := map[string]bool{}
	for first := true; ; first = false {
		s.space()
		if s.peek() == '}' && first {
			s.pos++
			return nil
		}
		if s.peek() != '"' {
			return s.fail("no name")
		}
		name, err := s.text()
		if err != nil {
			return err
		}
		folded := fold(name)
		if seen[folded] {
			return s.fail("a name twice")
		}
		seen[folded] = true
		s.space()
		if s.peek() != ':' {
			return s.fail("no colon")
		}
		s.pos++
		s.space()
		field, err := s.field(target, name, folded)
		if err != nil {
			return err
		}
		if s.open && s.word("null") {
			// A missing field, or one nobody knows.
		} else if err := s.value(field, depth+1); err != nil {
			return err
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

// field finds what a name of an object is decoded into: nil where that is unknown.
func (s *scanner) field(target reflect.Type, name, folded string) (reflect.Type, error) {
	if target == nil {
		return nil, nil
	}
	if target.Kind() == reflect.Map {
		return target.Elem(), nil
	}
	if target.Kind() != reflect.Struct {
		return nil, nil // json.Unmarshal will say that the type is wrong
	}
	found, near := lookUp(target, name, folded)
	switch {
	case found != nil:
		return found, nil
	case near:
		return nil, s.fail("a name in the wrong case")
	case !s.open:
		return nil, s.fail("an unknown name")
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

// number scans an integer in its one form: no fraction, no exponent, no -0.
func (s *scanner) number() error {
	negative := s.peek() == '-'
	if negative {
		s.pos++
	}
	start := s.pos
	var value uint64
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		value = value*10 + uint64(c-'0')
		s.pos++
		if value >= maxInteger {
			return s.fail("a number of 2^53 or more")
		}
	}
	switch digits := s.pos - start; {
	case digits == 0:
		return s.fail("no number")
	case s.data[start] == '0' && (digits > 1 || negative):
		return s.fail("a number with a leading or a negative zero")
	}
	switch s.peek() {
	case '.', 'e', 'E':
		return s.fail("a number that is no integer")
	}
	return nil
}

// text scans a string and gives what it means. data is known to be UTF-8.
func (s *scanner) text() (string, error) {
	s.pos++ // the quote
	start := s.pos
	for s.pos < len(s.data) { // without escapes, nothing has to be built
		switch c := s.data[s.pos]; {
		case c == '"':
			text := string(s.data[start:s.pos])
			s.pos++
			return text, nil
		case c < ' ':
			return "", s.fail("a control character in a string")
		case c == '\\':
			return s.escapedText(start)
		}
		s.pos++
	}
	return "", s.fail("a string without end")
}

// escapedText goes on after the first escape of a string that began at start.
func (s *scanner) escapedText(start int) (string, error) {
	text := append([]byte(nil), s.data[start:s.pos]...)
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		switch {
		case c == '"':
			return string(text), nil
		case c < ' ':
			return "", s.fail("a control character in a string")
		case c != '\\':
			text = append(text, c)
			continue
		}
		c = s.peek()
		s.pos++
		if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && c != 0 {
			text = append(text, "\"\\/\b\f\n\r\t"[i])
			continue
		}
		if c != 'u' {
			return "", s.fail("an unknown escape")
		}
		r, err := s.unicodeEscape()
		if err != nil {
			return "", err
		}
		text = utf8.AppendRune(text, r)
	}
	return "", s.fail("a string without end")
}

// unicodeEscape reads what follows \u, with the second half of a surrogate pair.
func (s *scanner) unicodeEscape() (rune, error) {
	r, err := s.hex4()
	if err != nil || !utf16.IsSurrogate(r) {
		return r, err
	}
	if s.word(`\u`) {
		low, err := s.hex4()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != unicode.ReplacementChar {
			return pair, nil
		}
	}
	return 0, s.fail("half a surrogate pair")
}

func (s *scanner) hex4() (rune, error) {
	if len(s.data)-s.pos < 4 {
		return 0, s.fail("a short escape")
	}
	var r rune
	for range 4 {
		c := s.data[s.pos]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, s.fail("a bad escape")
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, nil
}

// fold gives equal texts for names which encoding/json would take for one another.
func fold(name string) string {
	plain := true
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	return strings.Map(func(r rune) rune {
		// The smallest of the runes that are equal but for case, lowered: the
		// Kelvin sign is a k and the long s an s here too.
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return unicode.ToLower(next)
			}
			r = next
		}
	}, name)
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// settle follows pointers to the type that decides about names. It gives nil where
// the type decodes itself or says nothing, and a complaint about []byte, whose form
// in encoding/json is not ours ([Bytes] is).
func settle(target reflect.Type) (reflect.Type, string) {
	for target != nil {
		pointer := reflect.PointerTo(target)
		if pointer.Implements(jsonUnmarshaler) || pointer.Implements(textUnmarshaler) {
			return nil, ""
		}
		switch target.Kind() {
		case reflect.Pointer:
			target = target.Elem()
		case reflect.Interface:
			return nil, ""
		case reflect.Slice:
			if target.Elem().Kind() == reflect.Uint8 {
				return nil, "a type whose bytes have no base64url form"
			}
			return target, ""
		default:
			return target, ""
		}
	}
	return nil, ""
}

// lookUp finds the field of a struct that has exactly this JSON name. near tells
// that one has it but for case.
func lookUp(target reflect.Type, name, folded string) (found reflect.Type, near bool) {
	for _, field := range reflect.VisibleFields(target) {
		if len(field.Index) == 1 && field.Anonymous && field.Tag.Get("json") == "" {
			continue // its fields are visible by themselves
		}
		if !field.IsExported() {
			continue
		}
		known, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Tag.Get("json") == "-":
			continue
		case known == "":
			known = field.Name
		}
		if known == name {
			return field.Type, false
		}
		if fold(known) == folded {
			near = true
		}
	}
	return nil, near
}

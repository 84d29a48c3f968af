package signed

import (
	"slices"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// number scans an integer in its one form: no fraction, no exponent, no -0. [CM-1.9]
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

// text scans a string and, if build is set, gives what it means. data is known to be
// UTF-8. [CM-1.10]
func (s *scanner) text(build bool) ([]byte, error) {
	s.pos++ // the quote
	start := s.pos
	for s.pos < len(s.data) { // without escapes, nothing has to be built
		switch c := s.data[s.pos]; {
		case c == '"':
			text := s.data[start:s.pos]
			s.pos++
			return text, nil
		case c < ' ':
			return nil, s.fail("a control character in a string")
		case c == '\\':
			if !build {
				return nil, s.escapedText(nil)
			}
			text := slices.Clone(s.data[start:s.pos])
			err := s.escapedText(&text)
			return text, err
		}
		s.pos++
	}
	return nil, s.fail("a string without end")
}

// escapedText goes on at the first escape of a string. What it means is appended to
// text, unless that is nil.
func (s *scanner) escapedText(text *[]byte) error {
	for s.pos < len(s.data) {
		c := s.data[s.pos]
		s.pos++
		r := rune(-1)
		switch {
		case c == '"':
			return nil
		case c < ' ':
			return s.fail("a control character in a string")
		case c == '\\':
			var err error
			if r, err = s.escape(); err != nil {
				return err
			}
		}
		switch {
		case text == nil:
		case r >= 0:
			*text = utf8.AppendRune(*text, r)
		default:
			*text = append(*text, c)
		}
	}
	return s.fail("a string without end")
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, error) {
	c := s.peek()
	s.pos++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return s.unicodeEscape()
	}
	return 0, s.fail("an unknown escape")
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

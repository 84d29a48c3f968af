package setup

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// style is how a file is laid out.
type style struct {
	eol    string // "\n" or "\r\n"
	unit   string // one step of indentation
	lines  bool   // more than one line, or nothing yet: what is added has lines of its own
	spaced bool   // in one line, a blank follows each colon and comma
}

// styleOf looks at a JSON text, which may be empty.
func styleOf(text []byte) style {
	s := style{eol: "\n", unit: "  ", lines: true, spaced: true}
	trimmed := bytes.TrimSpace(text)
	first := bytes.IndexByte(text, '\n')
	if first > 0 && text[first-1] == '\r' {
		s.eol = "\r\n"
	}
	inner := bytes.IndexByte(trimmed, '\n')
	if inner < 0 {
		s.lines = len(bytes.Trim(trimmed, "{} \t")) == 0
		s.spaced = bytes.Contains(trimmed, []byte(`": `)) || !bytes.Contains(trimmed, []byte(`":`))
		return s
	}
	// The first line inside the object shows one step.
	rest := trimmed[inner+1:]
	if n := len(rest) - len(bytes.TrimLeft(rest, " \t")); n > 0 && n < len(rest) && rest[n] != '\n' && rest[n] != '\r' {
		s.unit = string(rest[:n])
	}
	return s
}

// render writes a value: over several lines, whose indentation continues
// indent, or in one.
func (s style) render(value any, indent string, lines bool) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	text := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if !lines {
		return s.space(text), nil
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, indent, s.unit); err != nil {
		return nil, fmt.Errorf("indent: %w", err)
	}
	// Strings hold no raw line ends, so all of them are layout.
	return bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte(s.eol)), nil
}

// space puts a blank after the colons and commas of compact JSON, if the file
// has them so.
func (s style) space(text []byte) []byte {
	if !s.spaced {
		return text
	}
	var out []byte
	quoted := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		out = append(out, c)
		switch {
		case quoted && c == '\\':
			i++
			out = append(out, text[i])
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}

// Package quote makes the words of others fit to be shown, to a model or on a
// terminal: what acts instead of being read (control characters, what turns the
// direction of writing, what is not seen, the tags in which clients wrap the
// system's and the user's words) is made visible. All other characters stay.
package quote

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bar stands before each line of a peer's words.
const Bar = "│ "

// Block returns a peer's text with the [Bar] before each line, so that no line
// of it can be taken for one of ours. Every sequence that Unicode or a terminal
// takes for a new line starts one.
func Block(text string) string { return each(Bar, lines.Replace(text)) }

// Text returns a text in which only line feeds start a new line, for a terminal,
// whose reader may be a model too.
func Text(text string) string { return each("", text) }

// each returns the text made visible, with prefix before each line.
func each(prefix, text string) string {
	var b strings.Builder
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(prefix)
		write(&b, line)
	}
	return b.String()
}

// lines turns all line breaks into \n.
var lines = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// Line returns a peer's short text (a summary, a display name) on one line in
// quotes, at most max runes of it.
func Line(text string, max int) string {
	text = strings.Join(strings.Fields(lines.Replace(text)), " ")
	if utf8.RuneCountInString(text) > max {
		text = string([]rune(text)[:max-1]) + "…"
	}
	var b strings.Builder
	b.WriteString(`"`)
	write(&b, strings.ReplaceAll(text, `"`, `'`))
	b.WriteString(`"`)
	return b.String()
}

// write writes one line with everything taken out of it that acts instead
// of being read: control characters, invisible and direction-changing ones,
// and the opening of a tag that a client could have written itself.
func write(b *strings.Builder, line string) {
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRuneInString(line[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteRune(utf8.RuneError)
		case r == '\t':
			b.WriteByte('\t')
		case r < 0x20:
			b.WriteRune(0x2400 + r) // its picture: ␛ for ESC
		case r == 0x7f:
			b.WriteRune('␡')
		case unseen(r):
			fmt.Fprintf(b, "[U+%04X]", r)
		case opensTag(r) && wrapper(line[i+size:], r != '<'):
			b.WriteString("&lt;")
		default:
			b.WriteRune(r)
		}
		i += size
	}
}

// unseen reports characters that are not seen, or that change how others are:
// C1 controls, format characters (bidirectional overrides, zero widths, tag
// characters, interlinear marks), variation selectors used for smuggling, and
// what Unicode keeps private. Joiners and the emoji selectors stay, since
// scripts and emoji need them.
func unseen(r rune) bool {
	switch {
	case r == 0x200c, r == 0x200d, r == 0xfe0e, r == 0xfe0f:
		return false
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef:
		return true
	case r == 0x034f, r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x2800:
		return true // fillers and blanks that print as nothing
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp)
}

// opensTag reports the less-than sign and the characters that pass for it.
func opensTag(r rune) bool {
	switch r {
	case '<', '＜', '﹤', '‹', '\u2329', '\u3008', '⟨', '˂', 'ᐸ', '❮', '❰', '⧼':
		return true
	}
	return false
}

// wrapper reports whether what stands after a less-than sign could be one of
// the tags in which clients wrap what the system, a tool or another session
// says (<system-reminder>, <task-notification>, <cross-session-message …>).
// Their names change between versions, so it goes by shape: a name with a
// hyphen, underscore or colon in it, or one of the words for a speaker, with
// or without a number. HTML, generics and comparisons in code stay as they are.
// A sign that only passes for less-than stands in no code: after it a name need
// only begin with such a word.
func wrapper(rest string, likeness bool) bool {
	rest = strings.TrimLeftFunc(rest, func(r rune) bool { return r == '/' || unicode.IsSpace(r) || unseen(r) || unicode.Is(unicode.Mn, r) })
	end := strings.IndexFunc(rest, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.Mn, r) && !unicode.Is(unicode.Pd, r) &&
			!unicode.Is(unicode.Pc, r) && r != ':' && r != '−' && !unseen(r)
	})
	if end < 0 {
		end = len(rest)
	}
	name := strings.ToLower(rest[:end])
	if name == "" {
		return false
	}
	first, _ := utf8.DecodeRuneInString(name)
	if !unicode.IsLetter(first) {
		return false
	}
	if strings.IndexFunc(name, func(r rune) bool {
		return unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Pc, r) || r == ':' || r == '−' || unseen(r) || r > unicode.MaxASCII
	}) >= 0 {
		return true
	}
	for _, word := range speakers {
		if strings.TrimRight(name, "0123456789") == word || likeness && strings.HasPrefix(name, word) {
			return true
		}
	}
	return false
}

// speakers are the words by which clients name who speaks, or what.
var speakers = []string{"system", "user", "human", "assistant", "developer", "channel", "thinking", "invoke", "parameter", "antml",
	"result", "results", "hook", "reminder", "notification", "instructions", "instruction", "important", "message", "peer", "claudemesh", "untrusted"}

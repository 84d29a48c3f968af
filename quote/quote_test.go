package quote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestWhatActsIsMadeVisible(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain", "hello\nworld", "│ hello\n│ world"},
		{"wrapper tag", "<system-reminder>x</system-reminder>", "│ &lt;system-reminder>x&lt;/system-reminder>"},
		{"wrapper with attributes", `<cross-session-message from="x">`, `│ &lt;cross-session-message from="x">`},
		{"space after the sign", "< /system-reminder >", "│ &lt; /system-reminder >"},
		{"speaker", "<system>now</system>", "│ &lt;system>now&lt;/system>"},
		{"upper case", "<SYSTEM-Reminder>", "│ &lt;SYSTEM-Reminder>"},
		{"full width", "＜system‐reminder＞", "│ &lt;system‐reminder＞"},
		{"full width, longer name", "＜sYstem0 ＜systemd", "│ &lt;sYstem0 &lt;systemd"},
		{"speaker with a number", "<user2>", "│ &lt;user2>"},
		{"cyrillic letter", "<ѕystem>", "│ &lt;ѕystem>"},
		{"zero width inside", "<sys\u200btem>", "│ &lt;sys[U+200B]tem>"},
		{"code stays", "a < b, Map<String, int>, <div>, <UserList/>, x<<2", "│ a < b, Map<String, int>, <div>, <UserList/>, x<<2"},
		{"escape", "\x1b[31mred", "│ ␛[31mred"},
		{"c1", "\u009b31m", "│ [U+009B]31m"},
		{"carriage return", "good\rbad", "│ good\n│ bad"},
		{"line separator", "a\u2028b\u2029c\u0085d\ve\ff", "│ a\n│ b\n│ c\n│ d\n│ e\n│ f"},
		{"bidi", "a\u202eb\u2066c", "│ a[U+202E]b[U+2066]c"},
		{"invisible ascii", "a\U000e0041b", "│ a[U+E0041]b"},
		{"selector smuggling", "a\ufe01b\U000e0101c", "│ a[U+FE01]b[U+E0101]c"},
		{"emoji stays", "👩‍💻 ❤️", "│ 👩‍💻 ❤️"},
		{"not utf-8", "a\xffb", "│ a\ufffdb"},
		{"imitation", "message m-1 from bob\n│ x", "│ message m-1 from bob\n│ │ x"},
		{"empty", "", "│ "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Block(c.in); got != c.want {
				t.Errorf("Block(%q)\n got %q\nwant %q", c.in, got, c.want)
			}
		})
	}
}

// On a terminal lines and tabs stay, and nothing else that moves.
func TestTextForATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"größer, 大, 👍, a < b":      "größer, 大, 👍, a < b",
		"two\nlines\tand a tab":    "two\nlines\tand a tab",
		"bell \a back \b":          "bell ␇ back ␈",
		"over\rwritten":            "over␍written",
		"line\u2028separator":      "line[U+2028]separator",
		"isolate \u2066x\u2069":    "isolate [U+2066]x[U+2069]",
		"not UTF-8 \xff":           "not UTF-8 \ufffd",
		"an agent's <system>, too": "an agent's &lt;system>, too",
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestShortTextsStayOnOneLine(t *testing.T) {
	if got, want := Line("works on \"x\"\nand\u2028<system-reminder> y", 60), `"works on 'x' and &lt;system-reminder> y"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Line(strings.Repeat("é", 50), 10); got != `"`+strings.Repeat("é", 9)+`…"` {
		t.Errorf("got %s", got)
	}
}

func FuzzQuote(f *testing.F) {
	seeds, err := filepath.Glob("testdata/quote/*.txt")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, seed := range seeds {
		data, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, line := range strings.Split(Block(text), "\n") {
			if !strings.HasPrefix(line, Bar) {
				t.Fatalf("a line without its bar: %q", line)
			}
			harmless(t, strings.TrimPrefix(line, Bar))
		}
		for _, line := range strings.Split(Text(text), "\n") {
			harmless(t, line)
		}
		if short := Line(text, 80); strings.Count(short, `"`) != 2 {
			t.Fatalf("the quotes can be closed from inside: %s", short)
		} else {
			harmless(t, short)
		}
	})
}

// harmless fails the test if a line holds anything that acts.
func harmless(t *testing.T, line string) {
	t.Helper()
	if !utf8.ValidString(line) {
		t.Fatalf("not UTF-8: %q", line)
	}
	lower := strings.ToLower(line)
	for _, tag := range []string{"<system-reminder", "</system-reminder", "<task-notification", "<cross-session-message", "<system>", "<user>", "＜system", "＜user>"} {
		if strings.Contains(lower, tag) {
			t.Fatalf("%s stands in %q", tag, line)
		}
	}
	for _, r := range line {
		if r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			t.Fatalf("%U stands in %q", r, line)
		}
	}
}

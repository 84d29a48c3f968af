package setup

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func mustParse(t *testing.T, text string) *document {
	t.Helper()
	d, err := parseDocument([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

// Each row adds "k": {"x":[1]} to the object at path and takes it out again.
func TestSetThenRemove(t *testing.T) {
	for _, row := range []struct{ name, path, in, out string }{
		{"two blanks", "", "{\n  \"a\": 1\n}\n", "{\n  \"a\": 1,\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"},
		{"tabs", "", "{\n\t\"a\": 1\n}", "{\n\t\"a\": 1,\n\t\"k\": {\n\t\t\"x\": [\n\t\t\t1\n\t\t]\n\t}\n}"},
		{"four blanks, CRLF", "", "{\r\n    \"a\": 1\r\n}\r\n", "{\r\n    \"a\": 1,\r\n    \"k\": {\r\n        \"x\": [\r\n            1\r\n        ]\r\n    }\r\n}\r\n"},
		{"compact", "", `{"a":1}`, `{"a":1,"k":{"x":[1]}}`},
		{"one line", "", `{"a": 1, "b": 2}`, `{"a": 1, "b": 2, "k": {"x": [1]}}`},
		{"deeper", "b", "{\n  \"b\": {\n    \"c\": 1\n  },\n  \"d\": 2\n}\n", "{\n  \"b\": {\n    \"c\": 1,\n    \"k\": {\n      \"x\": [\n        1\n      ]\n    }\n  },\n  \"d\": 2\n}\n"},
		{"one line inside lines", "b", "{\n  \"b\": {\"c\": 1}\n}\n", "{\n  \"b\": {\"c\": 1, \"k\": {\"x\": [1]}}\n}\n"},
		{"comment behind", "", "{\n  \"a\": 1 // one, two }\n}\n", "{\n  \"a\": 1, // one, two }\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"},
		{"comment behind, CRLF", "", "{\r\n  \"a\": 1 // one\r\n}\r\n", "{\r\n  \"a\": 1, // one\r\n  \"k\": {\r\n    \"x\": [\r\n      1\r\n    ]\r\n  }\r\n}\r\n"},
		{"comment at the end", "", "{\n  \"a\": 1\n  /* the\n  end */\n}\n", "{\n  \"a\": 1,\n  /* the\n  end */\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"},
		{"trailing comma", "", "{\n  \"a\": 1,\n}\n", "{\n  \"a\": 1,\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  },\n}\n"},
		{"comment in one line", "", "{\"a\": 1 /* , */ }", "{\"a\": 1, /* , */ \"k\": {\"x\": [1]} }"},
		{"line comment in one line", "", "{\"a\": 1 // x\n}", "{\"a\": 1, // x\n\"k\": {\"x\": [1]}\n}"},
		{"byte order mark", "", "\xef\xbb\xbf{\n  \"a\": 1\n}\n", "\xef\xbb\xbf{\n  \"a\": 1,\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"},
		{"a name twice", "b", "{\n  \"b\": 1,\n  \"b\": {\n    \"c\": 1\n  }\n}", "{\n  \"b\": 1,\n  \"b\": {\n    \"c\": 1,\n    \"k\": {\n      \"x\": [\n        1\n      ]\n    }\n  }\n}"},
		{"tags are no HTML", "", "{\n  \"<&>\": \"</script>\"\n}\n", "{\n  \"<&>\": \"</script>\",\n  \"k\": {\n    \"x\": [\n      1\n    ]\n  }\n}\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := mustParse(t, row.in)
			path := append(strings.FieldsFunc(row.path, func(r rune) bool { return r == '.' }), "k")
			if err := d.set(path, map[string]any{"x": []int{1}}); err != nil {
				t.Fatal(err)
			}
			if got := string(d.bytes()); got != row.out {
				t.Fatalf("set gives\n%q, want\n%q", got, row.out)
			}
			if err := d.remove(path); err != nil {
				t.Fatal(err)
			}
			if got := string(d.bytes()); got != row.in {
				t.Errorf("remove gives\n%q, want\n%q", got, row.in)
			}
		})
	}
}

func TestEmptyAndMissing(t *testing.T) {
	for _, row := range []struct{ name, in, out string }{
		{"nothing", "", "{\n  \"a\": {\n    \"b\": [\n      \"x\"\n    ]\n  }\n}\n"},
		{"empty object", "{}", "{\n  \"a\": {\n    \"b\": [\n      \"x\"\n    ]\n  }\n}"},
		{"empty object over lines", "{\n}\n", "{\n  \"a\": {\n    \"b\": [\n      \"x\"\n    ]\n  }\n}\n"},
		{"only a comment", "{ // mine\n}\n", "{ // mine\n  \"a\": {\n    \"b\": [\n      \"x\"\n    ]\n  }\n}\n"},
		{"empty inside", "{\n\t\"a\": {}\n}\n", "{\n\t\"a\": {\n\t\t\"b\": [\n\t\t\t\"x\"\n\t\t]\n\t}\n}\n"},
		{"empty list", "{\n  \"a\": {\"b\": []}\n}\n", "{\n  \"a\": {\"b\": [\n    \"x\"\n  ]}\n}\n"},
		{"compact, empty inside", `{"a":{"b":[]},"c":1}`, `{"a":{"b":["x"]},"c":1}`},
		{"list in one line", "{\n  \"a\": {\n    \"b\": [\"y\", \"z\"]\n  }\n}\n", "{\n  \"a\": {\n    \"b\": [\"y\", \"z\", \"x\"]\n  }\n}\n"},
		{"list over lines", "{\n  \"a\": {\n    \"b\": [\n      \"y\"\n    ]\n  }\n}\n", "{\n  \"a\": {\n    \"b\": [\n      \"y\",\n      \"x\"\n    ]\n  }\n}\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := mustParse(t, row.in)
			if err := d.add([]string{"a", "b"}, "x"); err != nil {
				t.Fatal(err)
			}
			if got := string(d.bytes()); got != row.out {
				t.Errorf("add gives\n%q, want\n%q", got, row.out)
			}
		})
	}
}

func TestCutKeepsWhatIsAround(t *testing.T) {
	for _, row := range []struct {
		name, in string
		i        int
		out      string
	}{
		{"first", "[\n  1,\n  2\n]", 0, "[\n  2\n]"},
		{"middle", "[\n  1,\n  2,\n  3\n]", 1, "[\n  1,\n  3\n]"},
		{"last", "[\n  1,\n  2\n]", 1, "[\n  1\n]"},
		{"only", "[\n  1\n]", 0, "[]"},
		{"first in a line", "[1, 2]", 0, "[2]"},
		{"last in a line", "[1, 2]", 1, "[1]"},
		{"compact", "[1,2,3]", 1, "[1,3]"},
		{"comments stay", "[ // a\n  1, // b\n  2 /* c */, // d\n  3\n]", 1, "[ // a\n  1, // b\n   /* c */ // d\n  3\n]"},
		{"only, with a comment", "[ // a\n  1\n]", 0, "[ // a\n]"},
		{"only, behind a comment", "[ // a\n  1]", 0, "[ // a\n  ]"},
		{"trailing comma", "[\n  1,\n  2,\n]", 1, "[\n  1,\n]"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := mustParse(t, `{"l": `+row.in+`}`)
			if err := d.removeElement([]string{"l"}, row.i); err != nil {
				t.Fatal(err)
			}
			if got := string(d.raw("l")); got != row.out {
				t.Errorf("gives\n%s, want\n%s", got, row.out)
			}
		})
	}
}

func TestReplaceInPlace(t *testing.T) {
	d := mustParse(t, "{\n  \"a\": {\n    \"command\": \"/old\" // mine\n  },\n  \"l\": [{\"x\": 1}, 2]\n}\n")
	if err := d.set([]string{"a", "command"}, "/new"); err != nil {
		t.Fatal(err)
	}
	if err := d.change([]string{"l"}, 0, map[string]any{"y": []int{}}); err != nil {
		t.Fatal(err)
	}
	want := "{\n  \"a\": {\n    \"command\": \"/new\" // mine\n  },\n  \"l\": [{\"y\": []}, 2]\n}\n"
	if got := string(d.bytes()); got != want {
		t.Errorf("gives\n%s, want\n%s", got, want)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	for in, want := range map[string]string{
		"[]":              "holds no JSON object",
		"\"a\"":           "holds no JSON object",
		"{\"a\": }":       "is no valid JSON: ",
		"{\"a\": 1":       "is no valid JSON: ",
		"\xff\xfe{\x00}":  "is not UTF-8 text",
		"{} {}":           "is no valid JSON: ",
		"{\"a\": 'x'}":    "is no valid JSON: ",
		"{\"a\": 1 /* *}": "is no valid JSON: ",
	} {
		if _, err := parseDocument([]byte(in)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s…", in, err, want)
		}
	}
	d := mustParse(t, `{"a": [], "b": null, "c": {"d": 1}}`)
	for _, path := range [][]string{{"a", "x"}, {"b", "x"}, {"c", "d", "e", "f"}} {
		if err := d.set(path, 1); err == nil {
			t.Errorf("set %v was possible", path)
		}
	}
	if err := d.add([]string{"c"}, 1); err == nil || err.Error() != `has no list in "c"` {
		t.Errorf("add to an object: %v", err)
	}
}

// FuzzSplice adds to an object or list somewhere in any document and takes it
// out again: what was there stays, byte for byte, and both results mean what
// they should.
func FuzzSplice(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "{\n}", `{"a":1}`, "{\"a\": [1, 2,], // x\n}", "{\n\t\"a\": {\n\t\t\"b\": []\n\t}\n}\r\n",
		"{\r\n  \"a\": /* { */ {\"b\": 1 // }\r\n}}", "\xef\xbb\xbf{\"a\":{\"k\":{}}}", `{"a":"\"//","a":[[]]}`,
	} {
		f.Add(seed, "k")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		d, err := parseDocument([]byte(text))
		if err != nil {
			return
		}
		if name == "" || !utf8.ValidString(name) {
			name = "k"
		}
		before := bytes.Clone(d.bytes())
		for _, path := range [][]string{{name}, {"a", name}, {"a", "b", name}} {
			if _, there := d.get(path...); there {
				continue
			}
			parent := path[:len(path)-1]
			size := d.size(parent)
			whole, _ := d.get()
			value := map[string]any{"<x>": []any{"y", 1.0}}
			if d.set(path, value) != nil {
				continue // something else than an object is on the way
			}
			if got, ok := d.get(path...); !ok || !reflect.DeepEqual(got, any(value)) {
				t.Fatalf("%q: set %q reads back as %v in %q", before, path, got, d.bytes())
			}
			if !subsequence(before, d.bytes()) {
				t.Fatalf("%q lost something in %q", before, d.bytes())
			}
			for n := len(path); n > 0; n-- {
				if n < len(path) && (d.size(path[:n]) != 0 || size >= 0) {
					break
				}
				if err := d.remove(path[:n]); err != nil {
					t.Fatal(err)
				}
			}
			after, _ := d.get()
			if !reflect.DeepEqual(whole, after) && size >= 0 {
				t.Fatalf("%q means something else after set and remove: %q", before, d.bytes())
			}
			if size > 0 && !bytes.Equal(before, d.bytes()) {
				t.Fatalf("%q became %q after set and remove of %q", before, d.bytes(), path)
			}
			if !bytes.Equal(unblank(before), unblank(d.bytes())) && size >= 0 {
				t.Fatalf("%q became %q", before, d.bytes())
			}
			before = bytes.Clone(d.bytes())
		}
	})
}

// subsequence tells whether all bytes of part stand in whole, in their order.
func subsequence(part, whole []byte) bool {
	for _, c := range part {
		i := bytes.IndexByte(whole, c)
		if i < 0 && !strings.ContainsRune(" \t\r\n", rune(c)) {
			return false
		}
		if i >= 0 {
			whole = whole[i+1:]
		}
	}
	return true
}

func unblank(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, text)
}

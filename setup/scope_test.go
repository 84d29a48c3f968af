package setup

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestLocalScopeComesFirstAndMayFail(t *testing.T) {
	h := newHouse(t)
	refused := errors.New("no mesh today")
	h.LocalScope = func(context.Context) error {
		if exists(h.path(".claude.json")) {
			t.Error("files were changed before")
		}
		return refused
	}
	if _, err := Install(t.Context(), h.Options); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	if got := h.lstat(); len(got) != 1 {
		t.Errorf("it left %q", got)
	}
}

func TestDiff(t *testing.T) {
	h := newHouse(t)
	h.write(".claude.json", "{\n  \"secret\": \""+strings.Repeat("x", 1000)+"\"\n}\n")
	p, err := PlanInstall(h.Options)
	if err != nil {
		t.Fatal(err)
	}
	got := p.Diff()
	for _, want := range []string{"--- " + h.path(".claude.json"), "+++ " + h.path(".claude.json"), "--- /dev/null\n+++ " + h.path(".claude/settings.json"),
		"\n+      \"command\": \"/opt/bin/claudemesh\",\n", "…\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the diff lacks %q:\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if len(line) > maxDiffLine+8 {
			t.Errorf("a line has %d bytes", len(line))
		}
	}
	if exists(h.path(".claude")) {
		t.Error("a diff changed something")
	}
}

// FuzzEditor enters all of our pieces into any settings: a second time changes
// nothing, and taken out again the file means what it did.
func FuzzEditor(f *testing.F) {
	for _, seed := range []string{"", someState, someSettings,
		`{"hooks": {"Stop": [], "X": [{"hooks": []}]}, "permissions": {"allow": ["mcp__claudemesh__reply"]}, "statusLine": {"type": "command", "command": "x"}}`,
		`{"mcpServers": {"claudemesh": {"command": "claudemesh", "args": ["mcp", "-v"]}}}`,
		`{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "/old/claudemesh", "args": ["hook", "Stop"]}, {"type": "command", "command": "y"}]}]}}`,
	} {
		f.Add(seed)
	}
	const binary = "/opt/bin/claudemesh"
	f.Fuzz(func(t *testing.T, text string) {
		before, err := parseDocument([]byte(text))
		if err != nil {
			return
		}
		old, _ := before.get()
		put := func(data []byte) (*editor, error) {
			doc, err := parseDocument(data)
			if err != nil {
				t.Fatalf("%q became %q: %v", text, data, err)
			}
			e := &editor{doc: doc, before: before, programs: []string{binary}}
			return e, errors.Join(e.putServer(serverFor(binary)), e.putHooks(binary, true),
				e.putRules(rules(append(slices.Clone(readOnlyTools), answerTools...), false), wordReadOnly),
				e.putStatusLine(statusLineFor(binary), "x"))
		}
		first, err := put([]byte(text))
		if err != nil {
			return // something is of a wrong kind there: it is refused as a whole
		}
		second, err := put(first.doc.bytes())
		if err != nil || len(second.marks) != 0 || !bytes.Equal(second.doc.bytes(), first.doc.bytes()) {
			t.Fatalf("%q: the second time did %q, %v", text, second.marks, err)
		}
		if err := first.takeAll(); err != nil {
			t.Fatal(err)
		}
		own := &editor{doc: before, programs: first.programs}
		if own.hasHooks() {
			return // those were ours before, and went or were replaced
		}
		if now, _ := first.doc.get(); !reflect.DeepEqual(now, old) {
			t.Fatalf("%q\nbecame\n%q", text, first.doc.bytes())
		}
	})
}

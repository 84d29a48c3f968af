package claudemesh_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testLink is a link to a test, as docs/threat-model.md writes it.
var testLink = regexp.MustCompile(`\[(Test\w+)\]\(\.\./([\w./]+_test\.go)\)`)

// TestThreatModel: each sentence of what is prevented and detected names a test, and
// the tests that it names exist.
func TestThreatModel(t *testing.T) {
	text, err := os.ReadFile("docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	part, named := "", 0
	for i, line := range strings.Split(string(text), "\n") {
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			part = heading
		} else if strings.HasPrefix(line, "## ") {
			part = ""
		}
		links := testLink.FindAllStringSubmatch(line, -1)
		if strings.HasPrefix(line, "- ") && (part == "Prevented" || part == "Detected") && len(links) == 0 {
			t.Errorf("line %d names no test: %s", i+1, line)
		}
		for _, link := range links {
			named++
			code, err := os.ReadFile(filepath.FromSlash(link[2]))
			if err != nil {
				t.Errorf("line %d: %v", i+1, err)
			} else if !strings.Contains(string(code), "\nfunc "+link[1]+"(t *testing.T)") {
				t.Errorf("line %d: %s has no %s", i+1, link[2], link[1])
			}
		}
	}
	if named < 50 {
		t.Errorf("%d tests are named", named)
	}
}

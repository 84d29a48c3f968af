package claudemesh_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/claudemesh/claudemesh-go"

// The house rules in numbers. A file or function over them wants to be split
// where its second reason to change begins.
const (
	maxFileLines     = 800
	maxFunctionLines = 80
)

// imports says which of our packages each package may import directly
// (docs/architecture.md draws it). A package that is not listed fails the test,
// so that a new one is placed on purpose.
var imports = map[string][]string{
	".":                  {},
	"keys":               {},
	"gather":             {},
	"quote":              {},
	"sqlite":             {},
	"signed":             {"keys"},
	"chain":              {"keys", "signed"},
	"seal":               {"keys", "signed"},
	"wire":               {"keys", "signed"},
	"roster":             {"keys", "signed", "chain"},
	"delivery":           {"keys", "wire"},
	"store":              {"keys", "wire", "delivery", "sqlite"},
	"store/storetest":    {"keys", "wire", "delivery", "store"},
	"broker":             {"keys", "signed", "chain", "roster", "wire", "delivery", "gather", "store"},
	"config":             {"keys"},
	"profile":            {"config", "keys", "signed", "chain", "roster", "wire", "delivery", "sqlite"},
	"peer":               {"config", "keys", "signed", "chain", "roster", "wire", "seal", "delivery", "gather", "profile"},
	"agent":              {"keys", "peer", "quote"},
	"setup":              {"peer"},
	"internal/modelstub": {},
	"internal/history":   {},
	"internal/meshtest":  {"config", "keys", "broker", "peer", "profile", "store", "wire", "chain", "roster", "signed", "gather"},
	"cmd/claudemesh":     {"config", "keys", "wire", "chain", "broker", "profile", "peer", "quote", "agent", "setup", "store"},
	"bench":              nil, // a program that compares: any
	"e2e":                nil, // tests of the real binary: any
	"vectors":            nil, // tests over the vectors: any
}

// unreachable says what a package may not reach, even through others. The
// broker's row is the product's promise made checkable: it has no code that
// opens messages and does not know the type of an opened one.
var unreachable = map[string][]string{
	"chain":  {"seal", "wire"},
	"seal":   {"chain", "wire"},
	"wire":   {"chain", "seal"},
	"roster": {"seal", "wire"},
	"store":  {"seal", "profile", "peer"},
	"broker": {"seal", "profile", "peer"},
	"peer":   {"store", "broker"},
	"agent":  {"store", "broker"},
	"setup":  {"store", "broker"},
}

// pure lists the packages that are handed times, ids and randomness, and what
// they therefore never import.
var (
	pure          = []string{"delivery", "chain", "roster", "seal", "wire", "signed"}
	impureImports = []string{"time", "sync", "context", "os", "net", "github.com/google/uuid"}
)

type listed struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
}

// packages lists every package of the module with what it imports.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Imports,Deps,GoFiles", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	found := map[string]listed{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatalf("go list output: %v", err)
		}
		found[short(p.ImportPath)] = p
	}
}

// short gives a package's path inside the module, "." for the root.
func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

func ours(paths []string) []string {
	var own []string
	for _, p := range paths {
		if p == module || strings.HasPrefix(p, module+"/") {
			own = append(own, short(p))
		}
	}
	return own
}

func TestImportsPointOneWay(t *testing.T) {
	for name, p := range packages(t) {
		allowed, placed := imports[name]
		if !placed {
			t.Errorf("package %s has no row in the import table: place it", name)
			continue
		}
		if allowed != nil {
			for _, dep := range ours(p.Imports) {
				if !slices.Contains(allowed, dep) {
					t.Errorf("%s imports %s, which its row in the import table does not allow", name, dep)
				}
			}
		}
		for _, dep := range ours(p.Deps) {
			if slices.Contains(unreachable[name], dep) {
				t.Errorf("%s reaches %s, which it must never reach", name, dep)
			}
		}
	}
}

func TestPurePackagesHaveNoClockNoGoroutine(t *testing.T) {
	all := packages(t)
	for _, name := range pure {
		p, ok := all[name]
		if !ok {
			t.Errorf("pure package %s is gone: update the list", name)
			continue
		}
		for _, dep := range p.Imports {
			if slices.Contains(impureImports, dep) {
				t.Errorf("%s imports %s: it is handed times, ids and randomness", name, dep)
			}
		}
		for _, file := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if _, ok := n.(*ast.GoStmt); ok {
					t.Errorf("%s/%s starts a goroutine", name, file)
				}
				return true
			})
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	for name, p := range packages(t) {
		var with []string
		for _, file := range p.GoFiles {
			tree, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if tree.Doc != nil {
				with = append(with, file)
			}
		}
		if len(p.GoFiles) > 0 && len(with) != 1 {
			t.Errorf("package %s: %d files carry its comment (%s), want one", name, len(with), strings.Join(with, ", "))
		}
	}
}

func TestExportedNamesAreExplained(t *testing.T) {
	for name, p := range packages(t) {
		if p.Name == "main" {
			continue
		}
		for _, file := range p.GoFiles {
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, filepath.Join(p.Dir, file), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, undocumented := range undocumentedNames(tree) {
				t.Errorf("%s/%s: exported %s has no comment", name, file, undocumented)
			}
		}
	}
}

// undocumentedNames lists the exported functions, methods, types, constants
// and variables of a file that no comment explains. A comment on a group of
// constants or variables explains all of them.
func undocumentedNames(tree *ast.File) []string {
	var bare []string
	for _, decl := range tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && !onUnexported(d) {
				bare = append(bare, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
						bare = append(bare, s.Name.Name)
					}
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
							bare = append(bare, n.Name)
						}
					}
				}
			}
		}
	}
	return bare
}

// onUnexported reports whether a function is a method of an unexported type.
func onUnexported(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return false
	}
	expr := d.Recv.List[0].Type
	for {
		switch e := expr.(type) {
		case *ast.StarExpr:
			expr = e.X
		case *ast.IndexExpr:
			expr = e.X
		case *ast.Ident:
			return !e.IsExported()
		default:
			return false
		}
	}
}

func TestFilesAndFunctionsStaySmall(t *testing.T) {
	eachGoFile(t, func(path string) {
		lines := countLines(t, path)
		if lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", path, lines, maxFileLines)
		}
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		set := token.NewFileSet()
		tree, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range tree.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := set.Position(d.End()).Line - set.Position(d.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, at most %d", path, d.Name.Name, n, maxFunctionLines)
			}
		}
	})
}

// forbiddenInTests finds sleeps and skips.
var forbiddenInTests = regexp.MustCompile(`\b(time\.Sleep|(t|b|f|tb)\.Skip(f|Now)?)\(`)

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	eachGoFile(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") || path == "house_test.go" {
			return
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range forbiddenInTests.FindAllString(string(data), -1) {
			t.Errorf("%s calls %s): wait for the event; what needs a service starts it or fails", path, call)
		}
	})
}

func TestNoPackageIsNamedForNothing(t *testing.T) {
	for name := range packages(t) {
		switch filepath.Base(name) {
		case "util", "utils", "common", "helpers", "misc", "shared":
			t.Errorf("package %s: its name does not say what it is for", name)
		}
	}
}

func eachGoFile(t *testing.T, visit func(path string)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".go") {
			seen++
			visit(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("no Go file was read")
	}
}

func countLines(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines++
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

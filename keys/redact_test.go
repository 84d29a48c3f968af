package keys_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
)

// secretByte is what all secrets in these tests are made of; no output may show it.
const secretByte = 0xa7

// leaks tells in which form secretBytes stand in an output.
func leaks(output string) string {
	secret := bytes.Repeat([]byte{secretByte}, 30) // whole groups of base32 and base64
	for form, text := range map[string]string{
		"raw":        string(secret[:4]),
		"decimal":    "167 167",
		"comma":      "167,167",
		"hex":        hex.EncodeToString(secret[:4]),
		"HEX":        strings.ToUpper(hex.EncodeToString(secret[:4])),
		"spaced hex": "a7 a7",
		"Go":         "0xa7, 0xa7",
		"quoted":     `\xa7\xa7`,
		"json":       `\ufffd\ufffd`,
		"base64":     base64.StdEncoding.EncodeToString(secret)[:8],
		"base32":     base32.StdEncoding.EncodeToString(secret)[:8],
		"lower":      strings.ToLower(base32.StdEncoding.EncodeToString(secret)[:8]),
	} {
		if strings.Contains(output, text) {
			return form
		}
	}
	return ""
}

// outputs gives everything by which a value gets printed by accident.
func outputs(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x", "%T", "%o", "%b", "%t"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	out["Sprint"] = fmt.Sprint(v)
	out["Errorf"] = fmt.Errorf("failed with %v: %w", v, fmt.Errorf("inner %+v", v)).Error()
	if data, err := json.Marshal(v); err == nil {
		out["json"] = string(data)
	} else {
		out["json"] = err.Error()
	}
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"slog text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"slog json": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var buffer bytes.Buffer
		logger := slog.New(handler(&buffer)).With("with", v).WithGroup("group")
		logger.Info(fmt.Sprintf("message %v", v), "key", v, slog.Group("inner", "key", v))
		out[name] = buffer.String()
	}
	return out
}

// holders puts a value where it may stand when somebody prints it.
func holders[K any](k K) map[string]any {
	type exported struct{ Key K }
	type hidden struct{ key K }
	type pointer struct{ Key *K }
	type hiddenPointer struct{ key *K }
	type inner struct{ h hidden }
	type any1 struct{ v any }
	return map[string]any{
		"value": k, "pointer": &k, "slice": []K{k}, "array": [1]K{k}, "map": map[string]K{"k": k},
		"field": exported{k}, "pointer to field": &exported{k}, "hidden field": hidden{k},
		"pointer to hidden field": &hidden{k}, "pointer field": pointer{&k}, "hidden pointer field": hiddenPointer{&k},
		"hidden in hidden": inner{hidden{k}}, "pointer to hidden in hidden": &inner{hidden{k}},
		"slice of hidden": []hidden{{k}}, "hidden interface": any1{k}, "hidden interface of pointer": any1{&k},
		"map of pointers": map[string]*K{"k": &k}, "slice of pointers": []*K{&k},
	}
}

// testRedacted prints a secret in every way, in every holder.
func testRedacted[K any](t *testing.T, k K) {
	t.Helper()
	for holder, v := range holders(k) {
		for way, output := range outputs(v) {
			if form := leaks(output); form != "" {
				t.Errorf("%T as %s leaks as %s under %s: %s", k, holder, form, way, output)
			}
		}
	}
}

func TestSecretsPrintRedacted(t *testing.T) {
	seed := bytes.Repeat([]byte{secretByte}, keys.SeedSize)
	peer, err1 := keys.PeerPrivateFromSeed(seed)
	owner, err2 := keys.OwnerPrivateFromSeed(seed)
	invite, err3 := keys.InvitePrivateFromSeed(seed)
	broker, err4 := keys.BrokerPrivateFromSeed(seed)
	create, err5 := keys.NewCreateToken(keys.Public{}, bytes.NewReader(seed))
	for _, err := range []error{err1, err2, err3, err4, err5} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tested := map[string]bool{}
	run := func(name string, test func(t *testing.T)) {
		tested[name] = true
		t.Run(name, test)
	}
	run("PeerPrivate", func(t *testing.T) { testRedacted(t, peer) })
	run("OwnerPrivate", func(t *testing.T) { testRedacted(t, owner) })
	run("InvitePrivate", func(t *testing.T) { testRedacted(t, invite) })
	run("BrokerPrivate", func(t *testing.T) { testRedacted(t, broker) })
	run("CreateToken", func(t *testing.T) { testRedacted(t, create) })
	for _, name := range secretTypes(t) {
		if !tested[name] {
			t.Errorf("%s holds a secret and is not tested here", name)
		}
	}
	// The test itself finds what is not redacted.
	if leaks(outputs(broker.Ed25519())["%v"]) == "" || leaks(peer.Export()) == "" || leaks(create.Export()) == "" {
		t.Error("a secret in the clear is not found")
	}
}

// secretTypes finds the exported types of this package that hold a secret: what has an
// Export method, or embeds what has one.
func secretTypes(t *testing.T) []string {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no source: %v", err)
	}
	exporting := map[string]bool{}
	embeds := map[string][]string{}
	set := token.NewFileSet()
	for _, name := range files {
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv != nil && n.Name.Name == "Export" {
					if id, ok := n.Recv.List[0].Type.(*ast.Ident); ok {
						exporting[id.Name] = true
					}
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						if id, ok := field.Type.(*ast.Ident); ok && len(field.Names) == 0 {
							embeds[n.Name.Name] = append(embeds[n.Name.Name], id.Name)
						}
					}
				}
			}
			return true
		})
	}
	var list []string
	for name := range exporting {
		if ast.IsExported(name) {
			list = append(list, name)
		}
	}
	for name, embedded := range embeds {
		for _, e := range embedded {
			if exporting[e] && ast.IsExported(name) {
				list = append(list, name)
			}
		}
	}
	if len(list) < 5 {
		t.Fatalf("found only %v", list)
	}
	return list
}

package claudemesh_test

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/constant"
	"go/format"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
	"github.com/claudemesh/claudemesh-go/wire"
)

// protocol is the normative text, which these tests hold to the code.
func protocol(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// clause is a number of the form CM-4.7; n is 0 where a section as a whole is meant.
type clause struct{ section, n int }

func (c clause) String() string {
	if c.n == 0 {
		return fmt.Sprintf("CM-%d", c.section)
	}
	return fmt.Sprintf("CM-%d.%d", c.section, c.n)
}

var (
	clausePattern  = regexp.MustCompile(`\bCM-(\d+)(?:\.(\d+))?`)
	definedPattern = regexp.MustCompile(`(?m)^\*\*CM-(\d+)\.(\d+)\*\* `)
	sectionPattern = regexp.MustCompile(`(?m)^## (\d+)\. `)
)

// clauseOf reads a match of one of the patterns.
func clauseOf(match []string) clause {
	section, _ := strconv.Atoi(match[1])
	n, _ := strconv.Atoi(match[2])
	return clause{section, n}
}

// defined lists the clauses of the text in its order, and its sections as clauses
// without number.
func defined(text string) (clauses []clause, all map[clause]bool) {
	all = map[clause]bool{}
	for _, match := range sectionPattern.FindAllStringSubmatch(text, -1) {
		section, _ := strconv.Atoi(match[1])
		all[clause{section: section}] = true
	}
	for _, match := range definedPattern.FindAllStringSubmatch(text, -1) {
		c := clauseOf(match)
		clauses, all[c] = append(clauses, c), true
	}
	return clauses, all
}

func TestProtocolClausesRise(t *testing.T) {
	text := protocol(t)
	clauses, all := defined(text)
	if len(clauses) < 200 {
		t.Fatalf("only %d clauses were found", len(clauses))
	}
	for i, c := range clauses {
		want := clause{c.section, 1}
		if i > 0 && clauses[i-1].section == c.section {
			want.n = clauses[i-1].n + 1
		}
		if c != want || i > 0 && c.section < clauses[i-1].section {
			t.Errorf("%v stands where %v is due", c, want)
		}
	}
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range clausePattern.FindAllStringSubmatch(string(text), -1) {
			if c := clauseOf(match); !all[c] {
				t.Errorf("%s refers to %v, which there is not", path, c)
			}
		}
	}
}

func TestProtocolCitations(t *testing.T) {
	clauses, all := defined(protocol(t))
	cited := map[clause]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" || path == "protocol_test.go" {
			return nil
		}
		code, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range clausePattern.FindAllStringSubmatch(string(code), -1) {
			c := clauseOf(match)
			if cited[c] = true; !all[c] {
				t.Errorf("%s cites %v, which docs/protocol.md does not have", path, c)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var uncited []string
	for _, c := range clauses {
		if !cited[c] {
			uncited = append(uncited, c.String())
		}
	}
	t.Logf("%d of %d clauses are cited by no code: %s", len(uncited), len(clauses), strings.Join(uncited, " "))
}

// rows reads the tables under a heading of the text: the cells of each row.
func rows(t *testing.T, text, heading string) [][]string {
	t.Helper()
	_, text, found := strings.Cut(text, "\n### "+heading+"\n")
	if !found {
		t.Fatalf("no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n#")
	var out [][]string
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(out) == 0 || len(cells) == len(out[0]) {
			out = append(out, cells)
			continue
		}
		t.Errorf("%s, line %d: %d cells instead of %d", heading, i, len(cells), len(out[0]))
	}
	if len(out) < 2 {
		t.Fatalf("no table under %q", heading)
	}
	return out[1:]
}

// sameRows compares a table of the text with what the code says.
func sameRows(t *testing.T, heading string, is, want [][]string) {
	t.Helper()
	for i := range max(len(is), len(want)) {
		var a, b []string
		if i < len(is) {
			a = is[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if !slices.Equal(a, b) {
			t.Errorf("%s, row %d:\n| %s |\nthe code says\n| %s |", heading, i+1, strings.Join(a, " | "), strings.Join(b, " | "))
		}
	}
}

// speakers says in words who says a code.
func speakers(by wire.By) string {
	var out []string
	for _, s := range []struct {
		by   wire.By
		word string
	}{{wire.ByBroker, "broker"}, {wire.ByRecipient, "recipient"}, {wire.ByPeer, "peer"}} {
		if by&s.by != 0 {
			out = append(out, s.word)
		}
	}
	return strings.Join(out, ", ")
}

func TestProtocolCodes(t *testing.T) {
	text := protocol(t)
	again := map[wire.Retry]string{wire.RetryNever: "never", wire.RetryLater: "later", wire.RetryNow: "now"}
	var codes, whys, closes [][]string
	for _, c := range wire.Codes() {
		codes = append(codes, []string{"`" + string(c.Code) + "`", speakers(c.By), again[c.Retry], strconv.Itoa(c.HTTP), c.Sentence})
	}
	for _, w := range wire.Whys() {
		whys = append(whys, []string{"`" + string(w.Why) + "`", speakers(w.By), again[w.Retry], w.Sentence})
	}
	for _, c := range wire.Closes() {
		closes = append(closes, []string{strconv.Itoa(int(c.Close)), speakers(c.By), again[c.Retry], c.Reason, c.Sentence})
	}
	sameRows(t, "Error codes", rows(t, text, "Error codes"), codes)
	sameRows(t, "Reasons", rows(t, text, "Reasons"), whys)
	sameRows(t, "Close codes", rows(t, text, "Close codes"), closes)
}

// otherLimits are the limits of the packages beside wire, by name.
var otherLimits = map[string]int64{
	"keys.MaxSlug":       keys.MaxSlug,
	"signed.MaxDepth":    signed.MaxDepth,
	"chain.MaxEntry":     chain.MaxEntry,
	"chain.MaxHead":      chain.MaxHead,
	"chain.MaxURLs":      chain.MaxURLs,
	"chain.MaxUses":      chain.MaxUses,
	"roster.MaxDevices":  roster.MaxDevices,
	"roster.MaxInvites":  roster.MaxInvites,
	"roster.MaxEntries":  roster.MaxEntries,
	"roster.Lapse":       roster.Lapse,
	"roster.ClockAhead":  roster.ClockAhead,
	"roster.ClockBehind": roster.ClockBehind,
	"seal.MaxBody":       seal.MaxBody,
	"seal.MaxMessage":    seal.MaxMessage,
	"seal.MaxRoster":     seal.MaxRoster,
	"seal.MaxReceipts":   seal.MaxReceipts,
	"seal.MaxListed":     seal.MaxListed,
	"seal.MaxRecipients": seal.MaxRecipients,
	"seal.MaxAddress":    seal.MaxAddress,
	"seal.MaxVia":        seal.MaxVia,
	"seal.MaxStation":    seal.MaxStation,
	"seal.MaxLife":       seal.MaxLife,
	"seal.MaxDepth":      seal.MaxDepth,
	"seal.MaxWhy":        seal.MaxWhy,
	"seal.MaxName":       seal.MaxName,
	"seal.MaxSummary":    seal.MaxSummary,
}

// wireLimits reads every number that wire/limits.go exports.
func wireLimits(t *testing.T) map[string]int64 {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "wire/limits.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := new(types.Config).Check("wire", files, []*ast.File{file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	limits := map[string]int64{}
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok || !c.Exported() || c.Val().Kind() != constant.Int {
			continue
		}
		limits["wire."+name], _ = constant.Int64Val(c.Val())
	}
	return limits
}

func TestProtocolLimits(t *testing.T) {
	want := wireLimits(t)
	maps.Copy(want, otherLimits)
	for _, row := range rows(t, protocol(t), "Limits") {
		name := strings.Trim(row[0], "`")
		value, err := strconv.ParseInt(strings.ReplaceAll(row[1], ",", ""), 10, 64)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		switch limit, known := want[name]; {
		case !known:
			t.Errorf("the table has %s, which the code does not have, or the table twice", name)
		case limit != value:
			t.Errorf("%s is %d in the table and %d in the code", name, value, limit)
		}
		delete(want, name)
	}
	for _, name := range slices.SortedFunc(maps.Keys(want), cmp.Compare[string]) {
		t.Errorf("the table lacks %s, %d", name, want[name])
	}
}

// said collects the lines of the example.
type said struct {
	t     *testing.T
	lines []string
}

func (s *said) put(name, value string) { s.lines = append(s.lines, name+": "+value) }

// bytes puts a value as base64url.
func (s *said) bytes(name string, value []byte) {
	text, err := signed.Bytes(value).MarshalText()
	s.must(err)
	s.put(name, string(text))
}

func (s *said) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// message puts the keys and the message that the vectors have.
func (s *said) message() (alice, bob keys.PeerPrivate, m seal.Message) {
	all, err := vectors.Keys()
	s.must(err)
	private := map[string]keys.PeerPrivate{}
	for _, v := range all[:2] {
		private[v.Name], err = keys.PeerPrivateFromSeed(v.Seed)
		s.must(err)
		s.bytes(v.Name+" seed", v.Seed)
		s.bytes(v.Name+" key", v.Ed25519)
		s.put(v.Name+" key as text", v.Text)
		s.bytes(v.Name+" X25519", v.X25519Public)
	}
	alice, bob = private["alice"], private["bob"]
	boxes, _, err := vectors.Boxes()
	s.must(err)
	s.bytes("shared key", boxes[0].Shared)

	directs, err := vectors.Directs()
	s.must(err)
	v := directs[0]
	pair, err := seal.NewPair(bob, alice.Public())
	s.must(err)
	m, err = seal.OpenDirect(pair, v.Box, seal.Expect{Mesh: keys.MeshID(v.Mesh), ID: keys.MessageID(v.ID)})
	s.must(err)
	s.put("message", string(v.Message))
	s.put("message length", fmt.Sprintf("%d, as 4 bytes %08x; with length and signed byte %d, filled up to %d",
		len(v.Message), len(v.Message), 4+len(v.Message)+1, len(v.Box)-1-24-16-1))
	s.put("message id", m.ID.String())
	s.bytes("box", v.Box)
	s.put("SHA-256 of the box", seal.HashSealed(v.Box).String())
	frame := wire.AppendSend(nil, &wire.Send{ID: m.ID, To: bob.Public(), Expires: m.Expires}, v.Box)
	header := len(frame) - 4 - len(v.Box)
	s.put("send", string(frame[4:4+header]))
	s.put("send as a message", fmt.Sprintf("%x, then these %d bytes, then the %d of the box", frame[:4], header, len(v.Box)))
	s.put("received", string(wire.AppendReceipt(nil, &wire.Receipt{From: alice.Public(), IDs: []keys.MessageID{m.ID}})))
	s.put("delivered", string(wire.AppendAck(nil, &wire.Ack{State: wire.StateDelivered, To: bob.Public(), IDs: []keys.MessageID{m.ID}})))
	return alice, bob, m
}

// mesh puts a genesis and what follows from it.
func (s *said) mesh(owner, recovery keys.OwnerPrivate, broker keys.BrokerPrivate, invite keys.InvitePrivate) (chain.Signed, chain.SignedHead) {
	genesis, err := chain.Make(chain.Entry{By: owner.Public(), Time: 1795000000000, Body: chain.Genesis{
		Name: "acme", Recovery: recovery.Public(), Broker: broker.Public(),
		URLs: []string{"https://mesh.example.org"}, Random: chain.Random([]byte("sixteen bytes..."))}}, owner)
	s.must(err)
	key, mesh, print := broker.Public(), chain.MeshIDOf(genesis), broker.Public().Fingerprint()
	s.bytes("owner seed", exampleSeed("owner"))
	s.bytes("broker key", key[:])
	s.put("genesis", string(genesis.Bytes))
	s.bytes("genesis sig", genesis.Sig)
	s.put("genesis hash", genesis.Hash.String())
	s.bytes("mesh id", mesh[:])
	s.put("mesh id as text", mesh.String())
	head, err := chain.MakeHead(chain.Head{Mesh: mesh, Hash: genesis.Hash, Time: 1795000000000, Life: 1}, broker)
	s.must(err)
	s.put("head", string(head.Bytes))
	s.bytes("head sig", head.Sig)
	s.bytes("broker fingerprint", print[:])
	link := chain.Link{URL: "https://mesh.example.org", Mesh: mesh, Broker: print, Key: invite}
	s.put("link", link.Text())
	return genesis, head
}

// handshake puts what is signed when a peer connects.
func (s *said) handshake(alice keys.PeerPrivate, m seal.Message, broker keys.BrokerPrivate, genesis chain.Signed, head chain.SignedHead) {
	var nonce wire.Nonce
	for i := range nonce {
		nonce[i] = byte(i)
	}
	challenge, err := wire.AppendFrame(nil, &wire.Challenge{Broker: broker.Public(), Nonce: nonce}, nil)
	s.must(err)
	s.put("challenge", string(challenge))
	body, err := signed.Encode(wire.HelloBody{Mesh: chain.MeshIDOf(genesis), Peer: alice.Public(), Session: m.Session,
		Label: m.Label, Client: "example/1", Receives: wire.ReceivesLive, Origin: "https://mesh.example.org",
		At: genesis.At(), Life: 1, Nonce: nonce, Broker: broker.Public()})
	s.must(err)
	s.put("hello bytes", string(body))
	s.bytes("hello sig", signed.Sign(signed.DomainHello, body, alice).Sig)
	welcome, err := signed.Encode(wire.WelcomeBody{
		Hello: signed.HashOf(signed.DomainHello, body), Head: signed.HashOf(signed.DomainHead, head.Bytes)})
	s.must(err)
	s.put("welcome bytes", string(welcome))
	s.bytes("welcome sig", signed.Sign(signed.DomainWelcome, welcome, broker).Sig)
}

// example computes every line of the example, in the order of the text.
func example(t *testing.T) []string {
	t.Helper()
	s := &said{t: t}
	alice, bob, m := s.message()
	broker := exampleKey(t, "broker", keys.BrokerPrivateFromSeed)
	genesis, head := s.mesh(exampleKey(t, "owner", keys.OwnerPrivateFromSeed),
		exampleKey(t, "recovery", keys.OwnerPrivateFromSeed), broker, exampleKey(t, "link", keys.InvitePrivateFromSeed))
	s.put("admit number of bob", keys.AdmitNumber(chain.MeshIDOf(genesis), bob.Public()))
	s.handshake(alice, m, broker, genesis, head)
	return s.lines
}

// exampleSeed is the seed of a key of the mesh in the example.
func exampleSeed(name string) []byte {
	seed := sha256.Sum256([]byte("key of " + name))
	return seed[:]
}

// exampleKey is a key of the mesh in the example.
func exampleKey[K any](t *testing.T, name string, fromSeed func([]byte) (K, error)) K {
	t.Helper()
	key, err := fromSeed(exampleSeed(name))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestProtocolExample(t *testing.T) {
	_, text, _ := strings.Cut(protocol(t), "\n## Example\n")
	var is []string
	for i, block := range strings.Split(text, "```") {
		if i%2 == 0 {
			continue
		}
		for _, line := range strings.Split(strings.TrimPrefix(block, "text"), "\n") {
			if line != "" {
				is = append(is, line)
			}
		}
	}
	want := example(t)
	for i := range max(len(is), len(want)) {
		var a, b string
		if i < len(is) {
			a = is[i]
		}
		if i < len(want) {
			b = want[i]
		}
		if a != b {
			t.Errorf("line %d of the example:\n%s\nthe code says\n%s", i+1, a, b)
		}
	}
}

// TestGatewayCode compiles the code of docs/gateways.md, all blocks as one program.
func TestGatewayCode(t *testing.T) {
	text, err := os.ReadFile("docs/gateways.md")
	if err != nil {
		t.Fatal(err)
	}
	code := "package main\n\nimport (\n\t\"context\"\n\t\"errors\"\n\t\"fmt\"\n\n\t\"" + module + "/peer\"\n)\n\nfunc main() {}\n"
	blocks := strings.Split(string(text), "```go\n")[1:]
	if len(blocks) < 3 {
		t.Fatalf("%d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		code += "\n" + block
	}
	formatted, err := format.Source([]byte(code))
	if err != nil {
		t.Fatal(err)
	}
	if string(formatted) != code {
		t.Error("gofmt would change the code")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

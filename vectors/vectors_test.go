package vectors_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
)

// node runs a script of generate/, which needs libsodium from npm.
func node(t *testing.T, stdin []byte, arguments ...string) []byte {
	t.Helper()
	if _, err := os.Stat(filepath.Join("generate", "node_modules", "libsodium-wrappers")); err != nil {
		t.Fatalf("libsodium is missing (%v): run `make npm`, or `npm ci --prefix vectors/generate`", err)
	}
	// Read, so that go test knows that its result depends on them.
	scripts, err := filepath.Glob(filepath.Join("generate", "*.mjs"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, script := range scripts {
		if _, err := os.ReadFile(script); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "node", arguments...)
	command.Dir = "generate"
	command.Stdin = bytes.NewReader(stdin)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		t.Fatalf("node %v: %v\n%s", arguments, err, stderr.String())
	}
	return output
}

// TestFilesAreWhatLibsodiumMakes runs the generator again.
func TestFilesAreWhatLibsodiumMakes(t *testing.T) {
	node(t, nil, "generate.mjs", "--check")
}

// TestLockNamesNoMirror keeps download addresses out of the lock file: npm puts in
// whatever registry the machine that wrote it uses.
func TestLockNamesNoMirror(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("generate", "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	var lock struct {
		Packages map[string]struct {
			Resolved  string `json:"resolved"`
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	if len(lock.Packages) < 3 {
		t.Errorf("only %d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if p.Resolved != "" || name != "" && p.Integrity == "" {
			t.Errorf("%s: resolved %q, integrity %q", name, p.Resolved, p.Integrity)
		}
	}
}

// source is deterministic randomness for keys and nonces, so that a failure comes back.
type source struct{ *rand.ChaCha8 }

// item is one case for open.mjs, with what has to come out.
type item struct {
	in   map[string]any
	want map[string]any
}

// TestLibsodiumOpensWhatGoMade makes keys, signatures and messages here and lets
// libsodium open them.
func TestLibsodiumOpensWhatGoMade(t *testing.T) {
	seed := [32]byte{7}
	t.Logf("seed %x", seed)
	made := maker{t: t, source: source{rand.NewChaCha8(seed)}}
	for i := range 20 {
		made.keysAndSignatures()
		made.direct(i)
		made.group(i)
	}
	inputs := make([]map[string]any, len(made.items))
	for i, item := range made.items {
		inputs[i] = item.in
	}
	stdin, err := json.Marshal(inputs)
	if err != nil {
		t.Fatal(err)
	}
	var results []map[string]any
	if err := json.Unmarshal(node(t, stdin, "open.mjs"), &results); err != nil {
		t.Fatal(err)
	}
	if len(results) != len(made.items) || len(results) < 100 {
		t.Fatalf("%d results for %d cases", len(results), len(made.items))
	}
	for i, item := range made.items {
		got, err1 := json.Marshal(results[i])
		want, err2 := json.Marshal(item.want)
		if err1 != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: libsodium says %s, wanted %s (%v, %v)", item.in["case"], got, want, err1, err2)
		}
	}
}

// maker collects cases.
type maker struct {
	t      *testing.T
	source source
	items  []item
}

func (m *maker) add(in, want map[string]any) { m.items = append(m.items, item{in, want}) }

// peer makes a key, and gives its seed too.
func (m *maker) peer() (keys.PeerPrivate, vectors.Bytes) {
	seed := make([]byte, keys.SeedSize)
	if _, err := m.source.Read(seed); err != nil {
		m.t.Fatal(err)
	}
	key, err := keys.PeerPrivateFromSeed(seed)
	if err != nil {
		m.t.Fatal(err)
	}
	return key, seed
}

func (m *maker) pair(own keys.PeerPrivate, other keys.Public) *seal.Pair {
	pair, err := seal.NewPair(own, other)
	if err != nil {
		m.t.Fatal(err)
	}
	return pair
}

func (m *maker) keysAndSignatures() {
	key, seed := m.peer()
	private, err := key.Curve()
	if err != nil {
		m.t.Fatal(err)
	}
	public, err := key.Public().Curve()
	if err != nil {
		m.t.Fatal(err)
	}
	m.add(map[string]any{"case": "keys", "seed": seed}, map[string]any{"public": key.Public(),
		"x25519_private": vectors.Bytes(private.Bytes()), "x25519_public": vectors.Bytes(public.Bytes())})
	content := fmt.Appendf(nil, `{"n":%d}`, m.source.Uint64())
	o := signed.Sign(signed.DomainEntry, content, key)
	in := map[string]any{"case": "signature", "domain": signed.DomainEntry, "bytes": vectors.Bytes(o.Bytes),
		"sig": vectors.Bytes(o.Sig), "key": key.Public()}
	m.add(in, map[string]any{"ok": true})
	m.add(map[string]any{"case": "signature", "domain": signed.DomainHead, "bytes": in["bytes"], "sig": in["sig"],
		"key": in["key"]}, map[string]any{"ok": false})
}

// message makes a message, larger with i.
func (m *maker) message(i int, from keys.Public, to ...keys.Public) (seal.Message, vectors.Bytes) {
	id, err := keys.NewMessageID(1_764_000_000_000, m.source)
	if err != nil {
		m.t.Fatal(err)
	}
	message := seal.Message{
		ID: id, Mesh: keys.MeshID{1}, From: from, Session: keys.SessionID{2}, Label: "web-shop",
		Audience: seal.Audience{Address: "bob", Keys: to}, Seq: uint64(i + 1), Kind: seal.KindMessage,
		Priority: seal.PriorityNow, Time: 1_764_000_000_000, Expires: 1_764_000_000_001,
		At: signed.At{N: 1, Hash: signed.ShortHash{1}}, Body: strings.Repeat("✓ \"a\\b\"\n\x00\u2028", i*i*3),
	}
	data, err := message.Encode()
	if err != nil {
		m.t.Fatal(err)
	}
	return message, data
}

func (m *maker) direct(i int) {
	alice, aliceSeed := m.peer()
	bob, bobSeed := m.peer()
	_, malloSeed := m.peer()
	for _, c := range []struct {
		to   keys.PeerPrivate
		seed vectors.Bytes
		seal func(*seal.Pair, *seal.Message) ([]byte, error)
		sign bool
	}{
		{bob, bobSeed, func(p *seal.Pair, s *seal.Message) ([]byte, error) { return seal.SealDirect(m.source, p, s) }, false},
		{bob, bobSeed, func(p *seal.Pair, s *seal.Message) ([]byte, error) { return seal.SealDirectSigned(m.source, p, s) }, true},
		{alice, aliceSeed, func(p *seal.Pair, s *seal.Message) ([]byte, error) { return seal.SealDirect(m.source, p, s) }, false},
	} {
		message, data := m.message(i, alice.Public(), c.to.Public())
		box, err := c.seal(m.pair(alice, c.to.Public()), &message)
		if err != nil {
			m.t.Fatal(err)
		}
		in := func(seed, box vectors.Bytes) map[string]any {
			return map[string]any{"case": "direct", "seed": seed, "sender": alice.Public(), "box": box}
		}
		m.add(in(c.seed, box), map[string]any{"message": data, "signed": c.sign})
		m.add(in(malloSeed, box), nil)
		m.add(in(c.seed, box[:len(box)-1]), nil)
		m.add(in(c.seed, append(bytes.Clone(box[:len(box)-1]), box[len(box)-1]^1)), nil)
	}
}

func (m *maker) group(i int) {
	alice, aliceSeed := m.peer()
	bob, bobSeed := m.peer()
	message, data := m.message(i, alice.Public(), alice.Public(), bob.Public())
	sealed, boxes, err := seal.SealGroup(m.source,
		[]*seal.Pair{m.pair(alice, alice.Public()), m.pair(alice, bob.Public())}, &message)
	if err != nil {
		m.t.Fatal(err)
	}
	for at, seed := range []vectors.Bytes{aliceSeed, bobSeed} {
		in := func(box vectors.Bytes) map[string]any {
			return map[string]any{"case": "group", "seed": seed, "sender": alice.Public(), "sealed": vectors.Bytes(sealed), "box": box}
		}
		m.add(in(boxes[at]), map[string]any{"message": data, "signed": false})
		m.add(in(boxes[1-at]), nil)
	}
	extras := seal.Extras{Mesh: keys.MeshID{1}, From: alice.Public(), Time: 1, Summary: "vectors"}
	content, err := seal.SealExtras(m.source, extras)
	if err != nil {
		m.t.Fatal(err)
	}
	box, err := content.Box(m.source, m.pair(alice, bob.Public()))
	if err != nil {
		m.t.Fatal(err)
	}
	text, err := signed.Encode(struct {
		Kind string `json:"kind"`
		seal.Extras
	}{"extras", extras})
	if err != nil {
		m.t.Fatal(err)
	}
	m.add(map[string]any{"case": "group", "seed": bobSeed, "sender": alice.Public(), "sealed": vectors.Bytes(content.Sealed),
		"box": vectors.Bytes(box)}, map[string]any{"message": vectors.Bytes(text), "signed": false})
}

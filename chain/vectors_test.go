package chain_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// go test ./chain -update makes vectors/chain anew. They are what other
// implementations are tested with: read a diff of them as a change of the protocol.
var update = flag.Bool("update", false, "write vectors/chain anew")

const vectorFolder = "../vectors/chain"

// vectorFile is how every file of vectors looks.
type vectorFile[V any] struct {
	About   string `json:"about"`
	MadeBy  string `json:"made_by"`
	Vectors []V    `json:"vectors"`
}

// entryVector is an entry and what becomes of it by itself.
type entryVector struct {
	Name string `json:"name"`
	// Text is the signed bytes again, to read; it is not part of the vector.
	Text   string        `json:"text"`
	Object signed.Object `json:"object"`
	Hash   signed.Hash   `json:"hash"`
	// Outcome is ok, void (signed and has its place, changes nothing), unknown
	// (the same, but stops a reader if an owner signed it), or broken (a page that
	// has it is refused).
	Outcome string `json:"outcome"`
}

// headVector is a head and whether the broker's key signed it.
type headVector struct {
	Name    string        `json:"name"`
	Text    string        `json:"text"`
	Object  signed.Object `json:"object"`
	Broker  keys.Public   `json:"broker"`
	Outcome string        `json:"outcome"` // ok or broken
}

// forkVector is an alleged proof that a broker signed two orders.
type forkVector struct {
	Name    string      `json:"name"`
	Fork    chain.Fork  `json:"fork"`
	Broker  keys.Public `json:"broker"`
	Outcome string      `json:"outcome"` // proof or none
}

// linkVector is an invite link and what is in it. Seed is the secret; these are not
// anybody's.
type linkVector struct {
	Name    string           `json:"name"`
	Link    string           `json:"link"`
	URL     string           `json:"url,omitempty"`
	Mesh    keys.MeshID      `json:"mesh"`
	Broker  keys.Fingerprint `json:"broker"`
	Seed    signed.Bytes     `json:"seed,omitempty"`
	Outcome string           `json:"outcome"` // ok, cut, version, plain, bad
}

// secret makes the key that a name stands for.
func secret(name string) keys.PeerPrivate {
	seed := sha256.Sum256([]byte("key of " + name))
	s, err := keys.PeerPrivateFromSeed(seed[:])
	if err != nil {
		panic(err)
	}
	return s
}

func public(name string) keys.Public { return secret(name).Public() }

// text is the wire form of a value.
func text(v interface{ MarshalText() ([]byte, error) }) string {
	b, err := v.MarshalText()
	if err != nil {
		panic(err)
	}
	return string(b)
}

func signEntry(bytes string, signers ...string) signed.Object {
	list := make([]keys.Signer, len(signers))
	for i, name := range signers {
		list[i] = secret(name)
	}
	return signed.Sign(signed.DomainEntry, []byte(bytes), list...)
}

const now = int64(1_795_000_000_000)

// firstEntry is the genesis that the vectors' chain begins with.
func firstEntry() chain.Signed {
	e, err := chain.NewGenesis(now, secret("owner"), chain.Genesis{
		Name: "acme", Recovery: public("recovery"), Broker: public("broker"),
		URLs: []string{"https://mesh.example.org", "http://127.0.0.1:7900", "https://[fd00::1]:7900", chain.URLUnix},
	}, strings.NewReader("sixteen bytes..."))
	if err != nil {
		panic(err)
	}
	return e
}

// wellFormed is one entry of each type.
func wellFormed() map[string]chain.Signed {
	genesis := firstEntry()
	make := func(body chain.Body, signers ...string) chain.Signed {
		list := []keys.Signer{}
		for _, name := range signers {
			list = append(list, secret(name))
		}
		e, err := chain.Make(chain.Entry{Mesh: chain.MeshIDOf(genesis), N: 1, Prev: genesis.Hash,
			By: public(signers[0]), Time: now + 1, Body: body}, list...)
		if err != nil {
			panic(err)
		}
		return e
	}
	return map[string]chain.Signed{
		"genesis":    genesis,
		"broker":     make(chain.Broker{URLs: []string{"https://other.example.org:443"}}, "owner"),
		"role":       make(chain.Role{Key: public("alice"), Rank: chain.RankAdmin}, "owner"),
		"role owner": make(chain.Role{Key: public("owner2"), Rank: chain.RankOwner}, "owner"),
		"invite": make(chain.Invite{Key: public("link"), Rank: chain.RankMember, Expires: now + 86_400_000, Uses: 10,
			Kinds: []chain.Kind{chain.KindAgent, chain.KindGateway, chain.KindBridge, chain.KindWeb}}, "alice"),
		"invite for devices": make(chain.Invite{Key: public("own"), Rank: chain.RankMember, User: "bob",
			Expires: now + 86_400_000, Uses: 1, Kinds: []chain.Kind{chain.KindAgent}, Approve: true}, "bob"),
		"join":   make(chain.Join{User: "bob", Device: "desk", Peer: public("bob"), Kind: chain.KindAgent}, "link", "bob"),
		"admit":  make(chain.Admit{Peer: public("bob2")}, "bob"),
		"revoke": make(chain.Revoke{Keys: []keys.Public{public("bob"), public("link")}}, "alice"),
		"heal":   make(chain.Heal{Broker: public("broker2"), URLs: []string{"https://new.example.org"}}, "recovery"),
	}
}

// splice replaces the first occurrence of old in the bytes of an entry.
func splice(e chain.Signed, old, new string) string {
	s := string(e.Bytes)
	if !strings.Contains(s, old) {
		panic("no " + old + " in " + s)
	}
	return strings.Replace(s, old, new, 1)
}

func entryVectors() []entryVector {
	var list []entryVector
	add := func(name, outcome string, o signed.Object) {
		list = append(list, entryVector{name, string(o.Bytes), o, chain.HashOf(o.Bytes), outcome})
	}
	genesis, good := firstEntry(), wellFormed()
	add("genesis", "ok", genesis.Object)
	for _, name := range []string{"broker", "role", "role owner", "invite", "invite for devices", "join", "admit", "revoke", "heal"} {
		add(name, "ok", good[name].Object)
	}
	// Whoever signs writes as it likes; only the bytes count.
	add("other order of names, with spaces", "ok", signEntry(`{ "keys" : [ "`+text(public("bob"))+`" ], "time":1795000000001,
		"type":"revoke", "by":"`+text(public("alice"))+`","n":1,"prev":"`+text(genesis.Hash)+`","mesh":"`+text(chain.MeshIDOf(genesis))+`" }`, "alice"))

	for _, c := range malformedBodies() {
		add(c.name, "void", signEntry(splice(good[c.of], c.old, c.new), c.signers...))
	}
	for _, c := range unknowns() {
		add(c.name, "unknown", signEntry(splice(good[c.of], c.old, c.new), c.signers...))
	}
	for _, c := range brokenHeaders() {
		add(c.name, "broken", signEntry(splice(good[c.of], c.old, c.new), c.signers...))
	}
	revoke, join := good["revoke"], good["join"]
	add("signed by another", "broken", signEntry(string(revoke.Bytes), "bob"))
	add("signed twice", "broken", signEntry(string(revoke.Bytes), "alice", "alice"))
	add("join without the peer's signature", "broken", signEntry(string(join.Bytes), "link"))
	add("join signed by the peer alone", "broken", signEntry(string(join.Bytes), "bob"))
	add("join signed in the other order", "broken", signEntry(string(join.Bytes), "bob", "link"))
	add("join signed by another peer", "broken", signEntry(string(join.Bytes), "link", "alice"))
	add("a bit of the bytes changed", "broken", signed.Object{Bytes: []byte(splice(revoke, "revoke", "revokf")), Sig: revoke.Sig})
	add("signed as a head", "broken", signed.Sign(signed.DomainHead, revoke.Bytes, secret("alice")))
	add("unknown and signed by another", "broken", signEntry(splice(revoke, "revoke", "later"), "bob"))
	add("malformed and signed by another", "broken", signEntry(splice(revoke, `"keys":[`, `"keys":[7,`), "bob"))
	add("unknown and signed by another besides", "unknown", signEntry(splice(revoke, "revoke", "later"), "alice", "bob"))
	add("too long", "broken", signEntry(splice(revoke, "{", "{"+strings.Repeat(" ", chain.MaxEntry)), "alice"))
	add("as long as may be", "ok", signEntry(splice(revoke, "{", "{"+strings.Repeat(" ", chain.MaxEntry-len(revoke.Bytes))), "alice"))
	return list
}

type changed struct {
	name, of, old, new string
	signers            []string
}

func malformedBodies() []changed {
	alice, owner, recovery := []string{"alice"}, []string{"owner"}, []string{"recovery"}
	join := []string{"link", "bob"}
	identity := text(keys.Public{1})
	return []changed{
		{"no keys", "revoke", `"keys":["` + text(public("bob")) + `","` + text(public("link")) + `"]`, `"keys":[]`, alice},
		{"a key twice", "revoke", text(public("link")), text(public("bob")), alice},
		{"keys missing", "revoke", `,"keys":["` + text(public("bob")) + `","` + text(public("link")) + `"]`, ``, alice},
		{"keys null", "revoke", `["` + text(public("bob")) + `","` + text(public("link")) + `"]`, `null`, alice},
		{"a key null", "revoke", `"` + text(public("link")) + `"`, `null`, alice},
		{"a key too short", "revoke", text(public("link")), text(public("link"))[1:], alice},
		{"rank none", "role", `"rank":2`, `"rank":0`, owner},
		{"rank recovery", "role", `"rank":2`, `"rank":4`, owner},
		{"rank as text", "role", `"rank":2`, `"rank":"2"`, owner},
		{"an owner of small order", "role owner", text(public("owner2")), identity, owner},
		{"invite of an owner's rank", "invite", `"rank":1`, `"rank":3`, alice},
		{"admins' devices", "invite for devices", `"rank":1`, `"rank":2`, []string{"bob"}},
		{"invite without uses", "invite", `"uses":10`, `"uses":0`, alice},
		{"invite with too many uses", "invite", `"uses":10`, `"uses":1000001`, alice},
		{"invite without expiry", "invite", `"expires":1795086400000`, `"expires":0`, alice},
		{"invite without kinds", "invite", `["agent","gateway","bridge","web"]`, `[]`, alice},
		{"invite with a kind twice", "invite", `"gateway"`, `"agent"`, alice},
		{"invite with another kind", "invite", `"gateway"`, `"phone"`, alice},
		{"invite with approve as a number", "invite", `"approve":false`, `"approve":0`, alice},
		{"invite of small order", "invite", text(public("link")), identity, alice},
		{"invite for a name in capitals", "invite for devices", `"user":"bob"`, `"user":"Bob"`, []string{"bob"}},
		{"name in capitals", "join", `"user":"bob"`, `"user":"Bob"`, join},
		{"name like a key", "join", `"user":"bob"`, `"user":"key-bob"`, join},
		{"name in Cyrillic", "join", `"user":"bob"`, `"user":"bоb"`, join},
		{"name of 33", "join", `"user":"bob"`, `"user":"` + strings.Repeat("b", 33) + `"`, join},
		{"no device", "join", `"device":"desk"`, `"device":""`, join},
		{"device with a space", "join", `"device":"desk"`, `"device":"de sk"`, join},
		{"another kind", "join", `"kind":"agent"`, `"kind":"phone"`, join},
		{"no URL", "broker", `["https://other.example.org:443"]`, `[]`, owner},
		{"a URL with a path", "broker", `:443"`, `:443/v1"`, owner},
		{"a URL with a user", "broker", `https://`, `https://me@`, owner},
		{"a URL in capitals", "broker", `other`, `Other`, owner},
		{"a URL of another scheme", "broker", `https:`, `wss:`, owner},
		{"a URL with port 0", "broker", `:443`, `:0`, owner},
		{"a URL with port 65536", "broker", `:443`, `:65536`, owner},
		{"a URL twice", "broker", `["`, `["https://other.example.org:443","`, owner},
		{"33 URLs", "broker", `["`, `["` + strings.Join(manyURLs(32), `","`) + `","`, owner},
		{"a URL of 257 bytes", "broker", `other`, strings.Repeat("x", 257-len("https://.example.org:443")), owner},
		{"a URL without host", "broker", `other.example.org`, ``, owner},
		{"a URL with an empty port", "broker", `:443`, `:`, owner},
		{"a URL with a port of zeros", "broker", `:443`, `:0443`, owner},
		{"a URL with a bracket missing", "broker", `other.example.org:443`, `[fd00::1`, owner},
		{"a URL with something behind the bracket", "broker", `other.example.org:443`, `[fd00::1]7900`, owner},
		{"a broker of small order", "heal", text(public("broker2")), identity, recovery},
		{"a genesis at place 1", "genesis", `"n":0`, `"n":1`, owner},
		{"a revoke at place 0", "revoke", `"n":1`, `"n":0`, alice},
		{"a recovery key that is the owner's", "genesis", text(public("recovery")), text(public("owner")), owner},
		{"a broker's key that is the owner's", "genesis", text(public("broker")), text(public("owner")), owner},
		{"a broker's key that is the recovery key", "genesis", text(public("broker")), text(public("recovery")), owner},
		{"a recovery key of small order", "genesis", text(public("recovery")), identity, owner},
		{"a genesis without URL", "genesis", `"urls":["https://mesh.example.org","http://127.0.0.1:7900","https://[fd00::1]:7900","unix:"]`, `"urls":[]`, owner},
		{"a name of the mesh with a space", "genesis", `"acme"`, `"ac me"`, owner},
		{"random too short", "genesis", `"random":"`, `"random":"AAAA`, owner},
	}
}

func manyURLs(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("https://b%d.example.org", i)
	}
	return list
}

func unknowns() []changed {
	alice := []string{"alice"}
	return []changed{
		{"a type of a later version", "revoke", `"type":"revoke"`, `"type":"later"`, alice},
		{"checkpoint, which is reserved", "revoke", `"type":"revoke"`, `"type":"checkpoint"`, alice},
		{"no type at all", "revoke", `"type":"revoke"`, `"type":""`, alice},
		{"a field of a later version", "revoke", `"keys":`, `"why":"lost","keys":`, alice},
		{"a broker entry with a key", "broker", `"urls":`, `"broker":"` + text(public("broker2")) + `","urls":`, []string{"owner"}},
		{"a field of a later version, another malformed", "role", `"rank":2`, `"rank":9,"until":1`, []string{"owner"}},
		{"a field of a later version in a join, signed by the invite alone", "join", `"kind":`, `"icon":"x","kind":`, []string{"link"}},
	}
}

func brokenHeaders() []changed {
	alice := []string{"alice"}
	return []changed{
		{"no time", "revoke", `,"time":1795000000001`, ``, alice},
		{"time zero", "revoke", `"time":1795000000001`, `"time":0`, alice},
		{"time negative", "revoke", `"time":1795000000001`, `"time":-1`, alice},
		{"time of 2^53", "revoke", `"time":1795000000001`, `"time":9007199254740992`, alice},
		{"time with a fraction", "revoke", `"time":1795000000001`, `"time":1795000000001.5`, alice},
		{"place null", "revoke", `"n":1`, `"n":null`, alice},
		{"place negative", "revoke", `"n":1`, `"n":-1`, alice},
		{"a name twice", "revoke", `"n":1`, `"n":1,"n":1`, alice},
		{"a name twice but for case", "revoke", `"n":1`, `"n":1,"N":2`, alice},
		{"a name in another case", "revoke", `"prev"`, `"Prev"`, alice},
		{"type as a number", "revoke", `"type":"revoke"`, `"type":7`, alice},
		{"prev with a line break", "revoke", `"prev":"`, `"prev":"\n`, alice},
		{"no JSON", "revoke", `{`, ``, alice},
		{"something behind it", "revoke", `]}`, `]} {}`, alice},
		{"not UTF-8", "revoke", `"type":"revoke"`, "\"type\":\"revoke\xff\"", alice},
	}
}

func headVectors() []headVector {
	genesis := firstEntry()
	h := chain.Head{Mesh: chain.MeshIDOf(genesis), N: 0, Hash: genesis.Hash, Time: now, Life: 1}
	good, err := chain.MakeHead(h, secret("broker"))
	if err != nil {
		panic(err)
	}
	list := []headVector{{"good", string(good.Bytes), good.Object, public("broker"), "ok"}}
	add := func(name, old, new string) {
		bytes := strings.Replace(string(good.Bytes), old, new, 1)
		if bytes == string(good.Bytes) {
			panic("no " + old)
		}
		list = append(list, headVector{name, bytes, signed.Sign(signed.DomainHead, []byte(bytes), secret("broker")), public("broker"), "broken"})
	}
	add("a field more", `"n":0`, `"n":0,"more":1`)
	add("a field less", `,"life":1`, ``)
	add("chain left out", `"chain":"`+text(signed.Hash{})+`",`, ``)
	add("life zero", `"life":1`, `"life":0`)
	add("time zero", fmt.Sprint(now), `0`)
	add("hash zero", text(h.Hash), text(signed.Hash{}))
	add("mesh zero", text(h.Mesh), text(keys.MeshID{}))
	add("a name twice", `"n":0`, `"n":0,"n":0`)
	add("null", `"n":0`, `"n":null`)
	add("too long", `{`, `{`+strings.Repeat(" ", chain.MaxHead))
	list = append(list,
		headVector{"of another broker", string(good.Bytes), good.Object, public("broker2"), "broken"},
		headVector{"signed as an entry", string(good.Bytes), signed.Sign(signed.DomainEntry, good.Bytes, secret("broker")), public("broker"), "broken"},
		headVector{"signed twice", string(good.Bytes), signed.Sign(signed.DomainHead, good.Bytes, secret("broker"), secret("broker")), public("broker"), "broken"})
	return list
}

func linkVectors() []linkVector {
	genesis := firstEntry()
	seed := sha256.Sum256([]byte("key of link"))
	key, err := keys.InvitePrivateFromSeed(seed[:])
	if err != nil {
		panic(err)
	}
	l := chain.Link{URL: "https://mesh.example.org", Mesh: chain.MeshIDOf(genesis), Broker: public("broker").Fingerprint(), Key: key}
	var list []linkVector
	ok := func(name, link, url string) {
		list = append(list, linkVector{name, link, url, l.Mesh, l.Broker, seed[:], "ok"})
	}
	bad := func(name, outcome, link string) {
		list = append(list, linkVector{Name: name, Link: link, Outcome: outcome})
	}
	fragment := strings.TrimPrefix(l.Text(), l.URL+"/i#")
	ok("https", l.Text(), l.URL)
	ok("claudemesh", l.App(), l.URL)
	ok("with a port", "https://192.168.1.20:7900/i#"+fragment, "https://192.168.1.20:7900")
	ok("claudemesh with a port", "claudemesh://join/192.168.1.20:7900#"+fragment, "https://192.168.1.20:7900")
	ok("IPv6", "https://[fd00::1]:7900/i#"+fragment, "https://[fd00::1]:7900")
	ok("this machine", "http://127.0.0.1:7900/i#"+fragment, "http://127.0.0.1:7900")
	ok("this machine by name", "http://localhost:7900/i#"+fragment, "http://localhost:7900")
	ok("this machine, IPv6", "http://[::1]:7900/i#"+fragment, "http://[::1]:7900")
	ok("host in capitals", "HTTPS://Mesh.Example.ORG/i#"+fragment, l.URL)
	ok("broken by a mail", "  https://mesh.exam\r\n ple.org/i#"+fragment[:40]+"\n\t"+fragment[40:]+"\n", l.URL)
	bad("plain, and not this machine", "plain", "http://mesh.example.org/i#"+fragment)
	bad("plain, and like this machine", "plain", "http://127.0.0.1.example.org/i#"+fragment)
	bad("plain, and like localhost", "plain", "http://notlocalhost/i#"+fragment)
	bad("unix", "bad", "unix:/i#"+fragment)
	bad("a user before the host", "bad", "https://mesh.example.org@evil.example.org/i#"+fragment)
	bad("a query", "cut", "https://mesh.example.org/i?x#"+fragment)
	bad("another path", "bad", "https://mesh.example.org/x/i#"+fragment)
	bad("no host", "bad", "https:///i#"+fragment)
	bad("no fragment", "cut", "https://mesh.example.org/i")
	bad("empty fragment", "cut", "https://mesh.example.org/i#")
	bad("no path", "cut", "https://mesh.example.org#"+fragment)
	bad("fragment alone", "cut", fragment)
	bad("cut short", "cut", l.Text()[:len(l.Text())-1])
	bad("cut shorter", "cut", l.Text()[:len(l.Text())-9])
	bad("too long", "cut", l.Text()+"AAAA")
	bad("another alphabet", "cut", "https://mesh.example.org/i#+"+fragment[1:])
	bad("a later version", "version", "https://mesh.example.org/i#Ag"+fragment[2:])
	bad("a later version, longer", "version", "https://mesh.example.org/i#Ag"+fragment[2:]+"AAAA")
	bad("two fragments", "cut", l.Text()+"#"+fragment)
	bad("a later version at a bad address", "version", "https:///i#Ag"+fragment[2:])
	bad("a later version without path", "version", "https://mesh.example.org#Ag"+fragment[2:])
	spoilt := func(at int, with ...byte) string {
		raw, err := base64.RawURLEncoding.DecodeString(fragment)
		if err != nil {
			panic(err)
		}
		copy(raw[at:], with)
		return l.URL + "/i#" + base64.RawURLEncoding.EncodeToString(raw)
	}
	bad("version 0", "cut", spoilt(0, 0))
	bad("no mesh", "cut", spoilt(1, make([]byte, 16)...))
	bad("no broker", "cut", spoilt(17, make([]byte, 16)...))
	return list
}

func forkVectors() []forkVector {
	genesis, good := firstEntry(), wellFormed()
	mesh := chain.MeshIDOf(genesis)
	head := func(e chain.Signed, life uint64, broker string) chain.SignedHead {
		h, err := chain.MakeHead(chain.Head{Mesh: mesh, N: e.Entry.N, Hash: e.Hash, Time: now, Life: life}, secret(broker))
		if err != nil {
			panic(err)
		}
		return h
	}
	second, err := chain.Make(chain.Entry{Mesh: mesh, N: 2, Prev: good["revoke"].Hash, By: public("alice"), Time: now,
		Body: chain.Broker{URLs: []string{"unix:"}}}, secret("alice"))
	if err != nil {
		panic(err)
	}
	a, b := good["revoke"], good["role"]
	long := []chain.Signed{a, second}
	proof := chain.ProveFork(head(second, 1, "broker"), head(b, 1, "broker"), long)
	shorter := proof
	shorter.Entries = []signed.Object{}
	swapped := proof
	swapped.Lower, swapped.Upper = proof.Upper, proof.Lower
	// with replaces something in one head, and signs it again.
	with := func(old, new string) signed.Object {
		return signed.Sign(signed.DomainHead, bytes.Replace(proof.Upper.Bytes, []byte(old), []byte(new), 1), secret("broker"))
	}
	otherMesh, otherChain, noLower, noUpper, noEntry, elsewhere, displaced := proof, proof, proof, proof, proof, proof, proof
	otherMesh.Upper = with(text(mesh), text(keys.MeshID{1}))
	otherChain.Upper = with(text(signed.Hash{}), text(signed.Hash{1}))
	noLower.Lower = signed.Object{Bytes: proof.Lower.Bytes[1:], Sig: proof.Lower.Sig}
	noUpper.Upper = signed.Object{Bytes: proof.Upper.Bytes[1:], Sig: proof.Upper.Sig}
	noEntry.Entries = []signed.Object{{Bytes: []byte("x"), Sig: second.Sig}}
	third := second.Entry
	third.Time++
	other, err := chain.Make(third, secret("alice"))
	if err != nil {
		panic(err)
	}
	elsewhere.Entries = []signed.Object{other.Object}
	displaced.Upper = with(`"n":2`, `"n":3`)
	displaced.Entries = append([]signed.Object{a.Object}, proof.Entries...)
	return []forkVector{
		{"two entries at one place", chain.ProveFork(head(a, 1, "broker"), head(b, 1, "broker"), nil), public("broker"), "proof"},
		{"a longer order that leads elsewhere", proof, public("broker"), "proof"},
		{"one leads to the other", chain.ProveFork(head(second, 1, "broker"), head(a, 1, "broker"), long), public("broker"), "none"},
		{"the same head twice", chain.ProveFork(head(a, 1, "broker"), head(a, 1, "broker"), nil), public("broker"), "none"},
		{"two lives: restored", chain.ProveFork(head(a, 1, "broker"), head(b, 2, "broker"), nil), public("broker"), "none"},
		{"another broker's", proof, public("broker2"), "none"},
		{"one head by a stranger", chain.ProveFork(head(a, 1, "broker"), head(b, 1, "alice"), nil), public("broker"), "none"},
		{"an entry missing", shorter, public("broker"), "none"},
		{"heads swapped", swapped, public("broker"), "none"},
		{"heads of two meshes", otherMesh, public("broker"), "none"},
		{"heads of two chains", otherChain, public("broker"), "none"},
		{"the lower one is no head", noLower, public("broker"), "none"},
		{"the upper one is no head", noUpper, public("broker"), "none"},
		{"what leads there is no entry", noEntry, public("broker"), "none"},
		{"an entry that does not lead there", elsewhere, public("broker"), "none"},
		{"a head at another place than its entry", displaced, public("broker"), "none"},
	}
}

// golden compares a file of vectors with what makes it, or writes it anew.
func golden[V any](t testing.TB, name, about string, vectors []V) []V {
	t.Helper()
	path := filepath.Join(vectorFolder, name)
	want := vectorFile[V]{about, "the tests of package chain (go test ./chain -update); keys are ed25519 keys of the seed SHA-256(\"key of NAME\")", vectors}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, buffer.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file vectorFile[V]
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		t.Fatalf("%s has no vectors", name)
	}
	if !bytes.Equal(data, buffer.Bytes()) {
		t.Errorf("%s is not what the tests make; if the protocol changed on purpose: go test ./chain -update", name)
	}
	return file.Vectors
}

func entriesFile(t testing.TB) []entryVector {
	return golden(t, "entries.json", "Entries of a chain by themselves: what a reader makes of them before it asks who may say what. The hash is over the bytes, without the signatures.", entryVectors())
}

func headsFile(t testing.TB) []headVector {
	return golden(t, "heads.json", "Heads of a chain, and the key that must have signed them.", headVectors())
}

func linksFile(t testing.TB) []linkVector {
	return golden(t, "links.json", "Invite links. The seeds are nobody's secret.", linkVectors())
}

func TestEntryVectors(t *testing.T) {
	types := map[chain.Type]bool{}
	for _, v := range entriesFile(t) {
		e, err := chain.Read(v.Object)
		got := "ok"
		switch {
		case errors.Is(err, chain.ErrBroken):
			got = "broken"
		case err != nil:
			t.Errorf("%s: %v wraps nothing known", v.Name, err)
		case errors.Is(e.Void, chain.ErrUnknown):
			got = "unknown"
		case errors.Is(e.Void, chain.ErrMalformed):
			got = "void"
		case e.Void != nil:
			t.Errorf("%s: void for %v", v.Name, e.Void)
		}
		if got != v.Outcome {
			t.Errorf("%s: %s, want %s (%v, %v)", v.Name, got, v.Outcome, err, e.Void)
			continue
		}
		if _, err := chain.Decode(v.Object); (err == nil) != (v.Outcome == "ok") {
			t.Errorf("%s: Decode says %v", v.Name, err)
		}
		if v.Outcome != "broken" && e.Hash != v.Hash {
			t.Errorf("%s: hash %s, want %s", v.Name, e.Hash, v.Hash)
		}
		if v.Outcome == "ok" {
			types[e.Entry.Type()] = true
		}
	}
	for _, want := range []chain.Type{chain.TypeGenesis, chain.TypeBroker, chain.TypeRole, chain.TypeInvite, chain.TypeJoin,
		chain.TypeAdmit, chain.TypeRevoke, chain.TypeHeal} {
		if !types[want] {
			t.Errorf("no vector of type %s", want)
		}
	}
}

func TestHeadVectors(t *testing.T) {
	for _, v := range headsFile(t) {
		h, err := chain.DecodeHead(v.Object)
		if err == nil {
			err = h.Verify(v.Broker)
		}
		if (err == nil) != (v.Outcome == "ok") || err != nil && !errors.Is(err, chain.ErrBroken) {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Outcome)
		}
	}
}

func TestForkVectors(t *testing.T) {
	for _, v := range golden(t, "forks.json", "Alleged proofs that a broker signed two orders in one life.", forkVectors()) {
		if err := v.Fork.Verify(v.Broker); (err == nil) != (v.Outcome == "proof") {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Outcome)
		}
	}
}

func sameLink(a, b chain.Link) bool {
	return a.URL == b.URL && a.Mesh == b.Mesh && a.Broker == b.Broker && a.Key.Equal(b.Key)
}

func TestLinkVectors(t *testing.T) {
	for _, v := range linksFile(t) {
		l, err := chain.ParseLink(v.Link)
		got := "ok"
		switch {
		case errors.Is(err, chain.ErrLinkVersion):
			got = "version"
		case errors.Is(err, chain.ErrLinkPlain):
			got = "plain"
		case errors.Is(err, chain.ErrLinkCut):
			got = "cut"
		case errors.Is(err, chain.ErrLink):
			got = "bad"
		case err != nil:
			t.Errorf("%s: %v wraps nothing known", v.Name, err)
		}
		if got != v.Outcome {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Outcome)
			continue
		}
		if err != nil {
			if fragment := v.Link[strings.IndexByte(v.Link, '#')+1:]; len(fragment) > 8 && strings.Contains(err.Error(), fragment[8:]) {
				t.Errorf("%s: the error shows the secret", v.Name)
			}
			continue
		}
		if l.URL != v.URL || l.Mesh != v.Mesh || l.Broker != v.Broker || !bytes.Equal(l.Key.Seed(), v.Seed) {
			t.Errorf("%s: %v", v.Name, l)
		}
		for _, text := range []string{l.Text(), l.App()} {
			if text == "" && strings.HasPrefix(l.URL, "http://") {
				continue
			}
			again, err := chain.ParseLink(text)
			if err != nil || !sameLink(again, l) {
				t.Errorf("%s: read again: %v", v.Name, err)
			}
		}
	}
}

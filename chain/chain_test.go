package chain_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// grow makes a chain of n entries; variant makes all but the genesis differ.
func grow(t *testing.T, n, variant int) []chain.Signed {
	t.Helper()
	entries := []chain.Signed{firstEntry()}
	for i := 1; i < n; i++ {
		last := entries[i-1]
		e, err := chain.Make(chain.Entry{Mesh: chain.MeshIDOf(entries[0]), N: uint64(i), Prev: last.Hash, By: public("owner"),
			Time: now + int64(i), Body: chain.Broker{URLs: []string{fmt.Sprintf("https://b%d-%d.example.org", variant, i)}}}, secret("owner"))
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func headOver(t *testing.T, e chain.Signed) signed.Object {
	t.Helper()
	return headOf(t, chain.Head{Mesh: chain.MeshIDOf(firstEntry()), N: e.Entry.N, Hash: e.Hash})
}

func headOf(t *testing.T, h chain.Head) signed.Object {
	t.Helper()
	h.Time, h.Life = now, 1
	made, err := chain.MakeHead(h, secret("broker"))
	if err != nil {
		t.Fatal(err)
	}
	return made.Object
}

// page takes entries from to to, with a head over the last.
func page(t *testing.T, entries []chain.Signed, from, to int) chain.Page {
	t.Helper()
	p := chain.Page{From: uint64(from), Head: headOver(t, entries[to])}
	for _, e := range entries[from : to+1] {
		p.Entries = append(p.Entries, e.Object)
	}
	return p
}

func filled(t *testing.T, entries []chain.Signed) *chain.Chain {
	t.Helper()
	c := chain.New(chain.MeshIDOf(entries[0]))
	b, err := c.Read(page(t, entries, 0, len(entries)-1))
	if err != nil {
		t.Fatal(err)
	}
	if lost := c.Adopt(b); lost != nil {
		t.Fatalf("lost %d", len(lost))
	}
	return c
}

// Pages against a chain of a0 … a5; b leaves it behind a2.
func TestReadPages(t *testing.T) {
	a := grow(t, 9, 1)
	mesh := chain.MeshIDOf(a[0])
	b := append(append([]chain.Signed{}, a[:3]...), relink(t, grow(t, 9, 2)[3:], a[2])...)
	misplaced := a[6].Entry // on top of a5, but said to be the eighth
	misplaced.N = 7
	wrong, err := chain.Make(misplaced, secret("owner"))
	if err != nil {
		t.Fatal(err)
	}
	atSix := wrong
	atSix.Entry.N = 6 // for the head alone
	gap := func(err error) (uint64, bool) {
		var g *chain.GapError
		return func() uint64 {
			if errors.As(err, &g) {
				return g.Ask
			}
			return 0
		}(), g != nil
	}
	cases := []struct {
		name       string
		page       chain.Page
		from, news int
		want       error
		ask        int // place of a GapError, -1: none
	}{
		{"goes on", page(t, a, 6, 8), 6, 3, nil, -1},
		{"goes on, overlapping", page(t, a, 2, 8), 6, 3, nil, -1},
		{"nothing new", page(t, a, 2, 5), 6, 0, nil, -1},
		{"nothing new, further back", page(t, a, 2, 3), 6, 0, nil, -1},
		{"head alone", chain.Page{Head: headOver(t, a[5])}, 6, 0, nil, -1},
		{"head alone, ahead", chain.Page{Head: headOver(t, a[7])}, 0, 0, chain.ErrShort, -1},
		{"too far ahead", page(t, a, 7, 8), 0, 0, nil, 6},
		{"a branch", page(t, b, 2, 8), 3, 6, nil, -1},
		{"a shorter branch", page(t, b, 3, 4), 3, 2, nil, -1},
		{"a branch, from behind where it left", page(t, b, 4, 8), 0, 0, nil, 2},
		{"a hole", hole(page(t, a, 6, 8), 1), 0, 0, chain.ErrBroken, -1},
		{"swapped", swap(page(t, a, 6, 8)), 0, 0, chain.ErrBroken, -1},
		{"another entry within", replace(page(t, a, 6, 8), 1, b[7].Object), 0, 0, chain.ErrBroken, -1},
		{"said to begin elsewhere", shift(page(t, a, 6, 8), 5), 0, 0, chain.ErrBroken, -1},
		{"an entry that says another place", chain.Page{From: 6, Entries: []signed.Object{wrong.Object}, Head: headOver(t, atSix)}, 0, 0, chain.ErrBroken, -1},
		{"a head beyond", withHead(page(t, a, 6, 7), headOver(t, a[8])), 0, 0, chain.ErrShort, -1},
		{"a head before its end", withHead(page(t, a, 6, 8), headOver(t, a[7])), 0, 0, chain.ErrShort, -1},
		{"a head over another entry", withHead(page(t, a, 6, 8), headOver(t, b[8])), 0, 0, chain.ErrBroken, -1},
		{"nothing new, a head over another entry", withHead(page(t, a, 2, 5), headOver(t, b[5])), 0, 0, chain.ErrBroken, -1},
		{"no head", withHead(page(t, a, 6, 8), signed.Object{}), 0, 0, chain.ErrBroken, -1},
		{"the head of another mesh", withHead(page(t, a, 6, 8), headOf(t, chain.Head{Mesh: keys.MeshID{1}, N: 8, Hash: a[8].Hash})), 0, 0, chain.ErrBroken, -1},
		{"the head of another chain", withHead(page(t, a, 6, 8), headOf(t, chain.Head{Mesh: mesh, Chain: signed.Hash{1}, N: 8, Hash: a[8].Hash})), 0, 0, chain.ErrBroken, -1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			mine := filled(t, a[:6])
			got, err := mine.Read(c.page)
			if ask, is := gap(err); is != (c.ask >= 0) || is && int(ask) != c.ask {
				t.Fatalf("%v: asks from %d", err, ask)
			} else if is {
				return
			}
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if err == nil && (int(got.From) != c.from || len(got.Entries) != c.news) {
				t.Errorf("%d entries from %d, want %d from %d", len(got.Entries), got.From, c.news, c.from)
			}
			if mine.Len() != 6 || mine.Tip() != a[5].Hash {
				t.Error("reading changed the chain")
			}
		})
	}
}

// relink signs entries anew on top of another one.
func relink(t *testing.T, entries []chain.Signed, last chain.Signed) []chain.Signed {
	t.Helper()
	var list []chain.Signed
	for _, e := range entries {
		e.Entry.Prev = last.Hash
		again, err := chain.Make(e.Entry, secret("owner"))
		if err != nil {
			t.Fatal(err)
		}
		list, last = append(list, again), again
	}
	return list
}

func hole(p chain.Page, i int) chain.Page {
	p.Entries = append(append([]signed.Object{}, p.Entries[:i]...), p.Entries[i+1:]...)
	return p
}

func swap(p chain.Page) chain.Page {
	p.Entries = append([]signed.Object{p.Entries[1], p.Entries[0]}, p.Entries[2:]...)
	return p
}

func replace(p chain.Page, i int, o signed.Object) chain.Page {
	p.Entries = append([]signed.Object{}, p.Entries...)
	p.Entries[i] = o
	return p
}

func shift(p chain.Page, from uint64) chain.Page { p.From = from; return p }

func withHead(p chain.Page, head signed.Object) chain.Page { p.Head = head; return p }

// The first entry is the genesis that the mesh's id is made of, and nothing else.
func TestGenesisIsPinned(t *testing.T) {
	a := grow(t, 2, 1)
	other, err := chain.NewGenesis(now, secret("mallory"), chain.Genesis{Name: "acme", Recovery: public("recovery"),
		Broker: public("broker"), URLs: []string{"unix:"}}, strings.NewReader("sixteen bytes..."))
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]signed.Object{
		"another owner's":         other.Object,
		"an entry":                a[1].Object,
		"not signed by the owner": signed.Sign(signed.DomainEntry, a[0].Bytes, secret("mallory")),
	} {
		c := chain.New(chain.MeshIDOf(a[0]))
		if _, _, err := c.ReadEntries(0, []signed.Object{first}); !errors.Is(err, chain.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := chain.New(chain.MeshIDOf(a[0]))
	if _, _, err := c.ReadEntries(1, []signed.Object{a[1].Object}); err == nil {
		t.Error("a chain without its genesis")
	}
	if c.Compare(signed.At{}) != chain.Part || c.Compare(a[0].At()) != chain.Ahead || !c.At().IsZero() || !c.Tip().IsZero() {
		t.Error("an empty chain")
	}
	// An entry of another mesh has no place here.
	e := a[1].Entry
	e.Mesh[0]++
	foreign, err := chain.Make(e, secret("owner"))
	if err != nil {
		t.Fatal(err)
	}
	mine := filled(t, a[:1])
	if _, _, err := mine.ReadEntries(1, []signed.Object{foreign.Object}); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("an entry of another mesh: %v", err)
	}
}

// Slices that were handed out before do not change when a branch is adopted.
func TestAdoptKeepsWhatWasHandedOut(t *testing.T) {
	a := grow(t, 6, 1)
	b := append(append([]chain.Signed{}, a[:3]...), relink(t, grow(t, 9, 2)[3:], a[2])...)
	c := filled(t, a)
	before := c.From(3, 10)
	branch, err := c.Read(page(t, b, 2, 8))
	if err != nil {
		t.Fatal(err)
	}
	lost := c.Adopt(branch)
	if len(lost) != 3 || lost[0].Hash != a[3].Hash || before[0].Hash != a[3].Hash || before[2].Hash != a[5].Hash {
		t.Error("what was handed out changed")
	}
	if c.Len() != 9 || c.Tip() != b[8].Hash || c.At() != b[8].At() || c.Head().Head.N != 8 {
		t.Error("the branch was not adopted")
	}
	if e, ok := c.Entry(8); !ok || e.Hash != b[8].Hash {
		t.Error("entry 8")
	}
	if _, ok := c.Entry(9); ok || c.From(9, 1) != nil || c.From(0, 0) != nil || len(c.From(7, 10)) != 2 {
		t.Error("beyond the end")
	}
}

func TestMakeRefuses(t *testing.T) {
	good := wellFormed()["revoke"].Entry
	for name, c := range map[string]struct {
		change  func(*chain.Entry)
		signers []string
	}{
		"no body":           {func(e *chain.Entry) { e.Body = nil }, []string{"alice"}},
		"no time":           {func(e *chain.Entry) { e.Time = 0 }, []string{"alice"}},
		"a bad body":        {func(e *chain.Entry) { e.Body = chain.Revoke{} }, []string{"alice"}},
		"too long":          {func(e *chain.Entry) { e.Body = manyKeys(100) }, []string{"alice"}},
		"place beyond 2^53": {func(e *chain.Entry) { e.N = 1 << 53 }, []string{"alice"}},
		"nobody signs":      {func(*chain.Entry) {}, nil},
		"another signs":     {func(*chain.Entry) {}, []string{"bob"}},
		"two sign":          {func(*chain.Entry) {}, []string{"alice", "bob"}},
		"only one signs":    {func(e *chain.Entry) { e.Body = wellFormed()["join"].Entry.Body }, []string{"alice"}},
	} {
		e := good
		c.change(&e)
		var signers []keys.Signer
		for _, s := range c.signers {
			signers = append(signers, secret(s))
		}
		if _, err := chain.Make(e, signers...); !errors.Is(err, chain.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyKeys(n int) chain.Revoke {
	var r chain.Revoke
	for i := range n {
		r.Keys = append(r.Keys, public(fmt.Sprint(i)))
	}
	return r
}

// What is to be given out names a mesh, a broker and a key.
func TestLinkCheck(t *testing.T) {
	good, err := chain.ParseLink(linkVectors()[0].Link)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*chain.Link)
		want   error
	}{
		"as it was read":  {func(*chain.Link) {}, nil},
		"no mesh":         {func(l *chain.Link) { l.Mesh = keys.MeshID{} }, chain.ErrLinkCut},
		"no broker":       {func(l *chain.Link) { l.Broker = keys.Fingerprint{} }, chain.ErrLinkCut},
		"no key":          {func(l *chain.Link) { l.Key = keys.InvitePrivate{} }, chain.ErrLinkCut},
		"http elsewhere":  {func(l *chain.Link) { l.URL = "http://mesh.example.org" }, chain.ErrLinkPlain},
		"no host to dial": {func(l *chain.Link) { l.URL = chain.URLUnix }, chain.ErrLink},
	} {
		l := good
		c.change(&l)
		if err := l.Check(); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestLinkPrintsRedacted(t *testing.T) {
	l, err := chain.ParseLink(linkVectors()[0].Link)
	if err != nil {
		t.Fatal(err)
	}
	_, secretPart, _ := strings.Cut(l.Text(), "#")
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "link", l)
	for _, printed := range []string{fmt.Sprint(l), fmt.Sprintf("%v %+v %#v %s %q", l, l, l, l, l), fmt.Sprintf("%+v", []any{l, &l}), string(data), log.String()} {
		seed := text(signed.Bytes(l.Key.Seed()))
		for _, hidden := range []string{secretPart[40:], seed, fmt.Sprint(l.Key.Seed())} {
			if strings.Contains(printed, hidden) {
				t.Errorf("the secret prints: %s", printed)
			}
		}
	}
}

func TestLoopback(t *testing.T) {
	for url, want := range map[string]bool{
		"http://127.0.0.1:7900": true, "http://127.9.9.9": true, "localhost:1": true, "http://[::1]:7900": true,
		"http://me.localhost": true, "[::1]": true,
		"http://192.168.1.20:7900": false, "https://localhost.example.org": false, "http://127.0.0.1.example.org": false,
		"http://127.0.0.256": false, "http://127.0.0.01": false, "http://127.1": false, "http://[::11]": false, "unix:": false, "http://1270.0.0.1": false,
	} {
		if chain.IsLoopback(url) != want {
			t.Errorf("%s: %v", url, !want)
		}
	}
}

// Of an entry that is not understood the first signature counts, and others are whole.
func TestUnknownEntryIsSigned(t *testing.T) {
	o := signEntry(splice(wellFormed()["revoke"], "revoke", "later"), "alice", "bob")
	for size, want := range map[int]error{0: chain.ErrBroken, 32: chain.ErrBroken, 64: nil, 96: chain.ErrBroken, 128: nil} {
		if _, err := chain.Read(signed.Object{Bytes: o.Bytes, Sig: o.Sig[:size]}); !errors.Is(err, want) {
			t.Errorf("%d bytes of signatures: %v", size, err)
		}
	}
}

func TestUnknownEntryNamesWhat(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"type":"revoke"`, `"type":"` + strings.Repeat("x", 99) + `"`, `type "` + strings.Repeat("x", 32) + `"`},
		{`"keys":`, `"why":"","at":1,"keys":`, `"at, why"`},
	} {
		_, err := chain.Decode(signEntry(splice(wellFormed()["revoke"], c.old, c.new), "alice"))
		var unknown *chain.UnknownError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

package roster_test

import (
	"errors"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// An entry "counts if its signer is entitled in the state before it and it stands
// under a head of the broker that orders after it."
func TestRuleCountsOnlyUnderAHeadOfTheOrderingBroker(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	bob := client(b, "bob@desk", s.now)
	e := sign(t, b.r, s.now, revoke("carol@mac"), "alice@laptop")
	if err := b.order(s.now, e); err != nil {
		t.Fatal(err)
	}
	page := b.page(e.Entry.N, s.now)

	other := page // a stranger's head
	h := b.head(e.Entry.N, s.now).Head
	forged, err := chain.MakeHead(h, secret("broker2"))
	if err != nil {
		t.Fatal(err)
	}
	other.Head = forged.Object
	refused(t, bob, other, chain.ErrBroken)

	other = page // a member's
	if forged, err = chain.MakeHead(h, secret("alice@laptop")); err != nil {
		t.Fatal(err)
	}
	other.Head = forged.Object
	refused(t, bob, other, chain.ErrBroken)

	other = page // the right broker's, but over the entry before
	other.Head = b.head(e.Entry.N-1, s.now).Object
	refused(t, bob, other, chain.ErrShort)

	other.Head = signed.Object{} // none
	refused(t, bob, other, chain.ErrBroken)

	h.Mesh[0]++ // of another mesh
	other.Head = b.sign(h).Object
	refused(t, bob, other, chain.ErrBroken)

	mustAppend(t, bob, page, roster.Grown)

	// After a heal the new broker's head counts, the old one's does not.
	next := sign(t, b.r, s.now, heal("broker2"), "owner")
	if err := b.order(s.now, next); !errors.Is(err, roster.ErrNotOrderer) {
		t.Fatalf("the old broker orders its own end: %v", err)
	}
	b2 := b.copyOf(b.r.Chain().Len())
	b2.key = secret("broker2").(keys.BrokerPrivate)
	if err := b2.order(s.now, next); err != nil {
		t.Fatal(err)
	}
	page = b2.page(next.Entry.N, s.now)
	other = page
	if forged, err = chain.MakeHead(b2.head(next.Entry.N, s.now).Head, secret("broker")); err != nil {
		t.Fatal(err)
	}
	other.Head = forged.Object
	refused(t, bob, other, chain.ErrBroken)
	mustAppend(t, bob, page, roster.Grown)
	if err := b.order(s.now, sign(t, b.r, s.now, revoke("bob@desk"), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	refused(t, bob, b.page(next.Entry.N, s.now), roster.ErrOverruled)
}

// What is not entitled keeps its place and changes nothing, also where a lying
// broker orders it.
func TestVoidEntriesKeepTheirPlace(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	bob := client(b, "bob@desk", s.now)
	bad := force(t, b.r, s.now, revoke("carol@mac"), "bob@desk")
	if err := b.order(s.now, bad); !errors.Is(err, roster.ErrNotEntitled) {
		t.Fatalf("an honest broker orders it: %v", err)
	}
	b.cheat(s.now, bad)
	good := sign(t, b.r, s.now, revoke("carol@mac"), "alice@laptop")
	if err := b.order(s.now, good); err != nil {
		t.Fatal(err)
	}
	change := mustAppend(t, bob, b.page(bad.Entry.N, s.now), roster.Grown)
	if !errors.Is(change.Voids[0], roster.ErrNotEntitled) || change.Voids[1] != nil {
		t.Errorf("voids: %v", change.Voids)
	}
	if !errors.Is(bob.Void(bad.Entry.N), roster.ErrNotEntitled) || bob.Void(good.Entry.N) != nil {
		t.Error("the roster forgot which entry is void")
	}
	if r, _ := bob.State().Revoked(public("carol@mac")); r.N != good.Entry.N {
		t.Errorf("carol was revoked at place %d, want %d", r.N, good.Entry.N)
	}
}

// The hash of an entry does not cover its signatures. A broker that hands a member a
// broken signature must not make it think an entry void that others count.
func TestABrokenSignatureIsNeverVoid(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	bob := client(b, "bob@desk", s.now)
	for _, e := range []chain.Signed{
		sign(t, b.r, s.now, revoke("carol@mac"), "alice@laptop"),
		sign(t, b.r, s.now, join("dave", "one"), "link", "dave@one"),
		forge(t, s, "owner", "later", ""),
		forge(t, s, "alice@laptop", "later", ""),
		forge(t, s, "alice@laptop", "revoke", `"keys":[]`),
	} {
		head := b.sign(chain.Head{Mesh: b.r.Chain().Mesh(), N: e.Entry.N, Hash: e.Hash, Time: s.now, Life: 1})
		for _, sig := range [][]byte{make([]byte, len(e.Sig)), e.Sig[:len(e.Sig)-1], nil} {
			o := signed.Object{Bytes: e.Bytes, Sig: sig}
			refused(t, bob, chain.Page{From: e.Entry.N, Entries: []signed.Object{o}, Head: head.Object}, chain.ErrBroken)
		}
	}
}

// "An unknown type or field stops the reader only if an owner signed it; an honest
// broker orders no entry it does not understand." The reserved checkpoint is such.
func TestRuleUnknownEntriesStopOnlyIfAnOwnerSigned(t *testing.T) {
	unknown := []struct{ kind, fields string }{
		{"later", ""},
		{"checkpoint", ""},
		{"checkpoint", `"state":"x"`},
		{"broker", `"urls":["unix:"],"region":"eu"`},
		{"revoke", `"keys":7,"why":"x"`},
	}
	for _, u := range unknown {
		s := tell(t, team+`owner role owner2 owner`)
		b := newOrderer(s)
		bob := client(b, "bob@desk", s.now)
		for _, by := range []string{"alice@laptop", "bob@desk", "link", "nobody@x"} {
			e := forge(t, s, by, u.kind, u.fields)
			if err := b.order(s.now, e); !errors.Is(err, chain.ErrUnknown) {
				t.Errorf("an honest broker orders %v by %s: %v", u, by, err)
			}
			b.cheat(s.now, e)
			s.append(e)
			mustAppend(t, bob, b.page(e.Entry.N, s.now), roster.Grown)
			if !errors.Is(bob.Void(e.Entry.N), chain.ErrUnknown) {
				t.Errorf("%v by %s: %v", u, by, bob.Void(e.Entry.N))
			}
		}
		for _, by := range []string{"owner", "owner2", "recovery"} {
			e := forge(t, s, by, u.kind, u.fields)
			if err := b.order(s.now, e); err == nil {
				t.Errorf("an honest broker orders %v by %s", u, by)
			}
			head := b.sign(chain.Head{Mesh: b.r.Chain().Mesh(), N: e.Entry.N, Hash: e.Hash, Time: s.now, Life: 1})
			refused(t, bob, chain.Page{From: e.Entry.N, Entries: objects([]chain.Signed{e}), Head: head.Object}, chain.ErrStopped)
		}
		s.goOn(`recovery revoke owner2`)
		if err := b.order(s.now, s.chain[len(s.chain)-1]); err != nil {
			t.Fatal(err)
		}
		e := forge(t, s, "owner2", u.kind, u.fields) // no owner any more
		b.cheat(s.now, e)
	}
}

// A body that is not what its type demands is void whoever signed it: no version
// makes it right.
func TestMalformedEntriesAreVoid(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	e := forge(t, s, "owner", "revoke", `"keys":[]`)
	if err := b.order(s.now, e); !errors.Is(err, chain.ErrMalformed) {
		t.Errorf("an honest broker orders it: %v", err)
	}
	b.cheat(s.now, e)
	if !errors.Is(b.r.Void(e.Entry.N), chain.ErrMalformed) {
		t.Errorf("%v", b.r.Void(e.Entry.N))
	}
}

// "the broker refuses what is more than 5 minutes ahead of its own clock or 10
// behind"
func TestRuleBrokerRefusesFarTimes(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	const minute = 60 * second
	for offset, want := range map[int64]error{
		5*minute + 1: roster.ErrClock, 5 * minute: nil, 0: nil, -10 * minute: nil, -10*minute - 1: roster.ErrClock,
	} {
		now := s.now + day
		e := force(t, b.r, now+offset, chain.Broker{URLs: []string{"unix:"}}, "owner")
		if _, err := b.r.Propose(objects([]chain.Signed{e}), now, b.key.Public()); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%d ms off: %v, want %v", offset, err, want)
		}
	}
	// The signer writes the later of its clock and the last entry's time.
	if got := s.state.Draft(s.now-day, public("owner"), nil).Time; got != s.state.Time() {
		t.Errorf("a draft by a slow clock has time %d, want %d", got, s.state.Time())
	}
	if got := s.state.Draft(s.now+day, public("owner"), nil).Time; got != s.now+day {
		t.Errorf("a draft has time %d, want %d", got, s.now+day)
	}
}

// Compare and set: of two that sign on one place, the second signs anew.
func TestProposeComparesAndSets(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	first := sign(t, b.r, s.now, invite("x", s.now), "alice@laptop")
	second := sign(t, b.r, s.now, invite("y", s.now), "alice@laptop")
	if err := b.order(s.now, first); err != nil {
		t.Fatal(err)
	}
	if err := b.order(s.now, second); !errors.Is(err, roster.ErrPlace) {
		t.Fatalf("%v, want %v", err, roster.ErrPlace)
	}
	p, err := b.r.Propose(objects([]chain.Signed{first}), s.now, b.key.Public())
	if err != nil || len(p.Entries()) != 0 {
		t.Fatalf("asked again after a lost answer: %v", err)
	}
	third := sign(t, b.r, s.now, invite("y", s.now), "alice@laptop")
	p, err = b.r.Propose(objects([]chain.Signed{third}), s.now, b.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.order(s.now, third); err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Commit(p, b.head(third.Entry.N, s.now), s.now); !errors.Is(err, roster.ErrPlace) {
		t.Errorf("a proposal on an older chain: %v", err)
	}
	// A batch is all or none.
	good := sign(t, b.r, s.now, invite("z", s.now), "alice@laptop")
	next, _ := b.r.State().Apply(good)
	bad, err := chain.Make(next.Draft(s.now, public("bob@desk"), revoke("carol@mac")), secret("bob@desk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.order(s.now, good, bad); !errors.Is(err, roster.ErrNotEntitled) {
		t.Errorf("%v", err)
	}
	if b.r.Chain().Len() != third.Entry.N+1 {
		t.Error("a half of a batch was ordered")
	}
}

// "refuse to go back behind it": an old head is told, never followed.
func TestNobodyGoesBack(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	old := b.page(0, s.now)
	if err := b.order(s.now, sign(t, b.r, s.now, revoke("carol@mac"), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	bob := client(b, "bob@desk", s.now)
	at := bob.State().At()
	mustAppend(t, bob, old, roster.Behind)
	mustAppend(t, bob, chain.Page{Head: old.Head}, roster.Behind)
	if bob.State().At() != at || bob.Chain().Head().Head.N != at.N {
		t.Error("bob went back")
	}
	mustAppend(t, bob, chain.Page{Head: b.head(at.N, s.now+1).Object}, roster.Same)
	if bob.Chain().Head().Head.Time != s.now+1 {
		t.Error("a newer confirmation was not kept")
	}
	mustAppend(t, bob, chain.Page{Head: b.head(at.N, s.now).Object}, roster.Same)
	if bob.Chain().Head().Head.Time != s.now+1 {
		t.Error("an older confirmation was kept")
	}
	if bob.Chain().Compare(at) != chain.Part || bob.Chain().Compare(signed.At{N: at.N + 1}) != chain.Ahead ||
		bob.Chain().Compare(signed.At{N: 2}) != chain.Other {
		t.Error("places are told wrongly")
	}
	was, ok := bob.StateAt(signed.At{N: at.N - 1, Hash: mustEntry(t, bob, at.N-1).Hash.Short()})
	if _, belonged := was.Member(public("carol@mac")); !ok || !belonged {
		t.Error("the state before is lost")
	}
}

func mustEntry(t testing.TB, r *roster.Roster, n uint64) chain.Signed {
	t.Helper()
	e, ok := r.Chain().Entry(n)
	if !ok {
		t.Fatalf("no entry at place %d", n)
	}
	return e
}

// "two heads of one life, neither leading to the other, are proof of fraud"
func TestRuleTwoHeadsOfOneLifeAreFraud(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	bob := client(b, "bob@desk", s.now)
	face := b.copyOf(b.r.Chain().Len()) // shows others another chain
	for i, name := range []string{"x", "y", "z"} {
		who := []*orderer{b, face, face}[i]
		if err := who.order(s.now, sign(t, who.r, s.now, invite(name, s.now), "alice@laptop")); err != nil {
			t.Fatal(err)
		}
	}
	mustAppend(t, bob, b.page(bob.Chain().Len(), s.now), roster.Grown)
	at := bob.Chain().Len() - 1

	for name, page := range map[string]chain.Page{
		"longer":  face.page(at, s.now),
		"as long": {From: at, Entries: objects(face.r.Chain().From(at, 1)), Head: face.head(at, s.now).Object},
		"head":    {Head: face.head(at, s.now).Object},
	} {
		_, err := bob.Append(page, s.now)
		var fork *chain.ForkError
		if !errors.As(err, &fork) {
			t.Fatalf("%s: %v, want a fork", name, err)
		}
		if err := fork.Proof.Verify(public("broker")); err != nil {
			t.Errorf("%s: the proof does not convince: %v", name, err)
		}
		if fork.Proof.Verify(public("broker2")) == nil {
			t.Errorf("%s: the proof convinces of another broker's fraud", name)
		}
	}

	// The liar shows its shorter face to one who holds the longer one.
	carol := client(face, "carol@mac", s.now)
	_, err := carol.Append(b.page(at, s.now), s.now)
	var fork *chain.ForkError
	if !errors.As(err, &fork) || fork.Proof.Verify(public("broker")) != nil {
		t.Fatalf("shorter: %v, want a fork", err)
	}
	// A page that begins behind the fork is asked for again, from further back.
	next := face.page(at+1, s.now)
	_, err = bob.Append(next, s.now)
	if from, missing := roster.IsMissing(err, 0); !missing || from >= at {
		t.Errorf("%v: ask from %d", err, from)
	}
}

// "Two heads of two lives are a restoration, no fraud"; "nobody can be made to
// accuse an honest one".
func TestRuleTwoLivesAreARestoration(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	restored := b.copyOf(b.r.Chain().Len())
	if err := b.order(s.now, sign(t, b.r, s.now, invite("x", s.now), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	bob := client(b, "bob@desk", s.now)
	restored.life++
	if err := restored.order(s.now, sign(t, restored.r, s.now, invite("y", s.now), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	at := bob.Chain().Len() - 1
	err := refused(t, bob, restored.page(at, s.now), nil)
	var conflict *chain.ConflictError
	if !errors.As(err, &conflict) || conflict.Mine.Head.Life != 1 || conflict.Theirs.Head.Life != 2 || conflict.At != at {
		t.Fatalf("%v, want a conflict of lives 1 and 2", err)
	}
	proof := chain.ProveFork(conflict.Mine, conflict.Theirs, nil)
	if proof.Verify(public("broker")) == nil {
		t.Error("an honest broker is accused")
	}
}

// "A restored broker takes back what members bring (entries under its own heads;
// also from a key it does not know any more)."
func TestRuleARestoredBrokerTakesBackWhatMembersBring(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	old := b.copyOf(b.r.Chain().Len())
	if err := b.order(s.now, sign(t, b.r, s.now, join("dave", "one"), "link", "dave@one")); err != nil {
		t.Fatal(err)
	}
	dave := client(b, "dave@one", s.now)
	if err := b.order(s.now, sign(t, b.r, s.now, revoke("carol@mac"), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, dave, b.page(dave.Chain().Len(), s.now), roster.Grown)
	old.life++
	from := old.r.Chain().Len()
	if old.r.State().Standing(public("dave@one"), s.now) != roster.Unknown {
		t.Fatal("the restored broker should not know dave")
	}
	mustAppend(t, old.r, chain.Page{From: from, Entries: objects(dave.Chain().From(from, 10)), Head: dave.Chain().Head().Object}, roster.Grown)
	if old.r.State().At() != b.r.State().At() {
		t.Error("the restored broker did not take back all")
	}
	// Not under its head, it takes nothing back.
	other := b.copyOf(from)
	e := sign(t, other.r, s.now, revoke("bob@desk"), "alice@laptop")
	forged, err := chain.MakeHead(chain.Head{Mesh: s.state.Mesh(), N: e.Entry.N, Hash: e.Hash, Time: s.now, Life: 1}, secret("dave@one"))
	if err != nil {
		t.Fatal(err)
	}
	refused(t, other.r, chain.Page{From: from, Entries: objects([]chain.Signed{e}), Head: forged.Object}, chain.ErrBroken)
}

// What a holder kept is read again without its signatures, and is the same.
func TestLoadGivesTheSame(t *testing.T) {
	s := tell(t, team+`
		bob@desk revoke carol@mac -> not entitled
		owner    heal broker
	`)
	b := newOrdererCheating(s)
	r, err := roster.Load(b.r.Chain().Mesh(), public("bob@desk"), objects(b.r.Chain().From(0, 100)), b.r.Chain().Head().Object)
	if err != nil {
		t.Fatal(err)
	}
	if r.State().At() != b.r.State().At() || r.Chain().Head().Head != b.r.Chain().Head().Head || len(r.View().Members()) != 3 {
		t.Error("what was loaded differs")
	}
	if _, err := roster.Load(b.r.Chain().Mesh(), keys.Public{}, objects(b.r.Chain().From(1, 100)), signed.Object{}); err == nil {
		t.Error("a chain without its genesis was loaded")
	}
}

// newOrdererCheating makes a broker that holds all of a story, void entries too.
func newOrdererCheating(s *story) *orderer {
	b := emptyOrderer(s.t, "broker", chain.MeshIDOf(s.chain[0]))
	b.cheat(s.now, s.chain...)
	return b
}

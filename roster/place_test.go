package roster_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// A state takes the next entry of its own mesh and no other.
func TestAStateTakesOnlyWhatIsNext(t *testing.T) {
	s := tell(t, team)
	draft := s.state.Draft(s.now, public("alice@laptop"), revoke("bob@desk"))
	for name, c := range map[string]struct {
		change func(*chain.Entry)
		want   error
	}{
		"as it should be":         {func(*chain.Entry) {}, nil},
		"a place ahead":           {func(e *chain.Entry) { e.N++ }, roster.ErrPlace},
		"a place behind":          {func(e *chain.Entry) { e.N-- }, roster.ErrPlace},
		"on top of another entry": {func(e *chain.Entry) { e.Prev[0]++ }, roster.ErrPlace},
		"of another mesh":         {func(e *chain.Entry) { e.Mesh[0]++ }, chain.ErrBroken},
	} {
		e := draft
		c.change(&e)
		made, err := chain.Make(e, secret("alice@laptop"))
		if err != nil {
			t.Fatal(err)
		}
		next, err := s.state.Apply(made)
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (next.At() == s.state.At()) != (c.want != nil) {
			t.Errorf("%s: %v, at %v", name, err, next.At())
		}
	}
	var none roster.State
	first := draft
	first.N, first.Prev = 1, signed.Hash{}
	e, err := chain.Make(first, secret("alice@laptop"))
	if err != nil {
		t.Fatal(err)
	}
	e.Entry.N = 0
	if _, err := none.Apply(e); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("a chain that begins without a genesis: %v", err)
	}
	if _, err := s.state.Sign(s.now, revoke("bob@desk")); !errors.Is(err, roster.ErrNotEntitled) {
		t.Errorf("nobody signs: %v", err)
	}
	if _, err := s.state.Sign(s.now, chain.Revoke{}, secret("owner")); !errors.Is(err, chain.ErrMalformed) {
		t.Errorf("revokes nothing: %v", err)
	}
}

// What a state tells of keys and names that it does not know.
func TestAStateKnowsNobodyElse(t *testing.T) {
	long := strings.Repeat("a", keys.MaxSlug)
	s := tell(t, team+`
		link  join `+long+`@one
		link  join bob@phone
	`)
	if len(s.state.User(long)) != 1 || s.state.User(long+"b") != nil || s.state.NameKnown(long+"b") {
		t.Error("a name of 33 characters is taken for another one")
	}
	for _, name := range []string{"nobody@x", "link", "owner"} {
		if _, ok := s.state.Waiting(public(name), s.now); ok {
			t.Errorf("%s waits", name)
		}
		if user, _, ok := s.state.Named(public(name)); ok {
			t.Errorf("%s is called %s", name, user)
		}
	}
	for _, name := range []string{"nobody@x", "bob@desk", "owner"} {
		if _, ok := s.state.Invite(public(name)); ok {
			t.Errorf("%s is an invite", name)
		}
	}
	if _, ok := s.state.Waiting(public("bob@phone"), s.now); !ok {
		t.Error("bob's phone does not wait")
	}
	if s.state.Recovery() != public("recovery") {
		t.Error("the recovery key")
	}
	s.goOn(`recovery revoke recovery`)
	if !s.state.Recovery().IsZero() {
		t.Error("a recovery key that revoked itself is still there")
	}
	// Whose yes a join wants is said in words.
	s.goOn(`owner invite careful approve
		careful join bob@tablet`)
	for by, want := range map[string]string{"carol@mac": "it takes a device of bob and an admin", "link": "its key is for another use"} {
		e, err := chain.Make(s.state.Draft(s.now, public(by), chain.Admit{Peer: public("bob@tablet")}), secret(by))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.state.Check(e); !errors.Is(err, roster.ErrNotEntitled) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", by, err, want)
		}
	}
	e := force(t, newOrderer(s).r, s.now, chain.Admit{Peer: public("bob@phone")}, "carol@mac")
	if err := s.state.Check(e); !errors.Is(err, roster.ErrNotEntitled) || !strings.HasSuffix(err.Error(), "it takes a device of bob") {
		t.Errorf("%v", err)
	}
}

// What a roster tells of places that it does not have.
func TestARosterKnowsNoOtherPlace(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	at := b.r.State().At()
	for name, place := range map[string]signed.At{"none": {}, "ahead": {N: at.N + 1, Hash: at.Hash}, "another": {N: at.N, Hash: signed.ShortHash{1}}} {
		if _, ok := b.r.StateAt(place); ok {
			t.Errorf("%s: a state", name)
		}
	}
	if got, ok := b.r.StateAt(at); !ok || got.At() != at {
		t.Error("no state at the end")
	}
	if err := b.r.Void(at.N + 1); !errors.Is(err, roster.ErrPlace) {
		t.Errorf("beyond the end: %v", err)
	}
	// A head over another genesis is of another mesh, whatever it says.
	bob := client(b, "bob@desk", s.now)
	forged := b.sign(chain.Head{Mesh: s.state.Mesh(), N: 0, Hash: signed.Hash{1}, Time: s.now, Life: 9})
	refused(t, bob, chain.Page{Head: forged.Object}, chain.ErrBroken)
}

// What was kept and does not hang together is not taken.
func TestLoadRefusesWhatDoesNotHang(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	mesh, all, head := b.r.Chain().Mesh(), objects(s.chain), b.r.Chain().Head().Object
	stop := forge(t, s, "owner", "later", "")
	for name, c := range map[string]struct {
		entries []signed.Object
		head    signed.Object
		want    error
	}{
		"a hole":                     {slices.Delete(slices.Clone(all), 2, 3), head, chain.ErrBroken},
		"no head but something else": {all, all[1], chain.ErrBroken},
		"what it does not know":      {append(slices.Clone(all), stop.Object), signed.Object{}, chain.ErrStopped},
	} {
		if _, err := roster.Load(mesh, keys.Public{}, c.entries, c.head); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// What a broker must not order, and a head that is not over what was proposed.
func TestProposeAndCommitCheckWhatTheyAreGiven(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	me := b.key.Public()
	if _, err := b.r.Propose(nil, s.now, me); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := b.r.Propose([]signed.Object{{Bytes: []byte("x"), Sig: make([]byte, 64)}}, s.now, me); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("no entry: %v", err)
	}
	first := sign(t, b.r, s.now, invite("x", s.now), "alice@laptop")
	next, _ := b.r.State().Apply(first)
	second, err := next.Sign(s.now, invite("y", s.now), secret("alice@laptop"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Propose(objects([]chain.Signed{second}), s.now, me); !errors.Is(err, roster.ErrPlace) {
		t.Errorf("an entry ahead: %v", err)
	}
	p, err := b.r.Propose(objects([]chain.Signed{first, second}), s.now, me)
	if err != nil {
		t.Fatal(err)
	}
	good := chain.Head{Mesh: s.state.Mesh(), N: second.Entry.N, Hash: second.Hash, Time: s.now, Life: 1}
	for name, h := range map[string]chain.Head{
		"over a part":        {Mesh: good.Mesh, N: first.Entry.N, Hash: first.Hash, Time: s.now, Life: 1},
		"over another place": {Mesh: good.Mesh, N: good.N + 1, Hash: good.Hash, Time: s.now, Life: 1},
		"over another entry": {Mesh: good.Mesh, N: good.N, Hash: first.Hash, Time: s.now, Life: 1},
	} {
		if _, err := b.r.Commit(p, b.sign(h), s.now); !errors.Is(err, chain.ErrBroken) {
			t.Errorf("a head %s: %v", name, err)
		}
	}
	if _, err := b.r.Commit(p, b.sign(good), s.now); err != nil {
		t.Fatal(err)
	}
	// Who lost the answer proposes it again, and nothing happens.
	again, err := b.r.Propose(objects([]chain.Signed{first, second}), s.now, me)
	if err != nil || len(again.Entries()) != 0 {
		t.Fatalf("%v, %d entries", err, len(again.Entries()))
	}
	if change, err := b.r.Commit(again, chain.SignedHead{}, s.now); err != nil || change.Outcome != roster.Same {
		t.Errorf("again: %+v, %v", change, err)
	}
}

// Of a branch that is healed, what stands before the heal was ordered in its time.
func TestOnlyTheHealAndWhatFollowsIsOfOurTime(t *testing.T) {
	f := fork(t, team)
	old := f.add(f.y, invite("y", f.s.now), "alice@laptop")
	void := f.add(f.y, revoke("carol@mac"), "bob@desk")
	f.add(f.x, invite("x", f.s.now), "alice@laptop")
	f.s.now += day
	healed, err := f.y.r.State().Sign(f.s.now, heal("broker"), secret("owner"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.x.order(f.s.now, old, void, healed); err != nil {
		t.Fatalf("a day later: %v", err)
	}
}

// A heal that does not count for a reader is no reason to refuse one that does, nor
// decides between two.
func TestAHealThatDoesNotCountDecidesNothing(t *testing.T) {
	lower, higher := 0, 0
	for range 20 {
		f := fork(t, team+`owner role owner2 owner`)
		f.s.now += second * int64(lower+higher)
		mine := f.add(f.x, heal("broker"), "owner2")
		theirs := f.add(f.y, heal("broker"), "owner")
		bob := f.holder(f.x, "bob@desk")
		e := force(t, bob, f.s.now, revoke("owner2"), "recovery")
		if _, err := bob.Ban(e.Object, f.at, f.s.now); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, bob, f.page(f.y), roster.Switched)
		if slices.Compare(mine.Hash[:], theirs.Hash[:]) < 0 {
			lower++
		} else {
			higher++
		}
	}
	if lower == 0 || higher == 0 {
		t.Errorf("the banned owner's heal had the lower hash %d times, the higher %d times", lower, higher)
	}
}

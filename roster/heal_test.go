package roster_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// forked is a mesh whose broker was restored and went on: two orders of two lives
// from place at on, each as a broker.
type forked struct {
	s    *story
	at   uint64
	x, y *orderer
}

func fork(t *testing.T, lines string) *forked {
	t.Helper()
	s := tell(t, lines)
	f := &forked{s: s, at: uint64(len(s.chain)), x: newOrderer(s)}
	f.y = f.x.copyOf(f.at)
	f.y.life = 2
	return f
}

// add signs an entry on a branch and orders it there, whatever the broker says.
func (f *forked) add(b *orderer, body chain.Body, signers ...string) chain.Signed {
	f.s.t.Helper()
	e := force(f.s.t, b.r, f.s.now, body, signers...)
	if h, ok := body.(chain.Heal); ok {
		for _, name := range []string{"broker", "broker2", "broker3"} {
			if public(name) == h.Broker {
				b.key = secret(name).(keys.BrokerPrivate)
			}
		}
		b.life++
	}
	b.cheat(f.s.now, e)
	return e
}

// holder is a client that follows a branch.
func (f *forked) holder(b *orderer, name string) *roster.Roster {
	f.s.t.Helper()
	return client(b, name, f.s.now)
}

// page is what a broker shows of its branch to one who holds the common part.
func (f *forked) page(b *orderer) chain.Page { return b.page(f.at, f.s.now) }

// "heal: the head that counts (its prev), and the broker that orders from here;
// everything that leaves the chain before it is void."
func TestRuleAHealEndsWhatLeavesBeforeIt(t *testing.T) {
	f := fork(t, team)
	f.add(f.x, revoke("carol@mac"), "alice@laptop")
	f.add(f.x, invite("x", f.s.now), "alice@laptop")
	f.add(f.y, invite("y", f.s.now), "alice@laptop")
	bob := f.holder(f.x, "bob@desk")
	refused(t, bob, f.page(f.y), nil) // no heal: nobody crosses
	carol := f.holder(f.y, "carol@mac")
	refused(t, carol, f.page(f.x), nil)

	f.add(f.y, heal("broker"), "owner")
	change := mustAppend(t, bob, f.page(f.y), roster.Switched)
	if len(change.Lost) != 2 || change.From != f.at {
		t.Errorf("lost %d entries from place %d", len(change.Lost), change.From)
	}
	if bob.State().At() != f.y.r.State().At() || bob.Chain().Head().Head.Life != 3 {
		t.Error("bob does not follow the heal")
	}
	if err := bob.State().InviteOpen(public("x"), f.s.now); !errors.Is(err, roster.ErrUnknownKey) {
		t.Errorf("the ended invite: %v", err)
	}
	// What the ended order says later is void, and no fraud.
	f.add(f.x, invite("z", f.s.now), "alice@laptop")
	refused(t, bob, f.page(f.x), roster.ErrOverruled)
	// Who holds the ended order by then follows too.
	dave := f.holder(f.x, "dave@one")
	mustAppend(t, dave, f.page(f.y), roster.Switched)
	mustAppend(t, carol, f.y.page(carol.Chain().Len(), f.s.now), roster.Grown)
}

// A heal names an earlier head of one's own chain: what came after is undone.
func TestHealOfAnEarlierHead(t *testing.T) {
	s := tell(t, team)
	b := newOrderer(s)
	base := b.copyOf(b.r.Chain().Len())
	for _, name := range []string{"x", "y"} { // by a thief of alice's key
		if err := b.order(s.now, sign(t, b.r, s.now, invite(name, s.now), "alice@laptop")); err != nil {
			t.Fatal(err)
		}
	}
	bob := client(b, "bob@desk", s.now)
	h := sign(t, base.r, s.now, heal("broker"), "owner")
	next, _ := base.r.State().Apply(h)
	r, err := next.Sign(s.now, revoke("alice@laptop"), secret("owner"))
	if err != nil {
		t.Fatal(err)
	}
	life := b.life
	if err := b.order(s.now, h, r); err != nil {
		t.Fatalf("the honest broker refuses the heal: %v", err)
	}
	if b.life != life+1 {
		t.Errorf("life %d after a heal, want %d", b.life, life+1)
	}
	mustAppend(t, bob, b.page(h.Entry.N, s.now), roster.Switched)
	if _, ok := bob.State().Member(public("alice@laptop")); ok {
		t.Error("alice still belongs")
	}
	// A heal whose own order is broken is not ordered; nor one out of time.
	if err := b.order(s.now+day, sign(t, b.r, s.now, heal("broker"), "owner")); !errors.Is(err, roster.ErrClock) {
		t.Errorf("%v, want %v", err, roster.ErrClock)
	}
	// A heal that loses to what the broker holds is refused, whatever its place.
	if err := b.order(s.now, sign(t, b.r, s.now, heal("broker"), "recovery")); err != nil {
		t.Fatal(err)
	}
	if err := b.order(s.now, sign(t, base.r, s.now+second, heal("broker"), "owner")); !errors.Is(err, roster.ErrOverruled) {
		t.Errorf("%v, want %v", err, roster.ErrOverruled)
	}
}

// "counts for a reader if its signer is revoked on neither branch (nor banned by
// him)"
func TestRuleAHealCountsUnlessItsSignerIsRevokedOrBanned(t *testing.T) {
	const owners = team + `owner role owner2 owner
		owner role owner3 owner`
	t.Run("revoked on the reader's branch", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, revoke("owner2"), "recovery")
		f.add(f.y, heal("broker2"), "owner2")
		refused(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.ErrHealRefused)
		f.add(f.y, heal("broker3"), "owner") // another owner's heal of the same order counts
		mustAppend(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.Switched)
	})
	t.Run("revoked on its own branch", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, invite("x", f.s.now), "alice@laptop")
		f.add(f.y, heal("broker2"), "owner2")
		f.add(f.y, revoke("owner2"), "recovery")
		refused(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.ErrHealRefused)
	})
	t.Run("not an owner at all", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, invite("x", f.s.now), "alice@laptop")
		bob := f.holder(f.x, "bob@desk")
		e := force(t, f.y.r, f.s.now, heal("broker"), "alice@laptop")
		f.y.cheat(f.s.now, e)
		refused(t, bob, f.page(f.y), nil)
		if f.y.r.State().BrokerKey() != public("broker") || !errors.Is(f.y.r.Void(e.Entry.N), roster.ErrNotEntitled) {
			t.Error("an admin healed")
		}
	})
	t.Run("banned by the reader", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, invite("x", f.s.now), "alice@laptop")
		bob, carol := f.holder(f.x, "bob@desk"), f.holder(f.x, "carol@mac")
		met := force(t, f.x.r, f.s.now, revoke("owner2"), "recovery") // bob met it in a message
		if _, err := bob.Ban(met.Object, bob.BanSince(met), f.s.now); err != nil {
			t.Fatal(err)
		}
		f.add(f.y, heal("broker2"), "owner2")
		refused(t, bob, f.page(f.y), roster.ErrHealRefused)
		mustAppend(t, carol, f.page(f.y), roster.Switched)
	})
	t.Run("banned, on the reader's own branch", func(t *testing.T) {
		f := fork(t, owners)
		bob := f.holder(f.x, "bob@desk")
		met := force(t, f.y.r, f.s.now, revoke("owner2"), "recovery")
		if _, err := bob.Ban(met.Object, bob.BanSince(met), f.s.now); err != nil {
			t.Fatal(err)
		}
		f.add(f.x, heal("broker2"), "owner2")
		refused(t, bob, f.page(f.x), roster.ErrHealRefused)
	})
	t.Run("the reader's own heal is by a key revoked on the other branch", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, heal("broker2"), "owner2")
		bob := f.holder(f.x, "bob@desk")
		f.add(f.y, revoke("owner2"), "recovery")
		f.add(f.y, heal("broker3"), "owner")
		mustAppend(t, bob, f.page(f.y), roster.Switched)
	})
	t.Run("an owner that a revoked owner named since", func(t *testing.T) {
		f := fork(t, owners)
		f.add(f.x, revoke("owner2"), "recovery")
		f.add(f.y, chain.Role{Key: public("owner4"), Rank: chain.RankOwner}, "owner2")
		f.add(f.y, chain.Role{Key: public("owner5"), Rank: chain.RankOwner}, "owner4")
		f.add(f.y, heal("broker2"), "owner5")
		refused(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.ErrHealRefused)
	})
	t.Run("an owner that a banned owner named where the ban had no place yet", func(t *testing.T) {
		f := fork(t, owners) // found by the adversary, seed 2575
		for _, name := range []string{"v", "w", "x"} {
			f.add(f.x, invite(name, f.s.now), "alice@laptop")
		}
		bob, carol := f.holder(f.x, "bob@desk"), f.holder(f.x, "carol@mac")
		met := force(t, f.x.r, f.s.now, revoke("owner2"), "recovery")
		if _, err := bob.Ban(met.Object, bob.BanSince(met), f.s.now); err != nil {
			t.Fatal(err)
		}
		f.add(f.y, chain.Role{Key: public("owner4"), Rank: chain.RankOwner}, "owner2")
		f.add(f.y, heal("broker2"), "owner4")
		refused(t, bob, f.page(f.y), roster.ErrHealRefused)
		mustAppend(t, carol, f.page(f.y), roster.Switched)
		// Where another heal is followed there, the ban holds from where it left.
		f.add(f.y, heal("broker3"), "owner")
		if change := mustAppend(t, bob, f.page(f.y), roster.Switched); len(change.Bans) != 1 || change.Bans[0].Since != f.at {
			t.Errorf("bans: %+v", change.Bans)
		}
		if _, banned := bob.View().Banned(public("owner4")); !banned {
			t.Error("what the banned owner let in there is not covered")
		}
	})
	t.Run("an owner that a revoked owner named before", func(t *testing.T) {
		f := fork(t, owners+`
			owner2 role owner4 owner`)
		f.add(f.x, revoke("owner2"), "recovery")
		f.add(f.y, heal("broker2"), "owner4")
		mustAppend(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.Switched)
	})
}

// "a chain with a heal beats any that leaves it earlier; recovery's beats an
// owner's"
func TestRuleRecoverysHealBeatsAnOwners(t *testing.T) {
	for round := range 40 { // until the hashes say otherwise, which decide between equals
		f := fork(t, team)
		f.s.now += second
		x := f.add(f.x, heal("broker2"), "owner")
		f.s.now += second * int64(round)
		y := f.add(f.y, heal("broker3"), "recovery")
		mustAppend(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.Switched)
		refused(t, f.holder(f.y, "carol@mac"), f.page(f.x), roster.ErrOverruled)
		// Also where the owner healed again since.
		f.add(f.x, heal("broker"), "owner")
		mustAppend(t, f.holder(f.x, "bob@desk"), f.page(f.y), roster.Switched)
		refused(t, f.holder(f.y, "carol@mac"), f.page(f.x), roster.ErrOverruled)
		if string(x.Hash[:]) < string(y.Hash[:]) {
			return
		}
	}
	t.Fatal("no owner's heal had the lower hash")
}

// Of two heals by one rank everybody follows the same, so that honest clients
// converge; the recovery key can still decide.
func TestTwoHealsOfOneRank(t *testing.T) {
	f := fork(t, team+`owner role owner2 owner`)
	a := f.add(f.x, heal("broker2"), "owner")
	b := f.add(f.y, heal("broker3"), "owner2")
	bob, carol := f.holder(f.x, "bob@desk"), f.holder(f.y, "carol@mac")
	if string(a.Hash[:]) < string(b.Hash[:]) {
		mustAppend(t, carol, f.page(f.x), roster.Switched)
		refused(t, bob, f.page(f.y), roster.ErrOverruled)
	} else {
		mustAppend(t, bob, f.page(f.y), roster.Switched)
		refused(t, carol, f.page(f.x), roster.ErrOverruled)
	}
	if bob.State().At() != carol.State().At() {
		t.Error("they do not agree")
	}
}

// Three branches in any order of arrival: all end with the same.
func TestHealsAreFollowedInAnyOrder(t *testing.T) {
	s := tell(t, team+`owner role owner2 owner`)
	base := newOrderer(s)
	at := base.r.Chain().Len()
	f := &forked{s: s, at: at, x: base}
	var branches []*orderer
	for i, by := range []string{"owner", "owner2", "owner", ""} {
		b := base.copyOf(at)
		f.add(b, invite(fmt.Sprintf("v%d", i), s.now), "alice@laptop")
		if by != "" {
			f.add(b, heal("broker"), by)
		}
		branches = append(branches, b)
	}
	ends := map[string]bool{}
	for _, order := range permutations(len(branches)) {
		r := client(branches[order[0]], "bob@desk", s.now)
		for range 2 {
			for _, i := range order {
				_, _ = r.Append(f.page(branches[i]), s.now) // refusals are part of it
			}
		}
		ends[r.State().Tip().String()] = true
	}
	if len(ends) != 1 {
		t.Errorf("%d ends", len(ends))
	}
}

func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, p := range permutations(n - 1) {
		for i := 0; i <= len(p); i++ {
			q := append(append(append([]int{}, p[:i]...), n-1), p[i:]...)
			all = append(all, q)
		}
	}
	return all
}

// "The losing branch's revokes become bans, and the admin's client signs them anew;
// joins lost so are signed anew with the same key."
func TestRuleWhatAHealEndsIsSignedAnew(t *testing.T) {
	f := fork(t, team)
	lost := f.add(f.x, revoke("carol@mac"), "alice@laptop")
	f.add(f.x, join("dave", "one"), "link", "dave@one") // closed by the revocation: void
	f.add(f.x, invite("more", f.s.now), "alice@laptop")
	f.add(f.x, join("erin", "one"), "more", "erin@one")
	f.add(f.y, heal("broker"), "owner")

	bob := f.holder(f.x, "bob@desk")
	change := mustAppend(t, bob, f.page(f.y), roster.Switched)
	if len(change.Bans) != 1 || change.Bans[0].Revoke.Hash != lost.Hash || change.Bans[0].Since != f.at {
		t.Fatalf("bans: %+v", change.Bans)
	}
	if len(change.Joins) != 1 || change.Joins[0].Entry.Body.(chain.Join).User != "erin" {
		t.Fatalf("joins: %+v", change.Joins)
	}
	if _, ok := bob.View().Member(public("carol@mac")); ok {
		t.Error("bob forgot that carol is revoked")
	}
	if _, ok := bob.State().Member(public("carol@mac")); !ok {
		t.Error("a ban changed the state")
	}
	for _, e := range []chain.Signed{
		sign(t, f.y.r, f.s.now, invite("more", f.s.now), "alice@laptop"), // the invite's key too
	} {
		if err := f.y.order(f.s.now, e); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.y.order(f.s.now, sign(t, f.y.r, f.s.now, join("erin", "one"), "more", "erin@one")); err != nil {
		t.Fatal(err)
	}
	if err := f.y.order(f.s.now, sign(t, f.y.r, f.s.now, revoke("carol@mac"), "alice@laptop")); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, bob, f.y.page(bob.Chain().Len(), f.s.now), roster.Grown)
	if _, ok := bob.View().Member(public("erin@one")); !ok {
		t.Error("erin did not come back with the same key")
	}
	if _, ok := bob.State().Revoked(public("carol@mac")); !ok {
		t.Error("carol is not revoked")
	}
}

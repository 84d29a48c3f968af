package roster_test

import (
	"errors"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/roster"
)

// banned is a mesh and a client that met a revocation outside the chain.
type banned struct {
	t *testing.T
	s *story
	b *orderer
	r *roster.Roster
}

func ban(t *testing.T, who, lines string) *banned {
	t.Helper()
	s := tell(t, lines)
	b := newOrderer(s)
	return &banned{t, s, b, client(b, who, s.now)}
}

// meet signs a revocation that never gets into the chain and gives it to the client.
func (x *banned) meet(by string, names ...string) roster.Ban {
	x.t.Helper()
	e := force(x.t, x.b.r, x.s.now, revoke(names...), by)
	got, err := x.r.Ban(e.Object, x.r.BanSince(e), x.s.now)
	if err != nil {
		x.t.Fatal(err)
	}
	return got
}

// goOn orders further entries of a story and lets the client have them.
func (x *banned) goOn(lines string) {
	x.t.Helper()
	before := len(x.s.chain)
	x.s.goOn(lines)
	for _, e := range x.s.chain[before:] {
		if err := x.b.order(x.s.now, e); err != nil {
			x.t.Fatal(err)
		}
	}
	mustAppend(x.t, x.r, x.b.page(uint64(before), x.s.now), roster.Grown)
}

// takes checks whom the client takes as members.
func (x *banned) takes(want map[string]bool) {
	x.t.Helper()
	view := x.r.View()
	listed := map[string]bool{}
	for _, m := range view.Members() {
		listed[m.Address()] = true
	}
	for name, takes := range want {
		if _, got := view.Member(public(name)); got != takes || listed[name] != takes {
			x.t.Errorf("%s: taken as member %v, want %v", name, got, takes)
		}
		if _, got := view.Banned(public(name)); got == takes {
			x.t.Errorf("%s: banned %v", name, got)
		}
	}
}

// "A valid revoke met outside the chain is kept beside it as one's own ban (never of
// oneself)."
func TestRuleNobodyBansItself(t *testing.T) {
	x := ban(t, "bob@desk", team)
	e := force(t, x.b.r, x.s.now, revoke("bob@desk"), "alice@laptop")
	if _, err := x.r.Ban(e.Object, 0, x.s.now); !errors.Is(err, roster.ErrAlready) {
		t.Errorf("%v", err)
	}
	x.meet("alice@laptop", "bob@desk", "carol@mac")
	x.takes(map[string]bool{"bob@desk": true, "carol@mac": false})
	// Nor by a ban on who let one in.
	y := ban(t, "bob@desk", team)
	since := y.r.State().Next()
	met := force(t, y.b.r, y.s.now, revoke("alice@laptop", "link"), "owner")
	if _, err := y.r.Ban(met.Object, 0, y.s.now); err != nil {
		t.Fatal(err)
	}
	y.takes(map[string]bool{"alice@laptop": false, "bob@desk": true, "carol@mac": false})
	if got := y.r.View().Bans(); len(got) != 1 || got[0].Since != 0 || since == 0 {
		t.Errorf("bans: %+v", got)
	}
}

// "bans while its signer is entitled in one's present state"
func TestRuleABanBindsWhileItsSignerIsEntitled(t *testing.T) {
	x := ban(t, "carol@mac", team+`owner role bob@desk admin
		link join dave@one`)
	x.meet("bob@desk", "dave@one")
	x.takes(map[string]bool{"dave@one": false})
	x.goOn(`owner role bob@desk member`)
	x.takes(map[string]bool{"dave@one": true})
	x.goOn(`owner role bob@desk admin`)
	x.takes(map[string]bool{"dave@one": false})
	x.goOn(`owner revoke bob@desk`)
	x.takes(map[string]bool{"dave@one": true})
	// Who never was entitled bans nobody.
	x.meet("carol@mac", "alice@laptop")
	x.meet("link", "alice@laptop")
	x.takes(map[string]bool{"alice@laptop": true})
	// Anyone itself.
	x.meet("dave@one", "dave@one")
	x.takes(map[string]bool{"dave@one": false})
}

// "it covers what the banned key lets in afterwards"
func TestRuleABanCoversWhatIsLetInAfterwards(t *testing.T) {
	t.Run("by invites", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`alice@laptop invite old`)
		x.meet("owner", "alice@laptop")
		x.goOn(`
			old          join dave@one
			alice@laptop invite new
			new          join erin@one
			erin@one     invite own user=erin
			own          join erin@two
			owner        invite clean
			clean        join fred@one
		`)
		x.takes(map[string]bool{
			"alice@laptop": false, "dave@one": false, "erin@one": false, "erin@two": false,
			"bob@desk": true, "fred@one": true, // before it, and by another
		})
	})
	t.Run("by a banned link", func(t *testing.T) {
		x := ban(t, "carol@mac", team)
		x.meet("alice@laptop", "link")
		x.goOn(`link join dave@one`)
		x.takes(map[string]bool{"dave@one": false, "bob@desk": true})
	})
	t.Run("by a yes", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`
			owner        invite careful approve uses=5
			owner        invite i3 rank=admin
			i3           join greg@one
			careful      join dave@one
			careful      join erin@one
			careful      join bob@phone
		`)
		x.meet("owner", "alice@laptop")
		x.goOn(`
			alice@laptop admit dave@one
			greg@one     admit erin@one
			alice@laptop admit bob@phone
			greg@one     admit bob@phone
			bob@desk     admit bob@phone
		`)
		x.takes(map[string]bool{"dave@one": false, "erin@one": true, "bob@phone": true})
	})
	t.Run("by a yes of the user's", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`link join bob@phone`)
		x.meet("alice@laptop", "bob@desk")
		x.goOn(`bob@desk admit bob@phone`)
		x.takes(map[string]bool{"bob@desk": false, "bob@phone": false})
	})
	t.Run("by the needed yes that it gave, whoever gave the other", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`
			owner        invite careful approve
			careful      join bob@phone
		`)
		x.meet("owner", "alice@laptop")
		x.goOn(`
			alice@laptop admit bob@phone
			bob@desk     admit bob@phone
		`)
		x.takes(map[string]bool{"bob@phone": false})
	})
	t.Run("not by a yes where another gave the same", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`
			owner        invite careful approve
			owner        invite i3 rank=admin
			i3           join greg@one
			careful      join bob@phone
		`)
		x.meet("owner", "alice@laptop")
		x.goOn(`
			greg@one     admit bob@phone
			alice@laptop admit bob@phone
			bob@desk     admit bob@phone
		`)
		x.takes(map[string]bool{"bob@phone": true})
	})
	t.Run("not by a yes that was not needed in the end", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`
			owner        invite careful approve
			careful      join bob@phone
		`)
		x.meet("owner", "bob@desk")
		x.goOn(`
			bob@desk     admit bob@phone
			alice@laptop revoke bob@desk
			alice@laptop admit bob@phone
		`)
		x.takes(map[string]bool{"bob@phone": true})
	})
	t.Run("by a rank it gives, whatever rank follows", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`
			owner        role owner2 owner
			owner        role bob@desk admin
			bob@desk     invite before
			before       join dave@one
		`)
		x.meet("recovery", "owner2")
		x.goOn(`
			owner2       role bob@desk admin
			bob@desk     invite with
			with         join erin@one
			owner2       role bob@desk member
			bob@desk     invite own user=bob
			own          join bob@two
		`)
		takes := map[string]bool{"dave@one": true, "erin@one": false, "bob@desk": true, "bob@two": true}
		x.takes(takes)
		x.goOn(`owner        role bob@desk admin`)
		x.takes(takes)
	})
	t.Run("not by a rank it gave oneself", func(t *testing.T) {
		x := ban(t, "bob@desk", team+`owner role owner2 owner`)
		x.meet("recovery", "owner2")
		x.goOn(`
			owner2       role bob@desk admin
			bob@desk     invite mine
			mine         join erin@one
		`)
		x.takes(map[string]bool{"bob@desk": true, "erin@one": true})
	})
	t.Run("by owners it names and ranks it gives", func(t *testing.T) {
		x := ban(t, "carol@mac", team+`owner role owner2 owner
			owner role owner3 owner`)
		x.meet("recovery", "owner2")
		x.goOn(`
			owner2       role owner4 owner
			owner4       invite i4
			i4           join dave@one
			owner2       role bob@desk admin
			bob@desk     invite i5
			i5           join erin@one
			owner3       invite i6
			i6           join fred@one
		`)
		x.takes(map[string]bool{"dave@one": false, "bob@desk": true, "erin@one": false, "fred@one": true})
	})
	t.Run("also once it is revoked in the chain", func(t *testing.T) {
		x := ban(t, "carol@mac", team)
		x.meet("owner", "alice@laptop")
		x.goOn(`
			alice@laptop invite new
			new          join erin@one
			owner        revoke alice@laptop
		`)
		x.takes(map[string]bool{"erin@one": false, "bob@desk": true})
	})
}

// "it changes no state that others compute"
func TestRuleABanChangesNoState(t *testing.T) {
	x := ban(t, "carol@mac", team)
	before := x.r.State()
	x.meet("alice@laptop", "bob@desk", "link")
	if x.r.State().At() != before.At() || len(x.r.State().Members()) != 3 || x.r.State().InviteOpen(public("link"), x.s.now) != nil {
		t.Error("a ban changed the state")
	}
	x.goOn(`link join bob@phone
		bob@desk admit bob@phone`) // counts for everybody
	if _, ok := x.r.State().Member(public("bob@phone")); !ok {
		t.Error("what a banned key says does not count any more")
	}
	x.takes(map[string]bool{"bob@desk": false, "bob@phone": false})
}

// "every revoke of a key is kept, not only the last"
func TestRuleEveryRevokeOfAKeyIsKept(t *testing.T) {
	x := ban(t, "carol@mac", team+`owner role bob@desk admin
		link join dave@one`)
	x.meet("owner", "dave@one")
	last := x.meet("bob@desk", "dave@one")
	if _, err := x.r.Ban(last.Revoke.Object, 0, 0); !errors.Is(err, roster.ErrAlready) {
		t.Errorf("kept twice: %v", err)
	}
	x.takes(map[string]bool{"dave@one": false})
	x.goOn(`owner revoke bob@desk`)
	x.takes(map[string]bool{"dave@one": false})
	if got := x.r.View().Bans(); len(got) != 2 {
		t.Errorf("%d bans", len(got))
	}
}

// Of several bans about a key the earliest place covers.
func TestRuleTheEarliestBanCovers(t *testing.T) {
	x := ban(t, "carol@mac", team+`
		alice@laptop invite late
		late         join dave@one
	`)
	now := x.r.State().Next()
	x.meet("owner", "alice@laptop")
	x.takes(map[string]bool{"dave@one": true})
	again := force(t, x.b.r, x.s.now+1, revoke("alice@laptop"), "recovery")
	if _, err := x.r.Ban(again.Object, now-1, x.s.now); err != nil {
		t.Fatal(err)
	}
	x.takes(map[string]bool{"dave@one": false, "bob@desk": true})
	last := force(t, x.b.r, x.s.now+2, revoke("alice@laptop"), "owner")
	if _, err := x.r.Ban(last.Object, now, x.s.now); err != nil {
		t.Fatal(err)
	}
	x.takes(map[string]bool{"dave@one": false, "bob@desk": true})
}

func TestWhatIsNoBan(t *testing.T) {
	x := ban(t, "carol@mac", team)
	inChain := sign(t, x.b.r, x.s.now, revoke("bob@desk"), "alice@laptop")
	x.s.append(inChain)
	if err := x.b.order(x.s.now, inChain); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, x.r, x.b.page(inChain.Entry.N, x.s.now), roster.Grown)
	if _, err := x.r.Ban(inChain.Object, 0, 0); !errors.Is(err, roster.ErrAlready) {
		t.Errorf("a revocation of the chain: %v", err)
	}
	other := force(t, x.b.r, x.s.now, invite("x", x.s.now), "alice@laptop")
	if _, err := x.r.Ban(other.Object, 0, 0); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("an invite: %v", err)
	}
	foreign := x.b.r.State().Draft(x.s.now, public("owner"), revoke("alice@laptop"))
	foreign.Mesh[0]++
	elsewhere, err := chain.Make(foreign, secret("owner"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.r.Ban(elsewhere.Object, 0, 0); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("a revocation of another mesh: %v", err)
	}
	broken := force(t, x.b.r, x.s.now, revoke("alice@laptop"), "owner")
	broken.Sig[3]++
	if _, err := x.r.Ban(broken.Object, 0, 0); !errors.Is(err, chain.ErrBroken) {
		t.Errorf("a broken signature: %v", err)
	}
}

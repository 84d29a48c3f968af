package roster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// team is how most stories begin: alice is the owner's first peer, bob and carol are
// members by alice's link.
const team = `
	owner        invite i0 rank=admin uses=1
	i0           join alice@laptop
	alice@laptop invite link
	link         join bob@desk
	link         join carol@mac
`

func TestStory(t *testing.T) {
	tell(t, team+`
		= members alice@laptop:admin bob@desk:member carol@mac:member
		= open link:8
		= owners owner
		= broker broker
		alice@laptop revoke bob@desk
		= members alice@laptop:admin carol@mac:member
		= open
	`)
}

// "A key enters a mesh once and in one role (owner, peer or invite); an entry that
// brings it again does not count."
func TestRuleKeyEntersOnceInOneRole(t *testing.T) {
	tell(t, team+`
		link         join dave@one key=bob@desk        -> key used   # a peer again
		link         join dave@one key=owner           -> key used   # an owner as peer
		link         join dave@one key=recovery        -> key used
		link         join dave@one key=broker          -> key used
		link         join dave@one key=link            -> key used   # an invite as peer
		alice@laptop invite link                       -> key used   # an invite again
		alice@laptop invite bob@desk                   -> key used   # a peer as invite
		alice@laptop invite owner                      -> key used
		owner        role bob@desk owner               -> key used   # a peer as owner
		owner        role link owner                   -> key used
		owner        role recovery owner               -> key used
		owner        role owner owner                  -> key used
		owner        heal owner                        -> key used   # an owner as broker
		alice@laptop revoke bob@desk
		alice@laptop invite more
		more         join bob@desk                     -> key used   # a revoked peer again
		alice@laptop revoke more
		alice@laptop invite more                       -> key used   # a revoked invite again
		link         join gone@one                     -> invite revoked
		owner        heal broker                                     # the same broker goes on
		owner        heal broker2
		owner        heal broker                                     # and comes back
		= members alice@laptop:admin carol@mac:member
	`)
}

// "Which key orders changes by heal alone."
func TestRuleOnlyAHealChangesWhoOrders(t *testing.T) {
	s := tell(t, team+`
		alice@laptop broker https://other.example.org
		= broker broker
		= urls https://other.example.org
		owner        broker unix:
		= broker broker
		bob@desk     broker https://evil.example.org   -> not entitled
		recovery     broker https://evil.example.org   -> not entitled
		link         broker https://evil.example.org   -> not entitled
		= urls unix:
		alice@laptop heal broker2                      -> not entitled
		bob@desk     heal broker2                      -> not entitled
		= broker broker
		owner        heal broker2
		= broker broker2
		= urls https://broker2.example.org
		recovery     heal broker3
		= broker broker3
	`)
	// Nor can a broker entry carry a key: a field more is one of a later version,
	// and from an admin that is void.
	e := forge(t, s, "alice@laptop", "broker", `"urls":["unix:"],"broker":"`+text(public("broker4"))+`"`)
	s.append(e)
	s.goOn(`= broker broker3`)
}

// "role: a higher rank than the key has and gets; an owner may name owners; of a
// joined, unrevoked peer (owner: any key)."
func TestRuleRoleIsOfAJoinedUnrevokedPeer(t *testing.T) {
	tell(t, team+`
		owner        role nobody@x admin               -> unknown key
		owner        role link admin                   -> unknown key
		owner        role owner member                 -> unknown key
		owner        role recovery admin               -> unknown key
		alice@laptop revoke carol@mac
		owner        role carol@mac admin              -> revoked
		alice@laptop invite careful approve
		careful      join dave@one
		owner        role dave@one admin               -> pending
		alice@laptop role bob@desk admin               -> not entitled
		alice@laptop role bob@desk member
		bob@desk     role bob@desk admin               -> not entitled
		bob@desk     role alice@laptop member          -> not entitled
		owner        role bob@desk admin
		= members alice@laptop:admin bob@desk:admin
		alice@laptop role bob@desk member              -> not entitled
		alice@laptop role owner2 owner                 -> not entitled
		owner        role owner2 owner
		= owners owner owner2
		owner2       role bob@desk member
		recovery     role owner3 owner
		recovery     role alice@laptop member
		= owners owner owner2 owner3
		= members alice@laptop:member bob@desk:member
	`)
}

// "admit: a device of that user; an admin where approval was asked or no device is
// left; both yeses where both apply, each signer still entitled when the last comes."
func TestRuleAdmitTakesEveryYes(t *testing.T) {
	t.Run("a device of that user", func(t *testing.T) {
		tell(t, team+`
			link         join bob@phone
			= pending bob@phone+user
			alice@laptop admit bob@phone               -> not entitled
			owner        admit bob@phone               -> not entitled
			carol@mac    admit bob@phone               -> not entitled
			bob@phone    admit bob@phone               -> pending
			link         admit bob@phone               -> not entitled
			bob@desk     admit bob@phone
			= members alice@laptop:admin bob@desk:member bob@phone:member carol@mac:member
			= pending
			bob@desk     admit bob@phone               -> already
		`)
	})
	t.Run("an admin where approval was asked", func(t *testing.T) {
		tell(t, team+`
			alice@laptop invite careful approve
			careful      join dave@one
			= pending dave@one+admin
			bob@desk     admit dave@one                -> not entitled
			alice@laptop admit dave@one
			= members alice@laptop:admin bob@desk:member carol@mac:member dave@one:member
		`)
	})
	t.Run("an admin where no device is left", func(t *testing.T) {
		tell(t, team+`
			bob@desk     revoke bob@desk
			link         join bob@new
			= pending bob@new+admin
			carol@mac    admit bob@new                 -> not entitled
			alice@laptop admit bob@new
			= members alice@laptop:admin bob@new:member carol@mac:member
		`)
	})
	t.Run("both yeses where both apply", func(t *testing.T) {
		tell(t, team+`
			alice@laptop invite careful approve
			careful      join bob@phone
			= pending bob@phone+user+admin
			alice@laptop admit bob@phone
			= pending bob@phone+user
			alice@laptop admit bob@phone               -> already
			bob@desk     admit bob@phone
			= members alice@laptop:admin bob@desk:member bob@phone:member carol@mac:member
			careful      join alice@phone
			alice@laptop admit alice@phone                          # both in one
			= members alice@laptop:admin alice@phone:member bob@desk:member bob@phone:member carol@mac:member
		`)
	})
	t.Run("each still entitled: the admin was revoked", func(t *testing.T) {
		tell(t, team+`
			owner        invite careful approve
			careful      join bob@phone
			alice@laptop admit bob@phone
			owner        revoke alice@laptop
			= pending bob@phone+user+admin
			bob@desk     admit bob@phone
			= pending bob@phone+admin
			owner        admit bob@phone
			= members bob@desk:member bob@phone:member carol@mac:member
		`)
	})
	t.Run("each still entitled: the admin was demoted", func(t *testing.T) {
		tell(t, team+`
			owner        invite careful approve
			careful      join bob@phone
			alice@laptop admit bob@phone
			owner        role alice@laptop member
			bob@desk     admit bob@phone
			= pending bob@phone+admin
		`)
	})
	t.Run("each still entitled: the user's device was revoked", func(t *testing.T) {
		tell(t, team+`
			link         join bob@phone
			bob@desk     admit bob@phone
			owner        invite careful approve
			careful      join bob@tablet
			bob@desk     admit bob@tablet
			alice@laptop revoke bob@desk
			= pending bob@tablet+user+admin
			alice@laptop admit bob@tablet
			= pending bob@tablet+user
			bob@phone    admit bob@tablet
			= members alice@laptop:admin bob@phone:member bob@tablet:member carol@mac:member
		`)
	})
	t.Run("no device left after the admin's yes: it is given again", func(t *testing.T) {
		tell(t, team+`
			alice@laptop invite careful approve
			careful      join bob@phone
			alice@laptop admit bob@phone
			bob@desk     revoke bob@desk
			= pending bob@phone
			alice@laptop admit bob@phone
			= members alice@laptop:admin bob@phone:member carol@mac:member
		`)
	})
	t.Run("a name that was taken meanwhile", func(t *testing.T) {
		tell(t, team+`
			alice@laptop invite careful approve
			careful      join dave@one
			link         join dave@other                            # no approval here: dave is this one now
			= pending dave@one+user+admin
			alice@laptop admit dave@one
			= pending dave@one+user
			dave@other   admit dave@one
			= pending
		`)
	})
}

// "Under an existing user's name a join is pending until one of that user's devices
// admits it, unless the invite names that user and one of that user's devices made
// it. No other person gets the name, ever."
func TestRuleNameStaysItsUsers(t *testing.T) {
	tell(t, team+`
		link         join bob@phone
		= pending bob@phone+user
		bob@phone    invite x                          -> pending
		bob@phone    revoke bob@desk                   -> pending
		bob@desk     invite own user=bob uses=2
		own          join bob@tablet
		= members alice@laptop:admin bob@desk:member bob@tablet:member carol@mac:member
		own          join carol@two                    -> invite other
		alice@laptop invite forbob user=bob                       # an admin's invite names bob, but no device of bob made it
		forbob       join bob@watch
		= pending bob@phone+user bob@watch+user
		bob@desk     invite x user=carol               -> not entitled
		bob@desk     invite x                          -> not entitled
		alice@laptop invite mine user=alice
		mine         join alice@phone
		= members alice@laptop:admin alice@phone:member bob@desk:member bob@tablet:member carol@mac:member
		alice@laptop revoke bob@desk bob@tablet
		alice@laptop invite more
		more         join bob@again                               # still bob's name, though nobody of bob is left
		= pending bob@phone+admin bob@watch+admin bob@again+admin
		= members alice@laptop:admin alice@phone:member carol@mac:member
	`)
}

// A device invite lets in without a question only while its maker belongs.
func TestDeviceInviteOfARevokedDevice(t *testing.T) {
	tell(t, team+`
		bob@desk     invite own user=bob
		bob@desk     invite asked user=bob approve
		asked        join bob@phone
		= pending bob@phone+admin
		alice@laptop revoke bob@desk
		own          join bob@tablet                   -> invite maker
		= pending bob@phone+admin
	`)
	tell(t, team+`
		bob@desk     invite own user=bob
		own          join bob@tablet
		bob@desk     invite asked user=bob approve
		asked        join bob@phone
		= pending bob@phone+admin
		alice@laptop revoke bob@desk                              # now nothing vouches that it is bob's
		= pending bob@phone+user+admin
	`)
}

// "invite: admin and up, with a rank below its own; a member for its own further
// devices"
func TestWhoInvites(t *testing.T) {
	tell(t, team+`
		alice@laptop invite x rank=admin               -> not entitled
		bob@desk     invite x                          -> not entitled
		bob@desk     invite x user=carol               -> not entitled
		bob@desk     invite own user=bob
		link         invite x                          -> not entitled
		nobody@x     invite x                          -> not entitled
		broker       invite x                          -> not entitled
		owner        invite y rank=admin
		recovery     invite z rank=admin
		y            join dave@one
		z            join erin@one
		owner        role dave@one member
		dave@one     invite x                          -> not entitled
		= members alice@laptop:admin bob@desk:member carol@mac:member dave@one:member erin@one:admin
	`)
}

// "Joining needs an open invite: signer still entitled, uses left, time before
// expiry."
func TestJoinNeedsAnOpenInvite(t *testing.T) {
	tell(t, team+`
		alice@laptop invite once uses=1
		once         join dave@one
		once         join erin@one                     -> invite used
		alice@laptop invite short for=1m
		wait 59s
		short        join erin@one                     -> invite expired  # it is the 60th second
		alice@laptop invite shut
		alice@laptop revoke shut
		shut         join erin@one                     -> invite revoked
		alice@laptop invite chat kinds=gateway,bridge
		chat         join erin@one                     -> invite other
		chat         join erin@one kind=bridge
		alice@laptop invite later
		owner        role alice@laptop member
		later        join fred@one                     -> invite maker
		nothing      join fred@one                     -> unknown key
		carol@mac    join fred@one                     -> unknown key
		owner        join fred@one                     -> unknown key
		link         join bob@desk key=bob2            -> invite maker
	`)
	tell(t, team+`
		link         join bob@desk key=bob2@desk       -> name taken
		alice@laptop invite short for=1m
		wait 58s
		short        join erin@one
	`)
}

// Entry time never goes back, or an expired invite could be used by an entry that
// says it is older than it is.
func TestTimeDoesNotGoBack(t *testing.T) {
	tell(t, team+`
		alice@laptop invite short for=1m
		wait 1h
		alice@laptop broker unix:
		short        join erin@one back=2h             -> too early
		short        join erin@one back=1ms            -> too early
		short        join erin@one back=0s             -> invite expired
	`)
}

// "lapses 7 days of entry time later"
func TestPendingJoinLapses(t *testing.T) {
	tell(t, team+`
		link         join bob@phone
		wait 7d
		bob@desk     admit bob@phone                   -> lapsed
		= pending
	`)
	tell(t, team+`
		link         join bob@phone
		wait 6d
		= pending bob@phone+user
		bob@desk     admit bob@phone
	`)
	// A lapsed join keeps nobody out and its key stays used.
	tell(t, team+`
		link         join bob@phone
		wait 8d
		alice@laptop invite more
		more         join bob@phone                    -> key used
		more         join bob@phone key=bob2@phone
		= pending bob2@phone+user
		bob@desk     admit bob2@phone
		bob@desk     admit bob@phone                   -> lapsed
	`)
}

// "revoke: a higher rank; the user's device of no lower rank; anyone itself."
func TestWhoRevokesWhom(t *testing.T) {
	tell(t, team+`
		owner        role owner2 owner
		bob@desk     revoke carol@mac                  -> not entitled
		bob@desk     revoke alice@laptop               -> not entitled
		bob@desk     revoke owner                      -> not entitled
		alice@laptop revoke owner                      -> not entitled
		owner        revoke owner2                     -> not entitled
		owner        revoke recovery                   -> not entitled
		owner        revoke broker                     -> unknown key
		owner        revoke nobody                     -> unknown key
		bob@desk     revoke link                       -> not entitled
		link         revoke link                       -> not entitled    # who holds a link does not shut it
		link         revoke bob@desk                   -> not entitled
		alice@laptop revoke bob@desk owner             -> not entitled    # all or none
		= members alice@laptop:admin bob@desk:member carol@mac:member
		owner        invite i1 rank=admin
		i1           join dave@one
		alice@laptop revoke dave@one                   -> not entitled
		alice@laptop revoke i1                         -> not entitled
		owner        revoke dave@one
		i1           join erin@one                     -> invite revoked
		recovery     revoke owner2
		= owners owner
		owner2       revoke bob@desk                   -> revoked
		owner        revoke owner
		= owners
		recovery     revoke bob@desk
		recovery     revoke bob@desk                   -> already
		recovery     revoke recovery
		recovery     heal broker                       -> revoked
	`)
	tell(t, team+`
		link         join alice@phone
		alice@laptop admit alice@phone
		alice@phone  revoke alice@laptop               -> not entitled    # lower rank, same user
		alice@laptop revoke alice@phone
		link         join bob@phone                    -> invite revoked
	`)
	tell(t, team+`
		bob@desk     invite own user=bob
		own          join bob@phone
		bob@phone    revoke bob@desk                                      # same user, same rank
		= members alice@laptop:admin bob@phone:member carol@mac:member
		own          join bob@tablet                   -> invite maker
		bob@phone    revoke own
	`)
	tell(t, team+`
		link         join bob@phone
		bob@desk     revoke bob@phone                                     # no, says bob
		= pending
		bob@desk     admit bob@phone                   -> revoked
		link         join carol@phone
		carol@phone  revoke carol@phone                                   # and carol's thought better of it
		= pending
		= open link:6
	`)
}

// "its open invites and the link it came by close (not on a self-revoke: a member
// must not shut a team's link)"
func TestWhatARevocationCloses(t *testing.T) {
	tell(t, team+`
		bob@desk     invite own user=bob
		bob@desk     revoke bob@desk
		= open link:8                                                     # bob's own is closed, the team's is not
		alice@laptop revoke carol@mac
		= open
	`)
	tell(t, team+`
		link         join bob@phone
		bob@desk     admit bob@phone
		bob@desk     revoke bob@phone
		= open link:7                                                     # nor does a second device of his shut it
	`)
	tell(t, team+`
		alice@laptop revoke bob@desk link                                 # naming both is one entry
		= open
		link         join dave@one                     -> invite revoked
	`)
	tell(t, team+`
		owner        role bob@desk admin
		bob@desk     invite his
		alice@laptop revoke his
		bob@desk     invite his2
		owner        revoke bob@desk
		his2         join dave@one                     -> invite maker
		= open
	`)
}

// "revoked admin: nothing it signs later has a place"
func TestRevokedKeysSayNothing(t *testing.T) {
	tell(t, team+`
		owner        revoke alice@laptop
		alice@laptop invite x                          -> revoked
		alice@laptop broker unix:                      -> revoked
		alice@laptop role bob@desk member              -> revoked
		alice@laptop revoke bob@desk                   -> revoked
		alice@laptop revoke alice@laptop               -> already
		link         join dave@one                     -> invite maker
	`)
}

// "per user 16 devices, 16 open invites, 256 entries below admin"
func TestCaps(t *testing.T) {
	t.Run("devices", func(t *testing.T) {
		s := tell(t, team+`bob@desk invite own user=bob uses=100`)
		for i := 2; i <= roster.MaxDevices; i++ {
			s.goOn(fmt.Sprintf("own join bob@d%d", i))
		}
		s.goOn(`
			own          join bob@d17                  -> cap
			link         join bob@d17                  -> cap
			bob@d2       revoke bob@d2
			link         join bob@d17
			own          join bob@d18
			bob@desk     admit bob@d17                 -> cap
			bob@d3       revoke bob@d3
			bob@desk     admit bob@d17
		`)
	})
	t.Run("open invites", func(t *testing.T) {
		s := tell(t, team+`bob@desk invite own user=bob
			own join bob@phone`)
		for i := 2; i <= roster.MaxInvites; i++ {
			s.goOn(fmt.Sprintf("bob@phone invite own%d user=bob uses=1", i))
		}
		s.goOn(`
			bob@desk     invite more user=bob          -> cap
			bob@phone    invite more user=bob          -> cap
			own2         join bob@tablet                                  # used up: one less is open
			bob@desk     invite more user=bob
			bob@desk     invite more2 user=bob         -> cap
			bob@desk     revoke more
			bob@desk     invite more2 user=bob
			wait 2d
			bob@desk     invite more3 user=bob
		`)
		s = tell(t, team)
		for i := range roster.MaxInvites - 1 {
			s.goOn(fmt.Sprintf("alice@laptop invite l%d", i))
		}
		s.goOn(`
			alice@laptop invite l15                    -> cap
			owner        role alice@laptop member                         # closes them for as long as it lasts
			alice@laptop invite mine user=alice
			owner        role alice@laptop admin
			alice@laptop invite l15                    -> cap
		`)
		for i := range 20 {
			s.goOn(fmt.Sprintf("owner invite free%d", i)) // the owner's key is nobody's device
		}
	})
	t.Run("entries", func(t *testing.T) {
		s := tell(t, team+`
			bob@desk     invite own user=bob
			own          join bob@phone
		`)
		for i := 1; i < roster.MaxEntries; i++ {
			s.goOn(fmt.Sprintf("wait 2d\n%s invite o%d user=bob", []string{"bob@desk", "bob@phone"}[i%2], i))
		}
		s.goOn(`
			bob@desk     invite more user=bob          -> cap
			bob@phone    invite more user=bob          -> cap
			bob@phone    revoke bob@desk                                  # a stolen device can be revoked for all that
			owner        role bob@phone admin
			bob@phone    invite more
		`)
	})
}

// "An owner or recovery key may say hello in the peer's place: sync and append,
// nothing else": they are no members, and neither are invites and who waits.
func TestRuleOwnerAndRecoveryKeysAreNoPeers(t *testing.T) {
	s := tell(t, team+`
		link         join bob@phone
		alice@laptop invite shut
		alice@laptop revoke shut carol@mac
		link         join carol@mac key=x              -> invite revoked
		owner        role owner2 owner
	`)
	want := map[string]roster.Standing{
		"owner": roster.Owner, "owner2": roster.Owner, "recovery": roster.Recovery, "broker": roster.Orderer,
		"alice@laptop": roster.Belongs, "bob@phone": roster.Waits, "carol@mac": roster.Revoked,
		"shut": roster.InviteShut, "link": roster.InviteShut, "nobody": roster.Unknown,
	}
	for name, standing := range want {
		key := public(name)
		if got := s.state.Standing(key, s.now); got != standing {
			t.Errorf("%s: standing %d, want %d", name, got, standing)
		}
		if _, belongs := s.state.Member(key); belongs != (standing == roster.Belongs) {
			t.Errorf("%s: member %v", name, belongs)
		}
	}
	if got := s.state.Standing(public("bob@phone"), s.now+8*day); got != roster.Lapsed {
		t.Errorf("bob@phone after 8 days: %d", got)
	}
	for _, m := range s.state.Members() {
		if m.Rank > chain.RankAdmin {
			t.Errorf("%s has rank %v", m.Address(), m.Rank)
		}
	}
}

func TestStateReaders(t *testing.T) {
	s := tell(t, team+`link join bob@phone`)
	if got := s.state.CameBy(public("link")); len(got) != 2 {
		t.Errorf("came by the link: %v", got)
	}
	if got := s.state.CameBy(public("alice@laptop")); len(got) != 2 {
		t.Errorf("came by alice: %v", got)
	}
	if got := s.state.CameBy(public("owner")); len(got) != 1 || got[0].Address() != "alice@laptop" {
		t.Errorf("came by the owner: %v", got)
	}
	if got := s.state.User("bob"); len(got) != 1 || got[0].Device != "desk" {
		t.Errorf("bob: %v", got)
	}
	if got := s.state.User(strings.Repeat("b", 40)); got != nil {
		t.Errorf("a name too long: %v", got)
	}
	if p, ok := s.state.Waiting(public("bob@phone"), s.now); !ok || !p.NeedsUser || p.Until != s.now+roster.Lapse {
		t.Errorf("bob@phone: %+v %v", p, ok)
	}
	if s.state.Count() != 3 || s.state.Name() != "acme" || s.state.Recovery() != public("recovery") {
		t.Errorf("%d members of %s", s.state.Count(), s.state.Name())
	}
	if i, ok := s.state.Invite(public("link")); !ok || i.Left != 7 || i.By != public("alice@laptop") {
		t.Errorf("link: %+v", i)
	}
	var none roster.State
	if none.Count() != 0 || none.Members() == nil || none.Standing(keys.Public{}, 0) != roster.Unknown || !none.At().IsZero() {
		t.Error("the zero state is not empty")
	}
}

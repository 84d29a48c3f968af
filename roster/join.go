package roster

import (
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
)

// countInvite: by an admin and up, with a rank below its own; by a member for
// further devices of its own user. [CM-5.26, CM-5.27]
func (s State) countInvite(d *data, e chain.Signed, body chain.Invite) error {
	maker := s.record(e.Entry.By)
	if err := s.mayInvite(maker, body); err != nil {
		return err
	}
	if err := s.bring(d, e, &record{key: body.Key, role: roleInvite, invite: &inviteRecord{Invite: body}}); err != nil {
		return err
	}
	if maker.role != rolePeer {
		return nil
	}
	u, _ := d.users.get(nameKey(maker.peer.user)) // d's, since charge may have counted
	copied := *u
	open := 0
	copied.invites = slices.DeleteFunc(slices.Clone(u.invites), func(key keys.Public) bool {
		why := s.InviteOpen(key, e.Entry.Time)
		if why == nil {
			open++
		}
		return why != nil && !errors.Is(why, ErrInviteMaker) // a rank may come back, all else not
	})
	if open >= MaxInvites {
		return refuse(ErrCap, "%d open invites of a user", MaxInvites)
	}
	copied.invites = append(copied.invites, body.Key)
	d.setUser(&copied)
	return nil
}

// mayInvite tells whether who made or makes an invite is entitled to it now.
func (s State) mayInvite(maker *record, body chain.Invite) error {
	rank := s.rank(maker.key)
	switch {
	case rank >= chain.RankAdmin && body.Rank < rank:
		return nil
	case rank >= chain.RankAdmin:
		return refuse(ErrNotEntitled, "an invite gives a rank below its maker's")
	case rank == chain.RankMember && body.User != "" && body.User == maker.peer.user:
		return nil // its rank is member, which the codec checks
	}
	return refuse(ErrNotEntitled, "a member invites further devices of its own user only")
}

// InviteOpen tells whether an invite lets somebody in at a time, and why not: nil,
// [ErrUnknownKey], or one of the errors that wrap [ErrInviteClosed]. Everybody
// checks this from the chain. [CM-5.28]
func (s State) InviteOpen(key keys.Public, now int64) error {
	r := s.record(key)
	if r == nil || r.role != roleInvite {
		return refuse(ErrUnknownKey, "no invite %.12s", key)
	}
	switch {
	case r.revoked != nil:
		return refuse(ErrInviteRevoked, "at place %d", r.revoked.N)
	case r.invite.used >= r.invite.Uses:
		return refuse(ErrInviteUsed, "%d of %d uses", r.invite.used, r.invite.Uses)
	case now >= r.invite.Expires:
		return ErrInviteExpired
	case s.mayInvite(s.record(r.by), r.invite.Invite) != nil:
		return ErrInviteMaker
	}
	return nil
}

// countJoin: by an open invite and the new peer. Under the name of an existing user,
// or where approval is wanted, the join waits. [CM-5.29, CM-5.32]
func (s State) countJoin(d *data, e chain.Signed, body chain.Join) error {
	if err := s.InviteOpen(e.Entry.By, e.Entry.Time); err != nil {
		return err
	}
	link := s.record(e.Entry.By)
	if link.invite.User != "" && link.invite.User != body.User {
		return refuse(ErrInviteOther, "it is for devices of %s", link.invite.User)
	}
	if !slices.Contains(link.invite.Kinds, body.Kind) {
		return refuse(ErrInviteOther, "not for kind %s", body.Kind)
	}
	r := &record{key: body.Peer, role: rolePeer, peer: &peerRecord{
		user: body.User, device: body.Device, kind: body.Kind, rank: link.invite.Rank,
	}}
	needs := s.needs(r.peer, link)
	r.peer.waiting = needs.user || needs.admin
	if err := s.room(r.peer); err != nil {
		return err
	}
	if err := s.bring(d, e, r); err != nil {
		return err
	}
	used := *link
	used.invite = &inviteRecord{Invite: link.invite.Invite, used: link.invite.used + 1}
	d.setRecord(&used)
	if r.peer.waiting {
		d.waiting = append(s.stillWaiting(e.Entry.Time), body.Peer)
		return nil
	}
	d.seat(r)
	return nil
}

// stillWaiting lists the joins that wait and have not lapsed.
func (s State) stillWaiting(now int64) []keys.Public {
	return slices.DeleteFunc(slices.Clone(s.data().waiting), func(key keys.Public) bool {
		return s.lapsed(s.record(key), now)
	})
}

// room refuses a device where the user has one of that name, or too many. [CM-5.30]
func (s State) room(p *peerRecord) error {
	devices := s.User(p.user)
	if len(devices) >= MaxDevices {
		return refuse(ErrCap, "%d devices of a user", MaxDevices)
	}
	for _, device := range devices {
		if device.Device == p.device {
			return refuse(ErrNameTaken, "%s@%s", p.user, p.device)
		}
	}
	return nil
}

// seat makes a peer a member.
func (d *data) seat(r *record) {
	u := &user{name: r.peer.user}
	if known, ok := d.users.get(nameKey(u.name)); ok {
		copied := *known
		u = &copied
	}
	u.devices = append(slices.Clone(u.devices), r.key)
	d.setUser(u)
	d.members++
}

// yes says whose yes a join wants, or a signer can give.
type yes struct{ user, admin bool }

// needs tells whose yes a join by a link wants now: one of the user's devices where
// the name is somebody's, unless the link names that user and one of that user's
// devices made it; an admin where the link wants approval, or where nobody of the
// user is left to say yes. [CM-5.31]
func (s State) needs(p *peerRecord, link *record) yes {
	need := yes{admin: link.invite.Approve}
	u := s.user(p.user)
	if u == nil {
		return need
	}
	if maker := s.record(link.by); link.invite.User == p.user && maker.belongs() && maker.peer.user == p.user {
		return need
	}
	if len(u.devices) == 0 {
		need.admin = true
	} else {
		need.user = true
	}
	return need
}

// gives tells which yes a signer can give to a join now.
func (s State) gives(signer keys.Public, p *peerRecord) yes {
	r := s.record(signer)
	rank := s.rank(signer)
	return yes{
		user:  rank > chain.RankNone && r.role == rolePeer && r.peer.user == p.user,
		admin: rank >= chain.RankAdmin,
	}
}

// given tells which yes a join has, of those who are still entitled. [CM-5.35]
func (s State) given(p *peerRecord) yes {
	var all yes
	for _, vote := range p.votes {
		one := s.gives(vote.by, p)
		all.user, all.admin = all.user || one.user, all.admin || one.admin
	}
	return all
}

// lapsed tells whether a pending join waited too long at a time. [CM-5.33]
func (s State) lapsed(r *record, now int64) bool { return now-r.time >= Lapse }

// pending finds the record of a join that waits, or says what the key is instead.
func (s State) pending(key keys.Public, now int64) (*record, error) {
	r := s.record(key)
	switch {
	case r == nil || r.role != rolePeer:
		return nil, refuse(ErrUnknownKey, "no join of %.12s", key)
	case r.revoked != nil:
		return nil, refuse(ErrRevoked, "the peer, at place %d", r.revoked.N)
	case !r.peer.waiting:
		return nil, refuse(ErrAlready, "%s@%s belongs", r.peer.user, r.peer.device)
	case s.lapsed(r, now):
		return nil, refuse(ErrLapsed, "it waited since %d", r.time)
	}
	return r, nil
}

// countAdmit: by a device of that user; by an admin where approval was asked or no
// device is left; by both where both apply, each still entitled when the last comes.
// [CM-5.34, CM-5.35]
func (s State) countAdmit(d *data, e chain.Signed, body chain.Admit) error {
	old, err := s.pending(body.Peer, e.Entry.Time)
	if err != nil {
		return err
	}
	need := s.needs(old.peer, s.record(old.by))
	can := s.gives(e.Entry.By, old.peer)
	if !(need.user && can.user) && !(need.admin && can.admin) {
		return refuse(ErrNotEntitled, "%s", need.whose(old.peer.user))
	}
	r, p := *old, *old.peer
	p.votes = append(slices.Clone(p.votes), vote{source{e.Entry.By, e.Entry.N}, can})
	r.peer = &p
	has := s.given(&p)
	if need.user && !has.user || need.admin && !has.admin {
		if slices.ContainsFunc(old.peer.votes, func(v vote) bool { return v.by == e.Entry.By }) {
			return refuse(ErrAlready, "its signer said yes before")
		}
		d.setRecord(&r)
		return nil
	}
	if err := s.room(&p); err != nil {
		return err
	}
	p.waiting, p.needed = false, need
	d.setRecord(&r)
	d.waiting = without(d.waiting, body.Peer)
	d.seat(&r)
	return nil
}

// whose says in words whose yes is wanted.
func (y yes) whose(user string) string {
	switch {
	case y.user && y.admin:
		return "it takes a device of " + user + " and an admin"
	case y.user:
		return "it takes a device of " + user
	}
	return "it takes an admin"
}

// Pending is a join that waits for a yes.
type Pending struct {
	Member
	// NeedsUser: a device of the user has yet to say yes. NeedsAdmin: an admin or
	// owner has. A yes that was given by somebody still entitled is not wanted
	// again.
	NeedsUser, NeedsAdmin bool
	// Until is when it lapses, in Unix milliseconds.
	Until int64
}

// Pending lists the joins that wait at a time, in the order they came. Nothing is
// sealed to them. [CM-5.32]
func (s State) Pending(now int64) []Pending {
	var list []Pending
	for _, key := range s.stillWaiting(max(now, s.Time())) {
		list = append(list, s.pendingOf(s.record(key)))
	}
	return list
}

// Waiting finds a join that waits at a time.
func (s State) Waiting(key keys.Public, now int64) (Pending, bool) {
	r, err := s.pending(key, max(now, s.Time()))
	if err != nil {
		return Pending{}, false
	}
	return s.pendingOf(r), true
}

func (s State) pendingOf(r *record) Pending {
	need, has := s.needs(r.peer, s.record(r.by)), s.given(r.peer)
	return Pending{Member: r.member(), Until: r.time + Lapse,
		NeedsUser: need.user && !has.user, NeedsAdmin: need.admin && !has.admin}
}

// Invite is an invite as it stands.
type Invite struct {
	chain.Invite
	By   keys.Public
	Left int64 // uses
	N    uint64
	Time int64 // when it was made
}

// Invites lists the invites that are open at a time, the oldest first. It costs in
// proportion to all keys of the mesh.
func (s State) Invites(now int64) []Invite {
	var open []Invite
	for r := range s.data().keys.all() {
		if r.role == roleInvite && s.InviteOpen(r.key, max(now, s.Time())) == nil {
			open = append(open, r.asInvite())
		}
	}
	slices.SortFunc(open, func(a, b Invite) int { return int(a.N) - int(b.N) })
	return open
}

// Invite finds an invite, open or not.
func (s State) Invite(key keys.Public) (Invite, bool) {
	r := s.record(key)
	if r == nil || r.role != roleInvite {
		return Invite{}, false
	}
	return r.asInvite(), true
}

func (r *record) asInvite() Invite {
	return Invite{Invite: r.invite.Invite, By: r.by, Left: r.invite.Uses - r.invite.used, N: r.n, Time: r.time}
}

// CameBy lists the members that came by an invite, or by the invites that a peer or
// owner made: what is offered for revocation with it. [CM-5.38]
func (s State) CameBy(key keys.Public) []Member {
	var came []Member
	for _, m := range s.Members() {
		if m.Invite == key || s.record(m.Invite).by == key {
			came = append(came, m)
		}
	}
	return came
}

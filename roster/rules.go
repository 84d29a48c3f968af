package roster

import (
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
)

func isUnknown(err error) bool { return errors.Is(err, chain.ErrUnknown) }

// count changes d, a copy of s's content, to what holds after e, or tells why e does
// not count; then d is thrown away. [CM-5.13]
func (s State) count(d *data, e chain.Signed) error {
	if e.Void != nil {
		return e.Void
	}
	if e.Entry.Time < s.data().time {
		// Else an expired invite could be used, and a lapsed join admitted, by an
		// entry that says it is older than it is.
		return refuse(ErrTime, "by %d ms", s.data().time-e.Entry.Time)
	}
	d.time = e.Entry.Time
	switch body := e.Entry.Body.(type) {
	case chain.Genesis:
		return s.countGenesis(d, e, body)
	case chain.Join:
		return s.countJoin(d, e, body)
	case chain.Revoke:
		return s.countRevoke(d, e, body)
	}
	if err := s.signer(e.Entry.By); err != nil {
		return err
	}
	if err := s.charge(d, e); err != nil {
		return err
	}
	switch body := e.Entry.Body.(type) {
	case chain.Broker:
		if rank := s.rank(e.Entry.By); rank != chain.RankAdmin && rank != chain.RankOwner {
			return refuse(ErrNotEntitled, "where to dial is said by owners and admins")
		}
		d.urls = body.URLs
		return nil
	case chain.Role:
		return s.countRole(d, e, body)
	case chain.Invite:
		return s.countInvite(d, e, body)
	case chain.Admit:
		return s.countAdmit(d, e, body)
	case chain.Heal:
		return s.countHeal(d, e, body)
	}
	return refuse(ErrNotEntitled, "a %s", e.Entry.Type())
}

// signer refuses whoever has no rank, and says why. [CM-5.21]
func (s State) signer(by keys.Public) error {
	r := s.record(by)
	switch {
	case r == nil:
		return refuse(ErrNotEntitled, "it does not belong to the mesh")
	case r.revoked != nil:
		return refuse(ErrRevoked, "its signer, at place %d", r.revoked.N)
	case r.role == rolePeer && r.peer.waiting:
		return refuse(ErrPending, "its signer")
	case s.rank(by) == chain.RankNone:
		return refuse(ErrNotEntitled, "its key is for another use")
	}
	return nil
}

// charge counts an entry against the user whose device signed it. [CM-5.39]
func (s State) charge(d *data, e chain.Signed) error {
	r := s.record(e.Entry.By)
	if r.role != rolePeer || r.peer.rank >= chain.RankAdmin {
		return nil
	}
	u := *s.user(r.peer.user)
	if u.entries >= MaxEntries {
		return refuse(ErrCap, "%d entries of a user below admin", MaxEntries)
	}
	u.entries++
	d.setUser(&u)
	return nil
}

func (d *data) setUser(u *user)     { d.users = d.users.put(nameKey(u.name), u) }
func (d *data) setRecord(r *record) { d.keys = d.keys.put(r.key, r) }

// bring adds a key that must not have been in the mesh before. [CM-5.20]
func (s State) bring(d *data, e chain.Signed, r *record) error {
	if _, used := d.keys.get(r.key); used {
		return refuse(ErrKeyUsed, "%.12s", r.key)
	}
	r.by, r.n, r.time = e.Entry.By, e.Entry.N, e.Entry.Time
	d.setRecord(r)
	return nil
}

func (s State) countGenesis(d *data, e chain.Signed, body chain.Genesis) error {
	d.mesh, d.name, d.urls = chain.MeshIDOf(e), body.Name, body.URLs
	d.broker, d.recovery, d.owners = body.Broker, body.Recovery, []keys.Public{e.Entry.By}
	for _, r := range []*record{
		{key: e.Entry.By, role: roleOwner},
		{key: body.Recovery, role: roleRecovery},
		{key: body.Broker, role: roleBroker},
	} {
		if err := s.bring(d, e, r); err != nil {
			return err
		}
	}
	return nil
}

// countRole: a higher rank than the key has and gets, of a joined, unrevoked peer;
// an owner (or the recovery key) makes any new key an owner. [CM-5.25, CM-5.24]
func (s State) countRole(d *data, e chain.Signed, body chain.Role) error {
	actor := s.rank(e.Entry.By)
	if body.Rank == chain.RankOwner {
		if actor < chain.RankOwner {
			return refuse(ErrNotEntitled, "owners are named by owners")
		}
		if err := s.bring(d, e, &record{key: body.Key, role: roleOwner}); err != nil {
			return err
		}
		d.owners = append(slices.Clone(d.owners), body.Key)
		return nil
	}
	old, err := s.joined(body.Key)
	if err != nil {
		return err
	}
	if actor <= old.peer.rank || actor <= body.Rank {
		return refuse(ErrNotEntitled, "a rank is given from above")
	}
	r, p := *old, *old.peer
	p.rank, p.ranks = body.Rank, append(slices.Clone(p.ranks), ranking{source{e.Entry.By, e.Entry.N}, body.Rank})
	r.peer = &p
	d.setRecord(&r)
	return nil
}

// joined finds the record of a member, or says what the key is instead.
func (s State) joined(key keys.Public) (*record, error) {
	r := s.record(key)
	switch {
	case r == nil || r.role != rolePeer:
		return nil, refuse(ErrUnknownKey, "no peer %.12s", key)
	case r.revoked != nil:
		return nil, refuse(ErrRevoked, "the peer, at place %d", r.revoked.N)
	case r.peer.waiting:
		return nil, refuse(ErrPending, "the peer")
	}
	return r, nil
}

// countRevoke: each listed key by a higher rank, by a device of its user of no lower
// rank, or by itself. With a peer the link it came by closes, unless it went by
// itself or the signer could not have closed that link: a member must not shut a
// team's link. Its own invites close since it is not entitled any more. [CM-5.36, CM-5.37]
func (s State) countRevoke(d *data, e chain.Signed, body chain.Revoke) error {
	by := e.Entry.By
	for _, key := range body.Keys {
		if err := s.MayRevoke(by, key); err != nil {
			return err
		}
	}
	gone := func(key keys.Public) {
		r := *s.record(key)
		r.revoked = &Revocation{Key: key, By: by, N: e.Entry.N, Time: e.Entry.Time}
		d.setRecord(&r)
	}
	for _, key := range body.Keys {
		r := s.record(key)
		gone(key)
		switch r.role {
		case roleOwner:
			d.owners = without(d.owners, key)
		case rolePeer:
			s.dropPeer(d, r)
			if key != by && s.MayRevoke(by, r.by) == nil {
				gone(r.by)
			}
		}
	}
	return nil
}

// dropPeer takes a revoked peer out of the lists.
func (s State) dropPeer(d *data, r *record) {
	if r.peer.waiting {
		d.waiting = without(d.waiting, r.key)
		return
	}
	u, _ := d.users.get(nameKey(r.peer.user))
	copied := *u
	copied.devices = without(copied.devices, r.key)
	d.setUser(&copied)
	d.members--
}

func without(list []keys.Public, key keys.Public) []keys.Public {
	return slices.DeleteFunc(slices.Clone(list), func(k keys.Public) bool { return k == key })
}

// MayRevoke tells whether a key may revoke another now, and why not. An invite
// counts as its maker's user's, with the rank that it gives. [CM-5.36]
func (s State) MayRevoke(by, key keys.Public) error {
	r := s.record(key)
	if r == nil || r.role == roleBroker {
		return refuse(ErrUnknownKey, "nothing to revoke of %.12s", key)
	}
	if r.revoked != nil {
		return refuse(ErrAlready, "%.12s was revoked at place %d", key, r.revoked.N)
	}
	return s.mayRevoke(by, r)
}

// mayRevoke is MayRevoke for a key that the mesh knows, revoked already or not.
func (s State) mayRevoke(by keys.Public, r *record) error {
	if by == r.key && r.role != roleInvite {
		return nil // anyone itself, also while it waits
	}
	if err := s.signer(by); err != nil {
		return err
	}
	actor := s.rank(by)
	var target chain.Rank
	var name string
	switch r.role {
	case roleOwner:
		target = chain.RankOwner
	case roleRecovery:
		target = chain.RankRecovery
	case roleInvite:
		target = r.invite.Rank
		if maker := s.record(r.by); maker.role == rolePeer {
			name = maker.peer.user
		}
	case rolePeer: // also one that waits
		target, name = r.peer.rank, r.peer.user
	}
	if actor > target {
		return nil
	}
	if me := s.record(by); me.role == rolePeer && me.peer.user == name && actor >= target {
		return nil
	}
	return refuse(ErrNotEntitled, "it takes a rank above %v, or a device of the user", target)
}

// countHeal: by an owner or the recovery key. That its predecessor is the head that
// counts is what its place says; other branches are judged in [Roster.Append]. [CM-5.40]
func (s State) countHeal(d *data, e chain.Signed, body chain.Heal) error {
	if s.rank(e.Entry.By) < chain.RankOwner {
		return refuse(ErrNotEntitled, "owners and the recovery key heal")
	}
	if known, used := d.keys.get(body.Broker); used {
		if known.role != roleBroker {
			return refuse(ErrKeyUsed, "%.12s is no broker's", body.Broker)
		}
	} else if err := s.bring(d, e, &record{key: body.Broker, role: roleBroker}); err != nil {
		return err
	}
	d.broker, d.urls = body.Broker, body.URLs
	return nil
}

package roster

import (
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Ban is a revocation that its holder met outside the chain: on a branch that lost
// to a heal, or in a message. It changes no state that others compute; the holder
// alone acts on it, while its signer is entitled to it in the holder's present
// state. It covers what the banned key lets in afterwards. [CM-5.50, CM-5.51]
type Ban struct {
	// Revoke is the entry, verified.
	Revoke chain.Signed
	// Since is the first place in the holder's chain at which what the banned key
	// lets in is covered: where the branch left, if that is known.
	Since uint64
	// Met is when the holder met it, in Unix milliseconds.
	Met int64
}

// keys lists what the ban is about.
func (b Ban) keys() []keys.Public {
	body, _ := b.Revoke.Entry.Body.(chain.Revoke)
	return body.Keys
}

// View is what one member acts on: the state, less those whom it bans. It never
// changes and is safe for concurrent use.
type View struct {
	State
	self keys.Public
	bans []Ban
}

// Member finds a peer that belongs and is not banned.
func (v View) Member(key keys.Public) (Member, bool) {
	m, ok := v.State.Member(key)
	if !ok || v.judge().banned(key) != nil {
		return Member{}, false
	}
	return m, true
}

// Members lists all members that are not banned, by user and device.
func (v View) Members() []Member { return v.judge().filter(v.State.Members()) }

// User lists the devices of a user that are not banned, by name.
func (v View) User(name string) []Member { return v.judge().filter(v.State.User(name)) }

// Pending lists the joins that wait at a time and are not banned.
func (v View) Pending(now int64) []Pending {
	j := v.judge()
	return slices.DeleteFunc(v.State.Pending(now), func(p Pending) bool { return j.banned(p.Key) != nil })
}

// Banned tells whether a key is banned by this holder, and by which ban: the one
// about the key itself, or the one about the key that let it in. Never oneself.
func (v View) Banned(key keys.Public) (Ban, bool) {
	if ban := v.judge().banned(key); ban != nil {
		return *ban, true
	}
	return Ban{}, false
}

// Bans lists all bans, binding or not, in the order they were met.
func (v View) Bans() []Ban { return slices.Clone(v.bans) }

func (v View) judge() *judge {
	return &judge{s: v.State, self: v.self, bans: v.bans, known: map[keys.Public]verdict{}}
}

// judge decides who is banned in a state. It is made for one question or one list.
type judge struct {
	s     State
	self  keys.Public
	bans  []Ban
	known map[keys.Public]verdict
}

// verdict is by which ban a key is banned, and from which place on what it lets in.
type verdict struct {
	ban   *Ban
	since uint64
}

func (j *judge) filter(members []Member) []Member {
	if len(j.bans) == 0 {
		return members
	}
	return slices.DeleteFunc(members, func(m Member) bool { return j.banned(m.Key) != nil })
}

// banned gives the ban that a key is under, nil if none.
func (j *judge) banned(key keys.Public) *Ban { return j.verdict(key).ban }

func (j *judge) verdict(key keys.Public) verdict {
	if len(j.bans) == 0 || key == j.self && !key.IsZero() {
		return verdict{}
	}
	if v, ok := j.known[key]; ok {
		return v
	}
	v := verdict{}
	if r := j.s.record(key); r != nil {
		v = j.direct(r)
		if ban := j.letIn(r); ban != nil {
			v = verdict{ban: ban} // all that it ever let in came after
		}
	}
	j.known[key] = v
	return v
}

// direct looks for the bans about the key itself. Every revoke of a key is kept and
// asked: the signer of the last one may have lost its rank.
func (j *judge) direct(r *record) verdict {
	var v verdict
	for i, ban := range j.bans {
		if !slices.Contains(ban.keys(), r.key) || j.s.mayRevoke(ban.Revoke.Entry.By, r) != nil {
			continue
		}
		if v.ban == nil || ban.Since < v.since {
			v = verdict{&j.bans[i], ban.Since}
		}
	}
	return v
}

// letIn looks for a ban on whoever let the key in. Whoever did entered earlier, so
// this ends.
func (j *judge) letIn(r *record) *Ban {
	switch r.role {
	case roleOwner, roleInvite:
		if r.n == 0 {
			return nil
		}
		return j.covers(source{r.by, r.n})
	case rolePeer:
		link := j.s.record(r.by)
		for _, by := range []keys.Public{link.key, link.by} {
			if ban := j.covers(source{by, r.n}); ban != nil {
				return ban
			}
		}
		return j.outvoted(r.peer)
	}
	return nil
}

// outvoted looks for a needed yes that only banned keys gave.
func (j *judge) outvoted(p *peerRecord) *Ban {
	for _, kind := range []func(yes) bool{
		func(y yes) bool { return y.user },
		func(y yes) bool { return y.admin },
	} {
		if !kind(p.needed) {
			continue
		}
		var last *Ban
		for _, vote := range p.votes {
			if !kind(vote.can) {
				continue
			}
			if last = j.covers(vote.source); last == nil {
				break
			}
		}
		if last != nil {
			return last
		}
	}
	return nil
}

// covers tells whether a ban covers what a key did at a place: because it was banned
// by then, or because it did so with a rank that a banned key had given it. What it
// was given later says nothing about that.
func (j *judge) covers(s source) *Ban {
	if v := j.verdict(s.by); v.ban != nil && s.n >= v.since {
		return v.ban
	}
	r := j.s.record(s.by)
	if r.role != rolePeer || s.by == j.self {
		return nil
	}
	for _, given := range slices.Backward(r.peer.ranks) {
		if given.n > s.n {
			continue
		}
		if given.rank < chain.RankAdmin {
			return nil
		}
		return j.covers(given.source)
	}
	return nil
}

// onBranch gives bans as they are for a branch that leaves the holder's chain at a
// place: all that stands there came after them, for all that the holder knows. Else
// a banned owner would go back to before its ban and name another one there.
func onBranch(bans []Ban, from uint64) []Ban {
	moved := slices.Clone(bans)
	for i := range moved {
		moved[i].Since = min(moved[i].Since, from)
	}
	return moved
}

// makeBan checks that an entry met outside a chain can be a ban.
func makeBan(mesh keys.MeshID, self keys.Public, o signed.Object, since uint64, met int64) (Ban, error) {
	e, err := chain.Decode(o)
	if err != nil {
		return Ban{}, fmt.Errorf("roster: a ban: %w", err)
	}
	body, ok := e.Entry.Body.(chain.Revoke)
	if !ok || e.Entry.Mesh != mesh {
		return Ban{}, fmt.Errorf("roster: a ban: %w: no revocation of this mesh", chain.ErrBroken)
	}
	if len(body.Keys) == 1 && body.Keys[0] == self {
		return Ban{}, refuse(ErrAlready, "nobody bans itself")
	}
	return Ban{Revoke: e, Since: since, Met: met}, nil
}

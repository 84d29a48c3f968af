package roster_test

import (
	"errors"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// rarely does one of what takes many entries, much time, or an owner, and is therefore
// met by no random step: caps, joins that lapse, an owner who hands over.
func (w *world) rarely() {
	switch w.rare.IntN(150) {
	case 0:
		w.flood()
	case 1:
		w.lapse()
	case 2:
		w.handOver()
	}
}

// tryOrder has a broker order an entry whatever it is worth: an honest one refuses, and
// a lying one takes it as it is. It gives what is wrong with it.
func (w *world) tryOrder(face *orderer, e chain.Signed) error {
	if e.IsZero() {
		return nil
	}
	err := face.order(w.now, e)
	w.note(face)
	if err != nil && w.lying && !errors.Is(err, roster.ErrPlace) {
		w.cheat(face, e)
	}
	return err
}

// flood: a member makes invites for its own user, then devices join by one, until a cap
// ends both.
func (w *world) flood() {
	face := w.faces[w.rare.IntN(len(w.faces))]
	members := face.r.State().Members()
	if len(members) == 0 {
		return
	}
	by := w.names[members[w.rare.IntN(len(members))].Key]
	user, _, _ := strings.Cut(by, "@")
	w.tell("%s floods", by)
	link := ""
	for range roster.MaxInvites + 1 {
		name := w.fresh("i%d")
		i := chain.Invite{Key: w.key(name), User: user, Rank: chain.RankMember, Expires: w.now + day, Uses: 100, Kinds: []chain.Kind{chain.KindAgent}}
		err := w.tryOrder(face, w.force(face.r, i, by))
		if errors.Is(err, roster.ErrCap) {
			w.tally.capped++
		} else if err == nil {
			link = name
		}
	}
	if link == "" {
		return
	}
	for range roster.MaxDevices + 1 {
		name := w.fresh(user + "@d%d")
		if errors.Is(w.tryOrder(face, w.force(face.r, w.join(name), link, name)), roster.ErrCap) {
			w.tally.capped++
		}
	}
}

// lapse: a join waits for its yes until it is too late, and then gets one.
func (w *world) lapse() {
	face := w.faces[w.rare.IntN(len(w.faces))]
	open := face.r.State().Invites(w.now)
	members := face.r.State().Members()
	if len(open) == 0 || len(members) == 0 {
		return
	}
	yes := w.names[members[w.rare.IntN(len(members))].Key]
	user, _, _ := strings.Cut(yes, "@")
	name, link := w.fresh(user+"@d%d"), w.names[open[w.rare.IntN(len(open))].Key]
	if err := w.tryOrder(face, w.force(face.r, w.join(name), link, name)); err != nil {
		return
	}
	w.now += roster.Lapse
	w.tell("seven days pass for %s", name)
	if err := w.tryOrder(face, w.force(face.r, chain.Admit{Peer: w.key(name)}, yes)); errors.Is(err, roster.ErrLapsed) {
		w.tally.lapsed++
	}
	if _, ok := face.r.State().Member(w.key(name)); ok && face.r.State().Time() >= w.now {
		w.failf("%s came in after seven days", name)
	}
}

// handOver: the owner names another one, who acts as one, and goes.
func (w *world) handOver() {
	home := w.clients[0]
	owners := home.r.State().Owners()
	if len(owners) == 0 {
		return
	}
	old, heir := w.names[owners[0]], w.fresh("owner%d")
	w.submit(home, chain.Role{Key: w.key(heir), Rank: chain.RankOwner}, old)
	w.submit(home, chain.Invite{Key: w.key(w.fresh("i%d")), Rank: chain.RankAdmin, Expires: w.now + day, Uses: 1, Kinds: []chain.Kind{chain.KindAgent}}, heir)
	w.submit(home, chain.Revoke{Keys: []keys.Public{w.key(old)}}, old)
	if s := home.r.State(); len(s.Owners()) > 0 && s.Owners()[0] == w.key(heir) {
		w.tally.handed++
	}
}

package roster_test

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// What the adversary does that honest brokers and members do not.

// cheat has a broker order an entry without asking. It tells whether it stands.
func (w *world) cheat(face *orderer, e chain.Signed) bool {
	if e.IsZero() {
		return false
	}
	head, err := chain.MakeHead(chain.Head{Mesh: w.mesh, N: e.Entry.N, Hash: e.Hash, Time: w.now, Life: face.life}, face.key)
	w.must(err)
	_, err = face.r.Append(chain.Page{From: e.Entry.N, Entries: []signed.Object{e.Object}, Head: head.Object}, w.now)
	w.tell("%s, forced: place %d: %v", e.Entry.Type(), e.Entry.N, err)
	return err == nil
}

// thiefAct: somebody who must not signs something, and the broker orders it.
func (w *world) thiefAct() {
	face := pick(w, w.faces)
	s := face.r.State()
	by := pick(w, w.stolen)
	if by == "" || w.rng.IntN(3) == 0 { // a revoked, pending, unknown or plain key
		var all []string
		for _, name := range w.names {
			if name != "recovery" && name != "owner" {
				all = append(all, name)
			}
		}
		slices.Sort(all)
		by = pick(w, all)
	}
	// Honest clients do not sign against themselves, so nothing below is theirs.
	if slices.ContainsFunc(w.clients, func(c *holder) bool { return c.name == by }) && !slices.Contains(w.stolen, by) {
		return
	}
	body := w.randomBody(face.r, by)
	signers := []string{by}
	if w.rng.IntN(3) == 0 { // a link that is closed, or used once more
		name := w.fresh(pick(w, users) + "@d%d")
		body, signers = w.join(name), []string{by, name}
	}
	if body == nil {
		return
	}
	switch b := body.(type) {
	case chain.Role:
		if w.rng.IntN(2) == 0 {
			b.Rank = chain.Rank(1 + w.rng.IntN(3))
			body = b
		}
	case chain.Revoke:
		if w.rng.IntN(2) == 0 {
			b.Keys = append(b.Keys, w.key("owner"))
			body = b
		}
	}
	if all := slices.Sorted(maps.Values(w.names)); w.rng.IntN(3) == 0 { // about any key at all
		switch b := body.(type) {
		case chain.Role:
			b.Key = w.key(pick(w, all))
			body = b
		case chain.Admit:
			b.Peer = w.key(pick(w, all))
			body = b
		case chain.Revoke:
			b.Keys = []keys.Public{w.key(pick(w, all))}
			body = b
		case chain.Invite:
			b.Key = w.key(pick(w, all))
			body = b
		}
	}
	draft := s.Draft(w.now, w.key(signers[0]), body)
	if w.rng.IntN(6) == 0 {
		draft.Time = max(1, s.Time()-w.rng.Int64N(8*day)) // back-dated
	}
	e, err := chain.Make(draft, w.signers(signers)...)
	if err == nil && w.cheat(face, e) {
		w.tally.forced++
		if face.r.Void(e.Entry.N) != nil {
			w.tally.void++
		}
	}
}

// fork: the broker shows another order to whoever it likes, in the same life.
func (w *world) fork() {
	face := pick(w, w.faces)
	n := face.r.Chain().Len()
	if n < 8 {
		return
	}
	other := face.copyOf(n - w.rng.Uint64N(4))
	if other.r.State().BrokerKey() != face.key.Public() {
		return
	}
	if w.rng.IntN(4) == 0 { // it says that it was restored
		w.lives[face.key.Public()]++
		other.life = w.lives[face.key.Public()]
	} else {
		w.fraud[face.key.Public()] = true
	}
	w.faces = append(w.faces, other)
	w.tally.forked++
	w.tell("the broker forks at place %d, life %d", other.r.Chain().Len(), other.life)
	w.reconnect()
}

// reconnect: a client is shown another order.
func (w *world) reconnect() {
	c := pick(w, w.clients)
	c.face = pick(w, w.faces)
	w.sync(c)
}

// corrupt: a page that somebody changed on its way.
func (w *world) corrupt() {
	c, face := pick(w, w.clients), pick(w, w.faces)
	from := w.rng.Uint64N(face.r.Chain().Len())
	p := face.page(from, w.now)
	p.Entries = slices.Clone(p.Entries)
	i := w.rng.IntN(len(p.Entries))
	mayPass := false
	switch w.rng.IntN(8) {
	case 0:
		p.Entries = slices.Delete(p.Entries, i, i+1)
		mayPass = len(p.Entries) == 0
	case 1:
		j := w.rng.IntN(len(p.Entries))
		p.Entries[i], p.Entries[j] = p.Entries[j], p.Entries[i]
		mayPass = i == j
	case 2:
		p.Entries[i].Sig = slices.Clone(p.Entries[i].Sig)
		p.Entries[i].Sig[w.rng.IntN(64)]++
		mayPass = from+uint64(i) < c.r.Chain().Len() // held already, and not read again
	case 3:
		p.Entries[i].Bytes = slices.Clone(p.Entries[i].Bytes)
		p.Entries[i].Bytes[w.rng.IntN(len(p.Entries[i].Bytes))] ^= 1
	case 4:
		p.Head = face.head(w.rng.Uint64N(face.r.Chain().Len()), w.now).Object
		mayPass = true // where it is the right one
	case 5:
		p.Head = pick(w, w.faces).head(4, w.now).Object
		mayPass = true
	case 6:
		p.From += 1 + w.rng.Uint64N(3)
	case 7:
		h, err := chain.DecodeHead(p.Head)
		w.must(err)
		forged, err := chain.MakeHead(h.Head, cached("broker of thieves"))
		w.must(err)
		p.Head = forged.Object
	}
	if err := w.give(c, p); err == nil && !mayPass {
		w.failf("a corrupted page was taken")
	}
	w.tally.corrupted++
}

// garbage: entries of a later version, or with bodies that say nothing.
func (w *world) garbage() {
	face := pick(w, w.faces)
	by := pick(w, []string{"alice@laptop", "bob@desk", "link", "nobody@d0", "owner"})
	if by == "owner" && !slices.Contains(w.stolen, "owner") {
		return
	}
	kind := pick(w, []string{"later", "checkpoint", "revoke"})
	o := forgeObject(face.r.State().Draft(w.now, w.key(by), nil), cached(by), kind, pick(w, []string{"", `"keys":[]`, `"more":1`}))
	e, err := chain.Read(o)
	w.must(err)
	if _, err := face.r.Propose([]signed.Object{o}, w.now, face.key.Public()); err == nil {
		w.failf("an honest broker orders what it does not understand")
	}
	stops := errors.Is(e.Void, chain.ErrUnknown) && face.r.State().Rank(w.key(by)) == chain.RankOwner
	if orders := face.r.State().BrokerKey() == face.key.Public(); orders && w.cheat(face, e) == stops {
		w.failf("an entry of a later version by %s: stops %v", by, stops)
	}
}

// thiefHeal: with a stolen owner's key somebody heals, at a broker of his own, on
// some order that suits him.
func (w *world) thiefHeal() {
	var owners []string
	for _, name := range w.stolen {
		if strings.HasPrefix(name, "owner") {
			owners = append(owners, name)
		}
	}
	by := pick(w, owners)
	if by == "" {
		return
	}
	face := pick(w, w.faces)
	n := face.r.Chain().Len()
	name := w.fresh("broker%d")
	b := face.copyOf(n - w.rng.Uint64N(min(n-5, 6)+1))
	b.key, b.life = cached(name).(keys.BrokerPrivate), 1
	w.key(name)
	w.lives[b.key.Public()] = 1
	if w.rng.IntN(2) == 0 { // through an owner that he names first
		fresh := w.fresh("owner%d")
		next, void := b.r.State().Apply(w.force(b.r, chain.Role{Key: w.key(fresh), Rank: chain.RankOwner}, by))
		if void != nil {
			return
		}
		role := w.force(b.r, chain.Role{Key: w.key(fresh), Rank: chain.RankOwner}, by)
		e, err := next.Sign(w.now, chain.Heal{Broker: b.key.Public(), URLs: []string{"unix:"}}, cached(fresh))
		w.must(err)
		w.stolen = append(w.stolen, fresh)
		w.must(b.order(w.now, role, e))
	} else {
		e := w.sign(b.r, chain.Heal{Broker: b.key.Public(), URLs: []string{"unix:"}}, by)
		if e.IsZero() {
			return
		}
		w.must(b.order(w.now, e))
	}
	w.note(b)
	w.faces = append(w.faces, b)
	w.tally.usurped++
	w.tell("a thief heals by %s at place %d", by, b.r.Chain().Len()-1)
	for range 2 {
		c := pick(w, w.clients)
		c.face = b
		w.sync(c)
	}
}

package roster_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// What must hold for every honest client after every step of the adversary.

// memory is what a client held before a step.
type memory struct {
	state roster.State
	view  roster.View
	head  chain.SignedHead
	tip   signed.Hash
	n     uint64
}

func (w *world) remember(c *holder) memory {
	return memory{c.r.State(), c.r.View(), c.r.Chain().Head(), c.r.Chain().Tip(), c.r.Chain().Len()}
}

// judge checks what a page did to a client.
func (w *world) judge(c *holder, before memory, change roster.Change, err error) {
	if err != nil {
		w.judgeError(c, before, err)
		return
	}
	switch change.Outcome {
	case roster.Same, roster.Behind:
		if c.r.Chain().Tip() != before.tip {
			w.failf("%q changed by a page that brought nothing", c.name)
		}
	case roster.Grown:
		if e, ok := c.r.Chain().Entry(before.n - 1); before.n > 0 && (!ok || e.Hash != before.tip) {
			w.failf("%q went back without a heal", c.name)
		}
	case roster.Switched:
		w.tally.switched++
	}
	w.judgeHeals(c, before, change)
	w.holds(c)
}

// judgeError checks that a refusal changed nothing, and whom it accuses.
func (w *world) judgeError(c *holder, before memory, err error) {
	if c.r.Chain().Tip() != before.tip || c.r.Chain().Head().Head != before.head.Head {
		w.failf("%q changed by a page that it refused: %v", c.name, err)
	}
	broker := c.r.State().BrokerKey()
	var fork *chain.ForkError
	var conflict *chain.ConflictError
	switch {
	case errors.As(err, &fork):
		w.tally.forksFound++
		if fork.Proof.Verify(broker) != nil {
			w.failf("%q accuses without a proof", c.name)
		}
		if !w.fraud[broker] {
			w.failf("%q accuses an honest broker", c.name)
		}
	case errors.As(err, &conflict):
		w.tally.conflicts++
		one := conflict.Mine.Head.Life == conflict.Theirs.Head.Life
		if one && conflict.Mine.Verify(broker) == nil && conflict.Theirs.Verify(broker) == nil {
			w.failf("%q does not see that its broker signed two orders", c.name)
		}
	}
}

// judgeHeals checks that a client left its order only for a heal, and never for one
// by a key that it knew to be revoked or banned, or that such a key had made an
// owner in the very same step.
func (w *world) judgeHeals(c *holder, before memory, change roster.Change) {
	healed := false
	for i, e := range change.Entries {
		if e.Entry.Type() != chain.TypeHeal || change.Voids[i] != nil {
			continue
		}
		healed = true
		if change.Outcome != roster.Switched || before.n == 0 {
			continue
		}
		if w.tainted(e.Entry.By, before, change, i) {
			continue // another heal of the branch must have decided
		}
		return
	}
	if change.Outcome == roster.Switched {
		w.failf("%q left its order for none that an entitled key healed (heals: %v)", c.name, healed)
	}
}

func (w *world) tainted(key keys.Public, before memory, change roster.Change, i int) bool {
	if _, revoked := before.state.Revoked(key); revoked {
		return true
	}
	if _, banned := before.view.Banned(key); banned {
		return true
	}
	for j := range i {
		if role, ok := change.Entries[j].Entry.Body.(chain.Role); ok && role.Key == key && change.Voids[j] == nil {
			return w.tainted(change.Entries[j].Entry.By, before, change, j)
		}
	}
	return false
}

// holds checks what a client holds, by itself and against all that others held at
// the same place.
func (w *world) holds(c *holder) {
	w.tally.checked++
	s := c.r.State()
	if s.Next() == 0 {
		return
	}
	w.holdsView(c)
	place := s.Tip().String()
	if _, known := w.digests[place]; known && w.rng.IntN(8) > 0 {
		// Same bytes, same state: what follows was checked by the first one there.
		// The state itself is compared all the same, now and then.
		return
	}
	var all []keys.Public
	for key := range w.names {
		all = append(all, key)
	}
	entries := c.r.Chain().From(0, 1<<20)
	got := describe(s, s.Time(), all)
	if want := foldModel(entries).describe(s.Time()); got != want {
		w.failf("%q: the state differs from the rules:\n%s\nwant\n%s", c.name, got, want)
	}
	if other, known := w.digests[place]; known && other != got {
		w.failf("two clients agree on %s and not on the members:\n%s\nand\n%s", place, got, other)
	}
	w.digests[place] = got
	w.holdsRevoked(c, entries)
	w.holdsNames(c, entries)
	w.holdsRoads(c, entries)
}

// holdsView: nobody revoked or banned is taken as a member, oneself is never banned.
func (w *world) holdsView(c *holder) {
	view := c.r.View()
	for _, m := range view.Members() {
		if _, revoked := view.Revoked(m.Key); revoked {
			w.failf("%q takes the revoked %s as a member", c.name, m.Address())
		}
		for _, ban := range view.Bans() {
			by := ban.Revoke.Entry.By
			for _, key := range ban.Revoke.Entry.Body.(chain.Revoke).Keys {
				if key == m.Key && key != c.r.Self() && view.Rank(by) > m.Rank {
					w.failf("%q takes %s as a member, whom %s revoked", c.name, m.Address(), w.names[by])
				}
			}
		}
	}
	if _, banned := view.Banned(c.r.Self()); banned {
		w.failf("%q bans itself", c.name)
	}
}

// holdsRevoked: a revoked key's later entries never count.
func (w *world) holdsRevoked(c *holder, entries []chain.Signed) {
	gone := map[keys.Public]uint64{}
	for _, e := range entries {
		if c.r.Void(e.Entry.N) != nil {
			continue
		}
		if n, revoked := gone[e.Entry.By]; revoked {
			w.failf("%q: entry %d counts, its signer was revoked at place %d", c.name, e.Entry.N, n)
		}
		switch body := e.Entry.Body.(type) {
		case chain.Revoke:
			for _, key := range body.Keys {
				gone[key] = e.Entry.N
			}
		case chain.Join:
			if n, revoked := gone[body.Peer]; revoked {
				w.failf("%q: entry %d brings a key back that was revoked at place %d", c.name, e.Entry.N, n)
			}
		}
	}
	for key := range gone {
		if _, member := c.r.State().Member(key); member {
			w.failf("%q: a revoked key belongs", c.name)
		}
	}
}

// holdsNames: under a user's name nobody came in without a device of that user, or
// an admin where none was left.
func (w *world) holdsNames(c *holder, entries []chain.Signed) {
	for _, m := range c.r.State().Members() {
		before := c.stateBefore(m.N)
		if len(before.User(m.User)) == 0 && !before.NameKnown(m.User) {
			continue // the first of that name
		}
		link, _ := before.Invite(m.Invite)
		if maker, ok := before.Member(link.By); ok && link.User == m.User && maker.User == m.User {
			continue
		}
		vouched := false
		for _, e := range entries[m.N:] {
			admit, ok := e.Entry.Body.(chain.Admit)
			if !ok || admit.Peer != m.Key || c.r.Void(e.Entry.N) != nil {
				continue
			}
			then := c.stateBefore(e.Entry.N)
			device, isMember := then.Member(e.Entry.By)
			vouched = vouched || isMember && device.User == m.User ||
				len(then.User(m.User)) == 0 && then.Rank(e.Entry.By) >= chain.RankAdmin
		}
		if !vouched {
			w.failf("%q: %s took a name that was not his", c.name, m.Address())
		}
	}
}

// holdsRoads: from every member a road leads to the genesis' owner: the invite it
// came by, who made that, and so on, each before the next.
func (w *world) holdsRoads(c *holder, entries []chain.Signed) {
	if e := pick(w, entries); e.Void == nil && e.Verify(signed.DomainEntry, e.Entry.Signers()...) != nil {
		w.failf("%q holds an entry that nobody signed", c.name)
	}
	for _, m := range c.r.State().Members() {
		if err := road(entries, m.Key, uint64(len(entries)), 0); err != nil {
			w.failf("%q: no road from %s to the owner: %v", c.name, m.Address(), err)
		}
	}
}

// road follows who let a key in before place n.
func road(entries []chain.Signed, key keys.Public, n uint64, steps int) error {
	if steps > len(entries) {
		return errors.New("it goes round")
	}
	first := entries[0].Entry
	if key == first.By || key == first.Body.(chain.Genesis).Recovery {
		return nil
	}
	for _, e := range entries[:n] {
		switch body := e.Entry.Body.(type) {
		case chain.Join:
			if body.Peer == key {
				return road(entries, e.Entry.By, e.Entry.N, steps+1)
			}
		case chain.Invite:
			if body.Key == key {
				return road(entries, e.Entry.By, e.Entry.N, steps+1)
			}
		case chain.Role:
			if body.Key == key && body.Rank == chain.RankOwner {
				return road(entries, e.Entry.By, e.Entry.N, steps+1)
			}
		}
	}
	return fmt.Errorf("nobody let %.12s in", key)
}

func (c *holder) stateBefore(n uint64) roster.State {
	e, ok := c.r.Chain().Entry(n - 1)
	if !ok {
		return roster.State{}
	}
	s, _ := c.r.StateAt(e.At())
	return s
}

// tally counts what happened, so that a run shows that it tried what it should.
type tally struct {
	checked, ordered, raced, forced, void, forked, forksFound, conflicts, restored, healed, usurped, switched, bans, corrupted, capped, lapsed, handed int64
}

func (t *tally) fields() map[string]*int64 {
	return map[string]*int64{
		"checks": &t.checked, "ordered": &t.ordered, "raced": &t.raced, "forced": &t.forced, "void": &t.void, "forked": &t.forked,
		"forks found": &t.forksFound, "conflicts": &t.conflicts, "restored": &t.restored, "healed": &t.healed,
		"usurped": &t.usurped, "switched": &t.switched, "bans": &t.bans, "corrupted": &t.corrupted,
		"capped": &t.capped, "lapsed": &t.lapsed, "handed over": &t.handed,
	}
}

func (t *tally) add(one *tally) {
	mine := t.fields()
	for name, n := range one.fields() {
		atomic.AddInt64(mine[name], *n)
	}
}

func (t *tally) check(test *testing.T) {
	for name, n := range t.fields() {
		if *n == 0 {
			test.Errorf("no schedule had: %s", name)
		}
	}
}

// String lists the counts.
func (t *tally) String() string {
	text := ""
	for _, name := range []string{"checks", "ordered", "raced", "forced", "void", "forked", "forks found", "conflicts", "restored",
		"healed", "usurped", "switched", "bans", "corrupted", "capped", "lapsed", "handed over"} {
		text += fmt.Sprintf("%s %d, ", name, *t.fields()[name])
	}
	return text[:len(text)-2]
}

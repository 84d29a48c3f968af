package roster

import (
	"errors"
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Roster is one holder's copy of a mesh's chain: the entries, the newest head, the
// state at every place, and the holder's bans. Its methods that change it, and those
// that read entries, are for one goroutine at a time; the states and views that it
// hands out may be read by any number. [CM-5.41]
type Roster struct {
	self   keys.Public // the holder's own key, zero for a broker
	chain  *chain.Chain
	states []State // after each entry
	voids  []error // why each entry does not count, nil where it does
	bans   []Ban
}

// New makes the empty roster of a mesh. self is the holder's peer key, which no ban
// of its own ever covers; zero for a broker, or for whoever is about to join.
func New(mesh keys.MeshID, self keys.Public) *Roster {
	return &Roster{self: self, chain: chain.New(mesh)}
}

// Load makes a roster of entries that this holder verified before and kept where
// nobody else writes: their links are checked again, their signatures are not. head
// may be zero in a broker's store.
func Load(mesh keys.MeshID, self keys.Public, entries []signed.Object, head signed.Object) (*Roster, error) {
	r := New(mesh, self)
	_, read, err := r.chain.ReadKept(0, entries)
	if err != nil {
		return nil, fmt.Errorf("roster: what was kept: %w", err)
	}
	f, err := r.fold(0, read)
	if err != nil {
		return nil, fmt.Errorf("roster: what was kept: %w", err)
	}
	if !head.IsZero() {
		if f.branch.Head, err = chain.DecodeHead(head); err != nil {
			return nil, fmt.Errorf("roster: what was kept: %w", err)
		}
	}
	r.adopt(f, 0)
	return r, nil
}

// Self is the holder's own key.
func (r *Roster) Self() keys.Public { return r.self }

// Chain is the chain itself, for reading.
func (r *Roster) Chain() *chain.Chain { return r.chain }

// State is who belongs now.
func (r *Roster) State() State { return r.stateBefore(r.chain.Len()) }

// View is whom the holder takes as members now.
func (r *Roster) View() View { return View{State: r.State(), self: r.self, bans: slices.Clip(r.bans)} }

// StateAt is who belonged at a place of the chain.
func (r *Roster) StateAt(at signed.At) (State, bool) {
	if at.IsZero() || r.chain.Compare(at) != chain.Part {
		return State{}, false
	}
	return r.states[at.N], true
}

// Void tells why the entry at a place does not count; nil where it does.
func (r *Roster) Void(n uint64) error {
	if n >= uint64(len(r.voids)) {
		return refuse(ErrPlace, "no entry at place %d", n)
	}
	return r.voids[n]
}

// stateBefore is the state in which the entry at place n is judged.
func (r *Roster) stateBefore(n uint64) State {
	if n == 0 {
		return State{}
	}
	return r.states[n-1]
}

// Outcome is what a page did.
type Outcome int

// The outcomes.
const (
	Same     Outcome = iota // nothing new; the broker confirmed what is held
	Grown                   // entries were added
	Behind                  // the broker holds less than this holder: it may have been restored
	Switched                // a heal put other entries in place of some that were held
)

// Change is what a page or a proposal did to a roster.
type Change struct {
	Outcome Outcome
	// From is the first new place; Entries stand from there on, and Voids says of
	// each why it does not count, nil where it does.
	From    uint64
	Entries []chain.Signed
	Voids   []error
	// Lost are the entries that a heal ended.
	Lost []chain.Signed
	// Joins are those of the lost that were joins and counted: they are to be signed
	// anew with the same key.
	Joins []chain.Signed
	// Bans are those that the change made or moved, to be kept: revocations among
	// the lost, which an admin signs anew, and older bans that now hold since From.
	Bans []Ban
}

// folded is a branch with what it does, not adopted yet.
type folded struct {
	branch chain.Branch
	states []State
	voids  []error
}

// end is the state at the end of the branch.
func (f folded) end(r *Roster) State {
	if len(f.states) == 0 {
		return r.stateBefore(f.branch.From)
	}
	return f.states[len(f.states)-1]
}

// fold computes the states along entries that were read from place from on.
func (r *Roster) fold(from uint64, entries []chain.Signed) (folded, error) {
	f := folded{branch: chain.Branch{From: from, Entries: entries}}
	state := r.stateBefore(from)
	for _, e := range entries {
		next, void := state.Apply(e)
		if next.Next() == state.Next() {
			return folded{}, void
		}
		if e.Entry.N == 0 && void != nil {
			return folded{}, fmt.Errorf("roster: %w: a genesis that does not count: %w", chain.ErrBroken, void)
		}
		f.states, f.voids, state = append(f.states, next), append(f.voids, void), next
	}
	return f, nil
}

// adopt takes a branch over, and tells what changed.
func (r *Roster) adopt(f folded, now int64) Change {
	from := f.branch.From
	change := Change{Outcome: Same, From: from, Entries: f.branch.Entries, Voids: f.voids}
	switch {
	case from < r.chain.Len() && len(f.branch.Entries) > 0:
		change.Outcome = Switched
	case len(f.branch.Entries) > 0:
		change.Outcome = Grown
	}
	if change.Outcome == Switched {
		moved := onBranch(r.bans, from)
		for i, ban := range moved {
			if ban.Since != r.bans[i].Since {
				change.Bans = append(change.Bans, ban)
			}
		}
		r.bans = moved
	}
	oldVoids := r.voids
	change.Lost = r.chain.Adopt(f.branch)
	if change.Outcome != Same {
		r.states = append(r.states[:from:from], f.states...)
		r.voids = append(r.voids[:from:from], f.voids...)
	}
	for _, e := range change.Lost {
		if oldVoids[e.Entry.N] != nil {
			continue
		}
		switch e.Entry.Body.(type) {
		case chain.Join:
			change.Joins = append(change.Joins, e)
		case chain.Revoke:
			if ban, err := r.Ban(e.Object, from, now); err == nil {
				change.Bans = append(change.Bans, ban)
			}
		}
	}
	return change
}

// Append takes a page from a broker, or entries with their head from whoever else
// brings them. Its head must be signed by the broker that orders after the last
// entry. now is used for bans only. It fails, and changes nothing, with
//
//   - [chain.ErrBroken]: no honest broker sends this
//   - [chain.ErrShort], [*chain.GapError]: ask for more
//   - [chain.ErrStopped]: update claudemesh
//   - [*chain.ForkError]: fraud, with the proof; where it came by a head alone, its
//     entries may show that it was healed since
//   - [*chain.ConflictError]: another order of another life; a heal decides
//   - [ErrOverruled], [ErrHealRefused]
//
// It never goes back behind what is held, save by a heal: a head further back is
// told as [Behind]. [CM-5.42]
func (r *Roster) Append(p chain.Page, now int64) (Change, error) {
	branch, err := r.chain.Read(p)
	if err != nil {
		return Change{}, err
	}
	if len(branch.Entries) == 0 {
		return r.confirm(branch, now)
	}
	f, err := r.fold(branch.From, branch.Entries)
	if err != nil {
		return Change{}, err
	}
	f.branch.Head = branch.Head
	if err := branch.Head.Verify(f.end(r).BrokerKey()); err != nil {
		return Change{}, err
	}
	if err := r.judge(f); err != nil {
		return Change{}, err
	}
	return r.adopt(f, now), nil
}

// confirm takes a head that brings no entries.
func (r *Roster) confirm(b chain.Branch, now int64) (Change, error) {
	head := b.Head.Head
	there, _ := r.chain.Entry(head.N) // which is there, else it could not be read
	if there.Hash != head.Hash {
		if head.N == 0 {
			return Change{}, fmt.Errorf("roster: %w: a head over another genesis", chain.ErrBroken)
		}
		var fork *chain.ForkError
		if err := r.conflict(head.N, b.Head, nil); errors.As(err, &fork) {
			return Change{}, err
		}
		// Another order, of another life or by another broker: only its entries can
		// show whether a heal led there.
		return Change{}, &chain.GapError{Ask: head.N / 2}
	}
	if err := b.Head.Verify(r.states[head.N].BrokerKey()); err != nil {
		return Change{}, err
	}
	if head.N+1 < r.chain.Len() {
		return Change{Outcome: Behind, From: head.N + 1}, nil
	}
	return r.adopt(folded{branch: b}, now), nil
}

// judge decides whether a branch is followed: one that only adds is, and one that
// leaves the chain if a heal says so; but neither if its last heal does not count for
// this holder, since then a revoked key's broker orders from there. [CM-5.46, CM-5.45]
func (r *Roster) judge(f folded) error {
	from := f.branch.From
	theirs := r.healing(f.branch.Entries, f.states, f.voids, r.State(), from, onBranch(r.bans, from))
	if theirs.refused {
		return ErrHealRefused
	}
	if from == r.chain.Len() {
		return nil
	}
	mine := r.healing(r.chain.From(from, int(r.chain.Len())), r.states[from:], r.voids[from:], f.end(r), from, r.bans)
	switch {
	case theirs.beats(mine):
		return nil
	case f.branch.Head.IsZero() && theirs.rank == chain.RankNone:
		return refuse(ErrPlace, "another entry stands at place %d", from)
	case mine.rank != chain.RankNone:
		return refuse(ErrOverruled, "it leaves ours at place %d", from)
	}
	return r.conflict(from, f.branch.Head, f.branch.Entries)
}

// healing is the best heal of a branch that counts for this holder.
type healing struct {
	rank    chain.Rank // of its signer; RankNone: there is none
	hash    signed.Hash
	refused bool // the branch's last heal does not count
}

// beats tells whether a branch with this heal ends one with the other: any heal ends
// a branch without, recovery's an owner's. Of two by one rank all holders follow the
// same one, that of the lower hash; the recovery key can still decide otherwise.
func (h healing) beats(other healing) bool {
	if h.rank != other.rank {
		return h.rank > other.rank
	}
	return slices.Compare(h.hash[:], other.hash[:]) < 0
}

// healing finds the best heal among entries that stand from place from on. A heal
// counts for a reader if its signer is not banned by the reader, and, where another
// branch is left, is revoked on neither; nor may that hold for whoever made the
// signer an owner since the branches parted, or a revoked owner would heal through a
// new one. [CM-5.44]
func (r *Roster) healing(entries []chain.Signed, states []State, voids []error, other State, from uint64, bans []Ban) healing {
	var best healing
	end := states[len(entries)-1]
	leaves := other.Next() > from
	judge := View{State: end, self: r.self, bans: bans}.judge()
	for i, e := range entries {
		if _, ok := e.Entry.Body.(chain.Heal); !ok || voids[i] != nil {
			continue
		}
		by := e.Entry.By
		best.refused = judge.banned(by) != nil || leaves && !stands(by, end, other, from)
		if best.refused {
			continue
		}
		rank := chain.RankOwner
		if end.record(by).role == roleRecovery {
			rank = chain.RankRecovery
		}
		if rank > best.rank {
			best.rank, best.hash = rank, e.Hash
		}
	}
	return best
}

// stands tells whether an owner or the recovery key is revoked on neither of two
// branches that part at a place, nor who made it an owner since.
func stands(key keys.Public, own, other State, from uint64) bool {
	for {
		if _, revoked := own.Revoked(key); revoked {
			return false
		}
		if _, revoked := other.Revoked(key); revoked {
			return false
		}
		record := own.record(key)
		if record.n < from { // also the recovery key, which entered with the genesis
			return true
		}
		key = record.by
	}
}

// conflict tells what it means that a head stands on another order: fraud, with the
// proof, where the broker signed both in one life; else a restored broker. entries
// lead to the head, nil where it came alone.
func (r *Roster) conflict(at uint64, theirs chain.SignedHead, entries []chain.Signed) error {
	mine := r.chain.Head()
	leading := entries
	if mine.Head.N > theirs.Head.N {
		leading = r.chain.From(theirs.Head.N, int(r.chain.Len()))
	}
	proof := chain.ProveFork(mine, theirs, leading)
	if proof.Verify(r.State().BrokerKey()) == nil {
		return &chain.ForkError{At: at, Proof: proof}
	}
	return &chain.ConflictError{At: at, Mine: mine, Theirs: theirs}
}

// Ban keeps a revocation that was met outside the chain. since is the first place at
// which what the banned keys let in is covered, which is where the branch that it
// stood on left the chain; where that is not known, give [Roster.BanSince]. The
// caller keeps the ban with the chain. It fails with [ErrAlready] where the entry is
// part of the chain, is kept already, or is about oneself alone. [CM-5.50]
func (r *Roster) Ban(revoke signed.Object, since uint64, met int64) (Ban, error) {
	ban, err := makeBan(r.chain.Mesh(), r.self, revoke, since, met)
	if err != nil {
		return Ban{}, err
	}
	hash := ban.Revoke.Hash
	if there, ok := r.chain.Entry(ban.Revoke.Entry.N); ok && there.Hash == hash {
		return Ban{}, refuse(ErrAlready, "it is part of the chain")
	}
	if slices.ContainsFunc(r.bans, func(b Ban) bool { return b.Revoke.Hash == hash }) {
		return Ban{}, refuse(ErrAlready, "it is kept")
	}
	r.bans = append(slices.Clip(r.bans), ban)
	return ban, nil
}

// BanSince is the place to give to [Roster.Ban] for a revocation of which nothing
// but itself is known: its own, or the next of this chain if that is earlier.
func (r *Roster) BanSince(revoke chain.Signed) uint64 {
	return min(revoke.Entry.N, r.chain.Len())
}

// IsMissing tells whether an error of [Roster.Append] asks for more entries, and
// from which place.
func IsMissing(err error, held uint64) (from uint64, missing bool) {
	var gap *chain.GapError
	if errors.As(err, &gap) {
		return gap.Ask, true
	}
	return held, errors.Is(err, chain.ErrShort)
}

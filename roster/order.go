package roster

import (
	"fmt"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// How far the time of an entry may be from the clock of the broker that orders it,
// in milliseconds. [CM-5.59]
const (
	// ClockAhead is how far ahead it may be: 5 minutes.
	ClockAhead = 5 * 60 * 1000
	// ClockBehind is how far behind it may be: 10 minutes.
	ClockBehind = 10 * 60 * 1000
)

// Proposal is what a broker found to be in order and has not ordered yet.
type Proposal struct {
	f    folded
	tip  signed.Hash
	heal bool
}

// From is the place of the first new entry.
func (p Proposal) From() uint64 { return p.f.branch.From }

// Entries are the new entries; none where the chain had all of them.
func (p Proposal) Entries() []chain.Signed { return p.f.branch.Entries }

// State is the state after the last of them; meaningless where there are none.
func (p Proposal) State() State {
	if len(p.f.states) == 0 {
		return State{}
	}
	return p.f.states[len(p.f.states)-1]
}

// Head makes the head over the proposal, which must have entries. life is the broker's; the head's is one
// more where the proposal heals, since then the broker signs another order than it
// did before, and the broker goes on with that.
func (p Proposal) Head(now int64, life uint64, broker keys.Signer) (chain.SignedHead, error) {
	if p.heal {
		life++
	}
	s := p.State()
	return chain.MakeHead(chain.Head{Mesh: s.Mesh(), N: s.Next() - 1, Hash: s.Tip(), Time: now, Life: life}, broker)
}

// Propose is what an honest broker does with entries that a member wants appended.
// All or none: each must be understood, signed, on top of the one before it, of a
// time near the broker's clock, and count; and me must be the broker that orders
// after the last. Entries that leave the chain are in order if a heal among them
// ends what is held; then only the heal and what follows it must be of our time.
// Nothing is changed until [Roster.Commit].
//
// It fails with [ErrPlace] where others were faster (the member looks at what is
// missing and signs anew), with a reason why an entry would not count, with
// [chain.ErrUnknown], [chain.ErrMalformed] or [chain.ErrBroken], with [ErrClock] or
// [ErrNotOrderer]. Entries that the chain has already are no error: a member that
// lost the answer asks again. [CM-5.59]
func (r *Roster) Propose(objects []signed.Object, now int64, me keys.Public) (Proposal, error) {
	p := Proposal{tip: r.chain.Tip()}
	if len(objects) == 0 {
		return Proposal{}, fmt.Errorf("roster: %w: nothing to append", chain.ErrBroken)
	}
	first, err := chain.PlaceOf(objects[0])
	if err != nil {
		return Proposal{}, err
	}
	from, entries, err := r.chain.ReadEntries(first, objects)
	if err != nil {
		if _, missing := IsMissing(err, 0); missing {
			err = refuse(ErrPlace, "%w", err)
		}
		return Proposal{}, err
	}
	if p.f, err = r.fold(from, entries); err != nil {
		return Proposal{}, err
	}
	if len(entries) == 0 {
		return p, nil
	}
	if err := r.judge(p.f); err != nil {
		return Proposal{}, err
	}
	if err := p.inOrder(now, from < r.chain.Len()); err != nil {
		return Proposal{}, err
	}
	if p.f.end(r).BrokerKey() != me {
		return Proposal{}, ErrNotOrderer
	}
	return p, nil
}

// inOrder checks that the entries count and are of our time: on a branch from its
// first heal on, since what stands before was ordered when it was made.
func (p *Proposal) inOrder(now int64, branch bool) error {
	old := branch
	for i, e := range p.f.branch.Entries {
		if e.Entry.Type() == chain.TypeHeal {
			p.heal, old = true, false
		}
		if old {
			continue
		}
		if void := p.f.voids[i]; void != nil {
			return void
		}
		if ahead := e.Entry.Time - now; ahead > ClockAhead || ahead < -ClockBehind {
			return refuse(ErrClock, "%d ms ahead of it", ahead)
		}
	}
	return nil
}

// Commit takes a proposal over with its head, once both are stored. It fails with
// [ErrPlace] where the chain changed since.
func (r *Roster) Commit(p Proposal, head chain.SignedHead, now int64) (Change, error) {
	if r.chain.Tip() != p.tip {
		return Change{}, refuse(ErrPlace, "the chain changed since it was proposed")
	}
	if len(p.f.branch.Entries) == 0 {
		return Change{Outcome: Same, From: p.f.branch.From}, nil
	}
	if head.Head.Hash != p.State().Tip() || head.Head.N+1 != p.State().Next() {
		return Change{}, fmt.Errorf("roster: %w: the head is not over the proposal", chain.ErrBroken)
	}
	p.f.branch.Head = head
	return r.adopt(p.f, now), nil
}

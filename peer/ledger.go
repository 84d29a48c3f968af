package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// maxSync is how many times a broker may answer a sync with something that does
// not join on before it is given up.
const maxSync = 64

// loadLedger reads what a profile keeps of a mesh's chain, with the bans beside it.
func loadLedger(ctx context.Context, state *profile.State, mesh keys.MeshID, self keys.Public) (*roster.Roster, error) {
	var entries []signed.Object
	var head profile.ChainHead
	var bans []profile.Ban
	err := state.View(ctx, mesh, func(tx *profile.Tx) (err error) {
		if head, err = tx.ChainHead(profile.Roster); errors.Is(err, profile.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		if entries, err = tx.Chain(profile.Roster, 0, 0); err != nil {
			return err
		}
		bans, err = tx.Bans()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("profile: the chain: %w", err)
	}
	if len(head.Head.Bytes) == 0 {
		head.Head = signed.Object{}
	}
	r, err := roster.Load(mesh, self, entries, head.Head)
	if err != nil {
		return nil, fmt.Errorf("profile: the chain: %w", err)
	}
	for _, b := range bans {
		if _, err := r.Ban(b.Entry, uint64(b.Since), 0); err != nil && !errors.Is(err, roster.ErrAlready) {
			return nil, fmt.Errorf("profile: a ban: %w", err)
		}
	}
	return r, nil
}

// keepChange writes what a page did to state.db.
func keepChange(tx *profile.Tx, r *roster.Roster, change roster.Change) error {
	c := r.Chain()
	head := profile.ChainHead{N: c.Head().Head.N, Head: c.Head().Object}
	objects := make([]signed.Object, 0, len(change.Entries))
	for _, e := range change.Entries {
		objects = append(objects, e.Object)
	}
	for _, b := range change.Bans {
		if err := tx.PutBan(b.Revoke.Object, int64(b.Since)); err != nil {
			return err
		}
	}
	if change.Outcome == roster.Switched {
		return tx.Heal(profile.Roster, change.From, objects, head)
	}
	return tx.AppendChain(profile.Roster, change.From, objects, head)
}

// ioLock is a lock that is held during I/O; of capacity 1. A channel, since who waits
// for one waits as long as it takes also where a test has a clock of its own: behind a
// mutex that clock would stand, and with it whoever holds the mutex and tries again
// later.
type ioLock chan struct{}

// Lock takes the lock.
func (l ioLock) Lock() { l <- struct{}{} }

// Unlock gives it back.
func (l ioLock) Unlock() { <-l }

// takePage puts a page from a broker, or from a member, on top of the chain, in
// state.db first and then before everybody's eyes. Nothing is changed by an error.
func (p *Peer) takePage(ctx context.Context, page chain.Page) (roster.Change, error) {
	p.ledgerMu.Lock()
	change, err := p.ledger.Append(page, p.now())
	if err == nil && change.Outcome != roster.Behind {
		err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return keepChange(tx, p.ledger, change) })
		if errors.Is(err, profile.ErrFork) {
			err = p.otherLedgerLocked(ctx)
		}
		view := p.ledger.View()
		p.view.Store(&view)
	}
	p.ledgerMu.Unlock()
	if err == nil {
		p.rosterChanged(change)
	}
	return change, err
}

// otherLedgerLocked compares this process's chain with the one that another process
// of the profile kept: a broker that showed them two is caught so.
func (p *Peer) otherLedgerLocked(ctx context.Context) error {
	kept, err := loadLedger(ctx, p.home.state, p.mesh, p.self)
	if err != nil {
		return err
	}
	c := kept.Chain()
	objects := make([]signed.Object, 0, c.Len())
	for _, e := range c.From(0, int(c.Len())) {
		objects = append(objects, e.Object)
	}
	_, err = p.ledger.Append(chain.Page{Entries: objects, Head: c.Head().Object}, p.now())
	if err == nil {
		// A heal that the other process saw: what is kept counts.
		return nil
	}
	return err
}

// asker asks the broker for a page of entries from a place on.
type asker func(from uint64) (*wire.Entries, error)

// syncLedger asks for what is missing until the chain stands under the broker's
// head. first is a page that came already, nil if none did.
func (p *Peer) syncLedger(ctx context.Context, ask asker, first *wire.Entries) error {
	return syncPages(p.heldLen(), ask, first, func(page chain.Page) error {
		change, err := p.takePage(ctx, page)
		if err == nil && change.Outcome == roster.Behind {
			return &behindError{from: change.From}
		}
		return err
	}, p.heldLen)
}

// behindError says that the broker holds less than this profile.
type behindError struct{ from uint64 }

// Error says it.
func (e *behindError) Error() string {
	return fmt.Sprintf("the broker's chain ends at place %d, before ours", e.from-1)
}

// syncPages collects pages from place from on and gives them to take as one, which
// may ask for earlier ones.
func syncPages(from uint64, ask asker, first *wire.Entries, take func(chain.Page) error, held func() uint64) error {
	for range maxSync {
		page := chain.Page{From: from}
		for next := from; ; {
			got := first
			first = nil
			if got == nil {
				var err error
				if got, err = ask(next); err != nil {
					return err
				}
			}
			if len(page.Entries) == 0 {
				page.From = got.From
			} else if got.From != next {
				return fmt.Errorf("%w: entries from %d instead of %d", chain.ErrBroken, got.From, next)
			}
			page.Entries, page.Head = append(page.Entries, got.Entries...), got.Head
			next = got.From + uint64(len(got.Entries))
			if !got.More || len(got.Entries) == 0 {
				break
			}
		}
		err := take(page)
		again, missing := roster.IsMissing(err, held())
		if !missing {
			return err
		}
		from = again
	}
	return fmt.Errorf("%w: the broker's entries do not join on to ours", chain.ErrBroken)
}

// heldLen is how many entries are held.
func (p *Peer) heldLen() uint64 {
	return p.members().Next()
}

// members is whom this peer takes as members now.
func (p *Peer) members() *roster.View { return p.view.Load() }

// appendOn asks the broker to order entries. The answer's head, or what was missing,
// is taken over; errNotAppended says that others were faster.
func (p *Peer) appendOn(ctx context.Context, l *line, objects []signed.Object) (*wire.Entries, error) {
	frame, err := l.request(ctx, func(id uint64) wire.Frame { return &wire.Append{ID: id, Entries: objects} })
	if err != nil {
		return nil, err
	}
	got, ok := frame.(*wire.Entries)
	if !ok {
		return nil, fmt.Errorf("%w: %s answers an append", errNoBroker, frame.FrameType())
	}
	if got.Appended && len(got.Entries) == 0 {
		got.Entries = objects // the answer need not repeat them
		if got.From, err = chain.PlaceOf(objects[0]); err != nil {
			return nil, err
		}
	}
	if err := p.syncLedger(ctx, p.askOn(ctx, l), got); err != nil {
		return nil, err
	}
	if !got.Appended {
		return nil, errNotAppended
	}
	return got, nil
}

// errNotAppended says that others were faster: look, decide, sign anew.
var errNotAppended = errors.New("others were faster")

// askOn asks for entries on a line.
func (p *Peer) askOn(ctx context.Context, l *line) asker {
	return func(from uint64) (*wire.Entries, error) {
		frame, err := l.request(ctx, func(id uint64) wire.Frame { return &wire.Sync{ID: id, From: from} })
		if err != nil {
			return nil, err
		}
		if got, ok := frame.(*wire.Entries); ok {
			return got, nil
		}
		return nil, fmt.Errorf("%w: %s answers a sync", errNoBroker, frame.FrameType())
	}
}

// appendTries is how often an entry is signed anew because others were faster.
const appendTries = 8

// appendEntry signs an entry on what is held and has the broker order it; where
// others are faster it looks again. body is asked anew each time, since what it
// says may depend on the state.
func (p *Peer) appendEntry(ctx context.Context, body func(roster.View) (chain.Body, error), signers ...keys.Signer) error {
	l, err := p.onlineLine(ctx)
	if err != nil {
		return err
	}
	for range appendTries {
		view := p.members()
		b, err := body(*view)
		if err != nil {
			return err
		}
		e, err := view.State.Sign(p.brokerNow(), b, signers...)
		if err != nil {
			return err
		}
		_, err = p.appendOn(ctx, l, []signed.Object{e.Object})
		if errors.Is(err, errNotAppended) {
			continue
		}
		return p.aheadOfTime(view, err)
	}
	return errors.New("the mesh changes too fast at the moment; try again")
}

// aheadOfTime says of an entry that was refused for its time how long that lasts, where it
// only follows one that was made by a clock that was ahead: none is dated before another.
func (p *Peer) aheadOfTime(view *roster.View, err error) error {
	wait := time.Duration(view.Time()-p.brokerNow()-roster.ClockAhead) * time.Millisecond
	var refused *RefusedError
	if wait <= 0 || !errors.As(err, &refused) || refused.Code != string(wire.CodeClock) {
		return err
	}
	until := time.UnixMilli(p.now()).Add(wait)
	return &RefusedError{Code: refused.Code, RetryAfter: wait, Message: fmt.Sprintf(
		"the last change of %s was dated ahead by a clock that was wrong. The next one is taken from %s on; or, if the broker's clock is behind now, once that is right",
		p.alias, until.Format("2006-01-02 15:04"))}
}

package profile

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// ErrFork: other entries stand at these places already. They are not replaced;
// see [Tx.Heal].
var ErrFork = errors.New("the chain kept here is another one")

// Roster is the chain that every mesh has.
var Roster signed.Hash

// ChainHead is a chain's newest head, and its place.
type ChainHead struct {
	N    uint64
	Head signed.Object
}

// AppendChain keeps entries from place from on, and the head over the last
// one, verified by the caller. Entries that are there already, by another
// process, are compared: [ErrFork] if they differ. There are no gaps, and a
// head never goes back.
func (tx *Tx) AppendChain(chain signed.Hash, from uint64, entries []signed.Object, head ChainHead) error {
	id, have, err := tx.chain(chain)
	if err != nil {
		return err
	}
	next, err := tx.chainLen(id)
	if err != nil {
		return err
	}
	if from > next {
		return fmt.Errorf("entries from %d, the chain ends at %d: there is a gap", from, next)
	}
	for i, e := range entries {
		n := from + uint64(i)
		if n < next {
			var raw []byte
			if err := tx.q.Get("SELECT signed FROM entry WHERE chain = ? AND n = ?", []any{id, n}, &raw); err != nil {
				return err
			}
			if !bytes.Equal(raw, e.Bytes) {
				return fmt.Errorf("entry %d: %w", n, ErrFork)
			}
			continue
		}
		if err := tx.putEntry(id, n, e); err != nil {
			return err
		}
	}
	if have != nil && head.N < have.N {
		return nil // another process is ahead
	}
	return tx.setHead(id, chain, head)
}

// chainLen is how many entries of a chain are kept.
func (tx *Tx) chainLen(id int64) (n uint64, err error) {
	return n, tx.q.Get("SELECT coalesce(max(n) + 1, 0) FROM entry WHERE chain = ?", []any{id}, &n)
}

// Heal replaces a chain from place from on: a heal leads past what stood
// there. Verified by the caller.
func (tx *Tx) Heal(chain signed.Hash, from uint64, entries []signed.Object, head ChainHead) error {
	id, _, err := tx.chain(chain)
	if err != nil {
		return err
	}
	if _, err := tx.q.Exec("DELETE FROM entry WHERE chain = ? AND n >= ?", id, from); err != nil {
		return err
	}
	for i, e := range entries {
		if err := tx.putEntry(id, from+uint64(i), e); err != nil {
			return err
		}
	}
	return tx.setHead(id, chain, head)
}

func (tx *Tx) putEntry(id int64, n uint64, e signed.Object) error {
	_, err := tx.q.Exec("INSERT INTO entry (chain, n, signed, sig) VALUES (?, ?, ?, ?)", id, n, e.Bytes, e.Sig)
	return err
}

// chain is a chain's small integer and head, nil where nothing is kept of it;
// it makes the row.
func (tx *Tx) chain(chain signed.Hash) (id int64, head *ChainHead, err error) {
	h := ChainHead{}
	err = tx.q.Get("SELECT id, n, signed, sig FROM chain WHERE mesh = ? AND chain_id = ?",
		[]any{tx.mesh, chainID(chain)}, &id, &h.N, &h.Head.Bytes, &h.Head.Sig)
	if errors.Is(err, sqlite.ErrNoRows) {
		return id, nil, tx.q.Get("INSERT INTO chain (mesh, chain_id, n, signed, sig) VALUES (?, ?, 0, x'', x'') RETURNING id",
			[]any{tx.mesh, chainID(chain)}, &id)
	}
	return id, &h, err
}

func (tx *Tx) setHead(id int64, chain signed.Hash, h ChainHead) error {
	_, err := tx.q.Exec("UPDATE chain SET n = ?, signed = ?, sig = ? WHERE id = ?", h.N, h.Head.Bytes, h.Head.Sig, id)
	return err
}

// chainID is a chain's id in its column: empty for the roster.
func chainID(chain signed.Hash) []byte {
	if chain == Roster {
		return []byte{}
	}
	return append([]byte(nil), chain[:]...)
}

// ChainHead reads a chain's newest head; [ErrNotFound].
func (tx *Tx) ChainHead(chain signed.Hash) (ChainHead, error) {
	var h ChainHead
	err := tx.q.Get("SELECT n, signed, sig FROM chain WHERE mesh = ? AND chain_id = ?",
		[]any{tx.mesh, chainID(chain)}, &h.N, &h.Head.Bytes, &h.Head.Sig)
	if errors.Is(err, sqlite.ErrNoRows) {
		return h, fmt.Errorf("chain: %w", ErrNotFound)
	}
	return h, err
}

// Chain reads up to limit entries of a chain from a place on (0: all).
func (tx *Tx) Chain(chain signed.Hash, from uint64, limit int) (entries []signed.Object, err error) {
	if limit <= 0 {
		limit = -1
	}
	err = tx.q.Each("SELECT e.signed, e.sig FROM entry e JOIN chain c ON c.id = e.chain"+
		" WHERE c.mesh = ? AND c.chain_id = ? AND e.n >= ? ORDER BY e.n LIMIT ?",
		[]any{tx.mesh, chainID(chain), from, limit}, func(r sqlite.Row) error {
			entries = append(entries, signed.Object{Bytes: r.Bytes(0), Sig: r.Bytes(1)})
			return nil
		})
	return entries, err
}

// PutBan keeps a revocation that was met outside the chain. Every one is kept,
// once, since the earliest place that was given: a heal moves a ban back to where the
// branch left that is followed from then on.
func (tx *Tx) PutBan(o signed.Object, since int64) error {
	_, err := tx.q.Exec("INSERT INTO ban (mesh, since, signed, sig) VALUES (?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET since = min(since, excluded.since)", tx.mesh, since, o.Bytes, o.Sig)
	return err
}

// Ban is a revocation kept beside the chain, and since when.
type Ban struct {
	Entry signed.Object
	Since int64
}

// Bans lists the revocations kept beside the chain, oldest first.
func (tx *Tx) Bans() (bans []Ban, err error) {
	err = tx.q.Each("SELECT since, signed, sig FROM ban WHERE mesh = ? ORDER BY id", []any{tx.mesh}, func(r sqlite.Row) error {
		bans = append(bans, Ban{Since: r.Int64(0), Entry: signed.Object{Bytes: r.Bytes(1), Sig: r.Bytes(2)}})
		return nil
	})
	return bans, err
}

package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

const headColumns = "h.n, h.hash, h.time, h.life, h.signed, h.sig"

// scanHead reads headColumns from column i on.
func scanHead(r sqlite.Row, i int) (h Head) {
	h.N, h.Time, h.Life = uint64(r.Int64(i)), r.Int64(i+2), uint64(r.Int64(i+3))
	copy(h.Hash[:], r.Bytes(i+1))
	h.Signed, h.Sig = r.Bytes(i+4), r.Bytes(i+5)
	return h
}

// meshes reads the meshes for which a condition holds.
func (t *tx) meshes(condition string, params ...any) (all []Mesh, err error) {
	err = t.Each("SELECT m.mesh_id, m.name, m.created_at, "+headColumns+
		" FROM mesh m JOIN head h ON h.mesh = m.id AND h.chain_id = x'' "+condition+" ORDER BY m.id",
		params, func(r sqlite.Row) error {
			m := Mesh{Name: r.Text(1), Created: r.Int64(2), Head: scanHead(r, 3)}
			copy(m.ID[:], r.Bytes(0))
			all = append(all, m)
			return nil
		})
	return all, err
}

// Meshes is [Store.Meshes].
func (s *sqliteStore) Meshes(ctx context.Context) (all []Mesh, err error) {
	err = s.view(ctx, func(t *tx) error {
		all, err = t.meshes("")
		return err
	})
	return all, err
}

// Mesh is [Store.Mesh].
func (s *sqliteStore) Mesh(ctx context.Context, id keys.MeshID) (m Mesh, err error) {
	err = s.view(ctx, func(t *tx) error {
		all, err := t.meshes("WHERE m.mesh_id = ?", id[:])
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("mesh %s: %w", id, ErrNotFound)
		}
		if err == nil {
			m = all[0]
		}
		return err
	})
	return m, err
}

// CreateMesh is [Store.CreateMesh].
func (s *sqliteStore) CreateMesh(ctx context.Context, m NewMesh) error {
	if err := follows(m.Entries, 0, m.Head); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		if m.Token != [32]byte{} {
			n, err := t.Exec("DELETE FROM create_token WHERE hash = ? AND until > ?", m.Token[:], m.Created)
			if err == nil && n == 0 {
				err = fmt.Errorf("token: %w", ErrNotFound)
			}
			if err != nil {
				return err
			}
		}
		n, err := t.Exec("INSERT INTO mesh (mesh_id, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			m.ID[:], m.Name, m.Created)
		if err == nil && n == 0 {
			err = fmt.Errorf("mesh %s: %w", m.ID, ErrExists)
		}
		if err != nil {
			return err
		}
		mesh, err := t.mesh(m.ID)
		if err != nil {
			return err
		}
		return t.extend(mesh, Roster, m.Entries, m.Head)
	})
}

// follows refuses entries with a gap, or a head that is not over the last one.
func follows(entries []Entry, first uint64, head Head) error {
	for i := range entries {
		if entries[i].N != first+uint64(i) {
			return fmt.Errorf("store: entry %d where %d belongs", entries[i].N, first+uint64(i))
		}
	}
	if n := len(entries); n > 0 && (head.N != entries[n-1].N || head.Hash != entries[n-1].Hash) {
		return fmt.Errorf("store: the head is not over entry %d", entries[n-1].N)
	}
	return nil
}

// Append is [Store.Append].
func (s *sqliteStore) Append(ctx context.Context, a Append) error {
	first := a.Head.N + 1 - uint64(len(a.Entries))
	if err := follows(a.Entries, first, a.Head); err != nil {
		return err
	}
	return s.update(ctx, func(t *tx) error {
		mesh, err := t.mesh(a.Mesh)
		if err != nil {
			return err
		}
		now, err := t.head(mesh, a.Chain)
		switch {
		case errors.Is(err, ErrNotFound):
			if first != 0 || len(a.Entries) == 0 || a.Prev != [32]byte{} || a.Chain == Roster {
				return err
			}
		case err != nil:
			return err
		case now.Hash != a.Prev || now.N+1 != first:
			return &ConflictError{N: now.N, Hash: now.Hash}
		}
		return t.extend(mesh, a.Chain, a.Entries, a.Head)
	})
}

// extend writes entries and the head over them.
func (t *tx) extend(mesh int64, chain [32]byte, entries []Entry, h Head) error {
	var id int64
	err := t.Get("INSERT INTO head (mesh, chain_id, n, hash, time, life, signed, sig) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"+
		" ON CONFLICT (mesh, chain_id) DO UPDATE SET n = excluded.n, hash = excluded.hash, time = excluded.time,"+
		" life = excluded.life, signed = excluded.signed, sig = excluded.sig RETURNING id",
		[]any{mesh, chainID(chain), h.N, h.Hash[:], h.Time, h.Life, h.Signed, h.Sig}, &id)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		if _, err := t.Exec("INSERT INTO entry (chain, n, hash, signed, sig) VALUES (?, ?, ?, ?, ?)",
			id, e.N, e.Hash[:], e.Signed, e.Sig); err != nil {
			return err
		}
	}
	return nil
}

// chainID is a chain's id in its column: empty for the roster.
func chainID(chain [32]byte) []byte {
	if chain == Roster {
		return []byte{}
	}
	return append([]byte(nil), chain[:]...)
}

// head reads a chain's newest head; [ErrNotFound].
func (t *tx) head(mesh int64, chain [32]byte) (h Head, err error) {
	err = ErrNotFound
	e := t.Each("SELECT "+headColumns+" FROM head h WHERE h.mesh = ? AND h.chain_id = ?", []any{mesh, chainID(chain)},
		func(r sqlite.Row) error {
			h, err = scanHead(r, 0), nil
			return nil
		})
	if e != nil {
		return h, e
	}
	return h, err
}

// Head is [Store.Head].
func (s *sqliteStore) Head(ctx context.Context, mesh keys.MeshID, chain [32]byte) (h Head, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		if h, err = t.head(n, chain); errors.Is(err, ErrNotFound) {
			err = fmt.Errorf("chain: %w", err)
		}
		return err
	})
	return h, err
}

// Entries is [Store.Entries].
func (s *sqliteStore) Entries(ctx context.Context, mesh keys.MeshID, chain [32]byte, from uint64, limit, bytes int) (all []Entry, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		size := 0
		return t.Each("SELECT e.n, e.hash, e.signed, e.sig FROM head h JOIN entry e ON e.chain = h.id"+
			" WHERE h.mesh = ? AND h.chain_id = ? AND e.n >= ? ORDER BY e.n LIMIT ?",
			[]any{n, chainID(chain), from, limit}, func(r sqlite.Row) error {
				e := Entry{N: uint64(r.Int64(0)), Signed: r.Bytes(2), Sig: r.Bytes(3)}
				copy(e.Hash[:], r.Bytes(1))
				if size += len(e.Signed) + len(e.Sig); len(all) > 0 && size > bytes {
					return sqlite.Stop()
				}
				all = append(all, e)
				return nil
			})
	})
	return all, err
}

package store

import (
	"context"
	"errors"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// SaveCard is [Store.SaveCard].
func (s *sqliteStore) SaveCard(ctx context.Context, mesh keys.MeshID, c Card) (saved bool, err error) {
	err = s.update(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		peer, err := t.peer(n, c.Peer)
		if err != nil {
			return err
		}
		changed, err := t.Exec("INSERT INTO card (peer, session, counter, signed, sig, extras, time) VALUES (?, ?, ?, ?, ?, ?, ?)"+
			" ON CONFLICT DO UPDATE SET counter = excluded.counter, signed = excluded.signed, sig = excluded.sig,"+
			" extras = excluded.extras, time = excluded.time WHERE excluded.counter > counter",
			peer, sessionKey(c.Session), c.Counter, c.Signed, c.Sig, c.Extras, c.Time)
		saved = changed > 0
		return err
	})
	return saved && err == nil, err
}

// sessionKey is a session's id as part of a key: empty for none.
func sessionKey(id keys.SessionID) []byte {
	if id.IsZero() {
		return []byte{}
	}
	return id[:]
}

// Cards is [Store.Cards].
func (s *sqliteStore) Cards(ctx context.Context, mesh keys.MeshID) (all []Card, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		return t.Each("SELECT c.peer, c.counter, c.signed, c.sig, c.extras, c.time FROM peer p JOIN card c ON c.peer = p.id"+
			" WHERE p.mesh = ? AND c.session = x''", []any{n}, func(r sqlite.Row) error {
			key, err := t.key(r.Int64(0))
			all = append(all, Card{Peer: key, Counter: uint64(r.Int64(1)), Signed: r.Bytes(2), Sig: r.Bytes(3),
				Extras: r.Bytes(4), Time: r.Int64(5)})
			return err
		})
	})
	return all, err
}

// DropCards is [Store.DropCards].
func (s *sqliteStore) DropCards(ctx context.Context, mesh keys.MeshID, peer keys.Public) error {
	return s.update(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		p, err := t.known(n, peer)
		if err != nil {
			return err
		}
		_, err = t.Exec("DELETE FROM card WHERE peer = ?", p)
		return err
	})
}

// SavePresence is [Store.SavePresence].
func (s *sqliteStore) SavePresence(ctx context.Context, sessions ...Presence) error {
	return s.update(ctx, func(t *tx) error {
		for i := range sessions {
			p := &sessions[i]
			n, err := t.mesh(p.Mesh)
			if err != nil {
				return err
			}
			peer, err := t.peer(n, p.Peer)
			if err != nil {
				return err
			}
			if _, err := t.Exec("INSERT INTO presence (session_id, mesh, peer, label, pid, cwd, host, client, status, receives,"+
				" connected_at, seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"+
				" ON CONFLICT DO UPDATE SET peer = excluded.peer, label = excluded.label, pid = excluded.pid,"+
				" cwd = excluded.cwd, host = excluded.host, client = excluded.client, status = excluded.status,"+
				" receives = excluded.receives, connected_at = excluded.connected_at, seen_at = excluded.seen_at",
				p.Session.String(), n, peer, p.Label, p.PID, p.CWD, p.Host, p.Client, p.Status, p.Receives,
				p.Connected, p.Seen); err != nil {
				return err
			}
		}
		return nil
	})
}

// DropPresence is [Store.DropPresence].
func (s *sqliteStore) DropPresence(ctx context.Context, mesh keys.MeshID, at int64, sessions ...keys.SessionID) error {
	return s.update(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		for _, id := range sessions {
			var peer int64
			err := t.Get("DELETE FROM presence WHERE mesh = ? AND session_id = ? RETURNING peer", []any{n, id.String()}, &peer)
			if errors.Is(err, sqlite.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if _, err := t.Exec("UPDATE peer SET seen_at = max(seen_at, ?) WHERE id = ?", at, peer); err != nil {
				return err
			}
			if _, err := t.Exec("DELETE FROM card WHERE peer = ? AND session = ?", peer, id[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// ClearPresence is [Store.ClearPresence].
func (s *sqliteStore) ClearPresence(ctx context.Context) error {
	return s.update(ctx, func(t *tx) error {
		for _, q := range []string{
			"UPDATE peer SET seen_at = max(seen_at, (SELECT max(seen_at) FROM presence WHERE peer = peer.id))" +
				" WHERE id IN (SELECT peer FROM presence)",
			"DELETE FROM presence",
			"DELETE FROM card WHERE session <> x''",
		} {
			if _, err := t.Exec(q); err != nil {
				return err
			}
		}
		return nil
	})
}

// Presence is [Store.Presence].
func (s *sqliteStore) Presence(ctx context.Context, mesh keys.MeshID) (all []Presence, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		return t.Each("SELECT session_id, peer, label, pid, cwd, host, client, status, receives, connected_at, seen_at"+
			" FROM presence WHERE mesh = ? ORDER BY connected_at, session_id", []any{n}, func(r sqlite.Row) error {
			key, err := t.key(r.Int64(1))
			if err != nil {
				return err
			}
			p := Presence{Mesh: mesh, Peer: key, Label: r.Text(2), PID: r.Int64(3), CWD: r.Text(4), Host: r.Text(5),
				Client: r.Text(6), Status: r.Text(7), Receives: r.Text(8), Connected: r.Int64(9), Seen: r.Int64(10)}
			if p.Session, err = keys.ParseSessionID(r.Text(0)); err != nil {
				return err
			}
			all = append(all, p)
			return nil
		})
	})
	return all, err
}

// LastSeen is [Store.LastSeen].
func (s *sqliteStore) LastSeen(ctx context.Context, mesh keys.MeshID) (all []Seen, err error) {
	err = s.view(ctx, func(t *tx) error {
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		return t.Each("SELECT id, seen_at FROM peer WHERE mesh = ? AND seen_at > 0", []any{n}, func(r sqlite.Row) error {
			key, err := t.key(r.Int64(0))
			all = append(all, Seen{Peer: key, Time: r.Int64(1)})
			return err
		})
	})
	return all, err
}

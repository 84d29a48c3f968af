package profile

import (
	"context"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// tidyPages is how many pages (4 KiB) one Tidy gives back to the system.
const tidyPages = 256

// Tidy forgets what is past its time in a mesh: ids and streams, sent
// messages and history of over 30 days, ended sessions; and indexes the history that
// is left. It is cheap to call; every process does so now and then.
func (s *State) Tidy(ctx context.Context, mesh keys.MeshID, now int64) error {
	// Read beside the writer: there is much of it, and no index by time.
	var old []int64
	err := s.View(ctx, mesh, func(tx *Tx) error {
		old = nil
		return tx.q.Each("SELECT place FROM history WHERE mesh = ? AND time < ?", []any{tx.mesh, now - Keep}, func(r sqlite.Row) error {
			old = append(old, r.Int64(0))
			return nil
		})
	})
	if err != nil {
		return err
	}
	err = s.Update(ctx, mesh, func(tx *Tx) error {
		clear(tx.memory.streams)
		for _, old := range []struct {
			query string
			time  int64
		}{
			{"DELETE FROM taken WHERE mesh = ? AND until < ?", now},
			{"DELETE FROM stream WHERE mesh = ? AND until < ?", now},
			{"DELETE FROM receipt WHERE mesh = ? AND expires < ?", now},
			{"DELETE FROM sent_target WHERE (message, mesh) IN" +
				" (SELECT message, mesh FROM sent WHERE mesh = ? AND recipient IS NULL AND max(time, expires) < ?)", now - Keep},
			{"DELETE FROM sent WHERE mesh = ? AND max(time, expires) < ?", now - Keep},
		} {
			if _, err := tx.q.Exec(old.query, tx.mesh, old.time); err != nil {
				return err
			}
		}
		if err := tx.leaveHistory(old); err != nil {
			return err
		}
		// Numbers of a session can be needed as long as it may send, also by
		// whoever took its rows over: they are sealed already then.
		if err := tx.tidySessions(); err != nil {
			return err
		}
		_, err := tx.q.Exec("DELETE FROM numbering WHERE mesh = ? AND session NOT IN (SELECT id FROM session)", tx.mesh)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.IndexHistory(ctx); err != nil {
		return err
	}
	if err := s.tidyLocks(); err != nil {
		return err
	}
	return s.db.Vacuum(ctx, tidyPages)
}

// leaveHistory forgets messages of the history. What was sent, and is known longer, is
// named without it from then on.
func (tx *Tx) leaveHistory(places []int64) error {
	if len(places) == 0 {
		return nil
	}
	_, err := tx.q.Exec("UPDATE sent SET tail = h.tail FROM history h WHERE h.place IN (SELECT value FROM json_each(?))"+
		" AND h.mesh = ? AND h.outgoing = 1 AND sent.message = h.message AND sent.mesh = h.mesh", listOf(places), tx.mesh)
	if err != nil {
		return err
	}
	return drop(tx.q, tx.mesh, "history", places)
}

// Scrub makes sure that what was deleted is nowhere in the files of state.db.
// It waits for other processes' reads, and fails with [ErrLocked] where they
// take too long.
func (s *State) Scrub(ctx context.Context) error { return s.db.Checkpoint(ctx) }

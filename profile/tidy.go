package profile

import (
	"context"

	"github.com/claudemesh/claudemesh-go/keys"
)

// tidyPages is how many pages (4 KiB) one Tidy gives back to the system.
const tidyPages = 256

// Tidy forgets what is past its time in a mesh: ids and streams, sent
// messages and history of over 30 days, ended sessions; and indexes the history that
// is left. It is cheap to call; every process does so now and then.
func (s *State) Tidy(ctx context.Context, mesh keys.MeshID, now int64) error {
	err := s.Update(ctx, mesh, func(tx *Tx) error {
		for _, old := range []struct {
			query string
			time  int64
		}{
			{"DELETE FROM taken WHERE mesh = ? AND until < ?", now},
			{"DELETE FROM stream WHERE mesh = ? AND until < ?", now},
			{"DELETE FROM receipt WHERE mesh = ? AND expires < ?", now},
			{"DELETE FROM sent WHERE mesh = ? AND max(time, expires) < ?", now - Keep},
			{"DELETE FROM history WHERE mesh = ? AND time < ?", now - Keep},
		} {
			if _, err := tx.q.Exec(old.query, tx.mesh, old.time); err != nil {
				return err
			}
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

// Scrub makes sure that what was deleted is nowhere in the files of state.db.
// It waits for other processes' reads, and fails with [ErrLocked] where they
// take too long.
func (s *State) Scrub(ctx context.Context) error { return s.db.Checkpoint(ctx) }

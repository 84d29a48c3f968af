package profile

import (
	"cmp"
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// Thread reads the newest messages of a thread from the history, oldest first, at
// most limit: those that name root as their thread, and root itself. [ErrNotFound]
// where there is none.
func (tx *Tx) Thread(root keys.MessageID, limit int) (all []Message, err error) {
	err = tx.q.Each("SELECT "+historyColumns+" FROM history WHERE mesh = ? AND thread = ? ORDER BY place DESC LIMIT ?",
		[]any{tx.mesh, root[:], limit}, func(r sqlite.Row) error {
			m, err := tx.scanHistory(r)
			all = append(all, m)
			return err
		})
	if err != nil {
		return nil, err
	}
	if len(all) < limit {
		first, err := tx.FindHistory(root)
		if err != nil && (len(all) == 0 || !errors.Is(err, ErrNotFound)) {
			return nil, err
		}
		for _, m := range first {
			if m.Thread != root {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b Message) int { return cmp.Compare(a.Place, b.Place) })
	return all[len(all)-min(len(all), limit):], nil
}

// CountAutomatic counts the messages that were sent since a time, Unix milliseconds,
// because of others and not of a human, and gives the depth of the deepest.
func (tx *Tx) CountAutomatic(since int64) (count, deepest int, err error) {
	return count, deepest, tx.q.Get("SELECT count(*), coalesce(max(depth), 0) FROM history"+
		" WHERE mesh = ? AND time > ? AND outgoing = 1 AND depth > 0", []any{tx.mesh, since}, &count, &deepest)
}

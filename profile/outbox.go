package profile

import (
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// PutOutbox keeps a message until it is acknowledged, and gives row its place.
func (tx *Tx) PutOutbox(row *delivery.OutboxRow) error {
	var recipient, hint any
	direct := len(row.To) == 1 && row.To[0].Box == nil && !row.One
	if direct {
		n, err := tx.peer(row.To[0].Key)
		if err != nil {
			return err
		}
		recipient, hint = n, orNull(row.To[0].Session)
	}
	var err error
	row.Place, err = tx.q.Insert("INSERT INTO outbox (mesh, session, id, class, priority, one, expires, recipient, hint, sealed)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tx.mesh, row.Session[:], row.ID[:], uint8(row.Class), uint8(row.Priority), row.One, row.Expires,
		recipient, hint, blob(row.Sealed))
	if err != nil || direct {
		return err
	}
	for i := range row.To {
		t := &row.To[i]
		n, err := tx.peer(t.Key)
		if err != nil {
			return err
		}
		if _, err := tx.q.Exec("INSERT INTO outbox_target (place, target, recipient, hint, box, state, why)"+
			" VALUES (?, ?, ?, ?, ?, ?, ?)",
			row.Place, i, n, orNull(t.Session), t.Box, uint8(t.State), string(t.Why)); err != nil {
			return err
		}
	}
	return nil
}

// Outbox reads a session's rows behind a place, lowest first: at most limit of
// them and, beyond the first, bytes of what is sealed. more says that there
// are more than these.
func (tx *Tx) Outbox(session keys.SessionID, after int64, limit, bytes int) (rows []*delivery.OutboxRow, more bool, err error) {
	if err := tx.flush(); err != nil {
		return nil, false, err
	}
	size := 0
	err = tx.q.Each("SELECT place, id, class, priority, one, expires, recipient, hint, sealed FROM outbox"+
		" WHERE mesh = ? AND session = ? AND place > ? ORDER BY place LIMIT ?",
		[]any{tx.mesh, session[:], after, limit + 1}, func(r sqlite.Row) error {
			sealed := r.Bytes(8)
			if len(rows) == limit || len(rows) > 0 && size+len(sealed) > bytes {
				more = true
				return sqlite.Stop()
			}
			size += len(sealed)
			row := &delivery.OutboxRow{
				Place: r.Int64(0), Session: session, ID: mid(r.Bytes(1)),
				Class: wire.Class(r.Int64(2)), Priority: wire.Priority(r.Int64(3)), One: r.Bool(4),
				Expires: r.Int64(5), Sealed: sealed,
			}
			if !r.Null(6) {
				key, err := tx.key(r.Int64(6))
				if err != nil {
					return err
				}
				row.To = []delivery.Target{{Key: key, Session: sid(r.Bytes(7)), State: wire.StatePending}}
			}
			rows = append(rows, row)
			return nil
		})
	if err != nil {
		return nil, false, err
	}
	for _, row := range rows {
		if row.To == nil {
			if row.To, err = tx.targets(row.Place); err != nil {
				return nil, false, err
			}
		}
	}
	return rows, more, nil
}

// targets reads the recipients of a message to several.
func (tx *Tx) targets(place int64) (to []delivery.Target, err error) {
	err = tx.q.Each("SELECT recipient, hint, box, state, why FROM outbox_target WHERE place = ? ORDER BY target",
		[]any{place}, func(r sqlite.Row) error {
			key, err := tx.key(r.Int64(0))
			to = append(to, delivery.Target{Key: key, Session: sid(r.Bytes(1)), Box: r.Bytes(2),
				State: wire.State(r.Int64(3)), Why: wire.Why(r.Text(4))})
			return err
		})
	return to, err
}

// SetTarget notes in the row at place what became of its message for a
// recipient. For a direct one there is nothing to note: it is dropped next.
func (tx *Tx) SetTarget(place int64, to keys.Public, state wire.State, why wire.Why) error {
	n, err := tx.known(to)
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.q.Exec("UPDATE outbox_target SET state = ?, why = ? WHERE place = ? AND recipient = ?",
		uint8(state), string(why), place, n)
	return err
}

// DropOutbox lets go of messages by their places, at the end of the transaction.
func (tx *Tx) DropOutbox(places ...int64) {
	tx.memory.drops[tx.mesh] = append(tx.memory.drops[tx.mesh], places...)
}

// OutboxOwners lists the sessions, except one, that rows of the outbox and receipts to
// be told name, live or not; see [delivery.Orphans].
func (tx *Tx) OutboxOwners(except keys.SessionID) (owners []keys.SessionID, err error) {
	if err := tx.flush(); err != nil {
		return nil, err
	}
	// Twice the outbox, so that its index passes over what is excepted.
	err = tx.q.Each("SELECT session FROM outbox WHERE mesh = ? AND session < ?"+
		" UNION ALL SELECT session FROM outbox WHERE mesh = ? AND session > ?"+
		" UNION ALL SELECT session FROM receipt WHERE mesh = ? AND session <> ?",
		[]any{tx.mesh, except[:], tx.mesh, except[:], tx.mesh, except[:]}, func(r sqlite.Row) error {
			if id := sid(r.Bytes(0)); !slices.Contains(owners, id) {
				owners = append(owners, id)
			}
			return nil
		})
	return owners, err
}

// TakeOver gives the outbox rows and the receipts to be told of ended sessions
// to a live one. They keep their places, and so their order. It returns how
// many outbox rows there were.
func (tx *Tx) TakeOver(to keys.SessionID, from ...keys.SessionID) (int, error) {
	if err := tx.flush(); err != nil {
		return 0, err
	}
	total := int64(0)
	for _, s := range from {
		n, err := tx.q.Exec("UPDATE outbox SET session = ? WHERE mesh = ? AND session = ?", to[:], tx.mesh, s[:])
		if err != nil {
			return 0, err
		}
		total += n
		if _, err := tx.q.Exec("UPDATE receipt SET session = ? WHERE mesh = ? AND session = ?", to[:], tx.mesh, s[:]); err != nil {
			return 0, err
		}
	}
	return int(total), nil
}

// CountOutbox is how many messages (not receipts) of all sessions are not
// acknowledged.
func (tx *Tx) CountOutbox() (n int, err error) {
	if err := tx.flush(); err != nil {
		return 0, err
	}
	return n, tx.q.Get("SELECT count(*) FROM outbox WHERE mesh = ? AND class = ?",
		[]any{tx.mesh, uint8(wire.ClassMessage)}, &n)
}

// NextNumber gives the next inner number of a stream of a session of ours: 1,
// 2, 3 and so on. Two messages never have the same, unless the transaction
// fails and the number was not used.
func (tx *Tx) NextNumber(session keys.SessionID, audience delivery.Audience, priority wire.Priority) (n uint64, err error) {
	stream := numbering{tx.mesh, session, audience, priority}
	last, known := tx.memory.numbers[stream]
	if !known {
		err := tx.q.Get("SELECT last FROM numbering WHERE mesh = ? AND session = ? AND audience = ? AND priority = ?",
			[]any{tx.mesh, session[:], audience[:], uint8(priority)}, &last)
		if err != nil && !errors.Is(err, sqlite.ErrNoRows) {
			return 0, err
		}
	}
	tx.memory.numbers[stream], tx.memory.unsaid[stream] = last+1, struct{}{}
	return last + 1, nil
}

// blob is a value for a column that may not be NULL.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

package profile

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Taken reports whether a message of a sender was taken into the inbox before:
// it is there, or its id is still remembered.
func (tx *Tx) Taken(from keys.Public, id keys.MessageID) (bool, error) {
	n, err := tx.known(from)
	if err != nil || n == 0 {
		return false, err
	}
	var one int
	err = tx.q.Get("SELECT 1 FROM taken WHERE mesh = ? AND sender = ? AND id = ?", []any{tx.mesh, n, id[:]}, &one)
	if errors.Is(err, sqlite.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Take remembers the id of a sender's message until a time ([delivery.RememberUntil]),
// unless it was taken before, and reports that.
func (tx *Tx) Take(from keys.Public, id keys.MessageID, until int64) (before bool, err error) {
	n, err := tx.peer(from)
	if err != nil {
		return false, err
	}
	added, err := tx.q.Exec("INSERT INTO taken (mesh, sender, id, until) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		tx.mesh, n, id[:], until)
	return added == 0, err
}

// PutInbox keeps a message that was received, and gives row its place. Its id is
// remembered by [Tx.Take].
func (tx *Tx) PutInbox(row *delivery.InboxRow) error {
	n, err := tx.peer(row.From)
	if err != nil {
		return err
	}
	row.Place, err = tx.q.Insert("INSERT INTO inbox (mesh, sender, id, state, arrived, session, audience, priority, n, sent, expires,"+
		" for_id, for_label, reply, copy, takers, missing, shower, again, box, sealed)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tx.mesh, n, row.ID[:], uint8(row.State), row.Arrived, row.Session[:], row.Audience[:], uint8(row.Priority),
		row.N, row.Sent, row.Expires, orNull(row.For), row.ForLabel, row.Reply, row.Copy, joinSessions(row.Takers),
		row.Missing, showerOf(row), row.Again, row.Box, blob(row.Sealed))
	if rows, known := tx.memory.inbox[tx.mesh]; known && err == nil {
		kept := *row
		kept.Sealed, kept.Box = nil, nil
		tx.rememberInbox(append(rows, kept))
	}
	return err
}

// showerOf is the column of who shows a message, zeros where nobody does, so long that
// with the state, which SQLite keeps in the row's header while it is 0 or 1, it always
// takes the same room: a row that begins to be shown is overwritten where it stands.
func showerOf(row *delivery.InboxRow) []byte {
	shower := make([]byte, len(row.Shower), len(row.Shower)+1)
	copy(shower, row.Shower[:])
	if row.State <= 1 {
		shower = append(shower, 0)
	}
	return shower
}

// SetInbox writes a row back at its place: everything but sender, id, arrival
// and what is sealed. [ErrNotFound] where it is gone.
func (tx *Tx) SetInbox(row *delivery.InboxRow) error {
	changed, err := tx.q.Exec("UPDATE inbox SET state = ?, session = ?, audience = ?, priority = ?, n = ?, sent = ?,"+
		" expires = ?, for_id = ?, for_label = ?, reply = ?, copy = ?, takers = ?, missing = ?, shower = ?, again = ?"+
		" WHERE place = ? AND mesh = ?",
		uint8(row.State), row.Session[:], row.Audience[:], uint8(row.Priority), row.N, row.Sent,
		row.Expires, orNull(row.For), row.ForLabel, row.Reply, row.Copy, joinSessions(row.Takers), row.Missing,
		showerOf(row), row.Again, row.Place, tx.mesh)
	if err == nil && changed == 0 {
		return fmt.Errorf("inbox, place %d: %w", row.Place, ErrNotFound)
	}
	if known := tx.inboxed(row.Place); known != nil {
		was := *known
		*known = *row
		known.From, known.Sender, known.ID, known.Arrived = was.From, was.Sender, was.ID, was.Arrived
		known.Sealed, known.Box = nil, nil
	}
	return err
}

// Remember keeps the id of a sender's message until a time, so that it is not
// taken again; a later time replaces.
func (tx *Tx) Remember(from keys.Public, id keys.MessageID, until int64) error {
	n, err := tx.peer(from)
	if err != nil {
		return err
	}
	_, err = tx.q.Exec("INSERT INTO taken (mesh, sender, id, until) VALUES (?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET until = max(until, excluded.until)", tx.mesh, n, id[:], until)
	return err
}

// Forget forgets the id of a sender's message, which may then be taken again.
func (tx *Tx) Forget(from keys.Public, id keys.MessageID) error {
	n, err := tx.known(from)
	if err != nil || n == 0 {
		return err
	}
	_, err = tx.q.Exec("DELETE FROM taken WHERE mesh = ? AND sender = ? AND id = ?", tx.mesh, n, id[:])
	return err
}

// inboxColumns are the columns that scanInbox reads.
const inboxColumns = "place, sender, id, state, arrived, session, audience, priority, n, sent, expires," +
	" for_id, for_label, reply, copy, takers, missing, shower, again"

// scanInbox reads a row without what is sealed.
func (tx *Tx) scanInbox(r sqlite.Row) (row delivery.InboxRow, err error) {
	row.Place, row.ID = r.Int64(0), mid(r.Bytes(2))
	if row.From, err = tx.key(r.Int64(1)); err != nil {
		return row, err
	}
	row.State, row.Arrived = delivery.InboxState(r.Int64(3)), r.Int64(4)
	row.Sender, row.Session, row.Priority = row.From, sid(r.Bytes(5)), wire.Priority(r.Int64(7))
	copy(row.Audience[:], r.Bytes(6))
	row.N, row.Sent, row.Expires = uint64(r.Int64(8)), r.Int64(9), r.Int64(10)
	row.For, row.ForLabel, row.Reply = sid(r.Bytes(11)), r.Text(12), r.Bool(13)
	row.Copy, row.Takers, row.Missing = r.Bool(14), splitSessions(r.Bytes(15)), r.Int64(16)
	row.Shower, row.Again = sid(r.Bytes(17)), r.Bool(18)
	return row, nil
}

// joinSessions and splitSessions keep a list of sessions in one column.
func joinSessions(ids []keys.SessionID) any {
	if len(ids) == 0 {
		return nil
	}
	raw := make([]byte, 0, len(ids)*len(ids[0]))
	for i := range ids {
		raw = append(raw, ids[i][:]...)
	}
	return raw
}

func splitSessions(raw []byte) (ids []keys.SessionID) {
	for len(raw) >= len(keys.SessionID{}) {
		ids = append(ids, keys.SessionID(raw))
		raw = raw[len(keys.SessionID{}):]
	}
	return ids
}

// InboxView reads the inbox as [delivery.PlanShow] wants it: the rows of all
// states, lowest places first, at most limit of them (0: all), without what is
// sealed; the streams that they belong to; the live sessions.
func (tx *Tx) InboxView(limit int) (v delivery.View, err error) {
	if v.Rows, err = tx.inboxRows(limit); err != nil {
		return v, err
	}
	v.Streams = map[delivery.StreamKey]delivery.Stream{}
	for i := range v.Rows {
		key := v.Rows[i].StreamKey
		if _, ok := v.Streams[key]; ok {
			continue
		}
		s, err := tx.Stream(key)
		if err != nil {
			return v, err
		}
		if s.Shown != 0 {
			v.Streams[key] = s
		}
	}
	v.Sessions, err = tx.LiveRows()
	return v, err
}

// inboxRows reads the lowest rows of the inbox, at most limit of them (0: all), without
// what is sealed.
func (tx *Tx) inboxRows(limit int) (rows []delivery.InboxRow, err error) {
	if limit <= 0 {
		limit = math.MaxInt
	}
	read := limit
	if tx.memory != nil {
		if rows, known := tx.memory.inbox[tx.mesh]; known {
			return slices.Clone(rows[:min(limit, len(rows))]), nil
		}
		read = max(limit, rememberedInbox+1) // all that can be remembered, and one by which to tell
	}
	err = tx.q.Each("SELECT "+inboxColumns+" FROM inbox WHERE mesh = ? ORDER BY place LIMIT ?", []any{tx.mesh, read},
		func(r sqlite.Row) error {
			row, err := tx.scanInbox(r)
			rows = append(rows, row)
			return err
		})
	if err == nil && tx.memory != nil {
		tx.rememberInbox(slices.Clone(rows))
	}
	return rows[:min(limit, len(rows))], err
}

// Inbox reads one row with what is sealed; [ErrNotFound].
func (tx *Tx) Inbox(place int64) (*delivery.InboxRow, error) {
	return tx.inboxWhere("place = ?", place)
}

// FindInbox reads the row of a sender's message; [ErrNotFound].
func (tx *Tx) FindInbox(from keys.Public, id keys.MessageID) (*delivery.InboxRow, error) {
	n, err := tx.known(from)
	if err != nil {
		return nil, err
	}
	return tx.inboxWhere("sender = ? AND id = ?", n, id[:])
}

// inboxWhere reads the row for which a condition holds.
func (tx *Tx) inboxWhere(condition string, params ...any) (*delivery.InboxRow, error) {
	var found *delivery.InboxRow
	err := tx.q.Each("SELECT "+inboxColumns+", box, sealed FROM inbox WHERE mesh = ? AND "+condition,
		append([]any{tx.mesh}, params...), func(r sqlite.Row) error {
			row, err := tx.scanInbox(r)
			row.Box, row.Sealed = r.Bytes(19), r.Bytes(20)
			found = &row
			return err
		})
	if err == nil && found == nil {
		err = fmt.Errorf("message: %w", ErrNotFound)
	}
	return found, err
}

// ShowInbox notes that a session is showing messages.
func (tx *Tx) ShowInbox(shower keys.SessionID, places ...int64) error {
	err := eachRun(places, func(first, last int64) error {
		_, err := tx.q.Exec("UPDATE inbox SET state = ?, shower = ? WHERE mesh = ? AND place BETWEEN ? AND ?",
			uint8(delivery.InboxShowing), shower[:], tx.mesh, first, last)
		return err
	})
	for _, place := range places {
		if known := tx.inboxed(place); known != nil && err == nil {
			known.State, known.Shower = delivery.InboxShowing, shower
		}
	}
	return err
}

// InInbox tells which of some places have a message.
func (tx *Tx) InInbox(places ...int64) (map[int64]bool, error) {
	left := make(map[int64]bool, len(places))
	if tx.memory != nil {
		if rows, known := tx.memory.inbox[tx.mesh]; known {
			for _, place := range places {
				if _, found := findPlace(rows, place); found {
					left[place] = true
				}
			}
			return left, nil
		}
	}
	err := tx.q.Each("SELECT place FROM inbox WHERE mesh = ? AND place IN (SELECT value FROM json_each(?))",
		[]any{tx.mesh, listOf(places)}, func(r sqlite.Row) error {
			left[r.Int64(0)] = true
			return nil
		})
	return left, err
}

// DropInbox lets go of messages by their places. Their ids stay remembered.
func (tx *Tx) DropInbox(places ...int64) error {
	if rows, known := tx.memory.inbox[tx.mesh]; known {
		tx.memory.inbox[tx.mesh] = slices.DeleteFunc(rows, func(r delivery.InboxRow) bool { return slices.Contains(places, r.Place) })
	}
	return drop(tx.q, tx.mesh, "inbox", places)
}

// drop deletes rows of a mesh by their places.
func drop(q *sqlite.Tx, mesh int64, table string, places []int64) error {
	return eachRun(places, func(first, last int64) error {
		_, err := q.Exec("DELETE FROM "+table+" WHERE mesh = ? AND place BETWEEN ? AND ?", mesh, first, last)
		return err
	})
}

// eachRun calls fn with each run of places that follow one another. A statement for
// each costs less than one for a list, for which SQLite makes a table.
func eachRun(places []int64, fn func(first, last int64) error) error {
	sorted := slices.Clone(places)
	slices.Sort(sorted)
	for len(sorted) > 0 {
		n := 1
		for n < len(sorted) && sorted[n] <= sorted[n-1]+1 {
			n++
		}
		if err := fn(sorted[0], sorted[n-1]); err != nil {
			return err
		}
		sorted = sorted[n:]
	}
	return nil
}

// listOf is a list of places for json_each.
func listOf(places []int64) string {
	b := []byte{'['}
	for i, p := range places {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, p, 10)
	}
	return string(append(b, ']'))
}

// CountInbox is how many messages there are in the inbox, in all states.
func (tx *Tx) CountInbox() (n int, err error) {
	return n, tx.q.Get("SELECT count(*) FROM inbox WHERE mesh = ?", []any{tx.mesh}, &n)
}

// Stream reads how far an order was shown; the zero Stream of the key where it
// is not known.
func (tx *Tx) Stream(key delivery.StreamKey) (delivery.Stream, error) {
	if tx.memory != nil {
		if s, known := tx.memory.streams[streamID{tx.mesh, key}]; known {
			return s, nil
		}
	}
	s := delivery.Stream{StreamKey: key}
	n, err := tx.known(key.Sender)
	if err != nil || n == 0 {
		return s, err
	}
	err = tx.q.Get("SELECT shown, until FROM stream WHERE mesh = ? AND sender = ? AND session = ? AND audience = ? AND priority = ?",
		[]any{tx.mesh, n, key.Session[:], key.Audience[:], uint8(key.Priority)}, &s.Shown, &s.Until)
	if errors.Is(err, sqlite.ErrNoRows) {
		err = nil
	}
	if err == nil && tx.memory != nil {
		tx.memory.streams[streamID{tx.mesh, key}] = s
	}
	return s, err
}

// SetStream writes how far an order was shown.
func (tx *Tx) SetStream(s delivery.Stream) error {
	n, err := tx.peer(s.Sender)
	if err != nil {
		return err
	}
	_, err = tx.q.Exec("INSERT INTO stream (mesh, sender, session, audience, priority, shown, until) VALUES (?, ?, ?, ?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET shown = excluded.shown, until = excluded.until",
		tx.mesh, n, s.Session[:], s.Audience[:], uint8(s.Priority), s.Shown, s.Until)
	tx.memory.streams[streamID{tx.mesh, s.StreamKey}] = s
	return err
}

// PutReceipt keeps what a sender is to be told, and gives row its place.
func (tx *Tx) PutReceipt(row *delivery.ReceiptRow) error {
	n, err := tx.peer(row.To)
	if err != nil {
		return err
	}
	var ids, hashes []byte
	for i := range row.Of {
		ids, hashes = append(ids, row.Of[i].ID[:]...), append(hashes, row.Of[i].Hash[:]...)
	}
	row.Place, err = tx.q.Insert("INSERT INTO receipt (mesh, session, recipient, id, hash, state, why, time, expires)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tx.mesh, row.Session[:], n, ids, hashes, uint8(row.State), string(row.Why), row.Time, row.Expires)
	return err
}

// Receipts reads what a session has to tell, lowest places first; see
// [delivery.Gather].
func (tx *Tx) Receipts(session keys.SessionID) (rows []delivery.ReceiptRow, err error) {
	err = tx.q.Each("SELECT place, recipient, id, hash, state, why, time, expires FROM receipt"+
		" WHERE mesh = ? AND session = ? ORDER BY place", []any{tx.mesh, session[:]}, func(r sqlite.Row) error {
		to, err := tx.key(r.Int64(1))
		row := delivery.ReceiptRow{Place: r.Int64(0), Session: session, To: to,
			State: wire.State(r.Int64(4)), Why: wire.Why(r.Text(5)), Time: r.Int64(6), Expires: r.Int64(7)}
		for ids, hashes := r.Bytes(2), r.Bytes(3); len(ids) >= 16 && len(hashes) >= 32; ids, hashes = ids[16:], hashes[32:] {
			row.Of = append(row.Of, delivery.Receipted{ID: keys.MessageID(ids), Hash: [32]byte(hashes)})
		}
		rows = append(rows, row)
		return err
	})
	return rows, err
}

// DropReceipts forgets receipts by their places: they are in the outbox now.
func (tx *Tx) DropReceipts(places ...int64) error { return drop(tx.q, tx.mesh, "receipt", places) }

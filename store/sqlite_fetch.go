package store

import (
	"context"
	"fmt"
	"math"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Fetch is [Queue.Fetch].
func (s *sqliteStore) Fetch(ctx context.Context, mesh keys.MeshID, f *delivery.Fetch) (Fetched, error) {
	var out Fetched
	err := s.view(ctx, func(t *tx) error {
		out = Fetched{}
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		r := reads{tx: t, mesh: n, limit: f.Limit, bytes: f.Bytes, out: &out, bodies: map[int64]*delivery.Message{}}
		if r.limit <= 0 {
			r.limit = math.MaxInt32
		}
		if r.bytes <= 0 {
			r.bytes = math.MaxInt
		}
		return r.fetch(f)
	})
	return out, err
}

// reads collects rows of one fetch.
type reads struct {
	*tx
	mesh   int64
	limit  int
	bytes  int
	size   int
	out    *Fetched
	bodies map[int64]*delivery.Message // by their row: rows of one message share it
}

// rowColumns are the columns that reads.row wants.
const rowColumns = "SELECT q.recipient, q.lane, q.number, q.sender, q.message, q.body, q.sent, q.expires, q.session, q.box," +
	" q.priority, b.data FROM queue q JOIN body b ON b.id = q.body "

// fetch reads what is asked for.
func (r *reads) fetch(f *delivery.Fetch) error {
	to, err := r.known(r.mesh, f.To)
	if err != nil {
		return err
	}
	sender, err := r.known(r.mesh, f.Sender)
	if err != nil {
		return err
	}
	switch f.Kind {
	case delivery.FetchLane:
		query, params := rowColumns+"WHERE q.recipient = ? AND q.lane = ? AND q.number >= ?", []any{to, uint8(f.Lane), f.From}
		if !f.Sender.IsZero() {
			query, params = query+" AND q.sender = ?", append(params, sender)
		}
		if !f.Session.IsZero() {
			query, params = query+" AND q.session = ?", append(params, f.Session[:])
		}
		err = r.rows(query+" ORDER BY q.number", params...)
	case delivery.FetchExpired:
		err = r.rows(rowColumns+"JOIN peer p ON p.id = q.recipient WHERE p.mesh = ? AND q.expires <= ?", r.mesh, f.Time)
	case delivery.FetchPeer:
		if err = r.rows(rowColumns+"WHERE q.recipient = ? ORDER BY q.lane, q.number", to); err == nil && !r.out.More {
			err = r.rows(rowColumns+"WHERE q.sender = ? AND q.recipient <> ?", to, to)
		}
	case delivery.FetchMessage:
		err = r.rows(rowColumns+"WHERE q.sender = ? AND q.message = ?", sender, f.ID[:])
	case delivery.FetchOutcomes:
		return r.outcomes(to, f.To)
	case delivery.FetchTrace:
		return r.trace(sender, f)
	default:
		return fmt.Errorf("store: fetch of kind %d", f.Kind)
	}
	if err != nil {
		return err
	}
	return r.count()
}

// rows runs a query over rowColumns and collects up to the limits.
func (r *reads) rows(query string, params ...any) error {
	return r.Each(query+" LIMIT ?", append(params, r.limit-len(r.out.Rows)+1), func(c sqlite.Row) error {
		if len(r.out.Rows) == r.limit {
			r.out.More = true
			return sqlite.Stop()
		}
		row, err := r.row(c)
		if err != nil {
			return err
		}
		if r.size += row.Size(); len(r.out.Rows) > 0 && r.size > r.bytes {
			r.out.More = true
			return sqlite.Stop()
		}
		r.out.Rows = append(r.out.Rows, row)
		return nil
	})
}

// row reads rowColumns.
func (r *reads) row(c sqlite.Row) (*delivery.Row, error) {
	to, err := r.key(c.Int64(0))
	if err != nil {
		return nil, err
	}
	from, err := r.key(c.Int64(3))
	if err != nil {
		return nil, err
	}
	row := &delivery.Row{To: to, Lane: delivery.Lane(c.Int64(1)), N: uint64(c.Int64(2)), Box: c.Bytes(9)}
	copy(row.Session[:], c.Bytes(8))
	if m := r.bodies[c.Int64(5)]; m != nil {
		row.Message = m
		return row, nil
	}
	m := &delivery.Message{From: from, Sent: c.Int64(6), Expires: c.Int64(7), Sealed: c.Bytes(11),
		Priority: wire.Priority(c.Int64(10)), One: row.Lane.One()}
	copy(m.ID[:], c.Bytes(4))
	if row.Lane == delivery.LaneReceipt {
		m.Class = wire.ClassReceipt
	}
	row.Message, r.bodies[c.Int64(5)] = m, m
	return row, nil
}

// count sets Left of rows that one of several devices shows.
func (r *reads) count() error {
	left := map[*delivery.Message]int{}
	for _, row := range r.out.Rows {
		if !row.One {
			continue
		}
		n, ok := left[row.Message]
		if !ok {
			from, err := r.known(r.mesh, row.From)
			if err != nil {
				return err
			}
			if err := r.Get("SELECT count(*) FROM queue WHERE sender = ? AND message = ?", []any{from, row.ID[:]}, &n); err != nil {
				return err
			}
			left[row.Message] = n
		}
		row.Left = n
	}
	return nil
}

// outcomes reads what is to be told to a sender.
func (r *reads) outcomes(sender int64, key keys.Public) error {
	return r.Each("SELECT recipient, state, why, time, message FROM outcome WHERE sender = ? ORDER BY time, message LIMIT ?",
		[]any{sender, r.limit + 1}, func(c sqlite.Row) error {
			if len(r.out.Outcomes) == r.limit {
				r.out.More = true
				return sqlite.Stop()
			}
			o, err := r.outcome(c)
			o.To = key
			copy(o.ID[:], c.Bytes(4))
			r.out.Outcomes = append(r.out.Outcomes, o)
			return err
		})
}

// trace reads what became of a message, without the message.
func (r *reads) trace(sender int64, f *delivery.Fetch) error {
	read := func(query string, of func(sqlite.Row) (delivery.Outcome, error)) error {
		return r.Each(query+" WHERE sender = ? AND message = ?", []any{sender, f.ID[:]}, func(c sqlite.Row) error {
			o, err := of(c)
			o.To, o.ID = f.Sender, f.ID
			r.out.Outcomes = append(r.out.Outcomes, o)
			return err
		})
	}
	err := read("SELECT recipient, sent FROM queue", func(c sqlite.Row) (delivery.Outcome, error) {
		recipient, err := r.key(c.Int64(0))
		return delivery.Outcome{Recipient: recipient, State: wire.StateQueued, Time: c.Int64(1)}, err
	})
	if err != nil {
		return err
	}
	err = read("SELECT recipient, state, why, time FROM outcome", r.outcome)
	if err != nil || len(r.out.Outcomes) > 0 {
		return err // who claimed it does not have it yet, or not any more
	}
	return read("SELECT device FROM claim", func(c sqlite.Row) (delivery.Outcome, error) {
		device, err := r.key(c.Int64(0))
		return delivery.Outcome{Recipient: device, State: wire.StateDelivered}, err
	})
}

// outcome reads one.
func (r *reads) outcome(c sqlite.Row) (delivery.Outcome, error) {
	recipient, err := r.key(c.Int64(0))
	return delivery.Outcome{Recipient: recipient, State: wire.State(c.Int64(1)), Why: wire.Why(c.Text(2)), Time: c.Int64(3)}, err
}

// Backlog is [Queue.Backlog].
func (s *sqliteStore) Backlog(ctx context.Context, mesh keys.MeshID) (Backlog, error) {
	var out Backlog
	err := s.view(ctx, func(t *tx) error {
		out = Backlog{}
		n, err := t.mesh(mesh)
		if err != nil {
			return err
		}
		err = t.Each("SELECT p.id, sum(q.lane <> ?1), sum(q.lane = ?1), max(q.number) FROM peer p"+
			" JOIN queue q ON q.recipient = p.id WHERE p.mesh = ?2 GROUP BY p.id",
			[]any{uint8(delivery.LaneReceipt), n}, func(r sqlite.Row) error {
				key, err := t.key(r.Int64(0))
				out.Queues = append(out.Queues, delivery.Backlog{To: key, Messages: r.Int(1), Receipts: r.Int(2), Last: uint64(r.Int64(3))})
				return err
			})
		if err != nil {
			return err
		}
		return t.Each("SELECT p.id FROM peer p WHERE p.mesh = ? AND EXISTS (SELECT 1 FROM outcome o WHERE o.sender = p.id)",
			[]any{n}, func(r sqlite.Row) error {
				key, err := t.key(r.Int64(0))
				out.Outcomes = append(out.Outcomes, key)
				return err
			})
	})
	return out, err
}

// Waiting counts what waits.
func (s *sqliteStore) Waiting(ctx context.Context) (w Waiting, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.Get("SELECT count(*), coalesce(min(sent), 0) FROM queue", nil, &w.Messages, &w.Oldest)
	})
	return w, err
}

package store

import (
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// apply carries out the ops of batches in their order. A row that is saved and
// dropped within them is not written at all.
func (t *tx) apply(batches []*submit) error {
	gone := savedAndDropped(batches)
	w := writes{tx: t}
	for _, b := range batches {
		if len(b.Ops) == 0 {
			continue // it only marks a moment
		}
		mesh, err := t.mesh(b.Mesh)
		if err != nil {
			return err
		}
		w.mesh = mesh
		for i := 0; i < len(b.Ops); {
			op := &b.Ops[i]
			n := 1
			switch {
			case gone[op]:
			case op.Kind == delivery.EffectDrop:
				n = dropsInRow(b.Ops[i:], gone)
				err = w.drops(op, n)
			default:
				err = w.op(b, op)
			}
			if err != nil {
				return err
			}
			i += n
		}
	}
	return nil
}

// writes carries out ops of one mesh after the other.
type writes struct {
	*tx
	mesh int64
	// body is the row of the body of last, the message to several that was
	// saved last.
	last *delivery.Message
	body int64
}

// op carries out one.
func (w *writes) op(b *submit, e *delivery.Effect) error {
	switch e.Kind {
	case delivery.EffectSave:
		return w.save(e.Row)
	case delivery.EffectTrim:
		return w.trim(e.From, e.Peer)
	case delivery.EffectClaim:
		by, err := w.claim(e.Claim)
		b.claims = append(b.claims, delivery.ClaimResult{Seq: e.Seq, By: by})
		return err
	case delivery.EffectSaveOutcome:
		return w.saveOutcome(e.Outcome)
	case delivery.EffectDropOutcome:
		return w.dropOutcome(e.Outcome)
	case delivery.EffectSweep:
		return w.sweep(e.Time)
	}
	return fmt.Errorf("store: effect %d is nothing to store", e.Kind)
}

// save writes a row, and the message's body where it is not there yet.
func (w *writes) save(row *delivery.Row) error {
	from, err := w.peer(w.mesh, row.From)
	if err != nil {
		return err
	}
	to, err := w.peer(w.mesh, row.To)
	if err != nil {
		return err
	}
	body, made, err := w.bodyOf(from, row)
	if err != nil {
		return err
	}
	var session, box []byte
	if !row.Session.IsZero() {
		session = row.Session[:]
	}
	if len(row.Box) > 0 {
		box = row.Box
	}
	// Only the message's being there already is no error: another row at this
	// place would be a defect, and must not pass silently.
	n, err := w.Exec("INSERT INTO queue (recipient, lane, number, sender, message, priority, body, sent, expires, session, box)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sender, message, recipient) DO NOTHING",
		to, uint8(row.Lane), row.N, from, row.ID[:], uint8(row.Priority), body, row.Sent, row.Expires, session, box)
	if err != nil || n > 0 || !made {
		return err
	}
	w.last = nil
	return w.dropBody(body)
}

// bodyOf is the body of a row's message. Those of a message to several share
// one, whenever they come; a direct one has its own.
func (w *writes) bodyOf(from int64, row *delivery.Row) (body int64, made bool, err error) {
	if len(row.Box) > 0 {
		if w.last == row.Message {
			return w.body, false, nil
		}
		err = w.Get("SELECT body FROM queue WHERE sender = ? AND message = ? AND box IS NOT NULL LIMIT 1",
			[]any{from, row.ID[:]}, &body)
		if err == nil || !errors.Is(err, sqlite.ErrNoRows) {
			return body, false, err
		}
	}
	sealed := row.Sealed
	if sealed == nil {
		sealed = []byte{}
	}
	body, err = w.Insert("INSERT INTO body (data) VALUES (?)", sealed)
	if len(row.Box) > 0 {
		w.last, w.body = row.Message, body
	}
	return body, true, err
}

// claim keeps a claim, unless there is one, and returns whose it is now.
func (w *writes) claim(c *delivery.Claim) (by keys.Public, err error) {
	from, err := w.peer(w.mesh, c.From)
	if err != nil {
		return by, err
	}
	device, err := w.peer(w.mesh, c.By)
	if err != nil {
		return by, err
	}
	if _, err := w.Exec("INSERT INTO claim (sender, message, device, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		from, c.ID[:], device, c.Expires); err != nil {
		return by, err
	}
	if err := w.Get("SELECT device FROM claim WHERE sender = ? AND message = ?", []any{from, c.ID[:]}, &device); err != nil {
		return by, err
	}
	return w.key(device)
}

// saveOutcome keeps what became of a message.
func (w *writes) saveOutcome(o *delivery.Outcome) error {
	sender, err := w.peer(w.mesh, o.To)
	if err != nil {
		return err
	}
	recipient, err := w.peer(w.mesh, o.Recipient)
	if err != nil {
		return err
	}
	_, err = w.Exec("INSERT INTO outcome (sender, message, recipient, state, why, time) VALUES (?, ?, ?, ?, ?, ?)"+
		" ON CONFLICT DO UPDATE SET state = excluded.state, why = excluded.why, time = excluded.time",
		sender, o.ID[:], recipient, uint8(o.State), string(o.Why), o.Time)
	return err
}

// dropOutcome forgets what became of a message: the sender was told.
func (w *writes) dropOutcome(o *delivery.Outcome) error {
	sender, err := w.known(w.mesh, o.To)
	if err != nil {
		return err
	}
	recipient, err := w.known(w.mesh, o.Recipient)
	if err != nil {
		return err
	}
	_, err = w.Exec("DELETE FROM outcome WHERE sender = ? AND message = ? AND recipient = ?", sender, o.ID[:], recipient)
	return err
}

// sweep forgets claims and outcomes that nobody asked for within the longest time for
// which a message may wait.
func (w *writes) sweep(now int64) error {
	for _, query := range []string{
		"DELETE FROM claim WHERE expires < ? AND sender IN (SELECT id FROM peer WHERE mesh = ?)",
		"DELETE FROM outcome WHERE time < ? AND sender IN (SELECT id FROM peer WHERE mesh = ?)",
	} {
		if _, err := w.Exec(query, now-wire.MaxExpiry, w.mesh); err != nil {
			return err
		}
	}
	return nil
}

package store

import (
	"bytes"
	"errors"
	"slices"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// place names a row across the batches of a flush.
type place struct {
	mesh keys.MeshID
	to   keys.Public
	lane delivery.Lane
	n    uint64
}

// copyOf names a message's row for a recipient across the batches of a flush.
type copyOf struct {
	mesh     keys.MeshID
	from, to keys.Public
	id       keys.MessageID
}

// savedAndDropped finds the ops that need not be carried out: a save and the drop of that
// row behind it. Where one message is saved for one recipient twice it finds
// none, since whether the second is kept then hangs on the first.
func savedAndDropped(batches []*submit) map[*delivery.Effect]bool {
	if !anyDrop(batches) {
		return nil
	}
	gone := map[*delivery.Effect]bool{}
	saved := map[place]*delivery.Effect{}
	copies := map[copyOf]bool{}
	for _, b := range batches {
		for i := range b.Ops {
			op := &b.Ops[i]
			switch op.Kind {
			case delivery.EffectSave:
				c := copyOf{b.Mesh, op.Row.From, op.Row.To, op.Row.ID}
				if copies[c] {
					return nil
				}
				copies[c] = true
				saved[place{b.Mesh, op.Row.To, op.Row.Lane, op.Row.N}] = op
			case delivery.EffectDrop:
				p := place{b.Mesh, op.Peer, op.Lane, op.N}
				if first := saved[p]; first != nil {
					gone[first], gone[op] = true, true
					delete(saved, p)
				}
			}
		}
	}
	return gone
}

// anyDrop reports whether anything is dropped.
func anyDrop(batches []*submit) bool {
	for _, b := range batches {
		for i := range b.Ops {
			if b.Ops[i].Kind == delivery.EffectDrop {
				return true
			}
		}
	}
	return false
}

// dropsInRow is how many ops from the first on, a drop, drop one row after the other
// of one recipient's lane, by number.
func dropsInRow(ops []delivery.Effect, gone map[*delivery.Effect]bool) int {
	first := &ops[0]
	n := 1
	for ; n < len(ops); n++ {
		op := &ops[n]
		if op.Kind != delivery.EffectDrop || op.Peer != first.Peer || op.Lane != first.Lane ||
			op.N != first.N+uint64(n) || gone[op] {
			break
		}
	}
	return n
}

// drops deletes n rows with numbers one after the other. Who comes back takes
// thousands so, and a statement for each would be most of what that costs.
func (w *writes) drops(first *delivery.Effect, n int) error {
	to, err := w.known(w.mesh, first.Peer)
	if err != nil || to == 0 {
		return err
	}
	if n == 1 {
		return w.drop(to, first.Lane, first.N)
	}
	var bodies []int64 // of direct messages
	type copied struct {
		body, from int64
		id         []byte
	}
	var several []copied
	err = w.Each("DELETE FROM queue WHERE recipient = ? AND lane = ? AND number BETWEEN ? AND ?"+
		" RETURNING body, sender, message, box IS NOT NULL",
		[]any{to, uint8(first.Lane), first.N, first.N + uint64(n) - 1}, func(r sqlite.Row) error {
			if r.Bool(3) {
				several = append(several, copied{r.Int64(0), r.Int64(1), bytes.Clone(r.Bytes(2))})
			} else {
				bodies = append(bodies, r.Int64(0))
			}
			return nil
		})
	if err != nil {
		return err
	}
	for _, c := range several {
		if err := w.dropShared(c.body, c.from, c.id); err != nil {
			return err
		}
	}
	slices.Sort(bodies)
	for len(bodies) > 0 {
		run := 1
		for run < len(bodies) && bodies[run] == bodies[0]+int64(run) {
			run++
		}
		if _, err := w.Exec("DELETE FROM body WHERE id BETWEEN ? AND ?", bodies[0], bodies[run-1]); err != nil {
			return err
		}
		bodies = bodies[run:]
	}
	return nil
}

// drop deletes a row, and with a message's last one its body.
func (w *writes) drop(to int64, lane delivery.Lane, n uint64) error {
	var body, from int64
	var several bool
	var id []byte
	err := w.Get("DELETE FROM queue WHERE recipient = ? AND lane = ? AND number = ?"+
		" RETURNING body, sender, message, box IS NOT NULL", []any{to, uint8(lane), n}, &body, &from, &id, &several)
	if errors.Is(err, sqlite.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if !several {
		return w.dropBody(body)
	}
	return w.dropShared(body, from, id)
}

// dropShared deletes a body that the rows of a message to several share, if the last
// of them is gone.
func (w *writes) dropShared(body, from int64, id []byte) error {
	w.last = nil
	_, err := w.Exec("DELETE FROM body WHERE id = ? AND NOT EXISTS"+
		" (SELECT 1 FROM queue WHERE sender = ? AND message = ? AND box IS NOT NULL)", body, from, id)
	return err
}

func (w *writes) dropBody(body int64) error {
	_, err := w.Exec("DELETE FROM body WHERE id = ?", body)
	return err
}

// trim keeps the newest receipts of a pair.
func (w *writes) trim(from, to keys.Public) error {
	f, err := w.known(w.mesh, from)
	if err != nil || f == 0 {
		return err
	}
	t, err := w.known(w.mesh, to)
	if err != nil || t == 0 {
		return err
	}
	var old []uint64
	err = w.Each("SELECT number FROM queue WHERE recipient = ? AND lane = ? AND sender = ?"+
		" ORDER BY number DESC LIMIT -1 OFFSET ?",
		[]any{t, uint8(delivery.LaneReceipt), f, wire.MaxReceiptsWaiting}, func(r sqlite.Row) error {
			old = append(old, uint64(r.Int64(0)))
			return nil
		})
	for _, n := range old {
		if err == nil {
			err = w.drop(t, delivery.LaneReceipt, n)
		}
	}
	return err
}

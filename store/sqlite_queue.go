package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// maxFlush is how many ops one commit takes at most: it bounds how long a
// commit, and with it everybody's answer, may take.
const maxFlush = 8192

// submits are the batches on their way to the disk. Batches that arrive while
// one commit is under way gather here, and are applied by one function of the
// next. mu guards waiting, running and closed.
type submits struct {
	mu      sync.Mutex
	waiting []*submit
	running bool // a flush is on its way
	closed  bool

	now  []*submit // of the flush under way; the writer's goroutine only
	ints *tx       // of the flush under way
}

// submit is one batch and who waits for it.
type submit struct {
	Batch
	done   func([]delivery.ClaimResult, error)
	claims []delivery.ClaimResult
}

// close lets no more batches in. Those that wait are still committed.
func (q *submits) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

// Submit is [Queue.Submit].
func (s *sqliteStore) Submit(b Batch, done func([]delivery.ClaimResult, error)) {
	q := &s.queue
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		done(nil, ErrClosed)
		return
	}
	q.waiting = append(q.waiting, &submit{Batch: b, done: done})
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		s.db.Submit(s.flush, s.flushed)
	}
}

// Write is [Queue.Write].
func (s *sqliteStore) Write(ctx context.Context, b Batch) ([]delivery.ClaimResult, error) {
	type answer struct {
		claims []delivery.ClaimResult
		err    error
	}
	c := make(chan answer, 1)
	s.Submit(b, func(claims []delivery.ClaimResult, err error) { c <- answer{claims, err} })
	select {
	case a := <-c:
		return a.claims, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// flush takes the batches that wait and applies them, in the writer's
// transaction.
func (s *sqliteStore) flush(q *sqlite.Tx) error {
	if len(s.queue.now) == 0 { // else it is run anew
		s.queue.take()
	}
	for _, b := range s.queue.now {
		b.claims = nil
	}
	s.queue.ints = &tx{Tx: q, ints: &s.ints}
	return s.queue.ints.apply(s.queue.now)
}

// take moves the batches of the next flush to now.
func (q *submits) take() {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, ops := 0, 0
	for n < len(q.waiting) && (n == 0 || ops+len(q.waiting[n].Ops) <= maxFlush) {
		ops += len(q.waiting[n].Ops)
		n++
	}
	q.now = append(q.now[:0], q.waiting[:n]...)
	left := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[left:])
	q.waiting = q.waiting[:left]
}

// flushed tells the batches of a flush what came of it, and starts the next.
// It runs in the writer's goroutine.
func (s *sqliteStore) flushed(err error) {
	q := &s.queue
	if err == nil {
		q.ints.learn()
	}
	if err != nil && len(q.now) == 0 {
		q.take() // the database was closed before the flush began
	}
	if err != nil && len(q.now) > 1 && !sqlite.IsDisk(err) {
		s.oneByOne(q.now)
		return
	}
	for _, b := range q.now {
		if err != nil {
			b.claims = nil
		}
		b.done(b.claims, err)
	}
	s.next()
}

// next starts the next flush, if anything waits for it.
func (s *sqliteStore) next() {
	q := &s.queue
	clear(q.now)
	q.now = q.now[:0]
	q.mu.Lock()
	q.running = len(q.waiting) > 0
	start := q.running
	q.mu.Unlock()
	if start {
		s.db.Submit(s.flush, s.flushed)
	}
}

// oneByOne commits the batches of a flush that failed each by itself: what one
// of them is to blame for must not fall on the others. Their order stays, since
// the next flush starts when all are answered.
func (s *sqliteStore) oneByOne(batches []*submit) {
	left := len(batches)
	for _, b := range append([]*submit(nil), batches...) {
		var t *tx
		s.db.Submit(func(q *sqlite.Tx) error {
			t = &tx{Tx: q, ints: &s.ints}
			b.claims = nil
			return t.apply([]*submit{b})
		}, func(err error) {
			if err == nil {
				t.learn()
			} else {
				b.claims = nil
			}
			b.done(b.claims, err)
			if left--; left == 0 {
				s.next()
			}
		})
	}
}

// place names a row across the batches of a flush.
type place struct {
	mesh keys.MeshID
	to   keys.Public
	lane delivery.Lane
	n    uint64
}

// apply carries out the ops of batches in their order. A row that is saved and
// dropped within them is not written at all.
func (t *tx) apply(batches []*submit) error {
	gone := brief(batches)
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

// copyOf names a message's row for a recipient across the batches of a flush.
type copyOf struct {
	mesh     keys.MeshID
	from, to keys.Public
	id       keys.MessageID
}

// brief finds the ops that need not be carried out: a save and the drop of that
// row behind it. Where one message is saved for one recipient twice it finds
// none, since whether the second is kept then hangs on the first.
func brief(batches []*submit) map[*delivery.Effect]bool {
	if !drops(batches) {
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

// drops reports whether anything is dropped.
func drops(batches []*submit) bool {
	for _, b := range batches {
		for i := range b.Ops {
			if b.Ops[i].Kind == delivery.EffectDrop {
				return true
			}
		}
	}
	return false
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

// sweep forgets claims past their time, and outcomes that nobody asked for
// within the longest time for which a message may wait.
func (w *writes) sweep(now int64) error {
	_, err := w.Exec("DELETE FROM claim WHERE expires < ? AND sender IN (SELECT id FROM peer WHERE mesh = ?)", now, w.mesh)
	if err != nil {
		return err
	}
	_, err = w.Exec("DELETE FROM outcome WHERE time < ? AND sender IN (SELECT id FROM peer WHERE mesh = ?)",
		now-wire.MaxExpiry, w.mesh)
	return err
}

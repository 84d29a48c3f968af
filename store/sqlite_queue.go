package store

import (
	"context"
	"sync"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/sqlite"
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

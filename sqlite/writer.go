package sqlite

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// job is one function that waits for its transaction.
type job struct {
	fn    func(*Tx) error
	done  func(error) // called once, by the writer
	alone bool        // not in a transaction, and shares nothing
	state atomic.Int32
}

// States of a job. A caller that gives up moves waiting to abandoned, the
// writer waiting to begun: whoever is first decides.
const (
	waiting int32 = iota
	begun
	abandoned
)

// How a writer waits for another process's, and lets it in. SQLite's own wait
// tries ever more seldom, up to ten times a second, and beside a process that
// writes all the time it was seen to take seconds until a try fell between two
// of its transactions.
const (
	retry    = time.Millisecond      // between two tries for the lock
	hogAfter = 25 * time.Millisecond // of one commit behind the other
	hogRest  = 2 * time.Millisecond  // during which others get the lock
)

// writer is the one goroutine that writes. mu guards jobs and closed; the
// rest belongs to the goroutine.
type writer struct {
	tx     *Tx
	group  int
	path   string
	busy   time.Duration
	shared bool
	since  time.Time // when it began to commit one group behind the other

	mu     sync.Mutex
	jobs   []*job
	closed bool
	wake   chan struct{} // capacity 1
	gone   chan struct{} // closed when the goroutine has ended
	end    error         // of closing the connection; read after gone
}

// newWriter starts the goroutine. It takes over tx.
func newWriter(tx *Tx, path string, o Options) *writer {
	tx.memory = o.Memory
	w := &writer{tx: tx, group: o.Group, path: path, busy: o.Busy, shared: o.Shared,
		wake: make(chan struct{}, 1), gone: make(chan struct{})}
	go w.loop()
	return w
}

// submit queues a job, or ends it where the writer is closed.
func (w *writer) submit(j *job) {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		j.done(dbError(w.path, ErrClosed))
		return
	}
	defer w.mu.Unlock()
	w.jobs = append(w.jobs, j)
	select {
	case w.wake <- struct{}{}: // under mu, since close closes the channel
	default:
	}
}

// do is submit and wait; see [DB.Do].
func (w *writer) do(ctx context.Context, fn func(*Tx) error) error {
	return w.wait(ctx, &job{fn: fn})
}

// alone is do outside any transaction, for statements that need it so.
func (w *writer) alone(ctx context.Context, fn func(*Tx) error) error {
	return w.wait(ctx, &job{fn: fn, alone: true})
}

func (w *writer) wait(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	result := make(chan error, 1)
	j.done = func(err error) { result <- err }
	w.submit(j)
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		if j.state.CompareAndSwap(waiting, abandoned) {
			return ctx.Err()
		}
		return <-result
	}
}

// close lets no more in and waits until all is committed and the connection
// closed. first reports whether it was the first to be called.
func (w *writer) close() (first bool, err error) {
	w.mu.Lock()
	first = !w.closed
	if first {
		w.closed = true
		close(w.wake)
	}
	w.mu.Unlock()
	<-w.gone
	return first, w.end
}

// loop commits what gathered, again and again.
func (w *writer) loop() {
	defer close(w.gone)
	for {
		w.gather()
		group, more := w.take()
		if len(group) == 0 {
			if !more {
				w.end = w.tx.close()
				return
			}
			<-w.wake
			w.since = time.Now()
			continue
		}
		if group[0].alone {
			group[0].done(dbError(w.path, run(group[0].fn, w.tx)))
			continue
		}
		w.commit(group)
		if w.shared && time.Since(w.since) > hogAfter {
			time.Sleep(hogRest)
			w.since = time.Now()
		}
	}
}

// gather lets those run who can, as long as each turn of theirs brings jobs: who was
// told of the last commit, and what came meanwhile. A job that comes alone waits for
// nobody.
func (w *writer) gather() {
	for before := 0; ; runtime.Gosched() {
		w.mu.Lock()
		n := len(w.jobs)
		w.mu.Unlock()
		if n <= before || n >= w.group {
			return
		}
		before = n
	}
}

// patiently tries something that needs a lock until no other process has it,
// or for as long as there is patience.
func (w *writer) patiently(try func() error) error {
	for began := time.Now(); ; time.Sleep(retry) {
		err := try()
		if err == nil || !isLocked(err) || time.Since(began) > w.busy {
			return err
		}
	}
}

// take removes the next group: the jobs that wait, up to the first that must
// be alone. more is false once the writer is closed and nothing waits.
func (w *writer) take() (group []*job, more bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.jobs) && n < w.group && !w.jobs[n].alone {
		n++
	}
	if n == 0 && len(w.jobs) > 0 {
		n = 1
	}
	for _, j := range w.jobs[:n] {
		if j.state.CompareAndSwap(waiting, begun) {
			group = append(group, j)
		}
	}
	left := copy(w.jobs, w.jobs[n:])
	clear(w.jobs[left:])
	w.jobs = w.jobs[:left]
	return group, !w.closed || left > 0 || n > 0
}

// commit runs a group in one transaction and tells each its outcome.
func (w *writer) commit(group []*job) {
	results := make([]error, len(group))
	failed, err := w.transaction(func() error { return w.together(group) })
	if failed && len(group) > 1 && !isOfAll(err) {
		_, err = w.transaction(func() error { return w.apart(group, results) })
	}
	for i, j := range group {
		if results[i] == nil {
			results[i] = err
		}
		j.done(dbError(w.path, results[i]))
	}
}

// transaction commits what fn does. failed says that it was fn that failed.
func (w *writer) transaction(fn func() error) (failed bool, err error) {
	if err := w.patiently(func() error { return w.tx.exec("BEGIN IMMEDIATE") }); err != nil {
		return false, err
	}
	if err = w.tx.recall(); err == nil {
		err = fn()
		failed = err != nil
	}
	if err == nil {
		err = w.tx.exec("COMMIT")
	}
	if err != nil {
		w.tx.memory.Forget()
		// After some failures SQLite has rolled back by itself, and this one
		// says that there is no transaction: either way there is none now.
		_ = w.tx.exec("ROLLBACK")
	}
	return failed, err
}

// together runs the functions of a group as if they were one. The first error ends
// it: they hardly ever fail, and a savepoint for each costs more than they do.
func (w *writer) together(group []*job) error {
	for _, j := range group {
		if err := run(j.fn, w.tx); err != nil {
			return err
		}
	}
	return w.tx.memory.Flush(w.tx)
}

// apart runs the functions of a group, one of which failed, so that each one's error
// undoes what it did, and nothing else. results are each one's own, the error is
// everybody's.
func (w *writer) apart(group []*job, results []error) error {
	for i, j := range group {
		if results[i] = w.tx.Try(j.fn); isOfAll(results[i]) {
			return results[i]
		}
	}
	return nil
}

// isOfAll tells whether an error is no matter of one function: of a full or failing
// disk, after which SQLite may have rolled back all of it.
func isOfAll(err error) bool {
	kind := classify(err)
	return kind != nil && !errors.Is(kind, ErrConstraint)
}

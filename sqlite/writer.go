package sqlite

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
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

// writer is the one goroutine that writes. mu guards jobs and closed; the
// rest belongs to the goroutine.
type writer struct {
	tx    *Tx
	group int
	path  string

	mu     sync.Mutex
	jobs   []*job
	closed bool
	wake   chan struct{} // capacity 1
	gone   chan struct{} // closed when the goroutine has ended
	end    error         // of closing the connection; read after gone
}

// newWriter starts the goroutine. It takes over tx.
func newWriter(tx *Tx, group int, path string) *writer {
	w := &writer{tx: tx, group: group, path: path, wake: make(chan struct{}, 1), gone: make(chan struct{})}
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
		group, more := w.take()
		if len(group) == 0 {
			if !more {
				w.end = w.tx.close()
				return
			}
			<-w.wake
			continue
		}
		if group[0].alone {
			group[0].done(dbError(w.path, run(group[0].fn, w.tx)))
			continue
		}
		w.commit(group)
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
	err := w.tx.exec("BEGIN IMMEDIATE")
	if err == nil {
		err = w.run(group, results)
	}
	if err != nil {
		// After some failures SQLite has rolled back by itself, and this one
		// says that there is no transaction: either way there is none now.
		_ = w.tx.exec("ROLLBACK")
	}
	for i, j := range group {
		if results[i] == nil {
			results[i] = err
		}
		j.done(dbError(w.path, results[i]))
	}
}

// run runs the functions and commits. The error is everybody's; results are
// each one's own.
func (w *writer) run(group []*job, results []error) error {
	if len(group) == 1 {
		// Nothing but its own to undo: the rollback does.
		if err := run(group[0].fn, w.tx); err != nil {
			return err
		}
		return w.tx.exec("COMMIT")
	}
	for i, j := range group {
		if results[i] = w.tx.Try(j.fn); results[i] == nil {
			continue
		}
		// A full or failing disk is no matter of one function: SQLite may have
		// rolled back all of it.
		if kind := classify(results[i]); kind != nil && !errors.Is(kind, ErrConstraint) {
			return results[i]
		}
	}
	return w.tx.exec("COMMIT")
}

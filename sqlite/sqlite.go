// Package sqlite opens SQLite databases the way both ends of claudemesh use
// them: durable to the disk before anything is answered, one writer that
// commits what gathered while it was committing, and a few readers beside it.
//
// # Durability
//
// Databases are in WAL mode with synchronous=FULL: a function given to
// [DB.Do] or [DB.Submit] has its answer after the system call that put it on
// the disk returned (fdatasync where the system has it). Nothing here works by
// a timer. While one commit is under way, the functions that arrive gather,
// and share the next one, with those of goroutines that can run before it
// begins; alone, a function is committed at once.
//
// # Sharing
//
// Several goroutines may use a DB, and several processes a file: each group
// of functions is one BEGIN IMMEDIATE transaction, and waits for another
// process's for at most [Options.Busy].
//
// # Erasure
//
// secure_delete is on, and auto_vacuum incremental: what is deleted is
// overwritten with zeros, and [DB.Vacuum] gives pages back to the system. The
// write-ahead log keeps older pages until it is reused, which [DB.Checkpoint]
// can force.
package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite"
)

// Options say how a database is opened. The zero value works for a database
// without migrations.
type Options struct {
	// Migrations holds the schema as SQL files in its root, named by version:
	// 00001_first.sql. Each runs once and whole, in order, when the database is
	// opened. Nil: the database is taken as it is.
	Migrations fs.FS
	// Readers is how many reads may run side by side. Zero means 4.
	Readers int
	// Busy is how long a transaction waits for another process's before it
	// fails with [ErrLocked]. Zero means 10 seconds.
	Busy time.Duration
	// Group is how many functions share one commit at most. Zero means 4096.
	Group int
	// Shared says that other processes write to the file too: a writer that has
	// much to do then lets them in between, every 25 ms for 2.
	Shared bool
	// Unchecked: references between rows are not looked after. Who deletes rows deletes
	// those that are theirs too.
	Unchecked bool
	// Memory is kept true to the database. Nil: there is none.
	Memory Memory
}

// Memory is what functions given to [DB.Do] and [DB.Submit] know of the database
// without reading it, and what they leave to be written once for all that share a
// transaction. It belongs to them and the writer's goroutine, which runs them.
type Memory interface {
	// Flush writes what was left to be written, as the last of a transaction.
	Flush(tx *Tx) error
	// Forget lets go of everything: another process wrote, or what was done is undone.
	Forget()
}

// noMemory is the memory of who has none.
type noMemory struct{}

// Flush does nothing.
func (noMemory) Flush(*Tx) error { return nil }

// Forget does nothing.
func (noMemory) Forget() {}

// Defaults of [Options].
const (
	defaultReaders = 4
	defaultBusy    = 10 * time.Second
	defaultGroup   = 4096
)

// walPages is how many pages (of 4 KiB) the write-ahead log grows to before a
// commit copies it into the database. 4,000 pages let a burst of some
// thousand rows pass without the copy, and bound what a restart reads again.
const walPages = 4000

// cacheKiB is each connection's page cache. The hot part of a queue fits.
const cacheKiB = 8192

// DB is an open database. Its methods may be called from many goroutines.
type DB struct {
	path   string
	writer *writer
	read   driver.Connector
	// The readers that nobody uses; closed once Close has ended them all.
	opened, unopened chan *reader
}

// reader is a connection to read by, opened when it is first needed, which is when
// the open ones are in use: each has a cache, and prepares its statements anew.
type reader struct{ tx *Tx }

// Open opens the database at path, creating it (mode 0600) where there is
// none, and brings its schema up to the newest migration. Its errors wrap
// [ErrFuture] where the file is of a newer version of the program, and else
// the sentinel that says what the file system or SQLite objected to.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	if o.Readers <= 0 {
		o.Readers = defaultReaders
	}
	if o.Busy <= 0 {
		o.Busy = defaultBusy
	}
	if o.Group <= 0 {
		o.Group = defaultGroup
	}
	if o.Memory == nil {
		o.Memory = noMemory{}
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	empty, err := create(path)
	if err != nil {
		return nil, openError(path, err)
	}
	// On Linux a commit then waits for the data and the size alone, not for
	// the file's timestamps: as durable, in about half the time. Where the
	// system does not have it, SQLite keeps to what it has.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	db, err := open(ctx, path, empty, o)
	if err != nil {
		return nil, openError(path, err)
	}
	return db, nil
}

// create makes an empty file of mode 0600 where there is none: SQLite would
// make it by the umask, readable by others for a moment. The log and its index
// take their mode from it. empty reports whether nothing is in the file.
func create(path string) (empty bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	return info.Size() == 0, f.Close()
}

// open opens the writer, and brings the schema up to date if it is not.
func open(ctx context.Context, path string, empty bool, o Options) (_ *DB, err error) {
	use := writing
	if empty {
		use = creating
	}
	write, err := connector(path, o, use)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path, opened: make(chan *reader, o.Readers), unopened: make(chan *reader, o.Readers)}
	if db.read, err = connector(path, o, reading); err != nil {
		return nil, err
	}
	conn, err := write.Connect(ctx)
	if err != nil {
		return nil, err
	}
	tx := newTx(conn)
	// The writer waits for others by itself; see writer.patiently.
	if err := tx.exec("PRAGMA busy_timeout = 0"); err != nil {
		return nil, errors.Join(err, tx.close())
	}
	if o.Migrations != nil {
		if err := migrate(ctx, write, tx, o.Migrations); err != nil {
			return nil, errors.Join(err, tx.close())
		}
	}
	for range o.Readers {
		db.unopened <- &reader{}
	}
	db.writer = newWriter(tx, path, o)
	return db, nil
}

// purpose says what a connection is for.
type purpose int

const (
	writing  purpose = iota
	reading          // writing fails
	creating         // the first of a new database
)

// connector opens connections to path.
func connector(path string, o Options, use purpose) (driver.Connector, error) {
	q := url.Values{}
	q.Set("_busy_timeout", strconv.FormatInt(o.Busy.Milliseconds(), 10))
	q.Set("_journal_mode", "WAL")
	q.Set("_synchronous", "FULL")
	if !o.Unchecked {
		q.Set("_foreign_keys", "on")
	}
	q.Set("_txlock", "immediate")
	q.Set("_dqs", "0")
	q.Set("_error_rc", "1")
	q.Add("_pragma", "secure_delete(1)")
	q.Add("_pragma", fmt.Sprintf("wal_autocheckpoint(%d)", walPages))
	q.Add("_pragma", fmt.Sprintf("journal_size_limit(%d)", walPages*4096))
	q.Add("_pragma", fmt.Sprintf("cache_size(-%d)", cacheKiB))
	q.Add("_pragma", "temp_store(2)") // nothing of ours in temporary files
	switch use {
	case reading:
		q.Set("_query_only", "on")
	case creating:
		// Counts only before the first table. Later it changes nothing, but
		// would write to the file, and wait for its lock, at each opening.
		q.Set("_auto_vacuum", "INCREMENTAL")
	}
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return sqlite.NewConnector(u.String())
}

// Path is the database's file.
func (db *DB) Path() string { return db.path }

// Do runs fn in a transaction and returns when that is on the disk, or why it
// is not. Functions of several callers share a transaction; fn's error undoes
// what fn did, and nothing else, and is returned as it is. When ctx ends
// before fn began, Do returns its error and fn does not run; once fn has
// begun, Do waits for the outcome, so its answer is always the truth.
//
// fn must not call Do, must not keep tx, and should do nothing slow: everybody
// waits for it. It is run anew where another one of its transaction failed, so it
// must begin from the same each time.
func (db *DB) Do(ctx context.Context, fn func(tx *Tx) error) error {
	return db.writer.do(ctx, fn)
}

// Submit queues fn as [DB.Do] does, without waiting: done is called with the
// outcome, by the writer's goroutine, in the order of the Submits, and must
// not block. Submitted functions run in that order. done is called exactly
// once; after Close at once, in the caller's goroutine, with [ErrClosed].
func (db *DB) Submit(fn func(tx *Tx) error, done func(error)) {
	db.writer.submit(&job{fn: fn, done: done})
}

// Read runs fn over one unchanging state of the database, beside writers and
// other readers. Writing in fn fails.
func (db *DB) Read(ctx context.Context, fn func(tx *Tx) error) error {
	r, err := db.reader(ctx)
	if err != nil {
		return err
	}
	defer db.putBack(r)
	if r.tx == nil {
		conn, err := db.read.Connect(ctx)
		if err != nil {
			return dbError(db.path, err)
		}
		r.tx = newTx(conn)
	}
	return dbError(db.path, r.run(fn))
}

// reader takes a reader that nobody uses, an open one where there is one.
func (db *DB) reader(ctx context.Context) (r *reader, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case r = <-db.opened:
	default:
		select {
		case r = <-db.opened:
		case r = <-db.unopened:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if r == nil {
		return nil, dbError(db.path, ErrClosed)
	}
	return r, nil
}

// putBack puts a reader back.
func (db *DB) putBack(r *reader) {
	if r.tx == nil {
		db.unopened <- r
	} else {
		db.opened <- r
	}
}

// run runs fn in a transaction of its own.
func (r *reader) run(fn func(tx *Tx) error) error {
	if err := r.tx.exec("BEGIN"); err != nil {
		return err
	}
	err := run(fn, r.tx)
	if end := r.tx.exec("ROLLBACK"); err == nil {
		err = end
	}
	return err
}

// Vacuum gives up to pages free pages (of 4 KiB) at the end of the file back
// to the system. It is cheap where there are none.
func (db *DB) Vacuum(ctx context.Context, pages int) error {
	return db.Do(ctx, func(tx *Tx) error {
		return tx.exec(fmt.Sprintf("PRAGMA incremental_vacuum(%d)", pages))
	})
}

// Checkpoint copies the write-ahead log into the database and empties it, so
// that what was deleted is in neither. It waits for readers as long as
// [Options.Busy], and then returns [ErrLocked].
func (db *DB) Checkpoint(ctx context.Context) error {
	return db.writer.alone(ctx, func(tx *Tx) error {
		return db.writer.patiently(func() error {
			var busy int64
			if err := tx.Get("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy); err != nil {
				return err
			}
			if busy != 0 {
				return ErrLocked
			}
			return nil
		})
	})
}

// Close commits what was submitted, waits for reads under way, and closes the
// file. Later calls answer [ErrClosed]; closing twice is fine.
func (db *DB) Close() error {
	first, err := db.writer.close()
	if !first {
		return nil
	}
	errs := []error{err}
	for range cap(db.opened) {
		select {
		case r := <-db.opened:
			errs = append(errs, r.tx.close())
		case <-db.unopened:
		}
	}
	close(db.opened)
	close(db.unopened)
	return dbError(db.path, errors.Join(errs...))
}

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"

	driver "modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// What can be wrong with a database, for callers to tell apart with errors.Is.
// Each error of this package that wraps one names the file.
var (
	// ErrClosed: the database was closed.
	ErrClosed = errors.New("the database is closed")
	// ErrFull: the disk, the quota or the database's own bound is full.
	// Nothing of the transaction was kept; later ones may succeed.
	ErrFull = errors.New("the disk is full")
	// ErrReadOnly: the file, its folder or its file system may not be written.
	ErrReadOnly = errors.New("the file cannot be written")
	// ErrUnreadable: the file or its folder may not be opened.
	ErrUnreadable = errors.New("the file cannot be opened")
	// ErrLocked: another process kept the database busy for too long.
	ErrLocked = errors.New("another program keeps the database busy")
	// ErrCorrupt: the file is damaged, or no database.
	ErrCorrupt = errors.New("the database is damaged, or is no database")
	// ErrDisk: the disk failed to read, write or sync.
	ErrDisk = errors.New("the disk failed")
	// ErrFuture: the schema is of a newer version of the program. The file was
	// not touched. See [FutureError].
	ErrFuture = errors.New("the database was written by a newer version")
	// ErrConstraint: a row would break a rule of the schema (unique, foreign
	// key, not null, check). Returned as SQLite said it, inside [DB.Do].
	ErrConstraint = errors.New("the row breaks a rule of the schema")
)

// FutureError is the evidence of [ErrFuture], which it is.
type FutureError struct {
	Path  string // the file
	Has   int64  // the newest migration it has had
	Knows int64  // the newest migration this program knows
}

// Error says it in one sentence.
func (e *FutureError) Error() string {
	return fmt.Sprintf("%s: %v (schema %d, this program knows %d)", e.Path, ErrFuture, e.Has, e.Knows)
}

// Is makes the error match [ErrFuture].
func (e *FutureError) Is(target error) bool { return target == ErrFuture }

// IsConstraint reports whether err is SQLite's refusal of a row that breaks a
// rule of the schema. Functions given to [DB.Do] see such errors as the driver
// gives them; this is how they tell.
func IsConstraint(err error) bool {
	var e *driver.Error
	return errors.Is(err, ErrConstraint) || errors.As(err, &e) && e.Code()&0xff == codes.SQLITE_CONSTRAINT
}

// IsDisk reports whether err is about the file, the disk or the database as a
// whole, and so no fault of one function's: trying the others would not help.
func IsDisk(err error) bool {
	for _, kind := range []error{ErrClosed, ErrFull, ErrReadOnly, ErrUnreadable, ErrLocked, ErrCorrupt, ErrDisk} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// isLocked reports whether another connection's lock was in the way.
func isLocked(err error) bool {
	return errors.Is(err, ErrLocked) || errors.Is(classify(err), ErrLocked)
}

// OfFile adds to an error of reading or writing a file which of [ErrFull],
// [ErrReadOnly] and [ErrUnreadable] it is, so that other files can be spoken of
// as databases are. Other errors, and nil, are returned as they are.
func OfFile(err error) error {
	if kind := ofFile(err); kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%w: %w", kind, err)
	}
	return err
}

// ofFile names the sentinel of an error of the file system, nil where it is
// none.
func ofFile(err error) error {
	switch {
	case err == nil:
		return nil
	case isFull(err):
		return ErrFull
	case isReadOnly(err):
		return ErrReadOnly
	case errors.Is(err, fs.ErrPermission):
		return ErrUnreadable
	}
	return nil
}

// classify names the sentinel of an error from SQLite or the file system, nil
// where it is none of them, or it was named already.
func classify(err error) error {
	for _, known := range []error{ErrClosed, ErrFull, ErrReadOnly, ErrUnreadable, ErrLocked, ErrCorrupt, ErrDisk, ErrFuture} {
		if errors.Is(err, known) {
			return nil
		}
	}
	var e *driver.Error
	if !errors.As(err, &e) {
		return ofFile(err)
	}
	if e.Code() == codes.SQLITE_IOERR_SHMSIZE {
		return ErrFull // no room for the log's index, which opening makes
	}
	switch e.Code() & 0xff {
	case codes.SQLITE_FULL:
		return ErrFull
	case codes.SQLITE_READONLY:
		return ErrReadOnly
	case codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		return ErrUnreadable
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED, codes.SQLITE_PROTOCOL:
		return ErrLocked
	case codes.SQLITE_CORRUPT, codes.SQLITE_NOTADB:
		return ErrCorrupt
	case codes.SQLITE_IOERR:
		return ErrDisk
	case codes.SQLITE_CONSTRAINT:
		return ErrConstraint
	}
	return nil
}

// dbError adds to an error of SQLite the file and what kind it is. Errors of
// callers' own functions pass as they are.
func dbError(path string, err error) error {
	if err == nil {
		return nil
	}
	if kind := classify(err); kind != nil {
		return fmt.Errorf("%s: %w: %w", path, kind, err)
	}
	return err
}

// openError is [dbError], and names the file in any case.
func openError(path string, err error) error {
	var future *FutureError
	if errors.As(err, &future) {
		future.Path = path
		return future
	}
	if e := dbError(path, err); !errors.Is(err, e) {
		return e
	}
	return fmt.Errorf("%s: %w", path, err)
}

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"math"
)

// Tx is a transaction under way, valid inside the function it was given to.
// Statements are prepared once for each connection and kept, so queries should
// be constants with parameters (?).
//
// Parameters and results are int64 (also any integer type that fits, and bool
// as 0 or 1), float64, string, []byte and nil.
type Tx struct {
	conn  driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue // reused by each statement

	memory  Memory // of the writer
	version int64  // of the database, when its transaction before began
}

// ErrNoRows is what [Tx.Get] returns when the query found nothing.
var ErrNoRows = errors.New("sqlite: no such row")

// newTx takes over an open connection.
func newTx(conn driver.Conn) *Tx {
	return &Tx{conn: conn, stmts: make(map[string]driver.Stmt), memory: noMemory{}}
}

// prepare returns the kept statement of a query.
func (tx *Tx) prepare(query string) (driver.Stmt, error) {
	if s, ok := tx.stmts[query]; ok {
		return s, nil
	}
	s, err := tx.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	tx.stmts[query] = s
	return s, nil
}

// bind converts parameters for the driver, into the reused slice.
func (tx *Tx) bind(params []any) ([]driver.NamedValue, error) {
	tx.args = tx.args[:0]
	for i, p := range params {
		v, err := value(p)
		if err != nil {
			return nil, fmt.Errorf("sqlite: parameter %d: %w", i+1, err)
		}
		tx.args = append(tx.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return tx.args, nil
}

// value is a parameter as the driver wants it.
func value(p any) (driver.Value, error) {
	switch v := p.(type) {
	case nil, int64, float64, string, []byte:
		return v, nil
	case int:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case int16:
		return int64(v), nil
	case int8:
		return int64(v), nil
	case uint8:
		return int64(v), nil
	case uint16:
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case uint64:
		if v > math.MaxInt64 {
			return nil, fmt.Errorf("%d does not fit", v)
		}
		return int64(v), nil
	case bool:
		if v {
			return int64(1), nil
		}
		return int64(0), nil
	}
	return nil, fmt.Errorf("%T is no type of a column", p)
}

// Exec runs a statement to its end and returns how many rows it changed.
func (tx *Tx) Exec(query string, params ...any) (changed int64, err error) {
	r, err := tx.result(query, params)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// Insert runs an INSERT and returns the row's integer primary key.
func (tx *Tx) Insert(query string, params ...any) (id int64, err error) {
	r, err := tx.result(query, params)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

// result runs a statement to its end.
func (tx *Tx) result(query string, params []any) (driver.Result, error) {
	s, err := tx.prepare(query)
	if err != nil {
		return nil, err
	}
	args, err := tx.bind(params)
	if err != nil {
		return nil, err
	}
	// The driver would watch a context with a goroutine a statement; what
	// bounds a statement here is that it is small.
	return s.(driver.StmtExecContext).ExecContext(context.Background(), args)
}

// Get runs a query and reads its first row into dest, one pointer a column:
// *int64, *int, *uint64, *uint32, *int32, *bool, *string, *[]byte; NULL is the
// zero value. It returns [ErrNoRows] where there is none.
func (tx *Tx) Get(query string, params []any, dest ...any) error {
	found := false
	err := tx.Each(query, params, func(r Row) error {
		found = true
		if len(dest) > len(r.values) {
			return fmt.Errorf("sqlite: %d columns for %d destinations", len(r.values), len(dest))
		}
		for i, d := range dest {
			if err := r.scan(i, d); err != nil {
				return err
			}
		}
		return errStop
	})
	if err != nil && !errors.Is(err, errStop) {
		return err
	}
	if !found {
		return ErrNoRows
	}
	return nil
}

// errStop ends [Tx.Each] early; see [Stop].
var errStop = errors.New("sqlite: enough rows")

// Stop, returned by the function given to [Tx.Each], ends it without an error.
func Stop() error { return errStop }

// Each runs a query and calls fn with each row. fn may run other statements,
// but not the same query again. Its error ends the query and is returned,
// [Stop] excepted.
func (tx *Tx) Each(query string, params []any, fn func(Row) error) (err error) {
	s, err := tx.prepare(query)
	if err != nil {
		return err
	}
	args, err := tx.bind(params)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), args)
	if err != nil {
		return err
	}
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	values := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch err := fn(Row{values}); {
		case errors.Is(err, errStop):
			return nil
		case err != nil:
			return err
		}
	}
}

// Try runs fn so that its error undoes what fn did, and only that.
func (tx *Tx) Try(fn func(tx *Tx) error) error {
	if err := errors.Join(tx.memory.Flush(tx), tx.exec("SAVEPOINT try")); err != nil {
		return err
	}
	err := run(fn, tx)
	if err == nil {
		err = tx.memory.Flush(tx)
	}
	if err != nil {
		tx.memory.Forget()
		return errors.Join(err, tx.exec("ROLLBACK TO try"), tx.exec("RELEASE try"))
	}
	return tx.exec("RELEASE try")
}

// recall has the memory forgotten where another connection wrote since the last
// transaction of this one.
func (tx *Tx) recall() error {
	if tx.memory == (noMemory{}) {
		return nil
	}
	before := tx.version
	err := tx.Get("PRAGMA data_version", nil, &tx.version)
	if tx.version != before {
		tx.memory.Forget()
	}
	return err
}

// exec runs a statement without parameters.
func (tx *Tx) exec(query string) error {
	_, err := tx.Exec(query)
	return err
}

// close ends the connection.
func (tx *Tx) close() error {
	var errs []error
	for _, s := range tx.stmts {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, tx.conn.Close())...)
}

// run calls fn; a panic in it becomes an error, so that one caller's defect
// does not take the writer, and with it everybody's, down.
func run(fn func(*Tx) error, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("sqlite: panic in a transaction: %v", p)
		}
	}()
	return fn(tx)
}

// Row is one row of a result, valid until the function it was given to
// returns. Bytes and strings it gave out stay valid. Columns count from 0;
// NULL, and a column of another type, read as the zero value.
type Row struct{ values []driver.Value }

// Int64 is an integer column.
func (r Row) Int64(i int) int64 {
	v, _ := r.values[i].(int64)
	return v
}

// Int is an integer column.
func (r Row) Int(i int) int { return int(r.Int64(i)) }

// Bool is an integer column, true if it is not 0.
func (r Row) Bool(i int) bool { return r.Int64(i) != 0 }

// Bytes is a blob, nil where it is empty.
func (r Row) Bytes(i int) []byte {
	switch v := r.values[i].(type) {
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return nil
}

// Text is a text column.
func (r Row) Text(i int) string {
	switch v := r.values[i].(type) {
	case string:
		return v
	case []byte:
		return string(v)
	}
	return ""
}

// Null reports whether the column is NULL.
func (r Row) Null(i int) bool { return r.values[i] == nil }

// scan reads column i into a pointer.
func (r Row) scan(i int, dest any) error {
	switch d := dest.(type) {
	case *int64:
		*d = r.Int64(i)
	case *int:
		*d = r.Int(i)
	case *uint64:
		*d = uint64(r.Int64(i))
	case *uint32:
		*d = uint32(r.Int64(i))
	case *int32:
		*d = int32(r.Int64(i))
	case *bool:
		*d = r.Bool(i)
	case *string:
		*d = r.Text(i)
	case *[]byte:
		*d = r.Bytes(i)
	default:
		return fmt.Errorf("sqlite: cannot read a column into %T", dest)
	}
	return nil
}

package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// versionTable is where goose writes which migrations ran.
const versionTable = "goose_db_version"

// migrateTries is how often migrations are tried when another process runs
// them at the same time: one try loses to each migration the other commits.
const migrateTries = 16

// migrate runs the migrations that the database has not had, which it asks tx.
// Several processes may do it at once: each migration is one transaction, which
// commits in one of them.
func migrate(ctx context.Context, c driver.Connector, tx *Tx, files fs.FS) error {
	migrations, knows, err := read(files)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		has, err := current(tx)
		switch {
		case err != nil:
			return err
		case has == knows:
			return nil
		case has > knows:
			return &FutureError{Has: has, Knows: knows}
		}
		if err := up(ctx, c, migrations); err != nil && (try == migrateTries || ctx.Err() != nil) {
			return fmt.Errorf("bringing the schema up to date: %w", err)
		}
	}
}

// read gives the migrations of the files, and the version of the newest. SQLite takes a
// file whole: to take it apart into statements goose needs more time and memory than they
// need to run.
func read(files fs.FS) (migrations []*goose.Migration, newest int64, err error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, 0, err
	}
	for _, name := range names {
		version, err := goose.NumericComponent(name)
		if err != nil {
			return nil, 0, fmt.Errorf("migration %s: %w", name, err)
		}
		newest = max(newest, version)
		run := func(ctx context.Context, tx *sql.Tx) error {
			statements, err := fs.ReadFile(files, name)
			if err == nil {
				_, err = tx.ExecContext(ctx, string(statements))
			}
			if err != nil {
				return fmt.Errorf("migration %s: %w", name, err)
			}
			return nil
		}
		migrations = append(migrations, goose.NewGoMigration(version, &goose.GoFunc{RunTx: run}, nil))
	}
	return migrations, newest, nil
}

// current is the newest migration that the database has had, 0 if none. It
// writes nothing.
func current(tx *Tx) (version int64, err error) {
	var tables int
	err = tx.Get("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", []any{versionTable}, &tables)
	if err != nil || tables == 0 {
		return 0, err
	}
	return version, tx.Get("SELECT max(version_id) FROM "+versionTable, nil, &version)
}

// up runs what is missing.
func up(ctx context.Context, c driver.Connector, migrations []*goose.Migration) error {
	pool := sql.OpenDB(c)
	defer pool.Close()
	// More would let goose read on one connection while it holds another.
	pool.SetMaxOpenConns(1)
	base, err := database.NewStore(database.DialectSQLite3, versionTable)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectCustom, pool, nil, goose.WithGoMigrations(migrations...),
		goose.WithStore(onceStore{base}), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// onceStore is goose's own record of versions, made safe for several
// processes: goose looks what is missing before the transaction that runs it,
// so the transaction looks again.
type onceStore struct{ database.Store }

// errDone undoes a migration that another process has run meanwhile.
var errDone = errors.New("another process has run this migration")

// TableExists tells goose not to ask by a query that fails.
func (s onceStore) TableExists(ctx context.Context, db database.DBTxConn) (bool, error) {
	var n int
	err := db.QueryRowContext(ctx,
		"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?", versionTable).Scan(&n)
	return n > 0, err
}

// CreateVersionTable makes the table, unless another process was first.
func (s onceStore) CreateVersionTable(ctx context.Context, db database.DBTxConn) error {
	if ok, err := s.TableExists(ctx, db); ok || err != nil {
		return err
	}
	return s.Store.CreateVersionTable(ctx, db)
}

// Insert records a migration, inside its transaction, which holds the write
// lock since its beginning.
func (s onceStore) Insert(ctx context.Context, db database.DBTxConn, req database.InsertRequest) error {
	var n int
	err := db.QueryRowContext(ctx,
		"SELECT count(*) FROM "+versionTable+" WHERE version_id = ?", req.Version).Scan(&n)
	switch {
	case err != nil:
		return err
	case n > 0 && req.Version == 0:
		return nil // the row that goose writes beside the table
	case n > 0:
		return errDone
	}
	return s.Store.Insert(ctx, db, req)
}

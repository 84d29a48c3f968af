package sqlite_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

// names left in a memory are written as one item.
type leftNames struct {
	names   []string
	forgets int
}

// Flush is [sqlite.Memory]'s.
func (m *leftNames) Flush(tx *sqlite.Tx) error {
	if len(m.names) == 0 {
		return nil
	}
	err := insert(strings.Join(m.names, " "))(tx)
	m.names = nil
	return err
}

// Forget is [sqlite.Memory]'s.
func (m *leftNames) Forget() { m.names, m.forgets = nil, m.forgets+1 }

// leave leaves a name to be written.
func (m *leftNames) leave(name string, err error) func(*sqlite.Tx) error {
	return func(*sqlite.Tx) error { m.names = append(m.names, name); return err }
}

func openWith(t *testing.T, path string, m sqlite.Memory) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema), Memory: m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func TestMemoryIsFlushedOnceATransaction(t *testing.T) {
	m := &leftNames{}
	db := openWith(t, filepath.Join(t.TempDir(), "x.db"), m)
	boom := errors.New("boom")
	// One fails: nothing of its own is written, and everything of the others.
	for _, failed := range []error{nil, boom} {
		results := together(db, m.leave("a", nil), m.leave("b", failed), m.leave("c", nil))
		if results[0] != nil || !errors.Is(results[1], failed) || results[2] != nil {
			t.Fatal(results)
		}
	}
	err := db.Do(t.Context(), func(tx *sqlite.Tx) error {
		m.names = append(m.names, "d")
		if err := tx.Try(m.leave("e", boom)); !errors.Is(err, boom) {
			return err
		}
		return tx.Try(m.leave("f", nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, db), []string{"a b c", "a", "c", "d", "f"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestMemoryIsForgottenWhereAnotherWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	m := &leftNames{}
	db, other := openWith(t, path, m), openWith(t, path, nil)
	write := func(db *sqlite.DB, name string) (forgets int) {
		t.Helper()
		if err := db.Do(t.Context(), insert(name)); err != nil {
			t.Fatal(err)
		}
		return m.forgets
	}
	first := write(db, "a")
	if got := write(db, "b"); got != first {
		t.Error("forgotten after its own commit")
	}
	write(other, "c")
	if got := write(db, "d"); got != first+1 {
		t.Errorf("forgotten %d times where another wrote once", got-first)
	}
}

package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	driver "modernc.org/sqlite"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

// schema is a first schema for tests.
const schema = `
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, data BLOB);
CREATE TABLE part (item INTEGER NOT NULL REFERENCES item (id));
`

func files(sql ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i, s := range sql {
		fsys[fmt.Sprintf("%05d_x.sql", i+1)] = &fstest.MapFile{Data: []byte(s)}
	}
	return fsys
}

// open opens a database with the schema in a folder of its own.
func open(t testing.TB) *sqlite.DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "x.db"), files(schema))
}

func openAt(t testing.TB, path string, fsys fstest.MapFS) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: fsys})
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

func insert(name string) func(*sqlite.Tx) error {
	return func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO item (name) VALUES (?)", name)
		return err
	}
}

// names lists the items.
func names(t testing.TB, db *sqlite.DB) (all []string) {
	t.Helper()
	err := db.Read(t.Context(), func(tx *sqlite.Tx) error {
		all = nil
		return tx.Each("SELECT name FROM item ORDER BY id", nil, func(r sqlite.Row) error {
			all = append(all, r.Text(0))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPragmas(t *testing.T) {
	db := open(t)
	want := map[string]string{
		"journal_mode": "wal", "synchronous": "2", "auto_vacuum": "2", "secure_delete": "1", "foreign_keys": "1",
		"temp_store": "2", "busy_timeout": "0",
	}
	check := func(tx *sqlite.Tx) error {
		for name, value := range want {
			var text string
			var number int64
			if err := tx.Get("PRAGMA "+name, nil, &text); err != nil {
				return err
			}
			if text == "" {
				if err := tx.Get("PRAGMA "+name, nil, &number); err != nil {
					return err
				}
				text = fmt.Sprint(number)
			}
			if text != value {
				t.Errorf("%s is %s, want %s", name, text, value)
			}
		}
		return nil
	}
	err := db.Do(t.Context(), check) // the writer waits by itself
	want["busy_timeout"] = "10000"
	if err := errors.Join(err, db.Read(t.Context(), check)); err != nil {
		t.Fatal(err)
	}
}

func TestFilesAreTheUsersOwn(t *testing.T) {
	db := open(t)
	if err := db.Do(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", info.Name(), info.Mode())
		}
	}
}

func TestValuesComeBack(t *testing.T) {
	db := open(t)
	var (
		i    int64
		n    int
		u    uint64
		u32  uint32
		b    bool
		s    string
		blob []byte
		none []byte
	)
	err := db.Do(t.Context(), func(tx *sqlite.Tx) error {
		return tx.Get("SELECT ?, ?, ?, ?, ?, ?, ?, ?",
			[]any{int64(-1), 7, uint64(1) << 62, uint32(9), true, "é", []byte{0, 1}, nil}, &i, &n, &u, &u32, &b, &s, &blob, &none)
	})
	if err != nil {
		t.Fatal(err)
	}
	if i != -1 || n != 7 || u != 1<<62 || u32 != 9 || !b || s != "é" || string(blob) != "\x00\x01" || none != nil {
		t.Fatal(i, n, u, u32, b, s, blob, none)
	}
	for _, bad := range []any{uint64(1) << 63, struct{}{}, []string{"a"}} {
		if err := db.Do(t.Context(), func(tx *sqlite.Tx) error { _, err := tx.Exec("SELECT ?", bad); return err }); err == nil {
			t.Errorf("%T %v was taken", bad, bad)
		}
	}
	err = db.Do(t.Context(), func(tx *sqlite.Tx) error { return tx.Get("SELECT 1 WHERE 0", nil, &i) })
	if !errors.Is(err, sqlite.ErrNoRows) {
		t.Fatal(err)
	}
}

func TestOneFailureSpoilsNothing(t *testing.T) {
	db := open(t)
	boom := errors.New("boom")
	results := make([]error, 60)
	var wg sync.WaitGroup
	for i := range results {
		wg.Add(1)
		db.Submit(func(tx *sqlite.Tx) error {
			if err := insert(fmt.Sprintf("n%02d", i))(tx); err != nil {
				return err
			}
			switch i % 4 {
			case 1:
				return boom
			case 2:
				return insert(fmt.Sprintf("n%02d", i))(tx) // breaks a rule
			case 3:
				panic("boom")
			}
			return nil
		}, func(err error) { results[i] = err; wg.Done() })
	}
	wg.Wait()
	var want []string
	for i, err := range results {
		switch i % 4 {
		case 0:
			want = append(want, fmt.Sprintf("n%02d", i))
			if err != nil {
				t.Errorf("%d: %v", i, err)
			}
		case 1:
			if !errors.Is(err, boom) {
				t.Errorf("%d: %v", i, err)
			}
		case 2:
			if !errors.Is(err, sqlite.ErrConstraint) || !sqlite.IsConstraint(err) || sqlite.IsDisk(err) {
				t.Errorf("%d: %v", i, err)
			}
		case 3:
			if err == nil || !strings.Contains(err.Error(), "panic") {
				t.Errorf("%d: %v", i, err)
			}
		}
	}
	if got := names(t, db); !slices.Equal(got, want) {
		t.Fatalf("kept %v, want %v", got, want)
	}
}

// together has functions share one transaction: they are submitted while another one
// is under way.
func together(db *sqlite.DB, fns ...func(*sqlite.Tx) error) []error {
	busy, free := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1 + len(fns))
	db.Submit(func(*sqlite.Tx) error { close(busy); <-free; return nil }, func(error) { wg.Done() })
	<-busy
	results := make([]error, len(fns))
	for i, fn := range fns {
		db.Submit(fn, func(err error) { results[i] = err; wg.Done() })
	}
	close(free)
	wg.Wait()
	return results
}

func TestWhoSharesAFailedTransactionRunsAnew(t *testing.T) {
	db := open(t)
	boom := errors.New("boom")
	var runs [3]int
	results := together(db, func(tx *sqlite.Tx) error { runs[0]++; return insert("a")(tx) },
		func(tx *sqlite.Tx) error { runs[1]++; return errors.Join(insert("b")(tx), boom) },
		func(tx *sqlite.Tx) error { runs[2]++; return insert("c")(tx) })
	if results[0] != nil || !errors.Is(results[1], boom) || results[2] != nil {
		t.Fatal(results)
	}
	if runs != [3]int{2, 2, 1} {
		t.Fatalf("runs %v", runs)
	}
	if got := names(t, db); !slices.Equal(got, []string{"a", "c"}) {
		t.Fatal(got)
	}
}

func TestTryUndoesOnlyItself(t *testing.T) {
	db := open(t)
	err := db.Do(t.Context(), func(tx *sqlite.Tx) error {
		if err := insert("a")(tx); err != nil {
			return err
		}
		if err := tx.Try(func(tx *sqlite.Tx) error {
			return errors.Join(insert("b")(tx), tx.Try(insert("c")), tx.Try(insert("a")))
		}); !sqlite.IsConstraint(err) {
			return fmt.Errorf("try: %v", err)
		}
		return tx.Try(insert("d"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, db); !slices.Equal(got, []string{"a", "d"}) {
		t.Fatal(got)
	}
}

func TestForeignKeysHold(t *testing.T) {
	db := open(t)
	err := db.Do(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO part (item) VALUES (77)")
		return err
	})
	if !errors.Is(err, sqlite.ErrConstraint) {
		t.Fatal(err)
	}
}

func TestReadsAreOneStateAndCannotWrite(t *testing.T) {
	db := open(t)
	if err := db.Do(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
	err := db.Read(t.Context(), func(tx *sqlite.Tx) error {
		count := func() (n int) {
			if err := tx.Get("SELECT count(*) FROM item", nil, &n); err != nil {
				t.Error(err)
			}
			return n
		}
		before := count()
		if err := db.Do(t.Context(), insert("b")); err != nil { // beside it
			t.Error(err)
		}
		if after := count(); before != 1 || after != 1 {
			t.Errorf("%d rows, then %d", before, after)
		}
		return insert("c")(tx)
	})
	if !errors.Is(err, sqlite.ErrReadOnly) {
		t.Fatalf("writing in a read: %v", err)
	}
	if got := names(t, db); !slices.Equal(got, []string{"a", "b"}) {
		t.Fatal(got)
	}
}

func TestContextEndsBeforeItBegan(t *testing.T) {
	db := open(t)
	inside, go_ := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	db.Submit(func(*sqlite.Tx) error { close(inside); <-go_; return nil }, func(err error) { done <- err })
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- db.Do(ctx, insert("never")) }()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(go_)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := names(t, db); len(got) != 0 {
		t.Fatalf("an abandoned function ran: %v", got)
	}
	if err := db.Do(ctx, insert("never")); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := db.Read(ctx, func(*sqlite.Tx) error { t.Error("read"); return nil }); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestContextEndsAfterItBegan(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Do(ctx, func(tx *sqlite.Tx) error {
		cancel()
		return insert("a")(tx)
	})
	if err != nil {
		t.Fatalf("the answer is not the truth: %v", err)
	}
	if got := names(t, db); !slices.Equal(got, []string{"a"}) {
		t.Fatal(got)
	}
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema))
	const n = 100
	var mu sync.Mutex
	committed := 0
	for i := range n {
		db.Submit(insert(fmt.Sprint(i)), func(err error) {
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			committed++
		})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if committed != n {
		t.Fatalf("%d answers at the end of Close", committed)
	}
	mu.Unlock()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Do(t.Context(), insert("late")); !errors.Is(err, sqlite.ErrClosed) {
		t.Fatal(err)
	}
	if err := db.Read(t.Context(), func(*sqlite.Tx) error { return nil }); !errors.Is(err, sqlite.ErrClosed) {
		t.Fatal(err)
	}
	again := openAt(t, path, files(schema))
	if got := names(t, again); len(got) != n {
		t.Fatalf("%d rows after reopening", len(got))
	}
}

func TestManyCallersAtOnce(t *testing.T) {
	db := open(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if err := db.Do(t.Context(), insert(fmt.Sprintf("%d-%d", i, j))); err != nil {
					t.Error(err)
				}
				if j%10 == 0 {
					if got := names(t, db); len(got) < j {
						t.Errorf("own writes are not seen: %d", len(got))
					}
				}
			}
		})
	}
	wg.Wait()
	if got := names(t, db); len(got) != 400 {
		t.Fatal(len(got))
	}
}

func TestDeletedIsErased(t *testing.T) {
	db := open(t)
	marker := []byte("MARKER-of-what-must-not-stay-MARKER")
	big := append(slices.Repeat(marker, 400), marker...) // over several pages
	err := db.Do(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec("INSERT INTO item (name, data) VALUES ('m', ?), ('n', ?)", big, marker)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found(t, db.Path(), marker) {
		t.Fatal("the test sees nothing")
	}
	err = db.Do(t.Context(), func(tx *sqlite.Tx) error { _, err := tx.Exec("DELETE FROM item"); return err })
	if err := errors.Join(err, db.Checkpoint(t.Context())); err != nil {
		t.Fatal(err)
	}
	if found(t, db.Path(), marker) {
		t.Fatal("what was deleted is still in the files")
	}
	before := size(t, db.Path())
	if err := errors.Join(db.Vacuum(t.Context(), 1000), db.Checkpoint(t.Context())); err != nil {
		t.Fatal(err)
	}
	if after := size(t, db.Path()); after >= before {
		t.Fatalf("vacuum: %d bytes before, %d after", before, after)
	}
}

// found looks for bytes in a database's files.
func found(t *testing.T, path string, marker []byte) bool {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), string(marker)) {
			return true
		}
	}
	return false
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// connections counts what the driver opened, by data source.
var connections struct {
	sync.Mutex
	opened map[string]int
}

func init() { // not while connections are opened
	connections.opened = map[string]int{}
	driver.RegisterConnectionHook(func(_ driver.ExecQuerierContext, dsn string) error {
		connections.Lock()
		defer connections.Unlock()
		connections.opened[dsn]++
		return nil
	})
}

// readersOf is how many connections to read by were opened to a database.
func readersOf(path string) (n int) {
	connections.Lock()
	defer connections.Unlock()
	for dsn, opened := range connections.opened {
		if strings.Contains(dsn, path) && strings.Contains(dsn, "_query_only") {
			n += opened
		}
	}
	return n
}

// Who reads one after the other reads over one connection.
func TestReadersAreOpenedWhenNeeded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema))
	nothing := func(*sqlite.Tx) error { return nil }
	if n := readersOf(path); n != 0 {
		t.Errorf("%d before the first read", n)
	}
	for range 10 {
		if err := db.Read(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
	}
	if n := readersOf(path); n != 1 {
		t.Errorf("%d for one read after the other", n)
	}
	if err := db.Read(t.Context(), func(*sqlite.Tx) error { return db.Read(t.Context(), nothing) }); err != nil || readersOf(path) != 2 {
		t.Errorf("%d for two at a time: %v", readersOf(path), err)
	}
}

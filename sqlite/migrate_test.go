package sqlite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

const (
	second = "ALTER TABLE item ADD COLUMN size INTEGER NOT NULL DEFAULT 5;\n"
	// counts would count twice if it ran twice.
	counts = "UPDATE item SET size = size + 1;\n"
	broken = "UPDATE item SET size = 100;\nINSERT INTO nowhere VALUES (1);\n"
)

func TestUpgradeKeepsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema))
	if err := errors.Join(db.Do(t.Context(), insert("a")), db.Close()); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path, files(schema, second, counts))
	var n int
	err := db.Read(t.Context(), func(tx *sqlite.Tx) error { return tx.Get("SELECT size FROM item WHERE name = 'a'", nil, &n) })
	if err != nil || n != 6 {
		t.Fatal(n, err)
	}
}

func TestFailedMigrationLeavesTheLastSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema, second))
	if err := errors.Join(db.Do(t.Context(), insert("a")), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema, second, broken)}); err == nil {
		t.Fatal("a broken migration was taken")
	}
	db = openAt(t, path, files(schema, second))
	var n int
	err := db.Read(t.Context(), func(tx *sqlite.Tx) error { return tx.Get("SELECT size FROM item WHERE name = 'a'", nil, &n) })
	if err != nil || n != 5 {
		t.Fatal(n, err)
	}
}

func TestFutureSchemaIsRefusedUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema, second, counts))
	if err := errors.Join(db.Do(t.Context(), insert("a")), db.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema)})
	var future *sqlite.FutureError
	if !errors.Is(err, sqlite.ErrFuture) || !errors.As(err, &future) || future.Has != 3 || future.Knows != 1 || future.Path != path {
		t.Fatalf("error %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Fatalf("the file changed (%v)", err)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("this is no database\n"), 500), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		garbage:                               sqlite.ErrCorrupt,
		filepath.Join(dir, "no", "folder.db"): os.ErrNotExist,
		dir:                                   nil, // a folder
	} {
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema)})
		if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	data, err := os.ReadFile(garbage)
	if err != nil || !strings.HasPrefix(string(data), "this is no database") {
		t.Fatalf("the file was touched (%v)", err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := openAt(t, path, files(schema))
	for i := range 2000 {
		db.Submit(insert(fmt.Sprintf("name %d", i)), func(error) {})
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 3; i < len(data); i++ {
		data[i] ^= 0x5a
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err = sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema)})
	if err == nil {
		err = db.Read(t.Context(), func(tx *sqlite.Tx) error {
			return tx.Each("SELECT name FROM item ORDER BY name", nil, func(sqlite.Row) error { return nil })
		})
		if e := db.Close(); e != nil {
			t.Log(e)
		}
	}
	if !errors.Is(err, sqlite.ErrCorrupt) || !sqlite.IsDisk(err) {
		t.Fatal(err)
	}
}

// Test binary as another process: what it does is in the environment.
const (
	envRole = "SQLITE_TEST_ROLE"
	envPath = "SQLITE_TEST_PATH"
	envName = "SQLITE_TEST_NAME"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(envRole); role != "" {
		if err := child(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(role string) error {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, os.Getenv(envPath), sqlite.Options{Migrations: files(schema, second, counts), Busy: time.Minute})
	if err != nil {
		return err
	}
	name := os.Getenv(envName)
	switch role {
	case "write":
		for i := range 100 {
			if err := db.Do(ctx, insert(fmt.Sprintf("%s %d", name, i))); err != nil {
				return err
			}
		}
		return db.Close()
	case "die":
		// Says what is on the disk, until it is killed.
		for i := 0; ; i++ {
			if err := db.Do(ctx, insert(fmt.Sprintf("%s %d", name, i))); err != nil {
				return err
			}
			fmt.Println(i)
		}
	case "lock":
		return db.Do(ctx, func(*sqlite.Tx) error {
			fmt.Println("locked")
			_, err := os.Stdin.Read(make([]byte, 1)) // until it is told
			if err != nil {
				return err
			}
			return nil
		})
	}
	return fmt.Errorf("role %q", role)
}

// start starts the test binary in a role.
func start(t *testing.T, role, path, name string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), envRole+"="+role, envPath+"="+path, envName+"="+name)
	cmd.Stderr = os.Stderr
	return cmd
}

// Several processes open a new database at once, migrate it once, and write.
func TestProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	old := openAt(t, path, files(schema)) // of an older version, and stays open
	if err := old.Do(t.Context(), insert("old")); err != nil {
		t.Fatal(err)
	}
	var all []*exec.Cmd
	for i := range 4 {
		cmd := start(t, "write", path, fmt.Sprintf("p%d", i))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, cmd)
	}
	for _, cmd := range all {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, old); len(got) != 401 {
		t.Fatalf("%d rows", len(got))
	}
	var n int
	err := old.Read(t.Context(), func(tx *sqlite.Tx) error { return tx.Get("SELECT size FROM item WHERE name = 'old'", nil, &n) })
	if err != nil || n != 6 {
		t.Fatalf("a migration ran %d times (%v)", n-5, err)
	}
}

// A process that has always something to commit lets others in.
func TestBusyWriterLetsOthersIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: files(schema, second, counts), Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	const inFlight = 64
	free, stop, stopped := make(chan struct{}, inFlight), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case free <- struct{}{}:
			case <-stop:
				return
			}
			db.Submit(insert(fmt.Sprintf("busy %d", n)), func(err error) {
				if err != nil {
					t.Error(err)
				}
				<-free
			})
		}
	}()
	cmd := start(t, "write", path, "other")
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
	close(stop)
	<-stopped
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

func TestKilledProcessLosesNothingItSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	cmd := start(t, "die", path, "p")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := -1
	for said < 50 {
		if _, err := fmt.Fscan(out, &said); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		n := 0
		if _, err := fmt.Fscan(out, &n); err != nil {
			break
		}
		said = n
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was not killed")
	}
	db := openAt(t, path, files(schema, second, counts))
	got := names(t, db)
	if len(got) <= said || !slices.Contains(got, fmt.Sprintf("p %d", said)) {
		t.Fatalf("said %d, %d rows", said, len(got))
	}
	var check string
	if err := db.Read(t.Context(), func(tx *sqlite.Tx) error { return tx.Get("PRAGMA integrity_check", nil, &check) }); err != nil || check != "ok" {
		t.Fatal(check, err)
	}
}

func TestAnotherProcessKeepsItLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	all := files(schema, second, counts)
	openAt(t, path, all)
	cmd := start(t, "lock", path, "p")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var word string
	if _, err := fmt.Fscan(out, &word); err != nil {
		t.Fatal(err)
	}
	db, err := sqlite.Open(t.Context(), path, sqlite.Options{Migrations: all, Busy: time.Millisecond})
	if err != nil {
		t.Fatal(err) // an up-to-date schema needs no lock
	}
	defer db.Close()
	if err := db.Do(t.Context(), insert("a")); !errors.Is(err, sqlite.ErrLocked) {
		t.Fatalf("error %v", err)
	}
	if got := names(t, db); len(got) != 0 { // reads go on
		t.Fatal(got)
	}
	if _, err := in.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := db.Do(t.Context(), insert("a")); err != nil {
		t.Fatal(err)
	}
}

package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/store"
)

// script runs SQL in the database of a folder.
func script(t *testing.T, dir, sql string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, store.DatabaseName), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Do(t.Context(), func(tx *sqlite.Tx) error { _, err := tx.Exec(sql); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// schemaOf is the schema of a folder's database as SQL.
func schemaOf(t *testing.T, dir string) (text string) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, store.DatabaseName), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Read(t.Context(), func(q *sqlite.Tx) error {
		return q.Each("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", nil, func(r sqlite.Row) error {
			text += r.Text(0) + ";\n"
			return nil
		})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return text
}

// testdata/broker-1.sql is a broker.db of the first schema with a row in each
// table. It is never changed: brokers with it are running.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	dir := t.TempDir()
	first, err := os.ReadFile("testdata/broker-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	script(t, dir, string(first))
	s, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	anew := t.TempDir()
	if fresh, err := store.OpenSQLite(t.Context(), anew); err != nil || fresh.Close() != nil {
		t.Fatal(err)
	}
	if got, want := schemaOf(t, dir), schemaOf(t, anew); got != want {
		t.Errorf("upgraded, the schema is\n%s\nmade anew, it is\n%s", got, want)
	}
	all, err := s.Meshes(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	mesh := all[0].ID
	got, err := s.Fetch(t.Context(), mesh, &delivery.Fetch{Kind: delivery.FetchMessage, Sender: keys.Public{1}, ID: keys.MessageID{1}})
	if err != nil || len(got.Rows) != 2 || string(got.Rows[1].Sealed) != "sealed" || string(got.Rows[1].Box) != "box b" || got.Rows[0].Session != (keys.SessionID{7}) {
		t.Errorf("%+v, %v", got, err)
	}
	outcomes, err := s.Fetch(t.Context(), mesh, &delivery.Fetch{Kind: delivery.FetchOutcomes, To: keys.Public{1}})
	if err != nil || len(outcomes.Outcomes) != 1 {
		t.Errorf("%+v, %v", outcomes, err)
	}
	claims, err := s.Write(t.Context(), store.Batch{Mesh: mesh, Ops: []delivery.Effect{
		{Kind: delivery.EffectClaim, Claim: &delivery.Claim{From: keys.Public{1}, ID: keys.MessageID{2}, By: keys.Public{3}}}}})
	if err != nil || claims[0].By != (keys.Public{2}) {
		t.Errorf("%+v, %v", claims, err)
	}
	cards, err := s.Cards(t.Context(), mesh)
	if err != nil || len(cards) != 1 {
		t.Errorf("%+v, %v", cards, err)
	}
	presence, err := s.Presence(t.Context(), mesh)
	if err != nil || len(presence) != 1 {
		t.Errorf("%+v, %v", presence, err)
	}
	if err := s.CheckAudit(t.Context(), mesh); err != nil {
		t.Error(err)
	}
	if life, err := s.Setting(t.Context(), "life"); err != nil || life != "3" {
		t.Error(life, err)
	}
}

func TestFutureDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	script(t, dir, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if _, err := store.OpenSQLite(t.Context(), dir); !errors.Is(err, store.ErrFuture) {
		t.Fatal(err)
	}
}

func TestDamagedDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, store.DatabaseName)
	if err := os.WriteFile(path, []byte("this was a database once, and now it is some text of over 100 bytes, which makes no header of it at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.OpenSQLite(t.Context(), dir); !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}

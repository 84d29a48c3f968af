package store

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DatabaseName is the embedded database's file in the broker's data folder.
const DatabaseName = "broker.db"

// tidyPages is how many pages (of 4 KiB) one Tidy gives back to the system.
const tidyPages = 1024

// sqliteStore keeps everything in one SQLite database.
type sqliteStore struct {
	db     *sqlite.DB
	writer string // this process, in the audit log

	queue submits
	ints  ints
	audit audits
}

// OpenSQLite opens the embedded database in a folder, making it where it is not
// there. One process may have it open.
func OpenSQLite(ctx context.Context, dir string) (Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, DatabaseName), sqlite.Options{Migrations: files})
	if err != nil {
		return nil, err
	}
	id := make([]byte, 8)
	if _, err := rand.Read(id); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s := &sqliteStore{db: db, writer: hex.EncodeToString(id)}
	s.ints.init()
	s.audit.last = map[keys.MeshID][32]byte{}
	return s, nil
}

// Close commits what was submitted and closes the database.
func (s *sqliteStore) Close() error {
	s.queue.close()
	return s.db.Close()
}

// update runs fn in a transaction that may write.
func (s *sqliteStore) update(ctx context.Context, fn func(*tx) error) error {
	var t *tx
	err := s.db.Do(ctx, func(q *sqlite.Tx) error {
		t = &tx{Tx: q, ints: &s.ints}
		return fn(t)
	})
	if err == nil {
		t.learn()
	}
	return err
}

// view runs fn over one unchanging state.
func (s *sqliteStore) view(ctx context.Context, fn func(*tx) error) error {
	t := &tx{ints: &s.ints}
	err := s.db.Read(ctx, func(q *sqlite.Tx) error {
		t.Tx = q
		return fn(t)
	})
	if err == nil {
		t.learn()
	}
	return err
}

// ints knows the small integers of meshes and peers. They never change and are
// never used again. mu guards all.
type ints struct {
	mu    sync.RWMutex
	mesh  map[keys.MeshID]int64
	peers map[peerKey]int64
	names map[int64]keys.Public
}

// peerKey is a peer's key in a mesh.
type peerKey struct {
	mesh int64
	key  keys.Public
}

func (n *ints) init() {
	n.mesh = map[keys.MeshID]int64{}
	n.peers = map[peerKey]int64{}
	n.names = map[int64]keys.Public{}
}

// tx is a transaction that knows small integers.
type tx struct {
	*sqlite.Tx
	ints    *ints
	newMesh map[keys.MeshID]int64 // met in this transaction
	newPeer map[peerKey]int64
}

// learn keeps the integers of a transaction that ended well. Not earlier: one
// that was read may have been made by another function of the same commit,
// which may still fail and give the integer to somebody else.
func (t *tx) learn() {
	if len(t.newMesh) == 0 && len(t.newPeer) == 0 {
		return
	}
	t.ints.mu.Lock()
	defer t.ints.mu.Unlock()
	for id, n := range t.newMesh {
		t.ints.mesh[id] = n
	}
	for p, n := range t.newPeer {
		t.ints.peers[p], t.ints.names[n] = n, p.key
	}
}

// mesh is a mesh's small integer; [ErrNotFound].
func (t *tx) mesh(id keys.MeshID) (int64, error) {
	if n := t.newMesh[id]; n != 0 {
		return n, nil
	}
	t.ints.mu.RLock()
	n := t.ints.mesh[id]
	t.ints.mu.RUnlock()
	if n != 0 {
		return n, nil
	}
	err := t.Get("SELECT id FROM mesh WHERE mesh_id = ?", []any{id[:]}, &n)
	if errors.Is(err, sqlite.ErrNoRows) {
		return 0, fmt.Errorf("mesh %s: %w", id, ErrNotFound)
	}
	if err == nil {
		if t.newMesh == nil {
			t.newMesh = map[keys.MeshID]int64{}
		}
		t.newMesh[id] = n
	}
	return n, err
}

// known is a peer's small integer, 0 if it has none.
func (t *tx) known(mesh int64, key keys.Public) (int64, error) {
	p := peerKey{mesh, key}
	if n := t.newPeer[p]; n != 0 {
		return n, nil
	}
	t.ints.mu.RLock()
	n := t.ints.peers[p]
	t.ints.mu.RUnlock()
	if n != 0 {
		return n, nil
	}
	err := t.Get("SELECT id FROM peer WHERE mesh = ? AND key = ?", []any{mesh, key[:]}, &n)
	if errors.Is(err, sqlite.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		t.note(p, n)
	}
	return n, err
}

// peer is a peer's small integer; it gives it one if there is none.
func (t *tx) peer(mesh int64, key keys.Public) (int64, error) {
	n, err := t.known(mesh, key)
	if n != 0 || err != nil {
		return n, err
	}
	if n, err = t.Insert("INSERT INTO peer (mesh, key) VALUES (?, ?)", mesh, key[:]); err == nil {
		t.note(peerKey{mesh, key}, n)
	}
	return n, err
}

// key is the key of a peer's small integer.
func (t *tx) key(n int64) (keys.Public, error) {
	t.ints.mu.RLock()
	key, ok := t.ints.names[n]
	t.ints.mu.RUnlock()
	if ok {
		return key, nil
	}
	var mesh int64
	var raw []byte
	if err := t.Get("SELECT mesh, key FROM peer WHERE id = ?", []any{n}, &mesh, &raw); err != nil {
		return key, err
	}
	copy(key[:], raw)
	t.note(peerKey{mesh, key}, n)
	return key, nil
}

// note keeps an integer for the rest of the transaction.
func (t *tx) note(p peerKey, n int64) {
	if t.newPeer == nil {
		t.newPeer = map[peerKey]int64{}
	}
	t.newPeer[p] = n
}

// AddToken is [Store.AddToken].
func (s *sqliteStore) AddToken(ctx context.Context, hash [32]byte, until int64) error {
	return s.update(ctx, func(t *tx) error {
		_, err := t.Exec("INSERT INTO create_token (hash, until) VALUES (?, ?)"+
			" ON CONFLICT DO UPDATE SET until = excluded.until", hash[:], until)
		return err
	})
}

// DropTokens is [Store.DropTokens].
func (s *sqliteStore) DropTokens(ctx context.Context) error {
	return s.update(ctx, func(t *tx) error {
		_, err := t.Exec("DELETE FROM create_token")
		return err
	})
}

// Setting is [Store.Setting].
func (s *sqliteStore) Setting(ctx context.Context, name string) (value string, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.Get("SELECT value FROM setting WHERE name = ?", []any{name}, &value)
	})
	if errors.Is(err, sqlite.ErrNoRows) {
		err = fmt.Errorf("setting %s: %w", name, ErrNotFound)
	}
	return value, err
}

// SetSetting is [Store.SetSetting].
func (s *sqliteStore) SetSetting(ctx context.Context, name, value string) error {
	return s.update(ctx, func(t *tx) error {
		_, err := t.Exec("INSERT INTO setting (name, value) VALUES (?, ?)"+
			" ON CONFLICT DO UPDATE SET value = excluded.value", name, value)
		return err
	})
}

// Tidy is [Store.Tidy].
func (s *sqliteStore) Tidy(ctx context.Context, now int64) error {
	err := s.update(ctx, func(t *tx) error {
		_, err := t.Exec("DELETE FROM create_token WHERE until < ?", now)
		return err
	})
	if err != nil {
		return err
	}
	return s.db.Vacuum(ctx, tidyPages)
}

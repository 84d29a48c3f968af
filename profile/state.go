package profile

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"sync"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// What can be wrong with state.db. Each error names the file.
var (
	// ErrStateFuture: a newer version of the program wrote it. It was not
	// touched.
	ErrStateFuture = sqlite.ErrFuture
	// ErrFull: the disk is full. Nothing of the transaction was kept.
	ErrFull = sqlite.ErrFull
	// ErrReadOnly: it cannot be written.
	ErrReadOnly = sqlite.ErrReadOnly
	// ErrStateUnreadable: it cannot be opened.
	ErrStateUnreadable = sqlite.ErrUnreadable
	// ErrLocked: another process kept it busy for too long.
	ErrLocked = sqlite.ErrLocked
	// ErrCorrupt: it is damaged, or no database.
	ErrCorrupt = sqlite.ErrCorrupt
	// ErrDisk: the disk failed.
	ErrDisk = sqlite.ErrDisk
	// ErrClosed: it was closed.
	ErrClosed = sqlite.ErrClosed
	// ErrNotFound: there is no such message, session or card.
	ErrNotFound = errors.New("not found")
)

//go:embed migrations/*.sql
var migrations embed.FS

// State is state.db, open. Every transaction sees what the other processes of
// the profile have committed, and is on the disk when it is answered.
type State struct {
	db  *sqlite.DB
	dir string // the profile
	run string // folder of the sessions' locks

	memory *memory // of functions that may write; the writer's goroutine only

	mu    sync.Mutex            // guards the rest, small integers, which never change, first
	mesh  map[keys.MeshID]int64 // once committed
	peers map[keys.Public]int64
	keys  map[int64]keys.Public
	own   map[keys.SessionID]bool // sessions of this process whose locks it holds
}

// OpenState opens state.db, making it where it is not there.
func (p *Profile) OpenState(ctx context.Context) (*State, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	memory := &memory{}
	memory.Forget()
	db, err := sqlite.Open(ctx, p.StatePath(), sqlite.Options{Migrations: files, Shared: true, Unchecked: true, Memory: memory})
	if err != nil {
		return nil, err
	}
	return &State{
		db: db, dir: p.dir, run: p.run, memory: memory,
		mesh: map[keys.MeshID]int64{}, peers: map[keys.Public]int64{}, keys: map[int64]keys.Public{},
		own: map[keys.SessionID]bool{},
	}, nil
}

// Close waits for transactions under way and closes the file. Sessions are to
// be ended before.
func (s *State) Close() error {
	err := s.db.Close()
	LeaveRun(s.dir)
	return err
}

// Update runs fn in a transaction that may write, for one mesh. When it
// returns nil, all that fn did is on the disk; else nothing of it is, and fn's
// error is returned. Transactions of this process share a commit with those
// that came meanwhile. fn must do nothing slow, keep tx, or call Update. It is run
// anew where another one that shares its commit failed: what it makes outside the
// transaction it must make from the beginning each time.
func (s *State) Update(ctx context.Context, mesh keys.MeshID, fn func(*Tx) error) error {
	var tx *Tx
	err := s.db.Do(ctx, func(q *sqlite.Tx) (err error) {
		if tx, err = s.begin(q, mesh, true); err != nil {
			return err
		}
		return fn(tx)
	})
	if err == nil {
		s.learn(tx)
	}
	return err
}

// Submit is Update without waiting: done is called with the outcome, in the
// order of the Submits, by a goroutine that it must not block.
func (s *State) Submit(mesh keys.MeshID, fn func(*Tx) error, done func(error)) {
	var tx *Tx
	s.db.Submit(func(q *sqlite.Tx) (err error) {
		if tx, err = s.begin(q, mesh, true); err != nil {
			return err
		}
		return fn(tx)
	}, func(err error) {
		if err == nil {
			s.learn(tx)
		}
		done(err)
	})
}

// View runs fn over one unchanging state of one mesh. Writing in it fails.
func (s *State) View(ctx context.Context, mesh keys.MeshID, fn func(*Tx) error) error {
	var tx *Tx
	err := s.db.Read(ctx, func(q *sqlite.Tx) (err error) {
		if tx, err = s.begin(q, mesh, false); err != nil {
			return err
		}
		return fn(tx)
	})
	if err == nil {
		s.learn(tx)
	}
	return err
}

// Tx is a transaction over the state of one mesh, valid inside the function
// that it was given to.
type Tx struct {
	s    *State
	q    *sqlite.Tx
	mesh int64 // 0: nothing is known of the mesh yet, in a View
	id   keys.MeshID
	ints map[keys.Public]int64 // integers of peers met in this transaction

	memory *memory // nil in a View
}

// begin finds the mesh's integer, or gives it one.
func (s *State) begin(q *sqlite.Tx, mesh keys.MeshID, write bool) (*Tx, error) {
	tx := &Tx{s: s, q: q, id: mesh}
	if write {
		tx.memory = s.memory
	}
	s.mu.Lock()
	tx.mesh = s.mesh[mesh]
	s.mu.Unlock()
	if tx.mesh != 0 {
		return tx, nil
	}
	err := q.Get("SELECT id FROM mesh WHERE mesh_id = ?", []any{mesh[:]}, &tx.mesh)
	if !errors.Is(err, sqlite.ErrNoRows) {
		return tx, err
	}
	if !write {
		return tx, nil
	}
	return tx, q.Get("INSERT INTO mesh (mesh_id) VALUES (?) RETURNING id", []any{mesh[:]}, &tx.mesh)
}

// learn keeps the integers of a transaction that ended well. Not earlier: one
// that was read may have been made by another function of the same commit,
// which may still fail and give the integer to somebody else.
func (s *State) learn(tx *Tx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tx.mesh != 0 {
		s.mesh[tx.id] = tx.mesh
	}
	for key, n := range tx.ints {
		s.peers[key], s.keys[n] = n, key
	}
}

// note keeps an integer for the rest of the transaction.
func (tx *Tx) note(key keys.Public, n int64) {
	if tx.ints == nil {
		tx.ints = map[keys.Public]int64{}
	}
	tx.ints[key] = n
}

// peer is a key's small integer; it gives it one if there is none.
func (tx *Tx) peer(key keys.Public) (int64, error) {
	n, err := tx.known(key)
	if n != 0 || err != nil {
		return n, err
	}
	if err := tx.q.Get("INSERT INTO peer (key) VALUES (?) RETURNING id", []any{key[:]}, &n); err != nil {
		return 0, err
	}
	tx.note(key, n)
	return n, nil
}

// known is a key's small integer, 0 if it has none.
func (tx *Tx) known(key keys.Public) (int64, error) {
	if n := tx.ints[key]; n != 0 {
		return n, nil
	}
	tx.s.mu.Lock()
	n := tx.s.peers[key]
	tx.s.mu.Unlock()
	if n != 0 {
		return n, nil
	}
	err := tx.q.Get("SELECT id FROM peer WHERE key = ?", []any{key[:]}, &n)
	if errors.Is(err, sqlite.ErrNoRows) {
		return 0, nil
	}
	if err == nil {
		tx.note(key, n)
	}
	return n, err
}

// key is the key of a small integer.
func (tx *Tx) key(n int64) (keys.Public, error) {
	tx.s.mu.Lock()
	key, ok := tx.s.keys[n]
	tx.s.mu.Unlock()
	if ok {
		return key, nil
	}
	var raw []byte
	if err := tx.q.Get("SELECT key FROM peer WHERE id = ?", []any{n}, &raw); err != nil {
		return key, err
	}
	copy(key[:], raw)
	tx.note(key, n)
	return key, nil
}

// sid reads a session's id, zero where it is NULL.
func sid(raw []byte) (id keys.SessionID) {
	copy(id[:], raw)
	return id
}

// mid reads a message's id, zero where it is NULL.
func mid(raw []byte) (id keys.MessageID) {
	copy(id[:], raw)
	return id
}

// orNull is an id's bytes, nil where it is zero.
func orNull[T ~[16]byte](id T) []byte {
	if id == (T{}) {
		return nil
	}
	return append([]byte(nil), id[:]...)
}

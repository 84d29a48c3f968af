// Package store is the broker's durable state: meshes and their chains, what
// waits for whom, cards, presence and the audit log. It keeps ciphertext and
// signed bytes as they came, and can open neither.
//
// [Store] is shaped by what the broker needs, not by tables. Its
// implementations promise the same, which the suite in storetest checks:
//
//   - What is answered without an error is on the disk.
//   - A [Batch] is kept as a whole or not at all, and batches in the order in
//     which they were submitted, each answered in that order.
//   - A chain is extended by comparing and setting: of two appends to the same
//     place one is answered [ErrConflict].
//   - Nothing is read that was not committed.
//
// Times are Unix milliseconds.
package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// What a caller decides by.
var (
	// ErrNotFound: there is no such mesh, chain, token or setting.
	ErrNotFound = errors.New("store: not found")
	// ErrExists: the mesh is there already.
	ErrExists = errors.New("store: the mesh exists already")
	// ErrConflict: the chain has moved on. See [ConflictError].
	ErrConflict = errors.New("store: the chain has moved on")
	// ErrClosed: the store was closed.
	ErrClosed = sqlite.ErrClosed
	// ErrFull: the disk is full. Nothing of what was asked for was kept.
	ErrFull = sqlite.ErrFull
	// ErrReadOnly: the database cannot be written.
	ErrReadOnly = sqlite.ErrReadOnly
	// ErrUnreadable: the database cannot be opened.
	ErrUnreadable = sqlite.ErrUnreadable
	// ErrLocked: another program keeps the database busy.
	ErrLocked = sqlite.ErrLocked
	// ErrCorrupt: the database is damaged, or is none.
	ErrCorrupt = sqlite.ErrCorrupt
	// ErrDisk: the disk failed.
	ErrDisk = sqlite.ErrDisk
	// ErrFuture: a newer version of the program wrote the database. It was not
	// touched.
	ErrFuture = sqlite.ErrFuture
)

// ConflictError is the evidence of [ErrConflict], which it is.
type ConflictError struct {
	N    uint64   // place of the chain's last entry
	Hash [32]byte // its hash
}

// Error says where the chain is now.
func (e *ConflictError) Error() string { return fmt.Sprintf("%v: it is at entry %d", ErrConflict, e.N) }

// Is makes the error match [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Roster is the chain that every mesh has: its membership. Channels have ids
// of their own.
var Roster [32]byte

// Mesh is a mesh that this broker serves.
type Mesh struct {
	ID      keys.MeshID
	Name    string // from its genesis
	Created int64
	Head    Head // of the roster
}

// Entry is one signed entry of a chain, as it came.
type Entry struct {
	N      uint64
	Hash   [32]byte
	Signed []byte
	Sig    []byte
}

// Head is a chain's newest head, as the broker signed it.
type Head struct {
	N      uint64
	Hash   [32]byte // of entry N
	Time   int64
	Life   uint64
	Signed []byte
	Sig    []byte
}

// Append extends a chain.
type Append struct {
	Mesh  keys.MeshID
	Chain [32]byte // zero: the roster
	// Prev is the hash of the entry before the first of Entries; without
	// entries, of the last one there is.
	Prev [32]byte
	// Entries follow one another. None: only the head is replaced (a new life).
	Entries []Entry
	// Head is over the last entry.
	Head Head
}

// NewMesh is a mesh to create.
type NewMesh struct {
	ID      keys.MeshID
	Name    string
	Created int64
	Entries []Entry // from the genesis on
	Head    Head
	// Token is the hash of a one-time token that is used up by this; zero: none
	// is needed.
	Token [32]byte
}

// Card is what a peer said about itself and signed, as it came. A card with a
// session is the session's, one without the peer's.
type Card struct {
	Peer    keys.Public
	Session keys.SessionID // zero: the peer's card
	Counter uint64         // a higher one replaces
	Signed  []byte
	Sig     []byte
	// Extras is what is sealed beside the card, in the broker's own encoding;
	// nil where there is none.
	Extras []byte
	Time   int64 // when the broker took it
}

// Presence is a session that is connected, for the broker's operator. Nothing
// of it is signed.
type Presence struct {
	Session   keys.SessionID
	Mesh      keys.MeshID
	Peer      keys.Public
	Label     string
	Status    string // as its card says
	Receives  string
	Client    string
	PID       int64
	CWD       string
	Host      string
	Connected int64 // since when
	Seen      int64 // last sign of life
}

// Seen is one peer's last sign of life, kept while it is away.
type Seen struct {
	Peer keys.Public
	Time int64
}

// Audit is one row of the audit log: metadata, never payload.
type Audit struct {
	Mesh   keys.MeshID
	Event  string // "message", "connect", "append", …
	Actor  string // fingerprint of a key or "", never a key
	Target string
	// Metadata is a JSON object: size, priority, times, counts.
	Metadata string
	Time     int64
	// Hash chains the row to the one before of the same mesh and writer; set
	// by the store.
	ID   int64
	Hash [32]byte
}

// Store is what the broker keeps. All methods may be called from any
// goroutine. Slices handed in must not change before the answer; those handed
// out belong to the caller.
type Store interface {
	// Meshes lists all meshes, by age.
	Meshes(ctx context.Context) ([]Mesh, error)
	// Mesh finds one; [ErrNotFound].
	Mesh(ctx context.Context, id keys.MeshID) (Mesh, error)
	// CreateMesh keeps a new mesh with its first entries, and uses up its
	// token, all or nothing. [ErrExists]; [ErrNotFound] for a token that is
	// unknown, used or past its time.
	CreateMesh(ctx context.Context, m NewMesh) error

	// Append extends a chain, all or nothing, if it still ends with Prev;
	// else [ConflictError]. A channel's first entry (N 0) makes its chain.
	Append(ctx context.Context, a Append) error
	// Entries reads a chain from place from on: at most limit entries and,
	// beyond the first, bytes of them. None is no error.
	Entries(ctx context.Context, mesh keys.MeshID, chain [32]byte, from uint64, limit, bytes int) ([]Entry, error)
	// Head reads a chain's newest head; [ErrNotFound].
	Head(ctx context.Context, mesh keys.MeshID, chain [32]byte) (Head, error)

	Queue

	// SaveCard keeps a card, if it is newer than the one there is; it reports
	// whether it was.
	SaveCard(ctx context.Context, mesh keys.MeshID, c Card) (bool, error)
	// Cards lists the peers' cards (not the sessions') of a mesh.
	Cards(ctx context.Context, mesh keys.MeshID) ([]Card, error)
	// DropCards forgets a peer's cards, also its sessions'.
	DropCards(ctx context.Context, mesh keys.MeshID, peer keys.Public) error

	// SavePresence notes sessions that came or changed.
	SavePresence(ctx context.Context, sessions ...Presence) error
	// DropPresence forgets sessions that ended at a time, with their cards, and
	// notes when their peers were last here.
	DropPresence(ctx context.Context, mesh keys.MeshID, at int64, sessions ...keys.SessionID) error
	// ClearPresence forgets all sessions, at the start of a broker whose last
	// run did not say goodbye.
	ClearPresence(ctx context.Context) error
	// Presence lists the sessions of a mesh.
	Presence(ctx context.Context, mesh keys.MeshID) ([]Presence, error)
	// LastSeen lists when the peers of a mesh were last connected.
	LastSeen(ctx context.Context, mesh keys.MeshID) ([]Seen, error)

	// Audit appends rows, each hashed with the one before of its mesh and of
	// this process.
	Audit(ctx context.Context, rows []Audit) error
	// AuditLog reads rows of a mesh after an id, oldest first.
	AuditLog(ctx context.Context, mesh keys.MeshID, after int64, limit int) ([]Audit, error)
	// CheckAudit verifies the hashes of a mesh's rows; [AuditError] names the
	// first that does not fit.
	CheckAudit(ctx context.Context, mesh keys.MeshID) error

	// AddToken allows one mesh to be created until a time, by whoever has the
	// token of this hash.
	AddToken(ctx context.Context, hash [32]byte, until int64) error
	// DropTokens forgets all tokens.
	DropTokens(ctx context.Context) error

	// Setting reads a value kept by SetSetting; [ErrNotFound].
	Setting(ctx context.Context, name string) (string, error)
	// SetSetting keeps a value.
	SetSetting(ctx context.Context, name, value string) error

	// Tidy removes tokens that are past their time, and gives free space back
	// to the system, a bounded piece at a time. Call it every minute or so.
	Tidy(ctx context.Context, now int64) error
	// Close commits what was submitted and lets go of everything.
	Close() error
}

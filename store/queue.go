package store

import (
	"context"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Lane is one order of a recipient's queue: one for each priority, and one for
// receipts.
type Lane uint8

// Row is one message that waits for one recipient.
type Row struct {
	To      keys.Public
	Lane    Lane
	N       int64 // its place in the lane
	From    keys.Public
	ID      keys.MessageID
	Session keys.SessionID
	Box     []byte
	Body    []byte
	Expires int64
	Sent    int64
	Claim   bool
}

// Place names a row.
type Place struct {
	To   keys.Public
	Lane Lane
	N    int64
}

// Outcome is what became of a message for one recipient, kept for a sender
// that was away.
type Outcome struct {
	From    keys.Public // the sender, to whom it will be told
	ID      keys.MessageID
	To      keys.Public
	State   wire.State
	Why     wire.Why
	Time    int64
	Expires int64
}

// Claim says which device of a user shows a message.
type Claim struct {
	From    keys.Public // the message's sender
	ID      keys.MessageID
	Device  keys.Public
	Expires int64
}

// Batch is what the broker wants kept together.
type Batch struct {
	Mesh         keys.MeshID
	Save         []Row
	Drop         []Place
	SaveOutcomes []Outcome
	DropOutcomes []Outcome
	SaveClaims   []Claim
}

// Backlog says what waits in one lane of one recipient.
type Backlog struct {
	To    keys.Public
	Lane  Lane
	Count int
	Last  int64
}

// Wanted asks for waiting rows.
type Wanted struct {
	Mesh  keys.MeshID
	To    keys.Public
	Lane  Lane
	From  int64 // rows before this place are left out
	Limit int
	Bytes int
}

// Queue is the part of [Store] that carries messages.
type Queue interface {
	// Submit keeps a batch and calls done, once, from the store's own
	// goroutine, in the order of the Submits; done must not block.
	Submit(b Batch, done func(error))
	// Write is Submit, and waits.
	Write(ctx context.Context, b Batch) error
	// Waiting reads the lowest rows of a lane.
	Waiting(ctx context.Context, w Wanted) ([]Row, error)
	// Backlogs says for every lane of a mesh in which something waits how much.
	Backlogs(ctx context.Context, mesh keys.MeshID) ([]Backlog, error)
	// Outcomes reads what is to be told to a sender, oldest first.
	Outcomes(ctx context.Context, mesh keys.MeshID, from keys.Public, limit int) ([]Outcome, error)
	// Claims reads all claims of a mesh that have not expired.
	Claims(ctx context.Context, mesh keys.MeshID, now int64) ([]Claim, error)
}

// AuditError says that the audit log was changed.
type AuditError struct{ ID int64 }

// Error names the row.
func (e *AuditError) Error() string { return "store: the audit log does not fit from a row on" }

// OpenSQLite opens the embedded database in a folder.
func OpenSQLite(ctx context.Context, dir string) (Store, error) { return nil, ErrNotFound }

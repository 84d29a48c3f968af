package store

import (
	"context"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
)

// Batch is what a mesh's delivery machine wants kept together: all of it or
// nothing.
type Batch struct {
	Mesh keys.MeshID
	// Ops are effects of the kinds Save, Claim, Drop, Trim, SaveOutcome,
	// DropOutcome and Sweep, in the machine's order. The slice is the store's
	// until the answer: the machine's own buffer must be copied. None is fine:
	// such a batch is answered behind all before it.
	Ops []delivery.Effect
}

// Fetched answers a [delivery.Fetch].
type Fetched struct {
	// Rows are what was asked for; rows of one message share its Message.
	Rows     []*delivery.Row
	Outcomes []delivery.Outcome
	// More: there are more than these.
	More bool
}

// Backlog is what waits in a mesh when its machine starts.
type Backlog struct {
	// Queues has one element for each recipient with rows.
	Queues []delivery.Backlog
	// Outcomes are the senders for whom outcomes are kept.
	Outcomes []keys.Public
}

// Queue is the part of [Store] that carries messages.
type Queue interface {
	// Submit keeps a batch and calls done, once, with what each claim among
	// its ops came to, in their order. Batches are kept in the order of the
	// Submits and answered in it, by a goroutine of the store's that done must
	// not block; done may call Submit. After Close, done is called at once, by
	// the caller's goroutine, with [ErrClosed].
	Submit(b Batch, done func(claims []delivery.ClaimResult, err error))
	// Write is Submit, and waits. When ctx ends first its error is returned,
	// and the batch may be kept or not.
	Write(ctx context.Context, b Batch) ([]delivery.ClaimResult, error)
	// Fetch reads rows or outcomes. It sees what was answered before, and maybe
	// what is under way.
	Fetch(ctx context.Context, mesh keys.MeshID, f *delivery.Fetch) (Fetched, error)
	// Backlog reads what waits in a mesh, without the messages themselves.
	Backlog(ctx context.Context, mesh keys.MeshID) (Backlog, error)
	// Waiting counts what waits in all meshes. It costs in proportion to it.
	Waiting(ctx context.Context) (Waiting, error)
}

// Waiting is how much waits.
type Waiting struct {
	Messages int64 // and receipts, one for each recipient
	Oldest   int64 // when the oldest of them was taken; 0 where none waits
}

package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Target is one recipient of an [OutboxRow] and what became of it there.
type Target struct {
	Key     keys.Public
	Session keys.SessionID // hint; zero: none
	Box     []byte         // its own box; nil: Sealed is a box itself
	State   wire.State     // StatePending until acknowledged
	Why     wire.Why
}

// OutboxRow is a message that its sender keeps until the broker acknowledged
// it for every target, or with One for any.
type OutboxRow struct {
	Place    int64          // order in the profile, rising; given by state.db
	Session  keys.SessionID // the session whose process sends it
	ID       keys.MessageID
	Class    wire.Class
	Priority wire.Priority
	One      bool
	Expires  int64 // Unix ms
	Sealed   []byte
	To       []Target
}

// Done tells whether nothing is left to send of the row.
func (r *OutboxRow) Done() bool { return false }

// OutboxEffectKind says what an [OutboxEffect] asks for.
type OutboxEffectKind uint8

// Kinds of effects of an [Outbox].
const (
	// OutboxSend sends Row to those of its targets that are StatePending, after
	// checking them against the roster; who left is told by Refuse.
	OutboxSend OutboxEffectKind = iota + 1
	// OutboxState writes what became of a message (ID) for a recipient (To) into
	// what was sent and into the row: State, Why. It is to be merged by Advance.
	OutboxState
	// OutboxDone deletes the row Place, in the transaction of the OutboxState
	// before it.
	OutboxDone
	// OutboxLoad reads rows of this session behind Place, lowest first, up to
	// Limit and wire.WindowBytes: Loaded.
	OutboxLoad
)

// OutboxEffect is one thing to do, in order.
type OutboxEffect struct {
	Kind  OutboxEffectKind
	State wire.State
	Place int64
	Limit int
	Row   *OutboxRow
	Why   wire.Why
	ID    keys.MessageID
	To    keys.Public
}

// Outbox sends the rows of one session over one connection at a time: what is
// unacknowledged again after a reconnect, in order, before anything new, and
// never past its expiry [CM-8].
type Outbox struct{ effects []OutboxEffect }

// NewOutbox starts a session's outbox at a time, with what state.db holds for
// it (OutboxLoad is the first effect).
func NewOutbox(now int64) *Outbox { return &Outbox{} }

// Effects returns what is to be done since the last call. The slice is used
// again by the next event.
func (o *Outbox) Effects() []OutboxEffect { return o.effects }

// Next tells when Tick has to be called at the latest, Unix ms; 0: never.
func (o *Outbox) Next() int64 { return 0 }

// Tick lets time pass: what expired is told and dropped.
func (o *Outbox) Tick(now int64) {}

// Connected starts a connection after its welcome; inFlight is the broker's
// limit, 0 for wire.InFlight. The caller has taken over the rows of ended
// sessions before ([Orphans]).
func (o *Outbox) Connected(now int64, inFlight int) {}

// Disconnected ends it. Nothing is sent until the next one.
func (o *Outbox) Disconnected() {}

// Add is a row that this session has just committed to state.db, in the order
// of their places.
func (o *Outbox) Add(now int64, row *OutboxRow) {}

// Taken says that rows of ended sessions were given to this one in state.db.
func (o *Outbox) Taken(now int64) {}

// Loaded answers an OutboxLoad. More says that there are more than these.
func (o *Outbox) Loaded(now int64, rows []*OutboxRow, more bool) {}

// Ack is an ack frame. An ack of a message that is not in this outbox any more
// is a later change, and comes as an OutboxState alone.
func (o *Outbox) Ack(now int64, to keys.Public, state wire.State, why wire.Why, ids []keys.MessageID) {
}

// Refuse drops a target before its sending: its key is no member any more.
func (o *Outbox) Refuse(now int64, id keys.MessageID, to keys.Public, why wire.Why) {}

// Waiting is how many rows are not acknowledged, as far as loaded.
func (o *Outbox) Waiting() int { return 0 }

// Advance merges what is newly said of a message for a recipient into what is
// known: the stronger word stays, whatever the order in which they come. seen
// is above all, being proved; refused, expired, held, delivered, queued and
// pending follow. It tells whether anything changed.
func Advance(known *wire.State, why *wire.Why, newState wire.State, newWhy wire.Why) bool {
	return false
}

// Orphans gives the sessions among owners, which rows of the outbox name, that
// no live process holds. Their rows go to the process that connects.
func Orphans(owners []keys.SessionID, live []SessionRow) []keys.SessionID { return nil }

package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

type queue struct{}

// BrokerOptions is what a [Broker] starts from.
type BrokerOptions struct {
	// Limits of this broker; zero fields mean wire's constants.
	Limits wire.Limits
	// Backlog is what the store holds, one element a recipient with rows.
	Backlog []Backlog
	// Outcomes are the senders for whom outcomes are kept.
	Outcomes []keys.Public
	// Revoked are the peers that were revoked.
	Revoked []keys.Public
}

// Broker is the broker's side of delivery in one mesh [CM-8]: it numbers what
// arrives, hands it over, has it stored where that is needed, and tells
// senders what became of it. Each method is an event; afterwards the caller
// carries out [Broker.Effects].
type Broker struct {
	effects []Effect
}

// NewBroker starts a mesh's machine at a time. Nothing is connected.
func NewBroker(now int64, o BrokerOptions) *Broker { return &Broker{} }

// Effects returns what is to be done since the last call. The slice is used
// again by the next event.
func (b *Broker) Effects() []Effect { return b.effects }

// Next tells when Tick has to be called at the latest, Unix ms; 0: never.
func (b *Broker) Next() int64 { return 0 }

// Tick lets time pass.
func (b *Broker) Tick(now int64) {}

// Connection is a peer's session that said hello.
type Connection struct {
	Conn     Conn
	Peer     keys.Public
	User     string // the peer's user, whose devices share messages with One
	Session  keys.SessionID
	Receives wire.Receives
}

// Connect is a hello that was accepted. An older connection of the same
// session has to be disconnected before.
func (b *Broker) Connect(now int64, c Connection) {}

// Disconnect is the end of a connection, of whatever side.
func (b *Broker) Disconnect(now int64, c Conn) {}

// Active says that the session of a connection is in use (it turned to
// working); a message that was sent says so too. What is for any session or
// any device goes to the last active one.
func (b *Broker) Active(now int64, c Conn) {}

// Send is a send frame from a connection. Its recipients are members now, and
// with One devices of one user; the caller refuses others itself. Sealed and
// the boxes are kept, To is not.
type Send struct {
	Conn     Conn
	ID       keys.MessageID
	Class    wire.Class
	Priority wire.Priority
	One      bool
	User     string // with One: whose devices the recipients are
	Expires  int64
	Sealed   []byte
	To       []wire.Recipient // one at least
}

// Send takes a message, or answers one that was taken before.
func (b *Broker) Send(now int64, s *Send) {}

// Receipt is a receipt frame: what the peer of a connection did with messages
// from a sender.
func (b *Broker) Receipt(now int64, c Conn, verdict wire.Verdict, why wire.Why, from keys.Public, ids []keys.MessageID) {
}

// ClaimResult answers an EffectClaim: who holds the claim now.
type ClaimResult struct {
	Seq uint64
	By  keys.Public
}

// Committed says that everything up to seq is on the disk, with the results of
// the claims among it, in their order.
func (b *Broker) Committed(now int64, seq uint64, claims []ClaimResult) {}

// CommitFailed says that what was asked for up to seq, and not committed
// before, is not on the disk and never will be by itself.
func (b *Broker) CommitFailed(now int64, seq uint64) {}

// Fetched brings the rows of a fetch. More says that there are more than
// these.
func (b *Broker) Fetched(now int64, f *Fetch, rows []*Row, more bool) {}

// FetchedOutcomes brings the outcomes of a fetch.
func (b *Broker) FetchedOutcomes(now int64, f *Fetch, outcomes []Outcome, more bool) {}

// FetchFailed says that a fetch could not be answered. It is asked again
// later.
func (b *Broker) FetchFailed(now int64, f *Fetch) {}

// Revoke drops what waits to and from a peer, tells the other ends, and closes
// its connections.
func (b *Broker) Revoke(now int64, peer keys.Public) {}

// Drain makes the machine store at once what waits for a receipt, and take
// nothing new. The caller closes once [Broker.Settled].
func (b *Broker) Drain(now int64) {}

// Settled tells whether everything taken was answered.
func (b *Broker) Settled() bool { return true }

// InFlight is how many messages of a connection were not answered yet.
// Beyond the limit the caller stops reading from it.
func (b *Broker) InFlight(c Conn) int { return 0 }

// Waiting is how many messages wait for a peer, as welcome tells it.
func (b *Broker) Waiting(peer keys.Public) int { return 0 }

// Trace tells what the machine knows of a message, one state a recipient:
// what waits, and for ten minutes what became of it. What is in the store only
// is the caller's to add.
func (b *Broker) Trace(from keys.Public, id keys.MessageID) []wire.TraceState { return nil }

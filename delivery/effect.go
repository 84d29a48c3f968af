package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Conn is a connection, numbered by package broker; never used again while the
// process lives. Zero is none.
type Conn uint64

// EffectKind says what an [Effect] asks for.
type EffectKind uint8

// Kinds of effects. Behind each, the fields that it uses.
const (
	// EffectDeliver writes a deliver frame: Conn, Row, Attempt, and Claim as
	// Row.One says.
	EffectDeliver EffectKind = iota + 1
	// EffectAck writes an ack frame: Conn, Peer (the recipient), ID, State, Why.
	// Acks that follow one another and differ in ID only may share a frame. With
	// Outcome it tells an outcome that was kept.
	EffectAck
	// EffectGrant answers a claim, or takes unasked back what a connection brought
	// to be claimed, since another device has it or the store does not: Conn, Peer
	// (the message's sender), ID, Granted.
	EffectGrant
	// EffectClose ends a connection: Conn, Code. The machine has forgotten it;
	// Disconnect may be called for it, or not.
	EffectClose

	// EffectSave stores a row: Seq, Row. A row of the same sender, id and
	// recipient that is there already stays as it is.
	EffectSave
	// EffectClaim stores a claim: Seq, Claim. One that is there already for the
	// same sender and id stays, and is what Committed reports.
	EffectClaim
	// EffectDrop deletes a row: Peer (the recipient), Lane, N. The last row of a
	// message takes the message's body with it.
	EffectDrop
	// EffectTrim deletes of the receipts from one peer (From) to another (Peer)
	// the lowest numbered, so that wire.MaxReceiptsWaiting stay.
	EffectTrim
	// EffectSaveOutcome stores Outcome; EffectDropOutcome deletes it. One for
	// the same To, ID and Recipient that is there already is replaced.
	EffectSaveOutcome
	EffectDropOutcome

	// EffectFetch reads rows or outcomes: Fetch. The answer is Fetched,
	// FetchedOutcomes or FetchFailed.
	EffectFetch
	// EffectSweep deletes what nobody asked for within wire.MaxExpiry before Time:
	// claims of messages that had expired then, and outcomes from before.
	EffectSweep
)

// Effect is one thing to do. Those that write to the store (Save to
// DropOutcome, Sweep) are kept in their order, gathered into batches of which
// one is under way at a time; never is a later one kept and an earlier one not.
// Seq, where it is not 0, says that Committed or CommitFailed is waited for. Of
// a batch that failed the caller tries again, in front of what came since, all
// but Save and Claim.
type Effect struct {
	Kind    EffectKind
	Lane    Lane
	State   wire.State
	Granted bool
	Attempt int32 // 1 for the first hand-over to this peer
	Code    wire.CloseCode
	Conn    Conn
	Seq     uint64 // rising by one from 1; 0: nothing waits for it
	N       uint64
	Time    int64
	Row     *Row
	Why     wire.Why
	ID      keys.MessageID
	Peer    keys.Public
	From    keys.Public
	Claim   *Claim
	Outcome *Outcome
	Fetch   *Fetch
}

// FetchKind says what a [Fetch] reads.
type FetchKind uint8

// Kinds of fetches. What was committed when a fetch is asked for is seen by it;
// what is being committed or gathered may be, or not.
const (
	// FetchLane: rows To, Lane, number From and above, lowest first, up to
	// Limit rows and Bytes (one row at least). With Sender: only its rows. With
	// Session: only rows with that hint.
	FetchLane FetchKind = iota + 1
	// FetchExpired: rows of anybody whose expiry is not after Time, up to Limit.
	FetchExpired
	// FetchPeer: rows to or from the peer To, up to Limit.
	FetchPeer
	// FetchMessage: all rows of the message Sender, ID.
	FetchMessage
	// FetchOutcomes: outcomes for the sender To, oldest first, up to Limit.
	FetchOutcomes
	// FetchTrace: what became of the message Sender, ID, as outcomes, one a
	// recipient: a row is queued; where there is neither row nor outcome, the device
	// that claimed it has it, without a time. The machine does not ask for it.
	FetchTrace
)

// Fetch asks for rows that are in the store only. It is handed back as it is
// with the answer.
type Fetch struct {
	Kind    FetchKind
	Lane    Lane
	To      keys.Public
	Sender  keys.Public
	Session keys.SessionID
	ID      keys.MessageID
	From    uint64
	Time    int64
	Limit   int
	Bytes   int
	queue   *queue
	asked   *item
	last    *lastWord
}

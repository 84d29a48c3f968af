package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Audience is a digest, made by package peer, of the sealed audience: what was
// addressed, as typed, with its keys and session. Numbers count within it.
type Audience [16]byte

// StreamKey names an order: messages of one sender's session to one audience
// in one priority, by their inner numbers.
type StreamKey struct {
	Sender   keys.Public
	Session  keys.SessionID
	Audience Audience
	Priority wire.Priority
}

// Stream is how far an order was shown.
type Stream struct {
	StreamKey
	Shown uint64 // highest inner number shown; 0: none yet
	Until int64  // forgotten after this: expiry of the last shown, and a day
}

// InboxState says where a message in the inbox stands.
type InboxState uint8

// States of an [InboxRow].
const (
	InboxWaiting  InboxState = iota // opened, ours, to be shown; the zero value
	InboxUnopened                   // received, cannot be opened yet: an entry or a key is missing
	InboxHeld                       // opened; policy keeps it back
	InboxShowing                    // being shown by Shower; no evidence yet
)

// InboxRow is a message that was received and not yet seen. The inner values
// are known once it was opened.
type InboxRow struct {
	Place   int64 // order of arrival in the profile, rising; given by state.db
	From    keys.Public
	ID      keys.MessageID
	State   InboxState
	Arrived int64 // Unix ms

	StreamKey                // inner: sender, its session, audience, priority
	N         uint64         // inner number in the stream; 0: none (receipts of old, bridges)
	Sent      int64          // inner time
	Expires   int64          // inner expiry
	For       keys.SessionID // session of ours that it is for; zero: any
	ForLabel  string         // label of that session, as the sender knew it
	Reply     bool           // For wrote what this answers

	// Copy: the broker keeps it until this device claimed it; Taker is the
	// session whose connection brought it, with which it goes.
	Copy  bool
	Taker keys.SessionID
	// Missing is since when no session that it is for was there; 0: one is.
	Missing int64
	Shower  keys.SessionID // InboxShowing: who shows it
	// Again: it may have been shown before, and says so when shown.
	Again bool

	Sealed []byte // as delivered, with Box
	Box    []byte
}

// SessionRow is a live process of the profile in one mesh.
type SessionRow struct {
	ID       keys.SessionID
	Label    string
	Receives wire.Receives
	Status   Status
	Active   int64 // last active: it sent, or turned to working; Unix ms
}

// Status is what a session is doing.
type Status uint8

// Statuses.
const (
	StatusIdle    Status = iota // waits for its user
	StatusWorking               // in a turn
	StatusDND                   // not to be disturbed
)

// Policy says what happens to a sender's messages.
type Policy uint8

// Policies.
const (
	PolicyAccept Policy = iota
	PolicyHold
	PolicyRefuse
	PolicyMute // refused as muted
)

// Arrival is what is judged of a delivered message. For one that cannot be
// opened yet, the outer values stand in for the inner ones.
type Arrival struct {
	Opened  bool
	Sent    int64 // inner
	Expires int64 // inner
	Copy    bool  // deliver said claim
	Policy  Policy
	// Known: (sender, id) is in the inbox or remembered.
	Known bool
	// Rows is how many rows the inbox has, Limit how many it may have (0: no
	// limit).
	Rows, Limit int
}

// Judgement is what to do about an arrival.
type Judgement uint8

// Judgements.
const (
	// TakeIt: write a row in State, remember the id, and when that is synced say
	// received (not of a copy).
	TakeIt Judgement = iota + 1
	// SayReceived: it is a duplicate; say received again, change nothing.
	SayReceived
	// RefuseIt: say refused, with Why; remember nothing.
	RefuseIt
)

// Judged is the answer of Judge.
type Judged struct {
	Do    Judgement
	State InboxState
	Why   wire.Why
	// Held: tell the sender by a receipt that policy keeps it back.
	Held bool
	// Clock: it is more than wire.ClockAhead ahead: a clock is wrong, say so.
	Clock bool
}

// Judge decides about a message that came off the wire.
func Judge(now int64, a Arrival) Judged { return Judged{} }

// RememberUntil gives how long (sender, id) is remembered, from the inner
// expiry.
func RememberUntil(expires int64) int64 { return expires + wire.RememberedAfter }

// View is what state.db holds for one mesh, read in the transaction that also
// writes what is decided.
type View struct {
	Rows     []InboxRow // all but those beyond the caller's page, by Place
	Streams  map[StreamKey]Stream
	Sessions []SessionRow
}

// Want says what a session would show now.
type Want struct {
	Session keys.SessionID
	// Asked: its agent or user asks; also low is shown, whatever the status.
	Asked bool
	// Elsewhere: also what is for other live sessions of this peer.
	Elsewhere bool
	// Max is the number of messages at most; 0: all.
	Max int
}

// Showing is one message to show.
type Showing struct {
	Place int64
	// Claim: it is a copy, to be claimed first; shown only when granted.
	Claim bool
	// Gap: numbers before it are missing, and were waited for.
	Gap bool
	// Late: a higher number of its stream was shown before it.
	Late bool
	// Again: it may have been shown before.
	Again bool
}

// Elsewhere counts what waits for another live session.
type Elsewhere struct {
	Session keys.SessionID
	Count   int
}

// Plan is what a session may show, in order, and what stays.
type Plan struct {
	Show []Showing
	// Missing are changes of InboxRow.Missing, to be written.
	Missing []MissingChange
	// Expired are rows past their expiry, to be dropped and remembered.
	Expired []int64
	// Next is when to look again, Unix ms; 0: when something changes.
	Next int64
	// Elsewhere counts what waits for other live sessions, Later what waits for
	// this one until it is idle, Low until it asks, Held what policy keeps back.
	Elsewhere        []Elsewhere
	Later, Low, Held int
}

// MissingChange sets InboxRow.Missing of the row Place.
type MissingChange struct {
	Place   int64
	Missing int64
}

// PlanShow decides what a session may show now.
func PlanShow(now int64, v View, w Want) Plan { return Plan{} }

// Chosen gives the session among the live ones that is to show a row, so that
// it can be poked; zero: none yet. At is when the answer changes by time
// alone, 0: never.
func Chosen(now int64, row *InboxRow, live []SessionRow) (session keys.SessionID, at int64) {
	return keys.SessionID{}, 0
}

// Crashed gives the rows in InboxShowing whose shower is not live: the
// transcript decides whether they were seen; where it cannot, they go back to
// InboxWaiting with Again.
func Crashed(rows []InboxRow, live []SessionRow) []int64 { return nil }

// GoneCopies gives the copies that have gone with the connection of their
// taker: those of sessions not live, and of ended when not zero.
func GoneCopies(rows []InboxRow, live []SessionRow, ended keys.SessionID) []int64 { return nil }

// Show moves a stream past a message that was shown.
func (s *Stream) Show(n uint64, expires int64) {}

// ReceiptRow is what one message's sender is to be told by a sealed receipt,
// written in the transaction that makes it true.
type ReceiptRow struct {
	Place   int64
	Session keys.SessionID // the session that tells it
	To      keys.Public    // the message's sender
	ID      keys.MessageID
	Hash    [32]byte   // SHA-256 of what was sealed
	State   wire.State // seen, held or refused
	Why     wire.Why
	Time    int64 // since when, Unix ms
	Expires int64 // of the message; the receipt expires with it
}

// Gather gives the receipts that are due, as groups of places, one sealed
// receipt each, to one recipient and at most wire.MaxReceiptSize large;
// everything with flush. Next is when to look again, 0: when something
// changes.
func Gather(now int64, rows []ReceiptRow, flush bool) (groups [][]int64, next int64) {
	return nil, 0
}

package peer

import (
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Types of package keys that stand in this package's API, so that a program
// needs to import nothing deeper.
type (
	// Key is a peer's, an owner's or an invite's public key.
	Key = keys.Public
	// MeshID names a mesh: the first 16 bytes of the hash of its genesis.
	MeshID = keys.MeshID
	// SessionID names one process of a peer in one mesh.
	SessionID = keys.SessionID
	// MessageID names a message; made by its sender.
	MessageID = keys.MessageID
)

// Receives says what is delivered to a session (design: "Sessions that
// receive").
type Receives string

// The four kinds of session.
const (
	// Nothing: it only asks and acts (peers, invite). The zero value means this.
	Nothing Receives = "none"
	// Replies: receipts, and what answers it (send, ask). Not in presence.
	Replies Receives = "replies"
	// Drain: takes what waits, then goes (inbox).
	Drain Receives = "drain"
	// Live: everything, for as long as it runs (MCP servers, bots, gateways).
	Live Receives = "live"
)

// Priority says when a message may be put in front of the recipient.
type Priority string

// The three priorities.
const (
	Now  Priority = "now"  // interrupts
	Next Priority = "next" // waits until the session is idle
	Low  Priority = "low"  // waits until it is asked for
)

// Kind says what a message is.
type Kind string

// The kinds that a program sees. Receipts and roster messages are dealt with
// inside this package.
const (
	Note    Kind = "message" // plain message
	Ask     Kind = "ask"     // question; an answer is wanted
	Answer  Kind = "answer"  // answer to a question
	Decline Kind = "decline" // the question will not be answered
	Notice  Kind = "notice"  // informs; rings nobody
)

// State is what is known to have become of a message for one recipient.
type State string

// The states, in the order in which they can follow one another.
const (
	// Pending: in the own outbox, nobody else has it.
	Pending State = "pending"
	// Queued: the broker has it on disk (the broker's word).
	Queued State = "queued"
	// Delivered: the recipient's device has it on disk (the broker's word).
	Delivered State = "delivered"
	// Held: the recipient's policy keeps it back (the recipient's receipt).
	Held State = "held"
	// Seen: it was in front of the agent (the recipient's receipt).
	Seen State = "seen"
	// Refused: the broker or the recipient does not take it; see Why.
	Refused State = "refused"
	// Expired: its time ran out before it was delivered.
	Expired State = "expired"
)

// Status is what a session says it is doing.
type Status string

// The statuses that a session can have.
const (
	Idle         Status = "idle"
	Working      Status = "working"
	DoNotDisturb Status = "dnd"
)

// Sender is who wrote a message, as proved by the key that sealed it and the
// chain. It was a member when the message was opened.
type Sender struct {
	Key     Key
	User    string // "alice"
	Device  string // "laptop"
	Session SessionID
	Label   string // of the session; "" where it had none
	// Address is how to write back: user@device/label.
	Address string
	// Verified: its safety number was compared (see [Peer.Verify]).
	Verified bool
	// Self: another session of this very device.
	Self bool
}

// Message is a message that was opened: its sender and every field below were
// checked or come from inside the seal.
type Message struct {
	ID       MessageID
	Short    string // "m-8fk2": the shortest tail that is unique in this profile
	Mesh     MeshID
	MeshName string // alias in this profile
	From     Sender
	To       string // audience as the sender typed it
	Kind     Kind
	Body     string // UTF-8
	ReplyTo  MessageID
	Thread   MessageID // first message of the thread; zero: none
	Priority Priority
	Depth    int       // automatic replies that led here
	Via      string    // stations (gateways, bridges) it came through: hearsay
	Sent     time.Time // the sender's clock
	Received time.Time // when this profile had it on disk
	Expires  time.Time
	// Again: it may have been shown before (a process ended while showing it, or could
	// not write that it had).
	Again bool
	// Missing is how many earlier messages of this sender's session did not come.
	Missing int
	// Late: a later message of this sender's session was shown before it.
	Late bool
	// Early: the sender's clock was ahead by more than 10 minutes.
	Early bool

	shown *shown // nil: it was not taken out of the inbox to be shown
}

// Recipient is what is known of one recipient of a message.
type Recipient struct {
	Key     Key
	User    string
	Device  string // "" while any device of the user may take it
	Label   string // of the session that showed it; "" where unknown
	Address string // user[@device][/label]
	State   State
	// Why says why it was refused, as one of wire's why codes, see [WhySentence]; else
	// "".
	Why string
	// Away: when the recipient was last connected; zero: it is connected, or
	// nothing is known (the broker's word).
	Away time.Time
	// RetryAt: the broker takes no more messages of this peer, or of its address,
	// until then; what is Pending goes out by itself afterwards. Zero: it does.
	RetryAt time.Time
	// Steps are all states so far, oldest first.
	Steps []Step
}

// WhySentence says in words for people what a Why of a [Recipient] or [Step] means. A
// code of a later version has a sentence of ours too: a recipient chooses it.
func WhySentence(why string) string { return wire.Why(why).Info().Sentence }

// Step is one change of a message's state.
type Step struct {
	State State
	Time  time.Time
	Word  Word
	Why   string
}

// Word says by whose word a state is known.
type Word string

// By whose word a state is known.
const (
	OwnWord    Word = "self"      // this profile
	BrokerWord Word = "broker"    // the broker says so, unproved
	Receipt    Word = "recipient" // sealed receipt of the recipient: proved
)

// Sent is what is known of a message when [Peer.Send] returns.
type Sent struct {
	ID       MessageID
	Short    string // "m-8fk2"
	MeshName string
	To       []Recipient
}

// Trace is all that is known of a message that this profile sent.
type Trace struct {
	Sent
	Address  string // as typed
	Kind     Kind
	Priority Priority
	Size     int // bytes of the body
	Time     time.Time
	Expires  time.Time
}

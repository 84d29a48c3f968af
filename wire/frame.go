package wire

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Type is a frame's name, its JSON field "type".
type Type string

// Frame types [CM-7].
const (
	TypeChallenge Type = "challenge"
	TypeHello     Type = "hello"
	TypeWelcome   Type = "welcome"
	TypeSync      Type = "sync"
	TypeAppend    Type = "append"
	TypeEntries   Type = "entries"
	TypeSend      Type = "send"
	TypeAck       Type = "ack"
	TypeDeliver   Type = "deliver"
	TypeReceipt   Type = "receipt"
	TypeGrant     Type = "grant"
	TypePresence  Type = "presence"
	TypeSubscribe Type = "subscribe"
	TypeTrace     Type = "trace"
	TypePing      Type = "ping"
	TypePong      Type = "pong"
	TypeDrain     Type = "drain"
	TypeError     Type = "error"
)

// Frame is one of the frame types of this package, always by pointer.
type Frame interface {
	FrameType() Type
}

// Challenge is the broker's first frame on every connection. [CM-7.15]
type Challenge struct {
	Broker keys.Public `json:"broker"` // one that the chain or the link names, or the peer hangs up
	Nonce  Nonce       `json:"nonce"`
}

// Hello answers the challenge. Signed holds a [HelloBody], signed by the key
// it names as peer, domain hello. [CM-7.17]
type Hello struct {
	Signed signed.Bytes `json:"signed"`
	Sig    signed.Bytes `json:"sig"`
}

// Welcome accepts a hello. Signed holds a [WelcomeBody], signed by the
// broker's key, domain welcome. Only now does the peer send presence. [CM-7.23, CM-7.26]
type Welcome struct {
	Signed    signed.Bytes  `json:"signed"`
	Sig       signed.Bytes  `json:"sig"`
	Head      signed.Object `json:"head"`               // the roster's newest head
	Missing   uint64        `json:"missing"`            // entries after the hello's at; all of them if the broker does not have it
	Present   int           `json:"present"`            // peers connected, this one included
	Queued    int           `json:"queued"`             // messages that wait for this peer
	Limits    Limits        `json:"limits"`             // what this broker takes
	Features  []string      `json:"features,omitempty"` // names of what this broker does beyond version 1
	Time      int64         `json:"time"`               // the broker's clock, Unix ms
	Heartbeat int           `json:"heartbeat"`          // seconds between two signs of life
}

// Sync asks for entries from place From on. The answer is Entries. [CM-7.32]
type Sync struct {
	ID    uint64      `json:"id"`
	Chain signed.Hash `json:"chain,omitzero"` // zero: the roster
	From  uint64      `json:"from"`
	Limit int         `json:"limit,omitempty"` // entries at most; zero: MaxEntries
}

// Append asks the broker to order entries, signed on the head the peer holds.
// The answer is Entries: appended, with the new head; or not, with what was
// missing. Or Error. [CM-7.34]
type Append struct {
	ID      uint64          `json:"id"`
	Chain   signed.Hash     `json:"chain,omitzero"` // zero: the roster
	Entries []signed.Object `json:"entries"`
}

// Entries carries a page of a chain and the head over it: the answer to Sync
// and Append, and unasked (Re zero) to every connected peer when something
// was appended. [CM-7.33, CM-7.35]
type Entries struct {
	Re       uint64          `json:"re,omitempty"`
	Chain    signed.Hash     `json:"chain,omitzero"` // zero: the roster
	Appended bool            `json:"appended,omitempty"`
	From     uint64          `json:"from"`
	Entries  []signed.Object `json:"entries,omitempty"`
	Head     signed.Object   `json:"head"`           // at the last of Entries; without entries the chain's newest
	More     bool            `json:"more,omitempty"` // another page follows this one's last entry
}

// Send hands a message to the broker. Its payload is a box for To, or, with
// Recipients, a sealed message whose content key is in the recipients' boxes. [CM-7.46]
type Send struct {
	ID         keys.MessageID `json:"id"` // made by the sender; the idempotency key
	Class      Class          `json:"class"`
	To         keys.Public    `json:"to,omitzero"`
	Session    keys.SessionID `json:"session,omitzero"` // hint: hand it to this session of To first
	Priority   Priority       `json:"priority"`
	Expires    int64          `json:"expires"`              // Unix ms
	Recipients []Recipient    `json:"recipients,omitempty"` // instead of To and Session; MaxRecipients at most
	One        bool           `json:"one,omitempty"`        // any one of Recipients gets it: the devices of a user
}

// Recipient is one of several recipients of a Send.
type Recipient struct {
	Key     keys.Public    `json:"key"`
	Session keys.SessionID `json:"session,omitzero"` // hint, as in Send
	Box     signed.Bytes   `json:"box"`              // the content key, boxed to Key; MaxBox at most
}

// Ack says what became of messages of this connection's peer for one
// recipient; said again when it changes. [CM-7.48]
type Ack struct {
	State State            `json:"state"` // delivered, queued, refused or expired
	Why   Why              `json:"why,omitempty"`
	To    keys.Public      `json:"to"`
	IDs   []keys.MessageID `json:"ids"` // at least one, MaxIDs at most
}

// Deliver hands a message to a recipient. Its payload is what was sent. [CM-7.49]
type Deliver struct {
	ID       keys.MessageID `json:"id"`
	Class    Class          `json:"class"`
	From     keys.Public    `json:"from"`             // the broker's word; what opens the box proves the sender
	Session  keys.SessionID `json:"session,omitzero"` // the sender's hint, a session of the recipient
	Box      signed.Bytes   `json:"box,omitempty"`    // present: payload is sealed to several, this is the recipient's own box
	Priority Priority       `json:"priority"`
	Expires  int64          `json:"expires"`         // Unix ms
	Sent     int64          `json:"sent"`            // when the broker took it, Unix ms
	Attempt  int            `json:"attempt"`         // 1 for the first hand-over to this peer
	Claim    bool           `json:"claim,omitempty"` // to be claimed before it is shown
}

// Receipt says what the recipient did with messages of one sender. [CM-7.50]
type Receipt struct {
	State Verdict          `json:"state"`
	Why   Why              `json:"why,omitempty"`
	From  keys.Public      `json:"from"`
	IDs   []keys.MessageID `json:"ids"` // at least one, MaxIDs at most
}

// Grant answers claims: this device shows the messages, or another has. [CM-7.51]
type Grant struct {
	Granted bool             `json:"granted"` // false: taken by another device
	From    keys.Public      `json:"from"`
	IDs     []keys.MessageID `json:"ids"`
}

// Subscribe asks for the presence of everyone: pages of Presence with Re,
// then changes. [CM-7.37]
type Subscribe struct {
	ID uint64 `json:"id"`
}

// Trace asks what the broker knows of a message of one's own (ID, Message),
// and answers it (Re, Message, States). [CM-7.38]
type Trace struct {
	ID      uint64         `json:"id,omitempty"`
	Re      uint64         `json:"re,omitempty"`
	Message keys.MessageID `json:"message"`
	States  []TraceState   `json:"states,omitempty"` // one a recipient; none: the broker remembers nothing
}

// TraceState is what became of a message for one recipient.
type TraceState struct {
	To    keys.Public `json:"to"`
	State State       `json:"state"`
	Why   Why         `json:"why,omitempty"`
	Time  int64       `json:"time"` // since when, Unix ms
}

// Ping is a heartbeat where WebSocket pings cannot be seen. [CM-7.14]
type Ping struct {
	N uint64 `json:"n"`
}

// Pong answers a Ping with its number.
type Pong struct {
	N uint64 `json:"n"`
}

// Drain says that the broker goes away: reconnect after a random part of
// Within milliseconds. [CM-7.39]
type Drain struct {
	Within int64 `json:"within"`
}

// Error says what went wrong with a request (Re), with messages (IDs) or with
// the connection. [CM-7.31]
type Error struct {
	Code       Code             `json:"code"`
	Message    string           `json:"message"` // one sentence for people
	Re         uint64           `json:"re,omitempty"`
	IDs        []keys.MessageID `json:"ids,omitempty"`
	RetryAfter int64            `json:"retry_after,omitempty"` // ms; zero: see the code
}

// FrameType returns TypeChallenge.
func (*Challenge) FrameType() Type { return TypeChallenge }

// FrameType returns TypeHello.
func (*Hello) FrameType() Type { return TypeHello }

// FrameType returns TypeWelcome.
func (*Welcome) FrameType() Type { return TypeWelcome }

// FrameType returns TypeSync.
func (*Sync) FrameType() Type { return TypeSync }

// FrameType returns TypeAppend.
func (*Append) FrameType() Type { return TypeAppend }

// FrameType returns TypeEntries.
func (*Entries) FrameType() Type { return TypeEntries }

// FrameType returns TypeSend.
func (*Send) FrameType() Type { return TypeSend }

// FrameType returns TypeAck.
func (*Ack) FrameType() Type { return TypeAck }

// FrameType returns TypeDeliver.
func (*Deliver) FrameType() Type { return TypeDeliver }

// FrameType returns TypeReceipt.
func (*Receipt) FrameType() Type { return TypeReceipt }

// FrameType returns TypeGrant.
func (*Grant) FrameType() Type { return TypeGrant }

// FrameType returns TypePresence.
func (*Presence) FrameType() Type { return TypePresence }

// FrameType returns TypeSubscribe.
func (*Subscribe) FrameType() Type { return TypeSubscribe }

// FrameType returns TypeTrace.
func (*Trace) FrameType() Type { return TypeTrace }

// FrameType returns TypePing.
func (*Ping) FrameType() Type { return TypePing }

// FrameType returns TypePong.
func (*Pong) FrameType() Type { return TypePong }

// FrameType returns TypeDrain.
func (*Drain) FrameType() Type { return TypeDrain }

// FrameType returns TypeError.
func (*Error) FrameType() Type { return TypeError }

package delivery

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Lane is one of the orders in which a recipient's rows wait. Rows of one lane
// are handed over in the order of their numbers.
type Lane uint8

// The lanes. Messages have one for each priority; what any one device of a
// user may show has lanes of its own, since it waits for claims; receipts have
// theirs.
const (
	LaneNow Lane = iota
	LaneNext
	LaneLow
	LaneOneNow
	LaneOneNext
	LaneOneLow
	LaneReceipt
	lanes // how many there are
)

// LaneOf gives the lane of a message.
func LaneOf(class wire.Class, priority wire.Priority, one bool) Lane {
	if class == wire.ClassReceipt {
		return LaneReceipt
	}
	lane := LaneNext
	switch priority {
	case wire.PriorityNow:
		lane = LaneNow
	case wire.PriorityLow:
		lane = LaneLow
	}
	if one {
		lane += LaneOneNow
	}
	return lane
}

// One tells whether the lane's rows are claimed by one device of a user.
func (l Lane) One() bool { return l >= LaneOneNow && l <= LaneOneLow }

// Message is what all rows of one message share. It is not changed once made.
type Message struct {
	From     keys.Public
	ID       keys.MessageID
	Class    wire.Class
	Priority wire.Priority
	One      bool   // any one of the recipients, devices of one user, shows it
	Expires  int64  // Unix ms
	Sent     int64  // when the broker took it, Unix ms
	Sealed   []byte // the payload as it came
}

// Row is a message in the queue of one recipient. It is not changed once made,
// so a store may keep it while the machine goes on.
type Row struct {
	*Message
	To      keys.Public
	Lane    Lane
	N       uint64         // number on arrival, unique and rising for To over all lanes
	Session keys.SessionID // the sender's hint where to hand it over first; zero: none
	Box     []byte         // the recipient's own box; nil: Sealed is a box itself
	// Left is set by the store on what it read of a message with One: how many
	// rows of that message are in the queue, this one among them.
	Left int
}

// Size is what the row counts in a window and in memory, in bytes.
func (r *Row) Size() int { return len(r.Sealed) + len(r.Box) }

// Outcome is what became of a message while its sender was away, kept until
// the sender connects.
type Outcome struct {
	To        keys.Public // the message's sender, who is to be told
	ID        keys.MessageID
	Recipient keys.Public
	State     wire.State // delivered, refused or expired
	Why       wire.Why
	Time      int64 // since when, Unix ms
}

// Claim says which device of a user shows a message. The first one kept
// counts. It is kept for wire.MaxExpiry after Expires: it says who has the message.
type Claim struct {
	From    keys.Public // the message's sender
	ID      keys.MessageID
	By      keys.Public // the device
	Expires int64       // the message's expiry, Unix ms
}

// Backlog is what a store holds for one recipient when a broker starts. It
// counts rows of all lanes but [LaneReceipt], and tells the highest number of
// all lanes.
type Backlog struct {
	To       keys.Public
	Messages int    // rows of messages
	Receipts int    // rows of receipts
	Last     uint64 // highest number
}

package peer

import (
	"context"
	"time"
)

// SendOptions says how to send. The zero value sends a plain message with
// priority next that expires after seven days.
type SendOptions struct {
	Priority Priority // empty: Next
	Kind     Kind     // empty: Note
	ReplyTo  MessageID
	Thread   MessageID
	// Expires is how long it may wait. 0: 7 days; at most 30.
	Expires time.Duration
	// AllDevices sends to every device of a user instead of any one of them.
	AllDevices bool
	// Depth is how many automatic replies led here (loop guard).
	Depth int
	// Via says on whose behalf a gateway writes.
	Via string
	// NoWait returns as soon as the message is in the outbox on disk.
	NoWait bool
	// SeenWait is how long to wait for Seen after the acknowledgement. 0: one
	// second; negative: not at all.
	SeenWait time.Duration
}

// Send seals body to whom the address names, stores it in the outbox and sends
// it. It returns when every recipient's state is known and, up to SeenWait
// later, seen. The address is resolved against the verified roster:
// UnknownNameError, AmbiguousError, RevokedError, WaitingError. When the broker is not
// reachable the message stays in the outbox, Sent says pending, and the error
// is NotReachableError with Kept. Recipients that refused are no error: see
// Sent.
func (p *Peer) Send(ctx context.Context, to, body string, o SendOptions) (Sent, error) {
	return Sent{}, errSkeleton
}

// Reply answers m: to the session that wrote it while that lives, else to its
// peer. Kind: Answer where m was a question, unless o says otherwise.
func (p *Peer) Reply(ctx context.Context, m Message, body string, o SendOptions) (Sent, error) {
	return Sent{}, errSkeleton
}

// Message returns what is known of a message that this profile sent: id is
// m-… with the shortest unique tail or more. It asks the broker where it is
// connected. ErrNoSuchMessage, AmbiguousError.
func (p *Peer) Message(ctx context.Context, id string) (Trace, error) { return Trace{}, errSkeleton }

// Unsent returns the messages of this profile that nobody else has yet.
func (p *Peer) Unsent(ctx context.Context) ([]Trace, error) { return nil, errSkeleton }

// Target is what an address resolved to.
type Target struct {
	Address    string // canonical: "bob@desk"
	Users      []string
	Recipients []Recipient
	// One: any one of the recipients will do (a user with several devices).
	One bool
}

// Resolve says whom an address means now, without sending.
func (p *Peer) Resolve(ctx context.Context, address string) (Target, error) {
	return Target{}, errSkeleton
}

package peer

import (
	"errors"
	"time"
)

// Sentinels. Each is also the whole sentence.
var (
	// ErrNoMesh: the profile knows no mesh yet.
	ErrNoMesh = errors.New("no mesh here yet: start one with claudemesh up, or join one with claudemesh join")
	// ErrClosed: the peer was closed.
	ErrClosed = errors.New("the peer is closed")
	// ErrNoSuchMessage: no message with this id in this profile.
	ErrNoSuchMessage = errors.New("no such message in this profile")
	// ErrNoOwnerKey: what was asked needs the owner's key, which is not on this machine.
	ErrNoOwnerKey = errors.New("the owner's key is not on this machine: claudemesh mesh owner-key import")
)

// Class sorts errors by what the caller can do about them. Its number is the
// command line's exit code.
type Class int

// The classes.
const (
	ClassNone        Class = 0 // no error
	ClassFailed      Class = 1 // anything else
	ClassUsage       Class = 2 // called wrongly
	ClassRefused     Class = 3 // unknown name, revoked, forbidden
	ClassUnreachable Class = 4 // broker not reachable; what was sent is kept
	ClassTimeout     Class = 5 // time limit passed without an answer
)

// ClassOf returns the class of err, ClassNone for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ClassNone
	}
	var c interface{ Class() Class }
	if errors.As(err, &c) {
		return c.Class()
	}
	return ClassFailed
}

// UsageError: called with something that can mean nothing (an address that
// does not parse, a label that is no slug).
type UsageError struct {
	Sentence string // all that is to be said
}

// UnknownNameError: an address names nobody.
type UnknownNameError struct {
	Name       string   // as typed
	Mesh       string   // alias of the mesh looked in
	Candidates []string // names there, sorted
	Suggestion string   // the nearest of them, "" if none is near
	Tag        bool     // it is a tag, which nobody else carries
	Session    bool     // it is a session's
}

// AmbiguousError: an address, key prefix or message tail names several.
type AmbiguousError struct {
	Name       string
	Candidates []string
}

// NotReachableError: the broker does not answer. Kept says that a message
// waits in the outbox and goes out when it is back. Busy says that the broker is
// there, and takes no more of this peer's messages, or of its address, at the moment.
type NotReachableError struct {
	Host   string // "mesh.example.org"
	Reason string // "connection refused"
	Kept   bool
	Busy   bool
	Err    error
}

// RevokedError: a peer was revoked from its mesh.
type RevokedError struct {
	Address string // "bob@desk"
	Mesh    string
	By      string // who signed it; "" for a key that is no peer's
	Self    bool   // it is this peer
	Left    bool   // it revoked itself
	Lapsed  bool   // it was never let in, and its join lapsed
	Time    time.Time
}

// WaitingError: this peer's join waits for a yes.
type WaitingError struct {
	Mesh    string
	Address string // "bob@phone"
	Number  string // 16 digits to compare
}

// ForbiddenError: the chain's rules, or the broker, do not allow it.
type ForbiddenError struct {
	Action string // "invite somebody to acme"
	Why    string
	Err    error // the rule that says so; nil: none of the chain's
}

// RefusedError: the broker answered with an error code.
type RefusedError struct {
	Code    string // wire's code
	Message string // one sentence
	// RetryAfter: try again after this; zero: no use.
	RetryAfter time.Duration
}

// LinkError: an invite link is not one, is closed, or does not fit its mesh.
type LinkError struct {
	Why string
}

// NameTakenError: the mesh alias, or the device name, is in use.
type NameTakenError struct {
	Name string
	What string // "mesh", "device"
}

// TamperError: the broker gave what it must not. The sentence names what was
// seen and whom to ask.
type TamperError struct {
	Host     string
	Sentence string
	Err      error
}

// UpdateError: the mesh uses something that this version does not know.
type UpdateError struct {
	Mesh string
	Err  error
}

// TimeoutError: a time limit passed without an answer.
type TimeoutError struct {
	For   string // what was waited for
	After time.Duration
}

package chain

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrBroken is wrapped by every error about entries or heads that no honest
	// broker sends: unreadable, at the wrong place, of another mesh, or with a
	// signature that does not verify. Nothing of them is taken. [CM-5.8]
	ErrBroken = errors.New("chain: broken")
	// ErrMalformed is wrapped by [Signed.Void] of an entry whose body is not what
	// its type demands, and by errors of [Make] and [Decode] about it. [CM-5.10]
	ErrMalformed = errors.New("chain: malformed entry")
	// ErrUnknown matches every [*UnknownError] (errors.Is).
	ErrUnknown = errors.New("chain: entry of a later version")
	// ErrStopped is returned where an owner signed an entry that this version does
	// not understand: what follows cannot be judged. [CM-5.11]
	ErrStopped = errors.New("chain: an owner signed an entry of a later version: update claudemesh")
	// ErrShort is returned for a page that does not end at its head: its entries
	// are not under it. Ask for the rest. [CM-5.43]
	ErrShort = errors.New("chain: the page does not end at its head")
)

// UnknownError says that an entry has a type or fields that this version does not
// know. An honest broker orders no such entry; a reader stops only where an owner
// signed it. [CM-5.11]
type UnknownError struct {
	Type   Type     // as the entry has it; at most 32 bytes of it
	Fields []string // names beyond those of the type; empty where the type is unknown
}

// Error says what is unknown.
func (e *UnknownError) Error() string {
	if len(e.Fields) == 0 {
		return fmt.Sprintf("%v: type %q", ErrUnknown, string(e.Type))
	}
	return fmt.Sprintf("%v: type %q with %q", ErrUnknown, string(e.Type), strings.Join(e.Fields, ", "))
}

// Is makes errors.Is(err, ErrUnknown) true.
func (e *UnknownError) Is(target error) bool { return target == ErrUnknown }

// GapError says that a page does not join on to what is held: it begins too late,
// or it leaves the held chain before its own first entry.
type GapError struct {
	// Ask is the place from which to ask next.
	Ask uint64
}

// Error says from where to ask.
func (e *GapError) Error() string {
	return fmt.Sprintf("chain: the page does not join on; ask from place %d", e.Ask)
}

// ConflictError says that a broker's head stands on another order than the one
// held, and that this is no proof of fraud: the heads are of two lives, so the
// broker was restored from a backup (or says so). Nothing crosses it until a heal.
// [CM-5.48]
type ConflictError struct {
	// At is the first place known to differ.
	At uint64
	// Mine and Theirs are the two heads.
	Mine, Theirs SignedHead
}

// Error says where they part.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("chain: the broker's order differs from ours at place %d (its lives %d and %d): a heal by an owner decides",
		e.At, e.Mine.Head.Life, e.Theirs.Head.Life)
}

// ForkError says that the broker signed two orders in one life, with the proof.
// [CM-5.47]
type ForkError struct {
	// At is the first place known to differ.
	At uint64
	// Proof convinces everybody who knows the broker's key.
	Proof Fork
}

// Error says where they part.
func (e *ForkError) Error() string {
	return fmt.Sprintf("chain: the broker signed two orders that differ at place %d", e.At)
}

// broken makes an error that wraps ErrBroken.
func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrBroken}, args...)...)
}

// malformed makes an error that wraps ErrMalformed.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

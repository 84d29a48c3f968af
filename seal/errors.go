package seal

import (
	"errors"
	"fmt"
)

var (
	// ErrMalformed is wrapped by every error about a form that no honest peer
	// makes: a box too short or of an unknown kx, a wrong use, bad padding, a
	// message that breaks the rules of [Message.Check].
	ErrMalformed = errors.New("seal: malformed")
	// ErrOpen is returned for a box that does not open: made by or for another
	// key, changed on the way, or a content key that does not belong to what is
	// sealed. Which of these cannot be told.
	ErrOpen = errors.New("seal: does not open")
	// ErrTooLarge is returned for what is over a limit of this package.
	ErrTooLarge = errors.New("seal: too large")
	// ErrUnknownKind is returned for an authentic message of a kind that this
	// version does not know.
	ErrUnknownKind = errors.New("seal: unknown kind of message")
	// ErrSignature is returned for a message whose inner signature is not its
	// sender's.
	ErrSignature = errors.New("seal: inner signature refused")

	// ErrMismatch is wrapped by the errors below: the box is authentic, but its
	// frame, or the member who made it, says something else than is inside. The
	// message is refused and the user is told.
	ErrMismatch = errors.New("seal: the frame says otherwise")
	// ErrSender: the sender named inside is not the key that made the box.
	ErrSender = fmt.Errorf("%w: sender", ErrMismatch)
	// ErrReflected: the sender named inside is oneself. Both ends of a pair have the
	// same key: one's own message was handed back as the other's, or the other made it.
	ErrReflected = fmt.Errorf("%w: oneself", ErrSender)
	// ErrMesh: the message is for another mesh.
	ErrMesh = fmt.Errorf("%w: mesh", ErrMismatch)
	// ErrAudience: one's own key is not in the audience, or the form is not the
	// audience's.
	ErrAudience = fmt.Errorf("%w: audience", ErrMismatch)
	// ErrID: the frame gives another message id.
	ErrID = fmt.Errorf("%w: message id", ErrMismatch)
	// ErrClass: the frame's class is not that of the kind inside.
	ErrClass = fmt.Errorf("%w: class", ErrMismatch)
	// ErrStranger: only a message of kind roster is opened from a key that is
	// not in the roster.
	ErrStranger = fmt.Errorf("%w: sender is no member", ErrMismatch)
)

// malformed makes an error that wraps [ErrMalformed].
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

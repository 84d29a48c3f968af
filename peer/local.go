package peer

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// The broker of this machine: a profile has at most one of its own, which listens
// on the profile's socket. It runs while somebody is connected; whoever finds the
// socket deserted starts it.

// ErrNotOwnBroker is what [Options.StartBroker] returns for a key that is not the
// one of the profile's own broker.
var ErrNotOwnBroker = errors.New("the broker is not one of this profile's own")

// startError is why the profile's own broker does not run.
type startError struct{ err error }

// Error says it in a few words.
func (e *startError) Error() string { return "it does not start: " + e.err.Error() }

// Unwrap returns what happened.
func (e *startError) Unwrap() error { return e.err }

// openOwn dials the socket of the profile's own broker, and has that broker started
// where it serves this mesh and nobody listens. The socket is there or it is not,
// and it may serve other meshes only: an error is no more than a reason to dial
// elsewhere.
func (p *Peer) openOwn(at endpoint, broker pin) (*opened, error) {
	o, err := open(p.ctx, at, broker, p.home.dial)
	if err == nil || p.home.start == nil || !deserted(err) {
		return o, err
	}
	if err := p.home.start(p.ctx, broker.key); errors.Is(err, ErrNotOwnBroker) {
		return nil, fmt.Errorf("%w: %w", os.ErrNotExist, err)
	} else if err != nil {
		return nil, &startError{err}
	}
	return open(p.ctx, at, broker, p.home.dial)
}

// deserted tells whether nobody listens on a socket: it is not there, or who did was
// killed.
func deserted(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

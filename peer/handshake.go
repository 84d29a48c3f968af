package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// greeting is who says hello, and what it holds of the chain.
type greeting struct {
	mesh     keys.MeshID
	as       keys.Signer
	session  keys.SessionID
	label    string
	client   string
	receives wire.Receives
	at       signed.At
	life     uint64
	clock    func() time.Time // this machine's
}

// welcome is a welcome that was verified: the broker has the key it claims, and
// answered this very hello. The head is its word, not yet compared with a chain.
type welcome struct {
	wire.Welcome
	broker keys.Public
	head   chain.SignedHead
	// ahead is how far this clock is ahead of the broker's, in milliseconds; half
	// of the round trip is taken off.
	ahead int64
}

// helloError is a broker's error frame in the place of a welcome, with the entries
// that it sent before, if any: they can prove what it says.
type helloError struct {
	frame   wire.Error
	entries *wire.Entries
}

// Error gives the broker's sentence.
func (e *helloError) Error() string {
	return fmt.Sprintf("the broker refused the hello: %s (%s)", e.frame.Message, e.frame.Code)
}

// shake says hello on a fresh connection and verifies the welcome. [CM-7]
func (o *opened) shake(g greeting) (*welcome, error) {
	body, err := signed.Encode(wire.HelloBody{
		Mesh: g.mesh, Peer: g.as.Public(), Session: g.session, Label: g.label, Client: g.client,
		Receives: g.receives, Origin: o.origin, At: g.at, Life: g.life,
		Nonce: o.challenge.Nonce, Broker: o.challenge.Broker,
	})
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	object := signed.Sign(signed.DomainHello, body, g.as)
	sent := g.clock()
	if err := o.writeFrame(&wire.Hello{Signed: object.Bytes, Sig: object.Sig}, nil); err != nil {
		return nil, err
	}
	answer, proof, err := o.readWelcome()
	if err != nil {
		return nil, err
	}
	w := &welcome{Welcome: *answer, broker: o.challenge.Broker}
	w.ahead = (sent.UnixMilli()+g.clock().UnixMilli())/2 - answer.Time
	return w, w.verify(body, proof)
}

// readWelcome reads until the broker accepted or refused.
func (s *socket) readWelcome() (*wire.Welcome, wire.WelcomeBody, error) {
	refused := new(helloError)
	for {
		frame, _, err := s.readAny()
		if err != nil {
			return nil, wire.WelcomeBody{}, err
		}
		switch f := frame.(type) {
		case *wire.Welcome:
			body, err := wire.DecodeWelcome(f)
			return f, body, err
		case *wire.Entries:
			refused.entries = f
		case *wire.Error:
			refused.frame = *f
			return nil, wire.WelcomeBody{}, refused
		default:
			return nil, wire.WelcomeBody{}, fmt.Errorf("%w: %s before the welcome", errNoBroker, frame.FrameType())
		}
	}
}

// verify checks that the broker's key signed over this hello and this head.
func (w *welcome) verify(hello []byte, proof wire.WelcomeBody) error {
	if err := w.Object().Verify(signed.DomainWelcome, w.broker); err != nil {
		return fmt.Errorf("%w: the welcome is not signed by the key it claims: %w", errOtherKey, err)
	}
	if proof.Hello != signed.HashOf(signed.DomainHello, hello) || proof.Head != signed.HashOf(signed.DomainHead, w.Head.Bytes) {
		return fmt.Errorf("%w: the welcome answers another hello", errOtherKey)
	}
	var err error
	if w.head, err = chain.DecodeHead(w.Head); err != nil {
		return err
	}
	return w.head.Verify(w.broker)
}

// greet says hello within handshakeWithin. The connection is hung up where it fails.
func (o *opened) greet(ctx context.Context, g greeting) (*welcome, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	stop := context.AfterFunc(ctx, o.abort)
	w, err := o.shake(g)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	switch {
	case err == nil:
		o.setHeartbeat(w.Heartbeat)
		return w, nil
	case errors.Is(err, errOtherKey):
		o.close(wire.CloseBroker)
	default:
		o.hangUp(err)
	}
	return nil, err
}

// readAny reads the next frame of a known type, with its payload, into memory of its
// own.
func (s *socket) readAny() (wire.Frame, []byte, error) {
	for {
		message, binary, err := s.read()
		if err != nil {
			return nil, nil, err
		}
		frame, payload, err := wire.Decode(append([]byte(nil), message...), binary)
		switch {
		case err == nil:
			return frame, payload, nil
		case !errors.Is(err, wire.ErrUnknownType): // those are of a later version
			return nil, nil, unreadable(err)
		}
	}
}

// readFrame reads one frame of a type.
func readFrame[T wire.Frame](s *socket) (T, error) {
	var none T
	frame, _, err := s.readAny()
	if err != nil {
		return none, err
	}
	if e, refused := frame.(*wire.Error); refused {
		return none, &helloError{frame: *e}
	}
	got, ok := frame.(T)
	if !ok {
		return none, fmt.Errorf("%w: %s is not expected", errNoBroker, frame.FrameType())
	}
	return got, nil
}

// writeFrame encodes and sends one frame.
func (s *socket) writeFrame(f wire.Frame, payload []byte) error {
	message, err := wire.AppendFrame(nil, f, payload)
	if err != nil {
		return err
	}
	return s.write(message, payload != nil)
}

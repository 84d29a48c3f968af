package wire

import (
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/signed"
)

// Errors of decoding. A broker answers each with the code that CodeOf gives.
var (
	ErrMalformed   = errors.New("wire: malformed frame")
	ErrUnknownType = errors.New("wire: unknown frame type")
	ErrTooLarge    = errors.New("wire: too large")
)

// AppendFrame appends f as one message to dst: the frame's JSON object alone if
// payload is nil (send it as a WebSocket text message), else length, object
// and payload (a binary message; an empty, non-nil payload is one too).
func AppendFrame(dst []byte, f Frame, payload []byte) ([]byte, error) {
	return appendFrame(dst, f, payload)
}

// AppendSend appends a Send and its payload as a binary message. It allocates
// nothing but dst's growth.
func AppendSend(dst []byte, f *Send, payload []byte) []byte { return appendSend(dst, f, payload) }

// AppendDeliver appends a Deliver and its payload as a binary message. It
// allocates nothing but dst's growth.
func AppendDeliver(dst []byte, f *Deliver, payload []byte) []byte {
	return appendDeliver(dst, f, payload)
}

// AppendAck appends an Ack as a text message. It allocates nothing but dst's
// growth.
func AppendAck(dst []byte, f *Ack) []byte { return appendAck(dst, f) }

// AppendReceipt appends a Receipt as a text message. It allocates nothing but
// dst's growth.
func AppendReceipt(dst []byte, f *Receipt) []byte { return appendReceipt(dst, f) }

// Decode decodes one message into fresh memory. binary says that it came as a
// WebSocket binary message. The payload is nil for a text message and else a
// part of msg.
func Decode(msg []byte, binary bool) (Frame, []byte, error) {
	return new(Decoder).Decode(msg, binary)
}

// Decoder decodes messages into structs of its own, so that the hot frames
// cost no allocation. The zero value is ready. One goroutine at a time.
type Decoder struct {
	send    Send
	ack     Ack
	deliver Deliver
	receipt Receipt
	// Memory of the last frame that had such, for the next.
	box        signed.Bytes
	recipients []Recipient
	scan       scanner // here, since it would be allocated anew as a variable
}

// Decode is as [Decode], but a Send, Ack, Deliver or Receipt it returns, with
// its slices, is valid only until the next call. Copy what is kept.
func (d *Decoder) Decode(msg []byte, binary bool) (Frame, []byte, error) {
	return d.decode(msg, binary)
}

// UnknownTypeError is ErrUnknownType with what the answer needs. [CM-7.6]
type UnknownTypeError struct {
	Type Type
	ID   uint64 // the request's id, zero if it had none
}

// Error says which type.
func (e *UnknownTypeError) Error() string {
	return fmt.Sprintf("%v: %.32q", ErrUnknownType, string(e.Type))
}

// Is says that it is ErrUnknownType.
func (e *UnknownTypeError) Is(target error) bool { return target == ErrUnknownType }

// CodeOf gives the code of a decoding error, CodeMalformed if it is none of
// this package's.
func CodeOf(err error) Code {
	switch {
	case errors.Is(err, ErrUnknownType):
		return CodeUnknownType
	case errors.Is(err, ErrTooLarge):
		return CodeTooLarge
	}
	return CodeMalformed
}

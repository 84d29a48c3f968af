package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/claudemesh/claudemesh-go/signed"
)

func appendFrame(dst []byte, f Frame, payload []byte) ([]byte, error) {
	obj, err := signed.Encode(f)
	if err != nil {
		return dst, fmt.Errorf("wire: encode %s: %w", f.FrameType(), err)
	}
	start := len(dst)
	if payload != nil {
		dst = append(dst, "0000"...)
	}
	dst = append(dst, `{"type":"`...)
	dst = append(dst, f.FrameType()...)
	dst = append(dst, '"')
	if len(obj) > len("{}") {
		dst = append(dst, ',')
	}
	dst = append(dst, obj[1:]...)
	if payload != nil {
		dst = closeHeader(dst, start, payload)
	}
	return dst, nil
}

// split cuts a message into header and payload. The payload is nil for a text
// message. [CM-7.2, CM-7.5]
func split(msg []byte, isBinary bool) (header, payload []byte, err error) {
	if len(msg) > MaxFrame {
		return nil, nil, fmt.Errorf("%w: frame of %d bytes", ErrTooLarge, len(msg))
	}
	if !isBinary {
		return msg, nil, nil
	}
	if len(msg) < 4 {
		return nil, nil, fmt.Errorf("%w: binary message of %d bytes", ErrMalformed, len(msg))
	}
	n := uint64(binary.BigEndian.Uint32(msg))
	if n > MaxHeader {
		return nil, nil, fmt.Errorf("%w: header of %d bytes", ErrTooLarge, n)
	}
	if n > uint64(len(msg)-4) {
		return nil, nil, fmt.Errorf("%w: header of %d bytes in a message of %d", ErrMalformed, n, len(msg))
	}
	header = msg[4 : 4+n : 4+n]
	payload = msg[4+n:]
	if len(payload) > MaxPayload {
		return nil, nil, fmt.Errorf("%w: payload of %d bytes", ErrTooLarge, len(payload))
	}
	return header, payload, nil
}

func (d *Decoder) decode(msg []byte, isBinary bool) (Frame, []byte, error) {
	header, payload, err := split(msg, isBinary)
	if err != nil {
		return nil, nil, err
	}
	f, ok := d.hotScan(header)
	if !ok {
		if f, err = parse(header); err != nil {
			return nil, nil, err
		}
	}
	if err := check(f, payload); err != nil {
		return nil, nil, err
	}
	return f, payload, nil
}

// parse is the general parser: any JSON encoder's form of any frame, into
// fresh memory. [CM-7.3]
func parse(header []byte) (Frame, error) {
	// Every value but the first of its array or object follows a separator,
	// so this bounds what decoding allocates.
	if n := bytes.Count(header, []byte{','}) + bytes.Count(header, []byte{'{'}); n > MaxValues {
		return nil, fmt.Errorf("%w: %d values in one frame", ErrTooLarge, n)
	}
	var t struct {
		Type Type            `json:"type"`
		ID   json.RawMessage `json:"id"`
	}
	if err := signed.DecodeOpen(header, &t); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	f := newFrame(t.Type)
	if f == nil {
		e := &UnknownTypeError{Type: t.Type}
		// The id only says which request to answer; one of another kind is none.
		if json.Unmarshal(t.ID, &e.ID) != nil {
			e.ID = 0
		}
		return nil, e
	}
	if err := signed.DecodeOpen(header, f); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, t.Type, err)
	}
	return f, nil
}

func newFrame(t Type) Frame {
	switch t {
	case TypeChallenge:
		return new(Challenge)
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypeSync:
		return new(Sync)
	case TypeAppend:
		return new(Append)
	case TypeEntries:
		return new(Entries)
	case TypeSend:
		return new(Send)
	case TypeAck:
		return new(Ack)
	case TypeDeliver:
		return new(Deliver)
	case TypeReceipt:
		return new(Receipt)
	case TypeGrant:
		return new(Grant)
	case TypePresence:
		return new(Presence)
	case TypeSubscribe:
		return new(Subscribe)
	case TypeTrace:
		return new(Trace)
	case TypePing:
		return new(Ping)
	case TypePong:
		return new(Pong)
	case TypeDrain:
		return new(Drain)
	case TypeError:
		return new(Error)
	}
	return nil
}

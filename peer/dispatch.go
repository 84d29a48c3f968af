package peer

import (
	"errors"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// dispatcher deals with the frames of one line, on the reader's goroutine.
type dispatcher struct {
	p       *Peer
	line    *line
	decoder wire.Decoder
}

// read deals with frames until the line ends.
func (d *dispatcher) read() error {
	for {
		message, binary, err := d.line.read()
		if err != nil {
			return err
		}
		frame, payload, err := d.decoder.Decode(message, binary)
		if errors.Is(err, wire.ErrUnknownType) {
			continue // of a later version
		}
		if err != nil {
			return unreadable(err)
		}
		if err := d.frame(frame, payload); err != nil {
			return err
		}
	}
}

// frame deals with one frame. It and the payload may be overwritten afterwards.
func (d *dispatcher) frame(frame wire.Frame, payload []byte) error {
	p := d.p
	switch f := frame.(type) {
	case *wire.Deliver:
		p.arrive(d.line, f, payload)
	case *wire.Ack:
		p.acked(f)
	case *wire.Grant:
		p.granted(f)
	case *wire.Entries:
		if !d.line.answered(f.Re, f) && f.Re == 0 {
			p.pushed(d.line, f)
		}
	case *wire.Sync:
		return p.askedBack(d.line, f)
	case *wire.Presence:
		p.presenceFrame(d.line, f)
	case *wire.Trace:
		d.line.answered(f.Re, f)
	case *wire.Ping:
		return d.line.send(&wire.Pong{N: f.N}, nil)
	case *wire.Drain:
		return &drainError{within: time.Duration(min(max(f.Within, 0), maxDrain)) * time.Millisecond}
	case *wire.Error:
		if !d.line.answered(f.Re, f) {
			p.complaint(f)
		}
	}
	return nil
}

// maxDrain bounds in milliseconds how long a broker can ask to be left alone.
const maxDrain = 60_000

// complaint is an error frame that answers no request.
func (p *Peer) complaint(f *wire.Error) {
	p.home.log.Info("the broker complains", "mesh", p.alias, "code", f.Code, "message", f.Message, "messages", len(f.IDs))
	if len(f.IDs) == 0 {
		return
	}
	if f.Code == wire.CodeRate {
		p.mu.Lock()
		p.outbox.Pause(p.now(), f.RetryAfter)
		p.changedLocked()
		p.mu.Unlock()
		p.desk.kick()
		return
	}
	if f.Code.Info().Retry != wire.RetryNever {
		// The rows stay in the outbox; they are sent again after a reconnect.
		p.mu.Lock()
		if p.againAt == 0 {
			p.againAt = p.now() + max(f.RetryAfter, time.Second.Milliseconds())
		}
		p.mu.Unlock()
		p.desk.kick()
		return
	}
	p.refuseSends(append([]keys.MessageID(nil), f.IDs...), whyOf(f.Code))
}

// sendAgain ends the line when the broker said that it would take more.
func (p *Peer) sendAgain(t int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.againAt == 0 || t < p.againAt {
		return p.againAt
	}
	p.againAt = 0
	if p.line != nil {
		p.line.end(errAgain)
	}
	return 0
}

// errAgain ends a line so that what was not taken is sent again.
var errAgain = errors.New("sending again what the broker did not take")

// whyOf translates a code for a send that the broker will never take.
func whyOf(c wire.Code) wire.Why {
	switch c {
	case wire.CodeTooLarge:
		return wire.WhyTooLarge
	case wire.CodeRevoked:
		return wire.WhyRevoked
	case wire.CodePending:
		return wire.WhyPending
	case wire.CodeNotMember:
		return wire.WhyNotMember
	}
	return wire.WhyMalformed
}

// refusal is a broker's error frame as an error for people.
func refusal(f *wire.Error) error {
	return &RefusedError{Code: string(f.Code), Message: f.Code.Info().Sentence,
		RetryAfter: time.Duration(f.RetryAfter) * time.Millisecond}
}

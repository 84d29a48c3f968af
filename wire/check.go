package wire

import (
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

const (
	maxAttempt = 1 << 30
	maxInteger = 1<<53 - 1
)

// check says whether a decoded frame's values are within its form: what is
// required is there, lists and texts are within their limits. It is the same
// for both roads into a frame. [CM-7.4]
func check(f Frame, payload []byte) error {
	switch f.(type) {
	case *Send, *Deliver:
		if payload == nil {
			return malformed(f, "no payload")
		}
	default:
		if payload != nil {
			return malformed(f, "a payload where none belongs")
		}
	}
	switch f := f.(type) {
	case *Send:
		return f.check(payload)
	case *Deliver:
		return f.check(payload)
	case *Ack:
		return f.check()
	case *Receipt:
		return f.check()
	}
	return checkCold(f)
}

func malformed(f Frame, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %s", ErrMalformed, f.FrameType(), fmt.Sprintf(format, args...))
}

func tooLarge(f Frame, what string, n, limit int) error {
	return fmt.Errorf("%w: %s: %d %s, the limit is %d", ErrTooLarge, f.FrameType(), n, what, limit)
}

func (f *Send) check(payload []byte) error {
	switch {
	case f.ID == (keys.MessageID{}):
		return malformed(f, "no id")
	case f.Expires <= 0:
		return malformed(f, "no expiry")
	case f.To == (keys.Public{}) && len(f.Recipients) == 0:
		return malformed(f, "no recipient")
	case f.To != (keys.Public{}) && len(f.Recipients) > 0:
		return malformed(f, "one recipient and several")
	case f.Session != (keys.SessionID{}) && len(f.Recipients) > 0:
		return malformed(f, "a session for several recipients")
	case f.One && len(f.Recipients) == 0:
		return malformed(f, "one of no recipients")
	case f.Class == ClassReceipt && len(f.Recipients) > 0:
		return malformed(f, "a receipt for several")
	case f.Class == ClassReceipt && len(payload) > MaxReceiptSize:
		return tooLarge(f, "bytes of receipt", len(payload), MaxReceiptSize)
	case len(f.Recipients) > MaxRecipients:
		return tooLarge(f, "recipients", len(f.Recipients), MaxRecipients)
	}
	return checkRecipients(f, f.Recipients)
}

func checkRecipients(f Frame, list []Recipient) error {
	if len(list) == 0 {
		return nil
	}
	var seen map[keys.Public]struct{} // for a few recipients looking is cheaper
	if len(list) > 16 {
		seen = make(map[keys.Public]struct{}, len(list))
	}
	for i := range list {
		r := &list[i]
		if r.Key == (keys.Public{}) || len(r.Box) == 0 {
			return malformed(f, "a recipient without key or box")
		}
		if len(r.Box) > MaxBox {
			return tooLarge(f, "bytes of box", len(r.Box), MaxBox)
		}
		twice := false
		if seen != nil {
			_, twice = seen[r.Key]
			seen[r.Key] = struct{}{}
		} else {
			twice = slices.ContainsFunc(list[:i], func(o Recipient) bool { return o.Key == r.Key })
		}
		if twice {
			return malformed(f, "a recipient twice")
		}
	}
	return nil
}

func (f *Deliver) check(payload []byte) error {
	switch {
	case f.ID == (keys.MessageID{}):
		return malformed(f, "no id")
	case f.From == (keys.Public{}):
		return malformed(f, "no sender")
	case f.Expires <= 0:
		return malformed(f, "no expiry")
	case f.Sent < 0:
		return malformed(f, "sent before 1970")
	case f.Attempt < 1 || f.Attempt > maxAttempt:
		return malformed(f, "attempt %d", f.Attempt)
	case len(f.Box) > MaxBox:
		return tooLarge(f, "bytes of box", len(f.Box), MaxBox)
	case f.Class == ClassReceipt && len(payload) > MaxReceiptSize:
		return tooLarge(f, "bytes of receipt", len(payload), MaxReceiptSize)
	}
	return nil
}

func (f *Ack) check() error {
	switch f.State {
	case StateDelivered, StateQueued, StateRefused, StateExpired:
	default:
		return malformed(f, "state %s", f.State)
	}
	if f.To == (keys.Public{}) {
		return malformed(f, "no recipient")
	}
	if err := checkWhy(f, f.Why); err != nil {
		return err
	}
	return checkIDs(f, f.IDs)
}

func (f *Receipt) check() error {
	if f.From == (keys.Public{}) {
		return malformed(f, "no sender")
	}
	if err := checkWhy(f, f.Why); err != nil {
		return err
	}
	return checkIDs(f, f.IDs)
}

func checkIDs(f Frame, ids []keys.MessageID) error {
	if len(ids) == 0 {
		return malformed(f, "no ids")
	}
	if len(ids) > MaxIDs {
		return tooLarge(f, "ids", len(ids), MaxIDs)
	}
	for i := range ids {
		if ids[i] == (keys.MessageID{}) {
			return malformed(f, "an id of zeros")
		}
	}
	return nil
}

func checkWhy(f Frame, w Why) error {
	if w != "" && !isCode(string(w)) {
		return malformed(f, "why is no code")
	}
	return nil
}

func checkText(f Frame, what, s string) error {
	if len(s) > MaxText {
		return tooLarge(f, "bytes of "+what, len(s), MaxText)
	}
	return nil
}

func checkObject(f Frame, what string, o signed.Object, limit int) error {
	if len(o.Bytes) == 0 || len(o.Sig) == 0 {
		return malformed(f, "%s without bytes or signature", what)
	}
	if len(o.Bytes) > limit {
		return tooLarge(f, "bytes of "+what, len(o.Bytes), limit)
	}
	if len(o.Sig) > MaxSignatures*64 || len(o.Sig)%64 != 0 {
		return malformed(f, "%s with a signature of %d bytes", what, len(o.Sig))
	}
	return nil
}

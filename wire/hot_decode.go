package wire

import (
	"bytes"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// hotScan reads a hot frame's header in its flat form: "type" first, no
// spaces, no escapes, known fields, none twice. Whatever else it meets it
// gives up on (false) and leaves the answer to the general parser, so it never
// refuses and never accepts what that one would not: FuzzHot holds them to
// it. The result lives in d until the next call.
func (d *Decoder) hotScan(header []byte) (Frame, bool) {
	s := &d.scan
	s.rest = header
	defer func() { s.rest = nil }() // keep no message alive
	switch {
	case s.take(`{"type":"send",`):
		d.send = Send{Recipients: kept(d.recipients)}
		ok := s.fields(&d.send)
		d.recipients = d.send.Recipients
		if len(d.recipients) == 0 {
			d.send.Recipients = nil // what is not there is nil, as from the general parser
		}
		return &d.send, ok
	case s.take(`{"type":"deliver",`):
		d.deliver = Deliver{Box: d.box[:0]}
		ok := s.fields(&d.deliver)
		d.box = d.deliver.Box
		if len(d.box) == 0 {
			d.deliver.Box = nil
		}
		return &d.deliver, ok
	case s.take(`{"type":"ack",`):
		d.ack = Ack{IDs: d.ack.IDs[:0]}
		return &d.ack, s.fields(&d.ack)
	case s.take(`{"type":"receipt",`):
		d.receipt = Receipt{IDs: d.receipt.IDs[:0]}
		return &d.receipt, s.fields(&d.receipt)
	}
	return nil, false
}

// hotFrame is a frame with a flat form. hotField reads the value of one field
// and returns the field's bit, zero to give up.
type hotFrame interface {
	hotField(s *scanner, name []byte) uint
}

func (f *Send) hotField(s *scanner, name []byte) uint {
	switch string(name) {
	case "id":
		return s.exact(f.ID[:], 1<<0)
	case "class":
		return s.enum(classNames, (*uint8)(&f.Class), 1<<1)
	case "to":
		return s.exact(f.To[:], 1<<2)
	case "session":
		return s.exact(f.Session[:], 1<<3)
	case "priority":
		return s.enum(priorityNames, (*uint8)(&f.Priority), 1<<4)
	case "expires":
		return s.integer(&f.Expires, 1<<5)
	case "recipients":
		return s.recipients(&f.Recipients, 1<<6)
	case "one":
		return s.boolean(&f.One, 1<<7)
	}
	return 0
}

func (r *Recipient) hotField(s *scanner, name []byte) uint {
	switch string(name) {
	case "key":
		return s.exact(r.Key[:], 1<<0)
	case "session":
		return s.exact(r.Session[:], 1<<1)
	case "box":
		return s.binary(&r.Box, 1<<2)
	}
	return 0
}

func (f *Deliver) hotField(s *scanner, name []byte) uint {
	switch string(name) {
	case "id":
		return s.exact(f.ID[:], 1<<0)
	case "class":
		return s.enum(classNames, (*uint8)(&f.Class), 1<<1)
	case "from":
		return s.exact(f.From[:], 1<<2)
	case "session":
		return s.exact(f.Session[:], 1<<3)
	case "box":
		return s.binary(&f.Box, 1<<4)
	case "priority":
		return s.enum(priorityNames, (*uint8)(&f.Priority), 1<<5)
	case "expires":
		return s.integer(&f.Expires, 1<<6)
	case "sent":
		return s.integer(&f.Sent, 1<<7)
	case "attempt":
		var n int64
		bit := s.integer(&n, 1<<8)
		if n > maxAttempt {
			return 0
		}
		f.Attempt = int(n)
		return bit
	case "claim":
		return s.boolean(&f.Claim, 1<<9)
	}
	return 0
}

func (f *Ack) hotField(s *scanner, name []byte) uint {
	switch string(name) {
	case "state":
		return s.enum(stateNames, (*uint8)(&f.State), 1<<0)
	case "why":
		return s.why(&f.Why, 1<<1)
	case "to":
		return s.exact(f.To[:], 1<<2)
	case "ids":
		return s.ids(&f.IDs, 1<<3)
	}
	return 0
}

func (f *Receipt) hotField(s *scanner, name []byte) uint {
	switch string(name) {
	case "state":
		return s.enum(verdictNames, (*uint8)(&f.State), 1<<0)
	case "why":
		return s.why(&f.Why, 1<<1)
	case "from":
		return s.exact(f.From[:], 1<<2)
	case "ids":
		return s.ids(&f.IDs, 1<<3)
	}
	return 0
}

// scanner walks a header. Each value method returns the bit it was given, or
// zero when what stands there is not the plain form it knows.
type scanner struct {
	rest []byte
}

// fields reads `"name":value` pairs up to the closing brace, which must be
// the end.
func (s *scanner) fields(f hotFrame) bool {
	return s.object(f) && len(s.rest) == 0
}

// object reads `"name":value` pairs up to the closing brace.
func (s *scanner) object(f hotFrame) bool {
	var seen uint
	for {
		name, ok := s.text()
		if !ok || !s.take(":") {
			return false
		}
		bit := f.hotField(s, name)
		if bit == 0 || seen&bit != 0 {
			return false
		}
		seen |= bit
		if s.take(",") {
			continue
		}
		return s.take("}")
	}
}

func (s *scanner) take(prefix string) bool {
	if len(s.rest) < len(prefix) || string(s.rest[:len(prefix)]) != prefix {
		return false
	}
	s.rest = s.rest[len(prefix):]
	return true
}

// text reads a string up to the next quote. What needs care (escapes, control
// characters, other than ASCII) matches no name, no word and no base64url.
func (s *scanner) text() ([]byte, bool) {
	if !s.take(`"`) {
		return nil, false
	}
	end := bytes.IndexByte(s.rest, '"')
	if end < 0 {
		return nil, false
	}
	t := s.rest[:end]
	s.rest = s.rest[end+1:]
	return t, true
}

// exact reads base64url of exactly len(dst) bytes.
func (s *scanner) exact(dst []byte, bit uint) uint {
	t, ok := s.text()
	if !ok || !decodeExact(dst, t) {
		return 0
	}
	return bit
}

// binary reads base64url of 1 to MaxBox bytes into dst's memory.
func (s *scanner) binary(dst *signed.Bytes, bit uint) uint {
	t, ok := s.text()
	if !ok || len(t) == 0 || len(t) > b64.EncodedLen(MaxBox) {
		return 0
	}
	out, err := appendBase64((*dst)[:0], t)
	if err != nil {
		return 0
	}
	*dst = out
	return bit
}

func (s *scanner) enum(names []string, dst *uint8, bit uint) uint {
	t, ok := s.text()
	if !ok {
		return 0
	}
	if *dst, ok = enumValue(names, t); !ok {
		return 0
	}
	return bit
}

// why reads a code of the table, whose own string it takes: no allocation.
func (s *scanner) why(dst *Why, bit uint) uint {
	t, ok := s.text()
	if !ok {
		return 0
	}
	info, ok := whyTable[Why(t)]
	if !ok {
		return 0
	}
	*dst = info.Why
	return bit
}

// integer reads up to 16 digits without leading zeros, below 2^53.
func (s *scanner) integer(dst *int64, bit uint) uint {
	var n int64
	i := 0
	for i < len(s.rest) && s.rest[i] >= '0' && s.rest[i] <= '9' {
		n = n*10 + int64(s.rest[i]-'0')
		if i++; i > 16 {
			return 0
		}
	}
	if i == 0 || n > maxInteger || (i > 1 && s.rest[0] == '0') {
		return 0
	}
	s.rest = s.rest[i:]
	*dst = n
	return bit
}

func (s *scanner) boolean(dst *bool, bit uint) uint {
	switch {
	case s.take("true"):
		*dst = true
	case s.take("false"):
		*dst = false
	default:
		return 0
	}
	return bit
}

// ids reads a list of 1 to MaxIDs message ids into dst's memory.
func (s *scanner) ids(dst *[]keys.MessageID, bit uint) uint {
	if !s.take("[") {
		return 0
	}
	list := (*dst)[:0]
	for {
		t, ok := s.text()
		if !ok || len(list) == MaxIDs {
			return 0
		}
		list = append(list, keys.MessageID{})
		if !decodeExact(list[len(list)-1][:], t) {
			return 0
		}
		if s.take(",") {
			continue
		}
		*dst = list
		if !s.take("]") {
			return 0
		}
		return bit
	}
}

// recipients reads a list of 1 to MaxRecipients flat objects into dst's
// memory, boxes included.
func (s *scanner) recipients(dst *[]Recipient, bit uint) uint {
	if !s.take("[") {
		return 0
	}
	list := (*dst)[:0]
	for {
		if len(list) == MaxRecipients || !s.take("{") {
			return 0
		}
		if len(list) < cap(list) {
			list = list[:len(list)+1]
			list[len(list)-1] = Recipient{Box: list[len(list)-1].Box[:0]}
		} else {
			list = append(list, Recipient{})
		}
		last := &list[len(list)-1]
		if !s.object(last) {
			return 0
		}
		if len(last.Box) == 0 {
			last.Box = nil
		}
		if s.take(",") {
			continue
		}
		*dst = list
		if !s.take("]") {
			return 0
		}
		return bit
	}
}

// kept gives a list's memory for the next frame, unless one frame with many
// recipients would hold it for as long as the connection lives.
func kept(list []Recipient) []Recipient {
	if cap(list) > 32 {
		return nil
	}
	return list[:0]
}

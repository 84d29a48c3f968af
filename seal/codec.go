package seal

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/signed"
)

// Encode gives the JSON of a message, after [Message.Check]. [CM-4.9]
func (m *Message) Encode() ([]byte, error) {
	return m.appendTo(make([]byte, 0, m.sizeBound()))
}

// DecodeMessage reads the JSON of a message strictly, save that unknown names are
// ignored, and calls [Message.Check]. [CM-4.9]
func DecodeMessage(data []byte) (Message, error) {
	var m Message
	if len(data) > MaxMessage {
		return Message{}, ErrTooLarge
	}
	// The form that Encode writes is read by hand; every other goes the general way.
	// A test compares the two.
	if !m.decodeFast(data) {
		var err error
		if m, err = decodeAny(data); err != nil {
			return Message{}, err
		}
	}
	if err := m.checkSize(len(data)); err != nil {
		return Message{}, err
	}
	if err := m.Check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// decodeAny reads the JSON of a message in whatever form. It works on memory of its
// own, so that what decodeFast takes needs none.
func decodeAny(data []byte) (Message, error) {
	var m Message
	own := bytes.Clone(data)
	defer clear(own)
	if err := signed.DecodeOpen(own, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return m, nil
}

// checkSize tests the size of the encoded message.
func (m *Message) checkSize(size int) error {
	if size > MaxMessage || m.Kind == KindRoster && size > MaxRoster {
		return ErrTooLarge
	}
	return nil
}

// sizeBound is at least the size of the encoded message, but for a roster's content:
// growing would leave the text in memory once more.
func (m *Message) sizeBound() int {
	size := 640 + 46*len(m.Audience.Keys) + textBound(m.Audience.Address) + textBound(m.Body)
	size += len(m.Receipts) * (160 + MaxWhy)
	for _, station := range m.Via {
		size += 3 + textBound(station)
	}
	return size
}

// escapeExtra is by how many bytes a byte of text grows in JSON, at most; 0xe2 begins
// U+2028 and U+2029, which end a line in JavaScript.
var escapeExtra = func() (extra [256]uint8) {
	for c := range byte(' ') {
		extra[c] = 5
	}
	for _, c := range []byte("\"\\\b\f\n\r\t") {
		extra[c] = 1
	}
	extra[0xe2] = 3
	return extra
}()

// textBound is at least the size of a text with its escapes.
func textBound(text string) int {
	size := len(text)
	for i := asIs(text); i < len(text); i += 1 + asIs(text[i+1:]) {
		size += int(escapeExtra[text[i]])
	}
	return size
}

// asIs is how many bytes at the start of a text need no escape in JSON, by escapeExtra.
// It looks at eight at a time: texts are long, and escapes in them few.
func asIs[T string | []byte](text T) int {
	const each, top = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(text); i += 8 {
		w := uint64(text[i]) | uint64(text[i+1])<<8 | uint64(text[i+2])<<16 | uint64(text[i+3])<<24 |
			uint64(text[i+4])<<32 | uint64(text[i+5])<<40 | uint64(text[i+6])<<48 | uint64(text[i+7])<<56
		// The top bit of (w-each*n)&^w is set in some byte exactly if one of w is
		// below n, for n up to 128; that of an exclusive or with c is 0 where w has c.
		quote, backslash, separator := w^each*'"', w^each*'\\', w^each*0xe2
		if ((w-each*' ')&^w|(quote-each)&^quote|(backslash-each)&^backslash|(separator-each)&^separator)&top != 0 {
			break
		}
	}
	for i < len(text) && escapeExtra[text[i]] == 0 {
		i++
	}
	return i
}

// appendTo checks the message and appends its JSON, the same that [signed.Encode]
// gives. It is written by hand because it is on the way of every message.
func (m *Message) appendTo(dst []byte) ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	start := len(dst)
	dst = appendBinary(append(dst, `{"id":`...), m.ID[:])
	dst = appendBinary(append(dst, `,"mesh":`...), m.Mesh[:])
	dst = appendBinary(append(dst, `,"from":`...), m.From[:])
	dst = appendBinary(append(dst, `,"session":`...), m.Session[:])
	if m.Label != "" {
		dst = appendText(append(dst, `,"label":`...), m.Label)
	}
	dst = m.Audience.appendTo(append(dst, `,"audience":`...))
	if m.Seq != 0 {
		dst = strconv.AppendUint(append(dst, `,"seq":`...), m.Seq, 10)
	}
	dst = appendText(append(dst, `,"kind":`...), string(m.Kind))
	if !m.ReplyTo.IsZero() {
		dst = appendBinary(append(dst, `,"reply_to":`...), m.ReplyTo[:])
	}
	if !m.Thread.IsZero() {
		dst = appendBinary(append(dst, `,"thread":`...), m.Thread[:])
	}
	if m.Depth != 0 {
		dst = strconv.AppendInt(append(dst, `,"depth":`...), int64(m.Depth), 10)
	}
	dst = appendText(append(dst, `,"priority":`...), string(m.Priority))
	dst = strconv.AppendInt(append(dst, `,"time":`...), m.Time, 10)
	dst = strconv.AppendInt(append(dst, `,"expires":`...), m.Expires, 10)
	dst = strconv.AppendUint(append(dst, `,"at":{"n":`...), m.At.N, 10)
	dst = append(appendBinary(append(dst, `,"hash":`...), m.At.Hash[:]), '}')
	if len(m.Via) > 0 {
		dst = append(dst, `,"via":[`...)
		for i, station := range m.Via {
			dst = appendText(comma(dst, i), station)
		}
		dst = append(dst, ']')
	}
	if m.Body != "" {
		dst = appendText(append(dst, `,"body":`...), m.Body)
	}
	if len(m.Receipts) > 0 {
		dst = append(dst, `,"receipts":[`...)
		for i := range m.Receipts {
			dst = m.Receipts[i].appendTo(comma(dst, i))
		}
		dst = append(dst, ']')
	}
	if m.Roster != nil {
		data, err := signed.Encode(m.Roster)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		dst = append(append(dst, `,"roster":`...), data...)
	}
	dst = append(dst, '}')
	if err := m.checkSize(len(dst) - start); err != nil {
		return nil, err
	}
	return dst, nil
}

// appendTo appends the JSON of an audience.
func (a *Audience) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	start := len(dst)
	if a.Address != "" {
		dst = appendText(append(dst, `"address":`...), a.Address)
	}
	if len(a.Keys) > 0 {
		dst = append(comma(dst, len(dst)-start), `"keys":[`...)
		for i := range a.Keys {
			dst = appendBinary(comma(dst, i), a.Keys[i][:])
		}
		dst = append(dst, ']')
	}
	if a.Count != 0 {
		dst = append(comma(dst, len(dst)-start), `"count":`...)
		dst = strconv.AppendInt(dst, int64(a.Count), 10)
	}
	if !a.Session.IsZero() {
		dst = append(comma(dst, len(dst)-start), `"session":`...)
		dst = appendBinary(dst, a.Session[:])
	}
	if a.One {
		dst = append(comma(dst, len(dst)-start), `"one":true`...)
	}
	return append(dst, '}')
}

// appendTo appends the JSON of a receipt.
func (r *Receipt) appendTo(dst []byte) []byte {
	dst = appendBinary(append(dst, `{"id":`...), r.ID[:])
	dst = appendBinary(append(dst, `,"hash":`...), r.Hash[:])
	dst = appendText(append(dst, `,"state":`...), string(r.State))
	if r.Why != "" {
		dst = appendText(append(dst, `,"why":`...), r.Why)
	}
	return append(dst, '}')
}

// comma appends one unless nothing stands before.
func comma(dst []byte, before int) []byte {
	if before > 0 {
		dst = append(dst, ',')
	}
	return dst
}

// appendBinary appends a value as base64url.
func appendBinary(dst, value []byte) []byte {
	return append(base64.RawURLEncoding.AppendEncode(append(dst, '"'), value), '"')
}

// appendText appends a string of valid UTF-8 as JSON, escaped as encoding/json does
// without HTML escapes.
func appendText(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := asIs(text); i < len(text); i += 1 + asIs(text[i+1:]) {
		c := text[i]
		if c == 0xe2 {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == '\u2028' || r == '\u2029' {
				dst = append(append(dst, text[start:i]...), `\u202`...)
				dst = append(dst, hex[r&0xf])
				start = i + size
			}
			i += size - 1
			continue
		}
		dst = append(dst, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	return append(append(dst, text[start:]...), '"')
}

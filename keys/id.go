package keys

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// MeshID names a mesh: the first 16 bytes of the hash of its genesis entry, so that
// nobody can claim another owner's. The zero value means "none". [CM-2.9]
type MeshID [16]byte

// String is the form for people: 26 characters of lower-case base32.
func (m MeshID) String() string { return base32Lower.EncodeToString(m[:]) }

// ParseMeshID reads the form that [MeshID.String] writes. It fails with [ErrText].
func ParseMeshID(text string) (MeshID, error) {
	var m MeshID
	if err := parseBase32(m[:], text, "mesh id"); err != nil {
		return MeshID{}, err
	}
	return m, nil
}

// MarshalText gives the wire form, 22 characters of base64url. [CM-1.4]
func (m MeshID) MarshalText() ([]byte, error) { return marshalBase64(m[:]) }

// UnmarshalText reads the wire form. It fails with [ErrText].
func (m *MeshID) UnmarshalText(text []byte) error { return unmarshalBase64(m[:], text, "mesh id") }

// IsZero tells whether there is no mesh.
func (m MeshID) IsZero() bool { return m == MeshID{} }

// SessionID names one process of a peer in one mesh, over all its reconnects: 16
// random bytes. The zero value means "none". [CM-2.10]
type SessionID [16]byte

// NewSessionID makes a session id from 16 bytes of rand.
func NewSessionID(rand io.Reader) (SessionID, error) {
	var s SessionID
	if err := fill(rand, s[:]); err != nil {
		return SessionID{}, err
	}
	return s, nil
}

// String is the form for people: 26 characters of lower-case base32.
func (s SessionID) String() string { return base32Lower.EncodeToString(s[:]) }

// ParseSessionID reads the form that [SessionID.String] writes. It fails with [ErrText].
func ParseSessionID(text string) (SessionID, error) {
	var s SessionID
	if err := parseBase32(s[:], text, "session id"); err != nil {
		return SessionID{}, err
	}
	return s, nil
}

// MarshalText gives the wire form, 22 characters of base64url. [CM-1.4]
func (s SessionID) MarshalText() ([]byte, error) { return marshalBase64(s[:]) }

// UnmarshalText reads the wire form. It fails with [ErrText].
func (s *SessionID) UnmarshalText(text []byte) error {
	return unmarshalBase64(s[:], text, "session id")
}

// IsZero tells whether there is no session.
func (s SessionID) IsZero() bool { return s == SessionID{} }

// MessageID names a message: a UUIDv7 that its sender makes, the key by which every
// hop recognises it again. The zero value means "none". [CM-2.11]
type MessageID [16]byte

// messagePrefix stands before the human form of a message id.
const messagePrefix = "m-"

// messageDigits is how many base32 digits a message id has: 128 bits and, before
// them, two zero bits.
const messageDigits = 26

// NewMessageID makes an id at ms, in Unix milliseconds, from 10 bytes of rand, of
// which 74 bits stay. It fails when ms does not fit into 48 bits.
func NewMessageID(ms int64, rand io.Reader) (MessageID, error) {
	var m MessageID
	if ms < 0 || ms >= 1<<48 {
		return MessageID{}, fmt.Errorf("keys: %d is no time for a message id", ms)
	}
	if err := fill(rand, m[6:]); err != nil {
		return MessageID{}, err
	}
	binary.BigEndian.PutUint16(m[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(m[2:], uint32(ms))
	m[6] = m[6]&0x0f | 0x70 // version 7
	m[8] = m[8]&0x3f | 0x80 // the variant of RFC 9562
	return m, nil
}

// Time is when the id was made, in Unix milliseconds, as its maker said.
func (m MessageID) Time() int64 {
	return int64(binary.BigEndian.Uint16(m[0:]))<<32 | int64(binary.BigEndian.Uint32(m[2:]))
}

// digits writes the id as one number in base32, the last digits being random ones.
// (encoding/base32 pads at the end, which would leave three bits to the last digit.)
func (m MessageID) digits() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	high, low := binary.BigEndian.Uint64(m[:8]), binary.BigEndian.Uint64(m[8:])
	var text [messageDigits]byte
	for i := messageDigits - 1; i >= 0; i-- {
		text[i] = alphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}

// String is the form for people: "m-" and the 26 base32 digits of the 128-bit
// number, big-endian, so that its tail is the random part. [CM-2.12]
func (m MessageID) String() string { return messagePrefix + m.digits() }

// Tail is the short form for people, "m-" and the last n digits. n is taken as 4 at
// least and 26 at most. The last 12 digits are random.
func (m MessageID) Tail(n int) string {
	n = min(max(n, 4), messageDigits)
	return messagePrefix + m.digits()[messageDigits-n:]
}

// ParseMessageID reads the full form that [MessageID.String] writes. It fails with
// [ErrText].
func ParseMessageID(text string) (MessageID, error) {
	digits, found := strings.CutPrefix(lower(text), messagePrefix)
	if !found || len(digits) != messageDigits {
		return MessageID{}, fmt.Errorf("%w: a message id is %s and %d characters",
			ErrText, messagePrefix, messageDigits)
	}
	var high, low uint64
	for i := range messageDigits {
		var value uint64
		switch c := digits[i]; {
		case 'a' <= c && c <= 'z':
			value = uint64(c - 'a')
		case '2' <= c && c <= '7':
			value = uint64(c-'2') + 26
		default:
			return MessageID{}, fmt.Errorf("%w: message id is not base32", ErrText)
		}
		if i == 0 && value > 7 { // 26 digits are 130 bits, the first two are zero
			return MessageID{}, fmt.Errorf("%w: message id is too large", ErrText)
		}
		high = high<<5 | low>>59
		low = low<<5 | value
	}
	var m MessageID
	binary.BigEndian.PutUint64(m[:8], high)
	binary.BigEndian.PutUint64(m[8:], low)
	return m, nil
}

// MarshalText gives the wire form, 22 characters of base64url. [CM-1.4]
func (m MessageID) MarshalText() ([]byte, error) { return marshalBase64(m[:]) }

// UnmarshalText reads the wire form. It fails with [ErrText].
func (m *MessageID) UnmarshalText(text []byte) error {
	return unmarshalBase64(m[:], text, "message id")
}

// IsZero tells whether there is no message.
func (m MessageID) IsZero() bool { return m == MessageID{} }

// InviteName is how an invite is named to people: "i-" and the first n characters of
// its key in base32. n is taken as 4 at least and 52 at most.
func InviteName(p Public, n int) string {
	digits := base32Lower.EncodeToString(p[:])
	return "i-" + digits[:min(max(n, 4), len(digits))]
}

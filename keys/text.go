package keys

import (
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrText is returned when a key or an id is not in its text form: wrong length,
// wrong prefix, a character outside the alphabet, or set bits after the end. The
// text itself is never part of the error, since it may be a secret. [CM-1.4, CM-1.5]
var ErrText = errors.New("keys: not in the text form of a key or an id")

// errNoRandom is returned where a source of randomness is required and nil was given.
var errNoRandom = errors.New("keys: no source of randomness")

// base32Lower is the alphabet of RFC 4648 in lower case, unpadded.
var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// base64Strict refuses set bits after the end, so that a value has one text.
var base64Strict = base64.RawURLEncoding.Strict()

// marshalBase64 is the wire form of a fixed-size value.
func marshalBase64(value []byte) ([]byte, error) {
	text := make([]byte, base64.RawURLEncoding.EncodedLen(len(value)))
	base64.RawURLEncoding.Encode(text, value)
	return text, nil
}

// unmarshalBase64 fills value, which has the exact size, from its wire form.
func unmarshalBase64(value, text []byte, what string) error {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(value)) {
		return fmt.Errorf("%w: %s has %d characters, not %d",
			ErrText, what, len(text), base64.RawURLEncoding.EncodedLen(len(value)))
	}
	// The decoder skips line breaks, which would give a value a second text: then
	// fewer bytes come out. 64 bytes is the largest fixed-size value there is; decoded
	// aside, so that a refused text changes nothing.
	var buffer [66]byte
	n, err := base64Strict.Decode(buffer[:], text)
	if err != nil || n != len(value) {
		return fmt.Errorf("%w: %s is not base64url", ErrText, what)
	}
	copy(value, buffer[:n])
	return nil
}

// parseBase32 fills value from its lower-case base32 form. Upper case is taken
// too, since people retype these.
func parseBase32(value []byte, text, what string) error {
	if len(text) != base32Lower.EncodedLen(len(value)) {
		return fmt.Errorf("%w: %s has the wrong length", ErrText, what)
	}
	text = lower(text)
	decoded, err := base32Lower.DecodeString(text)
	defer clear(decoded) // it may be a secret
	// encoding/base32 has no strict mode and skips line breaks: what does not
	// encode back to the same text is refused.
	if err != nil || len(decoded) != len(value) || base32Lower.EncodeToString(decoded) != text {
		return fmt.Errorf("%w: %s is not base32", ErrText, what)
	}
	copy(value, decoded)
	return nil
}

// lower lowers the ASCII letters. strings.ToLower would make a k of the Kelvin sign,
// and give a value a further text.
func lower(text string) string {
	if strings.IndexFunc(text, func(r rune) bool { return 'A' <= r && r <= 'Z' }) < 0 {
		return text
	}
	out := []byte(text)
	for i, c := range out {
		if 'A' <= c && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

// fill reads len(value) random bytes.
func fill(rand io.Reader, value []byte) error {
	if rand == nil {
		return errNoRandom
	}
	if _, err := io.ReadFull(rand, value); err != nil {
		return fmt.Errorf("keys: reading randomness: %w", err)
	}
	return nil
}

package wire

import (
	"encoding/base64"
	"errors"
)

// b64 is the one text form of binary values: unpadded base64url, no trailing
// bits [CM-1.4].
var b64 = base64.RawURLEncoding.Strict()

var (
	errLength = errors.New("wrong length")
	errBase64 = errors.New("not unpadded base64url")
)

// Nonce is a challenge's 32 random bytes.
type Nonce [32]byte

// MarshalText encodes as unpadded base64url.
func (n Nonce) MarshalText() ([]byte, error) {
	return b64.AppendEncode(nil, n[:]), nil
}

// UnmarshalText decodes unpadded base64url of exactly 32 bytes.
func (n *Nonce) UnmarshalText(text []byte) error {
	if !decodeExact(n[:], text) {
		return errLength
	}
	return nil
}

// appendBase64 decodes text behind dst. The standard library skips line
// breaks inside; here they are refused, since a value has one form: with one
// skipped, fewer bytes come out than the text's length says.
func appendBase64(dst, text []byte) ([]byte, error) {
	start := len(dst)
	dst, err := b64.AppendDecode(dst, text)
	if err != nil || len(text)%4 == 1 || len(dst)-start != b64.DecodedLen(len(text)) {
		return dst[:start], errBase64
	}
	return dst, nil
}

// decodeExact decodes text into dst if it holds exactly len(dst) bytes.
func decodeExact(dst, text []byte) bool {
	if len(text) != b64.EncodedLen(len(dst)) {
		return false
	}
	n, err := b64.Decode(dst, text)
	return err == nil && n == len(dst)
}

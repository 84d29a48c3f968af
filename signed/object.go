package signed

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
)

// Domain says for what a signature or a hash is made. One made for one use is
// worthless for every other. [CM-3.2]
type Domain string

// The domains of signatures.
const (
	// DomainEntry is for entries of a chain.
	DomainEntry Domain = "claudemesh/v1/entry"
	// DomainHead is for the heads of a chain, which its broker signs.
	DomainHead Domain = "claudemesh/v1/head"
	// DomainHello is for the answer to the broker's challenge.
	DomainHello Domain = "claudemesh/v1/hello"
	// DomainWelcome is for the broker's answer to a hello.
	DomainWelcome Domain = "claudemesh/v1/welcome"
	// DomainCard is for what a peer or a session says about itself.
	DomainCard Domain = "claudemesh/v1/card"
	// DomainEnvelope is for messages that are signed inside.
	DomainEnvelope Domain = "claudemesh/v1/envelope"
	// DomainKey is reserved for short-lived keys.
	DomainKey Domain = "claudemesh/v1/key"
)

// The domains of hashes only. (Entries are hashed under [DomainEntry]; the prefixes
// of the numbers that people compare stand in package keys.)
const (
	// DomainCommit is for commitments to symmetric keys.
	DomainCommit Domain = "claudemesh/v1/commit"
)

// SignatureSize is the size of one signature in bytes.
const SignatureSize = 64

// ErrForm is wrapped by every error about the form of an object or of its JSON.
var ErrForm = errors.New("signed: malformed")

// strictBase64 refuses set bits after the end.
var strictBase64 = base64.RawURLEncoding.Strict()

// Bytes are bytes whose JSON form is unpadded base64url. [CM-1.4]
type Bytes []byte

// MarshalText gives the wire form.
func (b Bytes) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads the wire form; set bits after the end and line breaks are
// refused, so that a value has one text.
func (b *Bytes) UnmarshalText(text []byte) error {
	value, err := strictBase64.AppendDecode(nil, text)
	if err != nil || bytes.ContainsAny(text, "\r\n") { // the decoder skips line breaks
		return fmt.Errorf("%w: not base64url", ErrForm)
	}
	*b = value
	return nil
}

// Object is a signed object as it travels. [CM-3.1]
type Object struct {
	// Bytes is exactly what was signed, without the domain.
	Bytes []byte
	// Sig is [SignatureSize] bytes for each signer, in the order that the domain
	// defines (a join: the invite's key, then the peer's).
	Sig []byte
}

// wireObject is the JSON form of an Object.
type wireObject struct {
	Signed Bytes `json:"signed"`
	Sig    Bytes `json:"sig"`
}

// MarshalJSON gives {"signed": base64url, "sig": base64url}.
func (o Object) MarshalJSON() ([]byte, error) { return Encode(wireObject{o.Bytes, o.Sig}) }

// UnmarshalJSON reads that form strictly, both names being there. It verifies nothing.
func (o *Object) UnmarshalJSON(data []byte) error {
	var w wireObject
	if err := Decode(data, &w); err != nil {
		return err
	}
	if len(w.Signed) == 0 || len(w.Sig) == 0 || len(w.Sig)%SignatureSize != 0 {
		return fmt.Errorf("%w: a signed object has bytes and signatures", ErrForm)
	}
	o.Bytes, o.Sig = w.Signed, w.Sig
	return nil
}

// IsZero tells whether there is no object.
func (o Object) IsZero() bool { return len(o.Bytes) == 0 && len(o.Sig) == 0 }

// Sign signs content with each signer in turn. The object keeps the slice.
func Sign(d Domain, content []byte, signers ...keys.Signer) Object {
	message := preimage(d, content)
	o := Object{Bytes: content, Sig: make([]byte, 0, SignatureSize*len(signers))}
	for _, signer := range signers {
		o.Sig = append(o.Sig, signer.Sign(message)...)
	}
	return o
}

// Verify checks that exactly the given keys signed, in this order. It fails with
// [keys.ErrSignature], with the reason why a key is refused, or with [ErrForm] when
// no key is given. [CM-3.3]
func (o Object) Verify(d Domain, by ...keys.Public) error {
	if len(by) == 0 {
		return fmt.Errorf("%w: nobody to verify by", ErrForm)
	}
	if len(o.Sig) != SignatureSize*len(by) {
		return fmt.Errorf("%s: %w: %d bytes for %d signers", d, keys.ErrSignature, len(o.Sig), len(by))
	}
	message := preimage(d, o.Bytes)
	for i, key := range by {
		if err := key.Verify(message, o.Sig[SignatureSize*i:SignatureSize*(i+1)]); err != nil {
			return fmt.Errorf("%s: signer %d: %w", d, i+1, err)
		}
	}
	return nil
}

// preimage is what a signature covers: domain || 0x00 || bytes. No domain contains a
// zero byte, so no two pairs of domain and bytes give the same.
func preimage(d Domain, content []byte) []byte {
	message := make([]byte, 0, len(d)+1+len(content))
	message = append(message, d...)
	message = append(message, 0)
	return append(message, content...)
}

// Hash is a SHA-256 under a domain. The zero value means "none".
type Hash [32]byte

// HashOf is SHA-256(domain || 0x00 || parts…). The parts are joined as they are: all
// but one have a fixed size. [CM-3.6]
func HashOf(d Domain, parts ...[]byte) Hash {
	hash := sha256.New()
	hash.Write([]byte(d))
	hash.Write([]byte{0})
	for _, part := range parts {
		hash.Write(part)
	}
	return Hash(hash.Sum(nil))
}

// String gives the wire form.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText gives the wire form, 43 characters of base64url.
func (h Hash) MarshalText() ([]byte, error) { return Bytes(h[:]).MarshalText() }

// UnmarshalText reads the wire form.
func (h *Hash) UnmarshalText(text []byte) error { return unmarshalExact(h[:], text) }

// IsZero tells whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// Short gives the first 16 bytes.
func (h Hash) Short() ShortHash { return ShortHash(h[:16]) }

// ShortHash is the first 16 bytes of a [Hash]. The zero value means "none".
type ShortHash [16]byte

// String gives the wire form.
func (h ShortHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText gives the wire form, 22 characters of base64url.
func (h ShortHash) MarshalText() ([]byte, error) { return Bytes(h[:]).MarshalText() }

// UnmarshalText reads the wire form.
func (h *ShortHash) UnmarshalText(text []byte) error { return unmarshalExact(h[:], text) }

// IsZero tells whether there is no hash.
func (h ShortHash) IsZero() bool { return h == ShortHash{} }

// At is a place in a chain: what its holder had when it spoke. [CM-5.19]
type At struct {
	// N is the entry's number; genesis has 0.
	N uint64 `json:"n"`
	// Hash is the first half of that entry's hash.
	Hash ShortHash `json:"hash"`
}

// IsZero tells whether no place is given.
func (a At) IsZero() bool { return a == At{} }

// unmarshalExact reads base64url of exactly len(value) bytes, 32 at most.
func unmarshalExact(value, text []byte) error {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(value)) {
		return fmt.Errorf("%w: not base64url of %d bytes", ErrForm, len(value))
	}
	// Where the decoder skips a line break, fewer bytes come out. Decoded aside, so that
	// a refused text changes nothing.
	var buffer [33]byte
	n, err := strictBase64.Decode(buffer[:], text)
	if err != nil || n != len(value) {
		return fmt.Errorf("%w: not base64url of %d bytes", ErrForm, len(value))
	}
	copy(value, buffer[:n])
	return nil
}

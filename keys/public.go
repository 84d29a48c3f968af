package keys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"filippo.io/edwards25519"
)

// publicPrefix stands before the human form of a public key. No user name may
// start with it.
const publicPrefix = "key-"

var (
	// ErrKeyForm is returned for a key that is no canonical encoding of a point
	// of the curve. [CM-2.2]
	ErrKeyForm = errors.New("keys: not a canonical ed25519 public key")
	// ErrKeyOrder is returned for a key that is the identity or has a part of
	// small order: such keys "sign" several messages with one signature, or share
	// their secrets with strangers. [CM-2.3]
	ErrKeyOrder = errors.New("keys: public key is not in the prime-order group")
	// ErrSignature is returned for a signature that does not belong to the key
	// and the message, has not 64 bytes, or whose R is the identity. [CM-3.4]
	ErrSignature = errors.New("keys: signature refused")
)

// Public is an ed25519 public key in any role: peer, owner, recovery, invite or
// broker (32 bytes). It is comparable and can be a map's key; the zero value
// means "none" and passes no check. [CM-2.1]
type Public [32]byte

// String is the form for people: "key-" and 52 characters of lower-case base32.
func (p Public) String() string { return publicPrefix + base32Lower.EncodeToString(p[:]) }

// ParsePublic reads the form that [Public.String] writes. It fails with [ErrText].
// It does not call [Public.Check].
func ParsePublic(text string) (Public, error) {
	var p Public
	rest, found := strings.CutPrefix(lower(text), publicPrefix)
	if !found {
		return Public{}, fmt.Errorf("%w: a public key starts with %s", ErrText, publicPrefix)
	}
	if err := parseBase32(p[:], rest, "public key"); err != nil {
		return Public{}, err
	}
	return p, nil
}

// MarshalText gives the wire form, 43 characters of base64url. [CM-1.4]
func (p Public) MarshalText() ([]byte, error) { return marshalBase64(p[:]) }

// UnmarshalText reads the wire form. It fails with [ErrText] and does not call
// [Public.Check].
func (p *Public) UnmarshalText(text []byte) error {
	return unmarshalBase64(p[:], text, "public key")
}

// IsZero tells whether there is no key.
func (p Public) IsZero() bool { return p == Public{} }

// Compare orders keys by their bytes; it is what "sorted keys" means everywhere.
func (p Public) Compare(other Public) int { return bytes.Compare(p[:], other[:]) }

// Check refuses keys that may not enter: not the canonical encoding of a point
// ([ErrKeyForm]), the identity, or outside the prime-order group ([ErrKeyOrder]).
// It costs about as much as a signature's verification, the first time that this
// process meets the key. [CM-2.2, CM-2.3]
func (p Public) Check() error {
	if checked.has(p) {
		return nil
	}
	if _, err := p.point(); err != nil {
		return err
	}
	checked.add(p)
	return nil
}

// point decodes and checks the key.
func (p Public) point() (*edwards25519.Point, error) {
	point, err := new(edwards25519.Point).SetBytes(p[:])
	if err != nil {
		return nil, ErrKeyForm
	}
	// SetBytes takes y >= 2^255-19 and a negative zero x, as RFC 8032 verifiers
	// often do. One point, one key: what encodes back differently is refused.
	if !bytes.Equal(point.Bytes(), p[:]) {
		return nil, ErrKeyForm
	}
	if point.Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, ErrKeyOrder
	}
	// A point is in the prime-order group when l*P is the identity. Scalars are
	// reduced by l, so this computes (l-1)*P and compares with -P. The key is
	// public, so variable time gives nothing away.
	product := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(minusOne, point, edwards25519.NewScalar())
	if product.Equal(new(edwards25519.Point).Negate(point)) != 1 {
		return nil, ErrKeyOrder
	}
	return point, nil
}

// minusOne is l-1, which is -1 among the scalars.
var minusOne = func() *edwards25519.Scalar {
	var one [32]byte
	one[0] = 1
	scalar, err := edwards25519.NewScalar().SetCanonicalBytes(one[:])
	if err != nil { // cannot happen: 1 is below l
		panic(err)
	}
	return scalar.Negate(scalar)
}()

// identity is the encoding of the neutral point.
var identity = [32]byte{1}

// Verify checks an ed25519 signature (64 bytes) over message. It calls
// [Public.Check] first, and refuses with [ErrSignature] what does not verify.
//
// All members must agree on every signature, whatever library they use, so exactly
// one rule holds: s is below l, and R's bytes are the canonical encoding of
// s*B - k*A, without the cofactor, and that is not the identity. With A in the
// prime-order group R is in it too, so of the points of small order only the identity
// has to be refused. A verifier that multiplies by the cofactor has to check besides
// that R is in that group. [CM-3.4, CM-3.5]
func (p Public) Verify(message, signature []byte) error {
	if err := p.Check(); err != nil {
		return err
	}
	if len(signature) != ed25519.SignatureSize ||
		bytes.Equal(signature[:32], identity[:]) ||
		!ed25519.Verify(p[:], message, signature) {
		return ErrSignature
	}
	return nil
}

// Curve gives the X25519 public key of the same point, byte for byte what
// libsodium's crypto_sign_ed25519_pk_to_curve25519 gives. It calls [Public.Check]
// first: an unchecked key must never reach a box. [CM-2.6]
func (p Public) Curve() (*ecdh.PublicKey, error) {
	point, err := p.point()
	if err != nil {
		return nil, err
	}
	curve, err := ecdh.X25519().NewPublicKey(point.BytesMontgomery())
	if err != nil {
		return nil, fmt.Errorf("keys: converting to X25519: %w", err)
	}
	return curve, nil
}

package keys

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// SeedSize is the size of the seed of a private key in bytes.
const SeedSize = ed25519.SeedSize

// Signer is a private key in any role that signs.
type Signer interface {
	// Public is the key that verifies. It is zero for the zero value.
	Public() Public
	// Sign gives the ed25519 signature (64 bytes) over message, or nil for the
	// zero value.
	Sign(message []byte) []byte
}

// The prefixes of the exported forms, one a role.
const (
	prefixPeer   = "peer-private-"
	prefixOwner  = "owner-private-"
	prefixInvite = "invite-private-"
	prefixBroker = "broker-private-"
)

// secret is what a private key points to.
type secret struct {
	prefix string
	key    ed25519.PrivateKey // seed and public key, 64 bytes
	public Public
}

// private is the common part of all private keys. The secret stands behind a
// function, which no printer calls: fmt calls no methods on what stands in a struct's
// unexported fields, and prints what pointers there point to under verbs that do not
// fit them. It also makes == a compile error. Copies share the key.
type private struct {
	reveal func() *secret // nil for the zero value
}

// generate makes a key from 32 bytes of rand.
func generate(rand io.Reader, prefix string) (private, error) {
	var seed [SeedSize]byte
	defer clear(seed[:])
	if err := fill(rand, seed[:]); err != nil {
		return private{}, err
	}
	return fromSeed(seed[:], prefix)
}

// fromSeed makes the key of a seed.
func fromSeed(seed []byte, prefix string) (private, error) {
	if len(seed) != SeedSize {
		return private{}, fmt.Errorf("%w: a seed has %d bytes", ErrText, SeedSize)
	}
	s := &secret{prefix: prefix, key: ed25519.NewKeyFromSeed(seed)}
	copy(s.public[:], s.key[SeedSize:])
	return private{reveal: func() *secret { return s }}, nil
}

// parse reads an exported form. The errors never repeat the text.
func parse(text, prefix string) (private, error) {
	var seed [SeedSize]byte
	defer clear(seed[:])
	rest, found := strings.CutPrefix(text, prefix)
	if !found {
		return private{}, fmt.Errorf("%w: a private key of this role starts with %s", ErrText, prefix)
	}
	if err := parseBase32(seed[:], rest, "private key"); err != nil {
		return private{}, err
	}
	return fromSeed(seed[:], prefix)
}

// Public is the key that verifies what this one signs. It is zero for the zero value.
func (p private) Public() Public {
	if p.reveal == nil {
		return Public{}
	}
	return p.reveal().public
}

// Sign gives the ed25519 signature (64 bytes) over message, or nil for the zero
// value. Callers sign through package signed, which puts the domain before. [CM-3.2]
func (p private) Sign(message []byte) []byte {
	if p.reveal == nil {
		return nil
	}
	return ed25519.Sign(p.reveal().key, message)
}

// IsZero tells whether there is no key.
func (p private) IsZero() bool { return p.reveal == nil }

// Export gives the secret as text ("peer-private-" or the like of its role and 52
// characters of lower-case base32), for files of mode 0600 only. It is empty for
// the zero value. [CM-2.8]
func (p private) Export() string {
	if p.reveal == nil {
		return ""
	}
	return p.reveal().prefix + base32Lower.EncodeToString(p.reveal().key.Seed())
}

// equal compares in constant time. Two zero values are equal.
func (p private) equal(other private) bool {
	if p.reveal == nil || other.reveal == nil {
		return p.reveal == nil && other.reveal == nil
	}
	return subtle.ConstantTimeCompare(p.reveal().key, other.reveal().key) == 1
}

// redacted is what every printed form of a private key shows.
func (p private) redacted() string {
	if p.reveal == nil {
		return "private-none"
	}
	return p.reveal().prefix + "REDACTED"
}

// String gives a redacted form.
func (p private) String() string { return p.redacted() }

// GoString gives a redacted form.
func (p private) GoString() string { return p.redacted() }

// Format writes a redacted form under every verb.
func (p private) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.redacted()) }

// MarshalText gives a redacted form: a secret gets into a file only by Export.
func (p private) MarshalText() ([]byte, error) { return []byte(p.redacted()), nil }

// LogValue gives a redacted form.
func (p private) LogValue() slog.Value { return slog.StringValue(p.redacted()) }

// PeerPrivate is the key of a peer, that is of one device of one user in one mesh:
// it signs hello and cards, and what is sealed to the peer opens with it. The zero
// value is no key. [CM-2.5]
type PeerPrivate struct{ private }

// NewPeerPrivate makes a peer's key from 32 bytes of rand.
func NewPeerPrivate(rand io.Reader) (PeerPrivate, error) {
	p, err := generate(rand, prefixPeer)
	return PeerPrivate{p}, err
}

// PeerPrivateFromSeed makes the peer's key of a seed of [SeedSize] bytes.
func PeerPrivateFromSeed(seed []byte) (PeerPrivate, error) {
	p, err := fromSeed(seed, prefixPeer)
	return PeerPrivate{p}, err
}

// ParsePeerPrivate reads what Export wrote. Its errors never repeat the text.
func ParsePeerPrivate(text string) (PeerPrivate, error) {
	p, err := parse(text, prefixPeer)
	return PeerPrivate{p}, err
}

// Equal compares in constant time.
func (p PeerPrivate) Equal(other PeerPrivate) bool { return p.equal(other.private) }

// Curve gives the X25519 private key of the same seed, byte for byte what
// libsodium's crypto_sign_ed25519_sk_to_curve25519 gives. It fails for the zero
// value only. [CM-2.7]
func (p PeerPrivate) Curve() (*ecdh.PrivateKey, error) {
	if p.reveal == nil {
		return nil, fmt.Errorf("%w: no private key", ErrText)
	}
	hash := sha512.Sum512(p.reveal().key[:SeedSize])
	defer clear(hash[:])
	hash[0] &= 248
	hash[31] &= 127
	hash[31] |= 64
	return ecdh.X25519().NewPrivateKey(hash[:32])
}

// OwnerPrivate is the key of a mesh's owner, or its recovery key. It is no peer's
// and may leave the machine. The zero value is no key. [CM-2.5]
type OwnerPrivate struct{ private }

// NewOwnerPrivate makes an owner's or recovery key from 32 bytes of rand.
func NewOwnerPrivate(rand io.Reader) (OwnerPrivate, error) {
	p, err := generate(rand, prefixOwner)
	return OwnerPrivate{p}, err
}

// OwnerPrivateFromSeed makes the owner's key of a seed of [SeedSize] bytes.
func OwnerPrivateFromSeed(seed []byte) (OwnerPrivate, error) {
	p, err := fromSeed(seed, prefixOwner)
	return OwnerPrivate{p}, err
}

// ParseOwnerPrivate reads what Export wrote. Its errors never repeat the text.
func ParseOwnerPrivate(text string) (OwnerPrivate, error) {
	p, err := parse(text, prefixOwner)
	return OwnerPrivate{p}, err
}

// Equal compares in constant time.
func (p OwnerPrivate) Equal(other OwnerPrivate) bool { return p.equal(other.private) }

// InvitePrivate is the key in an invite link: who has it may join while the invite
// is open. The zero value is no key. [CM-2.5]
type InvitePrivate struct{ private }

// NewInvitePrivate makes an invite's key from 32 bytes of rand.
func NewInvitePrivate(rand io.Reader) (InvitePrivate, error) {
	p, err := generate(rand, prefixInvite)
	return InvitePrivate{p}, err
}

// InvitePrivateFromSeed makes the invite's key of a seed of [SeedSize] bytes.
func InvitePrivateFromSeed(seed []byte) (InvitePrivate, error) {
	p, err := fromSeed(seed, prefixInvite)
	return InvitePrivate{p}, err
}

// ParseInvitePrivate reads what Export wrote. Its errors never repeat the text.
func ParseInvitePrivate(text string) (InvitePrivate, error) {
	p, err := parse(text, prefixInvite)
	return InvitePrivate{p}, err
}

// Equal compares in constant time.
func (p InvitePrivate) Equal(other InvitePrivate) bool { return p.equal(other.private) }

// Seed gives a copy of the secret's [SeedSize] bytes, for the invite link only. It
// is nil for the zero value. [CM-9.2]
func (p InvitePrivate) Seed() []byte {
	if p.reveal == nil {
		return nil
	}
	return p.reveal().key.Seed()
}

// BrokerPrivate is the key of a broker: it signs welcomes and heads, and is the key
// of its own TLS certificate. The zero value is no key. [CM-2.5]
type BrokerPrivate struct{ private }

// NewBrokerPrivate makes a broker's key from 32 bytes of rand.
func NewBrokerPrivate(rand io.Reader) (BrokerPrivate, error) {
	p, err := generate(rand, prefixBroker)
	return BrokerPrivate{p}, err
}

// BrokerPrivateFromSeed makes the broker's key of a seed of [SeedSize] bytes.
func BrokerPrivateFromSeed(seed []byte) (BrokerPrivate, error) {
	p, err := fromSeed(seed, prefixBroker)
	return BrokerPrivate{p}, err
}

// ParseBrokerPrivate reads what Export wrote. Its errors never repeat the text.
func ParseBrokerPrivate(text string) (BrokerPrivate, error) {
	p, err := parse(text, prefixBroker)
	return BrokerPrivate{p}, err
}

// Equal compares in constant time.
func (p BrokerPrivate) Equal(other BrokerPrivate) bool { return p.equal(other.private) }

// Ed25519 gives a copy of the key in the standard library's form, for the broker's
// TLS certificate only. It is nil for the zero value. The copy prints in the clear.
func (p BrokerPrivate) Ed25519() ed25519.PrivateKey {
	if p.reveal == nil {
		return nil
	}
	return append(ed25519.PrivateKey(nil), p.reveal().key...)
}

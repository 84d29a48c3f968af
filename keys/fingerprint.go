package keys

import "crypto/sha256"

// fingerprintPrefix stands before a key in the hash of its fingerprint.
const fingerprintPrefix = "claudemesh/v1/fingerprint\x00"

// Fingerprint pins a broker's key where 32 bytes are too long to write: in invite
// links and in tokens for creating a mesh. It is the first 16 bytes of
// SHA-256("claudemesh/v1/fingerprint" || 0x00 || key). The zero value means "none".
// [CM-2.13]
type Fingerprint [16]byte

// Fingerprint gives the key's fingerprint, and zero for the zero key.
func (p Public) Fingerprint() Fingerprint {
	if p.IsZero() {
		return Fingerprint{}
	}
	sum := sha256.Sum256(append([]byte(fingerprintPrefix), p[:]...))
	return Fingerprint(sum[:16])
}

// IsZero tells whether there is no fingerprint.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String is the form for people: 26 characters of lower-case base32.
func (f Fingerprint) String() string { return base32Lower.EncodeToString(f[:]) }

// MarshalText gives the wire form, 22 characters of base64url. [CM-1.4]
func (f Fingerprint) MarshalText() ([]byte, error) { return marshalBase64(f[:]) }

// UnmarshalText reads the wire form. It fails with [ErrText].
func (f *Fingerprint) UnmarshalText(text []byte) error {
	return unmarshalBase64(f[:], text, "fingerprint")
}

package keys

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// tokenPrefix stands before the text of a create token.
const tokenPrefix = "ct-"

// tokenRedacted is how a token prints.
const tokenRedacted = tokenPrefix + "[redacted]"

// CreateToken lets its holder create one mesh at a broker. It names the broker's
// key, so that whoever uses it can tell the broker from somebody in between. Like a
// private key it prints redacted; [CreateToken.Export] gives its text. The zero
// value is no token. [CM-9.15]
type CreateToken struct {
	broker Fingerprint
	reveal func() *[16]byte // behind a function, see private; nil for the zero value
}

// NewCreateToken makes a token for the broker with the given key from 16 bytes of
// rand.
func NewCreateToken(broker Public, rand io.Reader) (CreateToken, error) {
	secret := new([16]byte)
	if err := fill(rand, secret[:]); err != nil {
		return CreateToken{}, err
	}
	return CreateToken{broker: broker.Fingerprint(), reveal: func() *[16]byte { return secret }}, nil
}

// ParseCreateToken reads what Export wrote. Its errors never repeat the text.
func ParseCreateToken(text string) (CreateToken, error) {
	digits, found := strings.CutPrefix(text, tokenPrefix)
	if !found {
		return CreateToken{}, fmt.Errorf("%w: a token starts with %s", ErrText, tokenPrefix)
	}
	var value [32]byte
	defer clear(value[:])
	if err := parseBase32(value[:], digits, "token"); err != nil {
		return CreateToken{}, err
	}
	secret := [16]byte(value[16:])
	return CreateToken{broker: Fingerprint(value[:16]), reveal: func() *[16]byte { return &secret }}, nil
}

// Broker is the fingerprint of the key of the broker that takes the token.
func (t CreateToken) Broker() Fingerprint { return t.broker }

// IsZero tells whether there is no token.
func (t CreateToken) IsZero() bool { return t.reveal == nil }

// Export gives the token as text: "ct-" and 52 characters of lower-case base32, the
// fingerprint and 16 secret bytes. It is empty for the zero value.
func (t CreateToken) Export() string {
	if t.reveal == nil {
		return ""
	}
	var value [32]byte
	defer clear(value[:])
	copy(value[:], t.broker[:])
	copy(value[16:], t.reveal()[:])
	return tokenPrefix + base32Lower.EncodeToString(value[:])
}

// Equal compares in constant time. The zero value equals nothing.
func (t CreateToken) Equal(other CreateToken) bool {
	if t.reveal == nil || other.reveal == nil {
		return false
	}
	return subtle.ConstantTimeCompare(t.broker[:], other.broker[:])&
		subtle.ConstantTimeCompare(t.reveal()[:], other.reveal()[:]) == 1
}

// Hash is what a broker keeps of a token: the SHA-256 of its text.
func (t CreateToken) Hash() [32]byte { return sha256.Sum256([]byte(t.Export())) }

// Format writes a redacted form under every verb.
func (t CreateToken) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, tokenRedacted) }

// String gives a redacted form.
func (t CreateToken) String() string { return tokenRedacted }

// GoString gives a redacted form.
func (t CreateToken) GoString() string { return tokenRedacted }

// MarshalText gives a redacted form: a secret gets into a file only by Export.
func (t CreateToken) MarshalText() ([]byte, error) { return []byte(tokenRedacted), nil }

// LogValue gives a redacted form.
func (t CreateToken) LogValue() slog.Value { return slog.StringValue(tokenRedacted) }

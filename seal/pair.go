package seal

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/claudemesh/claudemesh-go/keys"
)

// Pair is one's own key and another peer's, with the key that they share. It is made
// once and kept: that costs two scalar multiplications and the check of the other
// key, a box under it about a microsecond. It may be used by several goroutines at
// once, but not beside [Pair.Wipe]. It prints redacted. [CM-4.1]
type Pair struct {
	own    keys.Public
	other  keys.Public
	signer keys.PeerPrivate
	hidden
}

// hidden is a symmetric key behind a function, which no printer calls; fmt would
// follow a pointer. It also makes == a compile error.
type hidden struct {
	reveal func() *[keySize]byte // nil once wiped
}

// hide puts a key behind a function.
func hide(key *[keySize]byte) hidden {
	return hidden{reveal: func() *[keySize]byte { return key }}
}

// Wipe overwrites the key. Nothing is sealed or opened with it afterwards.
func (h *hidden) Wipe() {
	if h.reveal != nil {
		clear(h.reveal()[:])
		h.reveal = nil
	}
}

// NewPair derives the shared key. other may be one's own public key. It fails when
// other is refused by [keys.Public.Check], or own is the zero value.
func NewPair(own keys.PeerPrivate, other keys.Public) (*Pair, error) {
	shared, err := precompute(own, other)
	if err != nil {
		return nil, fmt.Errorf("seal: pair with %s: %w", other, err)
	}
	return &Pair{own: own.Public(), other: other, signer: own, hidden: hide(shared)}, nil
}

// Own is one's own public key.
func (p *Pair) Own() keys.Public { return p.own }

// Other is the other peer's key: to whom is sealed, or who sealed.
func (p *Pair) Other() keys.Public { return p.other }

// key is the shared key, or an error where there is none.
func (p *Pair) key() (*[keySize]byte, error) {
	if p == nil || p.reveal == nil {
		return nil, errNoPair
	}
	return p.reveal(), nil
}

// String names both ends, and not the key.
func (p *Pair) String() string {
	if p == nil {
		return "pair(none)"
	}
	return "pair(" + p.own.String() + ", " + p.other.String() + ", REDACTED)"
}

// GoString is String.
func (p *Pair) GoString() string { return p.String() }

// Format writes String under every verb.
func (p *Pair) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText gives String.
func (p *Pair) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// LogValue gives String.
func (p *Pair) LogValue() slog.Value { return slog.StringValue(p.String()) }

package seal

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Limits of what stands sealed beside a card, in bytes of UTF-8. [CM-10.4]
const (
	// MaxName is the size of a display name.
	MaxName = 128
	// MaxSummary is the size of a summary.
	MaxSummary = 1024
)

// Content is something sealed once for several recipients, and the key that opens
// it: a box for one more recipient can be added as long as it is kept. It prints
// redacted. [CM-4.18]
type Content struct {
	// Sealed is what all recipients get.
	Sealed []byte
	hash   signed.Hash
	hidden
}

// newContent seals a plaintext under a new content key.
func newContent(rand io.Reader, plain []byte) (*Content, error) {
	key := new([keySize]byte)
	if err := random(rand, key[:]); err != nil {
		return nil, err
	}
	sealed, err := sealContent(rand, key, plain)
	if err != nil {
		clear(key[:])
		return nil, err
	}
	return &Content{Sealed: sealed, hash: HashSealed(sealed), hidden: hide(key)}, nil
}

// Box seals the content key for pair.Other. rand gives 24 bytes.
func (c *Content) Box(rand io.Reader, pair *Pair) ([]byte, error) {
	key, err := pair.key()
	if err != nil {
		return nil, err
	}
	if c.reveal == nil {
		return nil, errors.New("seal: content key was wiped")
	}
	return sealContentKey(rand, key, c.reveal(), c.hash)
}

// String gives the size, and not the key.
func (c *Content) String() string {
	if c == nil {
		return "content(none)"
	}
	return fmt.Sprintf("content(%d bytes, REDACTED)", len(c.Sealed))
}

// GoString is String.
func (c *Content) GoString() string { return c.String() }

// Format writes String under every verb.
func (c *Content) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText gives String.
func (c *Content) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// LogValue gives String.
func (c *Content) LogValue() slog.Value { return slog.StringValue(c.String()) }

// extrasKind stands in the JSON of extras, so that no message is taken for them; a
// message has no such kind.
const extrasKind = "extras"

// Extras is what a peer or one of its sessions says about itself to the members
// only, beside its card. [CM-4.41]
type Extras struct {
	// Mesh and From are checked on opening.
	Mesh keys.MeshID `json:"mesh"`
	// From is the peer.
	From keys.Public `json:"from"`
	// Session is the session that speaks; zero for the peer itself.
	Session keys.SessionID `json:"session,omitzero"`
	// Time is when it was said, in Unix milliseconds. Members keep the latest.
	Time int64 `json:"time"`
	// Name is a free display name, at most [MaxName] bytes, shown sanitised and
	// never resolved.
	Name string `json:"name,omitempty"`
	// Summary is what the session is working on, at most [MaxSummary] bytes.
	Summary string `json:"summary,omitempty"`
}

// sealedExtras is the JSON of extras.
type sealedExtras struct {
	Kind string `json:"kind"`
	Extras
}

// check tests the rules of extras.
func (e *Extras) check() error {
	switch {
	case e.Mesh.IsZero() || e.From.IsZero() || e.Time <= 0 || e.Time > maxInteger:
		return malformed("extras without mesh, peer or time")
	case len(e.Name) > MaxName || len(e.Summary) > MaxSummary:
		return ErrTooLarge
	case !utf8.ValidString(e.Name) || !utf8.ValidString(e.Summary):
		return malformed("extras are not UTF-8")
	}
	return nil
}

// SealExtras seals extras once; [Content.Box] gives each member its box. rand gives
// 56 bytes. [CM-4.41]
func SealExtras(rand io.Reader, e Extras) (*Content, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	data, err := signed.Encode(sealedExtras{extrasKind, e})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	defer clear(data)
	plain := finishPlain(append(make([]byte, plainHead, plainHead+len(data)+paddedMin), data...), nil)
	defer clear(plain)
	return newContent(rand, plain[1:])
}

// OpenExtras opens the extras that pair.Other sealed, with one's own box. It fails
// with [ErrMalformed], [ErrOpen], [ErrTooLarge], [ErrSender] or [ErrMesh]. [CM-4.42]
func OpenExtras(pair *Pair, box, sealed []byte, mesh keys.MeshID) (Extras, error) {
	key, err := pair.key()
	if err != nil {
		return Extras{}, err
	}
	plain, err := openContent(key, box, sealed)
	if err != nil {
		return Extras{}, err
	}
	defer clear(plain)
	data, sig, err := splitPlain(plain)
	if err != nil {
		return Extras{}, err
	}
	var e sealedExtras
	if err := signed.DecodeOpen(data, &e); err != nil {
		return Extras{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if e.Kind != extrasKind || sig != nil {
		return Extras{}, malformed("no extras")
	}
	if err := e.check(); err != nil {
		return Extras{}, err
	}
	if e.From != pair.other {
		return Extras{}, ErrSender
	}
	if e.Mesh != mesh {
		return Extras{}, ErrMesh
	}
	return e.Extras, nil
}

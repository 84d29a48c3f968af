package chain

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// header is what every entry has, in every version.
type header struct {
	Mesh keys.MeshID `json:"mesh"`
	N    uint64      `json:"n"`
	Prev signed.Hash `json:"prev"`
	Type Type        `json:"type"`
	By   keys.Public `json:"by"`
	Time int64       `json:"time"`
}

// headerFields are the names in a header.
var headerFields = []string{"mesh", "n", "prev", "type", "by", "time"}

// bodies says for each type which fields its body has, all of them required, and
// how it is read. [CM-5.3]
var bodies = map[Type]struct {
	fields []string
	decode func(data []byte) (Body, error)
}{
	TypeGenesis: {[]string{"name", "recovery", "broker", "urls", "random"}, decodeBody[Genesis]},
	TypeBroker:  {[]string{"urls"}, decodeBody[Broker]},
	TypeRole:    {[]string{"key", "rank"}, decodeBody[Role]},
	TypeInvite:  {[]string{"key", "rank", "user", "expires", "uses", "kinds", "approve"}, decodeBody[Invite]},
	TypeJoin:    {[]string{"user", "device", "peer", "kind"}, decodeBody[Join]},
	TypeAdmit:   {[]string{"peer"}, decodeBody[Admit]},
	TypeRevoke:  {[]string{"keys"}, decodeBody[Revoke]},
	TypeHeal:    {[]string{"broker", "urls"}, decodeBody[Heal]},
}

func decodeBody[B Body](data []byte) (Body, error) {
	var b B
	err := signed.DecodeOpen(data, &b)
	return b, err
}

// Signed is an entry as it travels, its hash, and what it says.
type Signed struct {
	signed.Object
	// Entry is what the bytes say. Its Body is nil where Void is set.
	Entry Entry
	// Hash is over the bytes, without the signatures. [CM-5.2]
	Hash signed.Hash
	// Void is why the entry changes nothing whatever the state: it wraps
	// [ErrMalformed] or is an [*UnknownError]. nil: roster decides.
	Void error
}

// At is the entry's place.
func (s Signed) At() signed.At { return signed.At{N: s.Entry.N, Hash: s.Hash.Short()} }

// HashOf is the hash of an entry's bytes: SHA-256("claudemesh/v1/entry" || 0x00 ||
// bytes). [CM-5.2]
func HashOf(bytes []byte) signed.Hash { return signed.HashOf(signed.DomainEntry, bytes) }

// MeshIDOf is the id of the mesh that a genesis begins: the first 16 bytes of its
// hash. [CM-2.9]
func MeshIDOf(genesis Signed) keys.MeshID { return keys.MeshID(genesis.Hash.Short()) }

// Make encodes and signs an entry. signers are those of [Entry.Signers], in that
// order. It fails with [ErrMalformed] where a reader would find the entry void, and
// where it has more than [MaxEntry] bytes.
func Make(e Entry, signers ...keys.Signer) (Signed, error) {
	if e.Body == nil {
		return Signed{}, malformed("no body")
	}
	if err := check(e); err != nil {
		return Signed{}, err
	}
	want := e.Signers()
	if len(signers) != len(want) {
		return Signed{}, malformed("%d signers of a %s, not %d", len(signers), e.Type(), len(want))
	}
	for i, signer := range signers {
		if signer.Public() != want[i] {
			return Signed{}, malformed("signer %d is not who the entry names", i+1)
		}
	}
	bytes, err := encode(e)
	if err != nil {
		return Signed{}, err
	}
	return Signed{Object: signed.Sign(signed.DomainEntry, bytes, signers...), Entry: e, Hash: HashOf(bytes)}, nil
}

// encode gives the bytes of an entry: header and body as one flat object.
func encode(e Entry) ([]byte, error) {
	head, err := signed.Encode(header{e.Mesh, e.N, e.Prev, e.Type(), e.By, e.Time})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	body, err := signed.Encode(e.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	bytes := append(append(head[:len(head)-1], ','), body[1:]...)
	if len(bytes) > MaxEntry {
		return nil, malformed("%d bytes, at most %d", len(bytes), MaxEntry)
	}
	return bytes, nil
}

// Decode reads and verifies an entry strictly, as its signer and the broker do
// before it has a place: what would be void by itself is an error too, wrapping
// [ErrMalformed] or being an [*UnknownError]; the rest wraps [ErrBroken]. It does
// not check the place. [CM-5.10, CM-5.11]
func Decode(o signed.Object) (Signed, error) {
	s, err := Read(o)
	if err != nil {
		return Signed{}, err
	}
	if s.Void != nil {
		return Signed{}, s.Void
	}
	return s, nil
}

// Read reads and verifies an entry as a reader of a chain does: what has a header
// and a signature by the key that the header names has a place, and may be void
// there. Everything else wraps [ErrBroken]. It does not check the place. [CM-5.8]
func Read(o signed.Object) (Signed, error) {
	s, err := readUnverified(o)
	if err != nil {
		return Signed{}, err
	}
	if err := s.verify(); err != nil {
		return Signed{}, err
	}
	return s, nil
}

// readUnverified is Read without the signatures.
func readUnverified(o signed.Object) (Signed, error) {
	if len(o.Bytes) > MaxEntry {
		return Signed{}, broken("an entry of %d bytes, at most %d", len(o.Bytes), MaxEntry)
	}
	var fields map[string]json.RawMessage
	if err := signed.DecodeOpen(o.Bytes, &fields); err != nil {
		return Signed{}, broken("an entry: %w", err)
	}
	for _, name := range headerFields {
		if value, ok := fields[name]; !ok || string(value) == "null" {
			return Signed{}, broken("an entry without %q", name)
		}
	}
	var h header
	if err := signed.DecodeOpen(o.Bytes, &h); err != nil {
		return Signed{}, broken("the header of an entry: %w", err)
	}
	if h.Time <= 0 {
		return Signed{}, broken("an entry without time")
	}
	s := Signed{
		Object: o,
		Entry:  Entry{Mesh: h.Mesh, N: h.N, Prev: h.Prev, By: h.By, Time: h.Time},
		Hash:   HashOf(o.Bytes),
	}
	body, err := readBody(o.Bytes, h, fields)
	if err != nil {
		s.Void = err
		return s, nil
	}
	s.Entry.Body = body
	return s, nil
}

// readBody reads what stands beside the header, or tells why the entry is void.
func readBody(bytes []byte, h header, fields map[string]json.RawMessage) (Body, error) {
	known, ok := bodies[h.Type]
	if !ok {
		return nil, &UnknownError{Type: h.Type[:min(len(h.Type), keys.MaxSlug)]}
	}
	var unknown []string
	for name := range fields {
		if !slices.Contains(headerFields, name) && !slices.Contains(known.fields, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, &UnknownError{Type: h.Type, Fields: unknown}
	}
	for _, name := range known.fields {
		if value, ok := fields[name]; !ok || string(value) == "null" {
			return nil, malformed("a %s without %q", h.Type, name)
		}
	}
	body, err := known.decode(bytes)
	if err != nil {
		return nil, malformed("a %s: %w", h.Type, err)
	}
	if err := check(Entry{Mesh: h.Mesh, N: h.N, Prev: h.Prev, By: h.By, Time: h.Time, Body: body}); err != nil {
		return nil, err
	}
	return body, nil
}

// check tells what is wrong with an entry by itself.
func check(e Entry) error {
	if e.Time <= 0 {
		return malformed("no time")
	}
	if (e.Type() == TypeGenesis) != (e.N == 0) {
		return malformed("a %s at place %d", e.Type(), e.N)
	}
	return e.Body.check(e.By)
}

// verify checks the signatures: those of all signers where the body says who they
// are, else the first, by the key that the header names. [CM-5.12]
func (s Signed) verify() error {
	if s.Void == nil {
		if err := s.Object.Verify(signed.DomainEntry, s.Entry.Signers()...); err != nil {
			return broken("entry %d: %w", s.Entry.N, err)
		}
		return nil
	}
	if len(s.Sig) < signed.SignatureSize || len(s.Sig)%signed.SignatureSize != 0 {
		return broken("entry %d: %d bytes of signatures", s.Entry.N, len(s.Sig))
	}
	first := signed.Object{Bytes: s.Bytes, Sig: s.Sig[:signed.SignatureSize]}
	if err := first.Verify(signed.DomainEntry, s.Entry.By); err != nil {
		return broken("entry %d: %w", s.Entry.N, err)
	}
	return nil
}

// NewGenesis makes the first entry of a mesh. now is in Unix milliseconds; 16 bytes
// of rand are read.
func NewGenesis(now int64, owner keys.Signer, body Genesis, rand io.Reader) (Signed, error) {
	var err error
	if body.Random, err = NewRandom(rand); err != nil {
		return Signed{}, err
	}
	return Make(Entry{By: owner.Public(), Time: now, Body: body}, owner)
}

// PlaceOf reads the place that an entry claims, and verifies nothing.
func PlaceOf(o signed.Object) (uint64, error) {
	s, err := readUnverified(o)
	return s.Entry.N, err
}

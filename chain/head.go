package chain

import (
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// MaxHead is how many bytes a head has at most, without its signature. [CM-10.4]
const MaxHead = 512

// Head is a broker's word that the chain up to a place is what it orders. It covers
// all that leads there, since each entry names the one before. [CM-5.15]
type Head struct {
	Mesh keys.MeshID `json:"mesh"`
	// Chain is zero for the membership chain.
	Chain signed.Hash `json:"chain"`
	// N and Hash are the last entry's.
	N    uint64      `json:"n"`
	Hash signed.Hash `json:"hash"`
	// Time is the broker's clock when it signed, in Unix milliseconds. Never zero.
	Time int64 `json:"time"`
	// Life goes up whenever the broker may sign another order than it did before:
	// when it starts, since it may have been restored from a backup, when it learns
	// that it was, and when it orders a heal. Within one life two heads never
	// contradict each other. Never zero. [CM-5.18]
	Life uint64 `json:"life"`
}

// At is the head's place.
func (h Head) At() signed.At { return signed.At{N: h.N, Hash: h.Hash.Short()} }

// IsZero tells whether there is no head.
func (h Head) IsZero() bool { return h == Head{} }

// newer tells whether h says later than other that the same place is the last.
func (h Head) newer(other Head) bool {
	return h.Life > other.Life || h.Life == other.Life && h.Time >= other.Time
}

func (h Head) check() error {
	switch {
	case h.Mesh.IsZero(), h.Hash.IsZero():
		return broken("a head of nothing")
	case h.Time <= 0:
		return broken("a head without time")
	case h.Life == 0:
		return broken("a head without life")
	}
	return nil
}

// SignedHead is a head as it travels, and what it says.
type SignedHead struct {
	signed.Object
	Head Head
}

// IsZero tells whether there is no head.
func (h SignedHead) IsZero() bool { return h.Object.IsZero() }

// MakeHead signs a head.
func MakeHead(h Head, broker keys.Signer) (SignedHead, error) {
	if err := h.check(); err != nil {
		return SignedHead{}, err
	}
	bytes, err := signed.Encode(h)
	if err != nil {
		return SignedHead{}, fmt.Errorf("chain: a head: %w", err)
	}
	return SignedHead{Object: signed.Sign(signed.DomainHead, bytes, broker), Head: h}, nil
}

// headFields is how many fields a head has, all of them required.
const headFields = 6

// DecodeHead reads a head strictly. It verifies nothing: which broker's key it must
// be signed by is known from the chain. Errors wrap [ErrBroken]. [CM-5.15]
func DecodeHead(o signed.Object) (SignedHead, error) {
	if len(o.Bytes) > MaxHead {
		return SignedHead{}, broken("a head of %d bytes, at most %d", len(o.Bytes), MaxHead)
	}
	h := SignedHead{Object: o}
	if err := signed.Decode(o.Bytes, &h.Head); err != nil {
		return SignedHead{}, broken("a head: %w", err)
	}
	var fields map[string]any
	if err := signed.DecodeOpen(o.Bytes, &fields); err != nil || len(fields) != headFields {
		return SignedHead{}, broken("a head with %d fields, not %d", len(fields), headFields)
	}
	if err := h.Head.check(); err != nil {
		return SignedHead{}, err
	}
	return h, nil
}

// Verify checks that the broker with this key signed the head. Errors wrap
// [ErrBroken]. [CM-5.16]
func (h SignedHead) Verify(broker keys.Public) error {
	if err := h.Object.Verify(signed.DomainHead, broker); err != nil {
		return broken("head at place %d: %w", h.Head.N, err)
	}
	return nil
}

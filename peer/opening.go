package peer

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// parcel is a message as it came, sealed.
type parcel struct {
	from    keys.Public // whose key is to open it: the broker's word until it does
	id      keys.MessageID
	receipt bool   // class
	box     []byte // own box, nil: sealed is one
	sealed  []byte
}

// openParcel opens a message. What it says is its sender's word from then on; the
// frame proves nothing. That the sender is a member is not checked here. [CM-4]
func (p *Peer) openParcel(c *parcel) (m seal.Message, err error) {
	expect := seal.Expect{Mesh: p.mesh, ID: c.id, Receipt: c.receipt}
	err = p.pairs.with(c.from, func(pair *seal.Pair) error {
		if c.box == nil {
			m, err = seal.OpenDirect(pair, c.sealed, expect)
		} else {
			m, err = seal.OpenGroup(pair, c.box, c.sealed, expect)
		}
		return err
	})
	return m, err
}

// fit says how an opened message fits with what is held of the chain.
type fit int

const (
	fits     fit = iota // its sender is a member, and stands where this peer stood once
	stranger            // its sender does not belong, on a place that is part of ours
	ahead               // its sender knows entries that are not here
	other               // its sender stands on another course of the chain
)

// fitOf compares a place that somebody signed or sealed with the chain here. [CM-5]
func (p *Peer) fitOf(from keys.Public, at signed.At) fit {
	view := p.members()
	if at != view.At() {
		p.ledgerMu.Lock()
		relation := p.ledger.Chain().Compare(at)
		p.ledgerMu.Unlock()
		switch relation {
		case chain.Ahead:
			return ahead
		case chain.Other:
			return other
		}
	}
	if !isMember(view, from) {
		return stranger
	}
	return fits
}

// whyStranger is the reason for which a stranger's message is refused.
func whyStranger(view *roster.View, from keys.Public, t int64) wire.Why {
	if _, revoked := view.Revoked(from); revoked {
		return wire.WhyRevoked
	}
	if _, waits := view.Waiting(from, t); waits {
		return wire.WhyPending
	}
	return wire.WhyNotMember
}

// audienceOf is the digest under which a sender's session counts.
func audienceOf(a seal.Audience) (digest delivery.Audience, err error) {
	text, err := signed.Encode(a)
	if err != nil {
		return digest, err
	}
	sum := sha256.Sum256(text)
	copy(digest[:], sum[:])
	return digest, nil
}

// labelIn is the session's label in an address as its sender typed it.
func labelIn(address string) string {
	a, err := wire.ParseAddress(address)
	if err != nil {
		return ""
	}
	return a.Label
}

// priorityOf translates a sealed priority.
func priorityOf(s seal.Priority) wire.Priority {
	switch s {
	case seal.PriorityNow:
		return wire.PriorityNow
	case seal.PriorityLow:
		return wire.PriorityLow
	}
	return wire.PriorityNext
}

// suspicion is the sentence for the user about a parcel that no honest broker hands
// over, or no honest member makes. Where either can have made it so it names both:
// nobody is to be accused by another's doing. [CM-4.32]
func (p *Peer) suspicion(c *parcel, err error) string {
	from, host := p.addressOf(c.from), p.host()
	var what string
	switch {
	case errors.Is(err, seal.ErrOpen):
		return fmt.Sprintf("%s handed over a message as from %s that does not open: %s did not seal it for this machine, or it was changed on the way; it was refused", host, from, from)
	case errors.Is(err, keys.ErrKeyForm), errors.Is(err, keys.ErrKeyOrder):
		return fmt.Sprintf("%s handed over a message as from %s, which can be nobody's key; it was refused", host, from)
	case errors.Is(err, seal.ErrReflected):
		return fmt.Sprintf("%s handed back a message of this machine as from %s, or %s imitates this machine; it was refused", host, from, from)
	case errors.Is(err, seal.ErrSender), errors.Is(err, seal.ErrSignature):
		return fmt.Sprintf("a message that %s sealed names another sender; it was refused: %s is cheating", from, from)
	case errors.Is(err, seal.ErrID):
		what = "came under another id than the one sealed in it"
	case errors.Is(err, seal.ErrClass):
		what = "came as a receipt and is none, or is one and came as a message"
	case errors.Is(err, seal.ErrAudience):
		what = "is sealed for somebody else"
	case errors.Is(err, seal.ErrMesh):
		what = "belongs to another mesh"
	default:
		what = "cannot be read; perhaps claudemesh is to be updated here"
	}
	return fmt.Sprintf("a message from %s %s; it was refused. %s or %s made it so", from, what, host, from)
}

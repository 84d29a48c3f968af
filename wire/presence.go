package wire

import (
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Presence tells of oneself (to the broker: Card … Client, each only when it
// changed) and of others (to the peer: Peers, More, Re). PID, CWD, Host and
// Client are unsigned metadata for the broker's operator and reach no peer. [CM-7.40, CM-7.41]
type Presence struct {
	Cards  []signed.Object `json:"cards,omitempty"`  // own cards, the peer's and the session's
	Extras *Extras         `json:"extras,omitempty"` // beside the session's card
	PID    int64           `json:"pid,omitempty"`
	CWD    string          `json:"cwd,omitempty"`
	Host   string          `json:"host,omitempty"`
	Client string          `json:"client,omitempty"`

	Re    uint64         `json:"re,omitempty"` // the Subscribe this page answers; zero: a change
	Peers []PeerPresence `json:"peers,omitempty"`
	More  bool           `json:"more,omitempty"` // another page follows
}

// PeerPresence is everything the broker tells of one peer; it replaces what
// was told before. Connected and Since are the broker's word, the rest is
// signed or sealed by the peer.
type PeerPresence struct {
	Key       keys.Public       `json:"key"`
	Connected bool              `json:"connected"`
	Since     int64             `json:"since"`              // Unix ms of the last change of Connected; zero: never seen
	Card      *signed.Object    `json:"card,omitempty"`     // the peer's card
	Sessions  []SessionPresence `json:"sessions,omitempty"` // those connected
}

// SessionPresence is one connected session of a peer.
type SessionPresence struct {
	ID     keys.SessionID `json:"id"`
	Since  int64          `json:"since"`            // Unix ms
	Card   *signed.Object `json:"card,omitempty"`   // the session's card
	Extras *Extras        `json:"extras,omitempty"` // with the reader's own box
}

// Extras is what a card says to members only, sealed as to several
// recipients: summary, display name. [CM-4.43]
type Extras struct {
	Scheme int          `json:"scheme"`          // 1: sealed as to several recipients
	Sealed signed.Bytes `json:"sealed"`          // MaxExtras at most
	Boxes  []Recipient  `json:"boxes,omitempty"` // to the broker: one a reader
	Box    signed.Bytes `json:"box,omitempty"`   // to a peer: the reader's own
}

// CardBody is what a card signs, domain card [CM-7.42]. A card with Session is
// the session's and carries Label and Status; one without is the peer's and
// carries Tags and Keys. A higher counter replaces.
type CardBody struct {
	Mesh    keys.MeshID    `json:"mesh"`
	Peer    keys.Public    `json:"peer"`
	Session keys.SessionID `json:"session,omitzero"`
	Counter uint64         `json:"counter"`
	Time    int64          `json:"time"` // Unix ms
	At      signed.At      `json:"at"`   // the roster as its maker holds it
	Label   string         `json:"label,omitempty"`
	Status  Status         `json:"status,omitempty"`
	Tags    []string       `json:"tags,omitempty"`
	Keys    []signed.Bytes `json:"keys,omitempty"` // reserved for short-lived keys
}

// Status is what a session is doing, as its card says.
type Status string

// Statuses of a session.
const (
	StatusIdle         Status = "idle"
	StatusWorking      Status = "working"
	StatusDoNotDisturb Status = "dnd"
)

// DecodeCard decodes a card's signed bytes strictly and checks its form. It
// verifies nothing: use Verify with the body's peer, and compare the mesh.
func DecodeCard(o signed.Object) (CardBody, error) {
	var b CardBody
	if err := signed.Decode(o.Bytes, &b); err != nil {
		return CardBody{}, fmt.Errorf("wire: card: %w", err)
	}
	if reason := b.fault(); reason != "" {
		return CardBody{}, fmt.Errorf("%w: card: %s", ErrMalformed, reason)
	}
	return b, nil
}

// fault says what is wrong with a card's form, "" if nothing is.
func (b *CardBody) fault() string {
	switch {
	case b.Mesh.IsZero() || b.Peer.IsZero():
		return "no mesh or peer"
	case b.Counter == 0 || b.Time <= 0:
		return "no counter or time"
	case b.Session.IsZero() && (b.Label != "" || b.Status != ""):
		return "label or status without session"
	case !b.Session.IsZero() && (len(b.Tags) > 0 || len(b.Keys) > 0):
		return "tags or keys of a session"
	case b.Label != "" && !keys.IsSlug(b.Label):
		return "the label is no slug"
	case b.Status != "" && !isCode(string(b.Status)):
		return "the status is no word"
	case len(b.Tags) > MaxTags:
		return "too many tags"
	}
	for i, tag := range b.Tags {
		if !keys.IsSlug(tag) || (i > 0 && b.Tags[i-1] >= tag) {
			return "tags are slugs, sorted, none twice"
		}
	}
	return ""
}

package seal

import (
	"strings"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Limits of this package. [CM-10.4]
const (
	// MaxBody is the size of a body in bytes of UTF-8: 1 MiB.
	MaxBody = 1 << 20
	// MaxMessage is the size of an encoded message in bytes: 1.5 MiB, so that a
	// body of the largest size fits with the escapes that text needs, and what is
	// sealed, with 1,024 boxes beside it, fits into a frame of 2 MiB.
	MaxMessage = 3 << 19
	// MaxRoster is the size of an encoded message of kind roster in bytes.
	MaxRoster = 256 << 10
	// MaxReceipts is how many messages one receipt speaks of; it keeps a sealed
	// receipt below 4 KiB.
	MaxReceipts = 16
	// MaxListed is how many keys an audience lists; of a larger one it gives only
	// their number.
	MaxListed = 256
	// MaxRecipients is how many recipients a message has at most.
	MaxRecipients = 1024
	// MaxAddress is the size of an address as typed in bytes.
	MaxAddress = 256
	// MaxVia is how many stations a message that came through gateways or bridges
	// names, and MaxStation the size of each name in bytes.
	MaxVia = 8
	// MaxStation is the size of the name of a station in bytes.
	MaxStation = 128
	// MaxLife is how long after its time a message expires at most, in milliseconds:
	// 30 days. Recipients remember its id as long.
	MaxLife = 30 * 24 * 60 * 60 * 1000
	// MaxDepth is the largest chain depth.
	MaxDepth = 1 << 16
	// MaxWhy is the size of a reason in a receipt in bytes.
	MaxWhy = 32
)

// maxInteger is the largest number in JSON. [CM-1.9]
const maxInteger = 1<<53 - 1

// Kind is what a message is.
type Kind string

// The kinds of messages. [CM-4.10]
const (
	// KindMessage is a plain message.
	KindMessage Kind = "message"
	// KindAsk is a question that waits for an answer.
	KindAsk Kind = "ask"
	// KindAnswer answers a question, which ReplyTo names.
	KindAnswer Kind = "answer"
	// KindDecline says that a question, which ReplyTo names, gets no answer.
	KindDecline Kind = "decline"
	// KindNotice tells something that nobody has to react to; it rings no bell.
	KindNotice Kind = "notice"
	// KindReceipt says what became of messages. It travels in the class receipt,
	// has no sequence number, and is never receipted.
	KindReceipt Kind = "receipt"
	// KindRoster asks for entries of the chain or brings them. It is never shown
	// nor receipted, has no sequence number, and is opened from strangers too.
	KindRoster Kind = "roster"
)

// Known tells whether this version knows the kind.
func (k Kind) Known() bool { return k.Shown() || k == KindReceipt || k == KindRoster }

// Shown tells whether messages of this kind are shown to somebody, and so are
// counted by a sequence number and receipted.
func (k Kind) Shown() bool {
	switch k {
	case KindMessage, KindAsk, KindAnswer, KindDecline, KindNotice:
		return true
	}
	return false
}

// Priority says how much the sender wants to interrupt.
type Priority string

// The priorities.
const (
	// PriorityNow interrupts.
	PriorityNow Priority = "now"
	// PriorityNext waits until the session is idle.
	PriorityNext Priority = "next"
	// PriorityLow waits until the session asks.
	PriorityLow Priority = "low"
)

// Known tells whether this is one of the three priorities.
func (p Priority) Known() bool {
	return p == PriorityNow || p == PriorityNext || p == PriorityLow
}

// Audience is for whom a message is, as its sender means it. [CM-4.14]
type Audience struct {
	// Address is the address as it was typed, at most [MaxAddress] bytes; for
	// people only. Empty where a program gave keys.
	Address string `json:"address,omitempty"`
	// Keys are the recipients, each once, up to [MaxListed] of them. One key means
	// the direct form, several mean the form for several recipients.
	Keys []keys.Public `json:"keys,omitempty"`
	// Count is the number of recipients where there are more than [MaxListed];
	// Keys is empty then.
	Count int `json:"count,omitempty"`
	// Session is which session of a single recipient is meant; zero means any. It
	// says only who shows the message.
	Session keys.SessionID `json:"session,omitzero"`
	// One means that any one of the recipients (the devices of a user) shall show
	// the message, and claims it first.
	One bool `json:"one,omitempty"`
}

// Size is the number of recipients.
func (a Audience) Size() int {
	if len(a.Keys) > 0 {
		return len(a.Keys)
	}
	return a.Count
}

// check tests the rules of an audience.
func (a Audience) check() error {
	switch {
	case len(a.Address) > MaxAddress || !oneLine(a.Address):
		return malformed("address of %d bytes", len(a.Address))
	case len(a.Keys) > MaxListed:
		return malformed("audience lists %d keys", len(a.Keys))
	case len(a.Keys) > 0 && a.Count != 0:
		return malformed("audience lists keys and counts them")
	case len(a.Keys) == 0 && (a.Count <= MaxListed || a.Count > MaxRecipients):
		return malformed("audience of %d keys without a list", a.Count)
	case a.Size() > 1 && !a.Session.IsZero():
		return malformed("a session among several recipients")
	}
	if len(a.Keys) > 1 {
		seen := make(map[keys.Public]struct{}, len(a.Keys))
		for _, key := range a.Keys {
			seen[key] = struct{}{}
		}
		if len(seen) != len(a.Keys) {
			return malformed("audience lists a key twice")
		}
	}
	return nil
}

// State is what a recipient says became of a message.
type State string

// The states that a receipt reports.
const (
	// StateSeen: it is in front of the agent or the person.
	StateSeen State = "seen"
	// StateHeld: the recipient's policy holds it.
	StateHeld State = "held"
	// StateRefused: the recipient refused it; why is said.
	StateRefused State = "refused"
)

// Receipt is what became of one message, as its recipient says. [CM-4.34]
type Receipt struct {
	// ID is the message.
	ID keys.MessageID `json:"id"`
	// Hash is [HashSealed] of what the recipient got, so that the sender knows
	// that both speak of the same bytes.
	Hash signed.Hash `json:"hash"`
	// State is what became of it.
	State State `json:"state"`
	// Why is a code, at most [MaxWhy] bytes of a-z, 0-9 and _; only with refused.
	Why string `json:"why,omitempty"`
}

func (r Receipt) check() error {
	switch {
	case r.ID.IsZero() || r.Hash.IsZero():
		return malformed("receipt without message or hash")
	case r.State != StateSeen && r.State != StateHeld && r.State != StateRefused:
		return malformed("receipt of unknown state")
	case r.Why != "" && r.State != StateRefused, len(r.Why) > MaxWhy:
		return malformed("reason in a receipt")
	}
	for i := range len(r.Why) {
		if c := r.Why[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return malformed("reason in a receipt")
		}
	}
	return nil
}

// Roster is the content of a message of kind roster. [CM-4.38]
type Roster struct {
	// Ask asks for the entries from number From on.
	Ask bool `json:"ask,omitempty"`
	// From is the number of the first entry asked for or brought.
	From uint64 `json:"from"`
	// Entries are signed entries in order, as they stand in the chain.
	Entries []signed.Object `json:"entries,omitempty"`
	// Heads are signed heads that the entries stand under.
	Heads []signed.Object `json:"heads,omitempty"`
}

// Message is a message as it is before sealing and after opening. Everything in it
// is its sender's word, and nobody else's: recipients use this priority, time and
// expiry, not the frame's. [CM-4.16]
type Message struct {
	// ID is the message's id, made by the sender.
	ID keys.MessageID `json:"id"`
	// Mesh is the mesh in which it was sent.
	Mesh keys.MeshID `json:"mesh"`
	// From is the sender's key. On opening it is the key that made the box.
	From keys.Public `json:"from"`
	// Session is the sender's session.
	Session keys.SessionID `json:"session"`
	// Label is that session's label, a slug; empty if it has none.
	Label string `json:"label,omitempty"`
	// Audience is for whom it is.
	Audience Audience `json:"audience"`
	// Seq counts from 1 for each sender's session, audience and priority; 0 for
	// receipts and roster messages.
	Seq uint64 `json:"seq,omitempty"`
	// Kind is what it is.
	Kind Kind `json:"kind"`
	// ReplyTo is the message it replies to; zero for none.
	ReplyTo keys.MessageID `json:"reply_to,omitzero"`
	// Thread is the first message of its thread; zero where that is itself.
	Thread keys.MessageID `json:"thread,omitzero"`
	// Depth is how many automatic replies led here.
	Depth int `json:"depth,omitempty"`
	// Priority is how much it wants to interrupt.
	Priority Priority `json:"priority"`
	// Time is when it was sent and Expires when it loses its worth, both in Unix
	// milliseconds by the sender's clock.
	Time int64 `json:"time"`
	// Expires is later than Time, by [MaxLife] at most.
	Expires int64 `json:"expires"`
	// At is the place in the chain where the sender stood.
	At signed.At `json:"at"`
	// Via names the stations (gateways, bridges) that it came through, the first
	// one first; hearsay. At most [MaxVia] of [MaxStation] bytes.
	Via []string `json:"via,omitempty"`
	// Body is the text, at most [MaxBody] bytes of UTF-8; empty for receipts and
	// roster messages.
	Body string `json:"body,omitempty"`
	// Receipts are the content of a message of kind receipt, 1 to [MaxReceipts].
	Receipts []Receipt `json:"receipts,omitempty"`
	// Roster is the content of a message of kind roster.
	Roster *Roster `json:"roster,omitempty"`

	// Signed tells, after opening, that the message carried its sender's
	// signature; it was verified. It is no part of the message.
	Signed bool `json:"-"`
}

// Check tests the rules that hold for every message, before sealing and after
// opening. It fails with [ErrMalformed], [ErrTooLarge] or [ErrUnknownKind]. [CM-4.9, CM-4.10]
func (m *Message) Check() error {
	switch {
	case !m.Kind.Known():
		return ErrUnknownKind
	case m.ID.IsZero() || m.Mesh.IsZero() || m.From.IsZero() || m.Session.IsZero():
		return malformed("no id, mesh, sender or session")
	case m.At.Hash.IsZero() || m.At.N > maxInteger:
		return malformed("no place in the chain")
	case !m.Priority.Known():
		return malformed("unknown priority")
	case m.Label != "" && !keys.IsSlug(m.Label):
		return malformed("label is no slug")
	case m.Kind.Shown() != (m.Seq > 0) || m.Seq > maxInteger:
		return malformed("sequence number %d of a %s", m.Seq, m.Kind)
	case m.Depth < 0 || m.Depth > MaxDepth:
		return malformed("depth %d", m.Depth)
	case m.Time <= 0 || m.Time > maxInteger-MaxLife || m.Expires <= m.Time || m.Expires > m.Time+MaxLife:
		return malformed("expires at %d, sent at %d", m.Expires, m.Time)
	case (m.Kind == KindAnswer || m.Kind == KindDecline) && m.ReplyTo.IsZero():
		return malformed("%s to nothing", m.Kind)
	case len(m.Body) > MaxBody:
		return ErrTooLarge
	case !utf8.ValidString(m.Body):
		return malformed("body is not UTF-8")
	}
	if err := m.Audience.check(); err != nil {
		return err
	}
	return m.checkContent()
}

// checkContent tests what depends on the kind, and the stations.
func (m *Message) checkContent() error {
	if len(m.Via) > MaxVia {
		return malformed("%d stations", len(m.Via))
	}
	for _, station := range m.Via {
		if station == "" || len(station) > MaxStation || !oneLine(station) {
			return malformed("station")
		}
	}
	if (m.Kind == KindReceipt) != (len(m.Receipts) > 0) || len(m.Receipts) > MaxReceipts {
		return malformed("%s with %d receipts", m.Kind, len(m.Receipts))
	}
	for _, receipt := range m.Receipts {
		if err := receipt.check(); err != nil {
			return err
		}
	}
	if (m.Kind == KindRoster) != (m.Roster != nil) {
		return malformed("%s and its content", m.Kind)
	}
	if m.Roster != nil && (m.Roster.From > maxInteger ||
		m.Roster.Ask != (len(m.Roster.Entries)+len(m.Roster.Heads) == 0)) {
		return malformed("roster neither asks nor brings")
	}
	if !m.Kind.Shown() && m.Body != "" {
		return malformed("%s with a body", m.Kind)
	}
	return nil
}

// oneLine tells whether text is valid UTF-8 without control characters and line ends. [CM-4.12]
func oneLine(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' || 0x7f <= r && r < 0xa0 || r == '\u2028' || r == '\u2029'
	}) < 0
}

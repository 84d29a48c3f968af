package broker

import "github.com/claudemesh/claudemesh-go/keys"

// EventKind says what an [Event] tells of.
type EventKind string

// The kinds of events.
const (
	EventOnline  EventKind = "online"  // a session that receives came
	EventOffline EventKind = "offline" // it went
	EventMessage EventKind = "message" // a message changed its state: State, Bytes
	EventCreated EventKind = "created" // a mesh was created
	EventEntry   EventKind = "entry"   // an entry was appended: Type says which
)

// Event is one thing that happened, in metadata: names, sizes, never content.
type Event struct {
	Time int64       // Unix milliseconds
	Mesh keys.MeshID // where
	Name string      // that mesh's name
	Kind EventKind
	// Actor is who did it: "alice@laptop/payments-api", "alice@laptop", or a
	// key's short form where the roster has no name for it.
	Actor string
	// Target is who it was done to: the recipient of a message, the peer that
	// was admitted, revoked or joined. Empty where there is none.
	Target string
	// Type is the entry's type, for EventEntry: "join", "admit", "revoke", …
	Type string
	// State is a message's new state: "delivered", "queued", "refused" or
	// "expired".
	State string
	// Bytes is the size of a message as it travels, sealed.
	Bytes int
}

// Feed is a subscription to events. It never slows the broker down: what its
// reader does not take in time is dropped and counted.
type Feed struct {
	// C carries the events; it is closed by Close and with the broker.
	C <-chan Event
}

// Missed is how many events were dropped since the last call.
func (f *Feed) Missed() int { return 0 }

// Close ends the subscription. A second call does nothing.
func (f *Feed) Close() {}

package broker

import (
	"sync"
	"sync/atomic"

	"github.com/claudemesh/claudemesh-go/keys"
)

// EventKind says what an [Event] tells of.
type EventKind string

// The kinds of events.
const (
	EventOnline  EventKind = "online"  // a session that receives came
	EventOffline EventKind = "offline" // it went
	EventMessage EventKind = "message" // a message reached a state: State, Bytes
	EventCreated EventKind = "created" // a mesh was created
	EventEntry   EventKind = "entry"   // an entry was appended: Type says which
)

// StateWaits is the state of an entry whose target waits to be admitted.
const StateWaits = "waits"

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
	// "expired"; of an entry [StateWaits] where its target waits for a yes.
	State string
	// Bytes is the size of a message as it travels, sealed.
	Bytes int
}

// feedBuffer is how many events wait for the reader of a feed.
const feedBuffer = 1024

// Feed is a subscription to events. It never slows the broker down: what its
// reader does not take in time is dropped and counted.
type Feed struct {
	// C carries the events; it is closed by Close and with the broker.
	C <-chan Event

	c      chan Event
	hub    *feeds
	missed atomic.Int64
}

// Missed is how many events were dropped since the last call.
func (f *Feed) Missed() int { return int(f.missed.Swap(0)) }

// Close ends the subscription. A second call does nothing.
func (f *Feed) Close() { f.hub.leave(f) }

// feeds are the subscriptions of a broker. mu is a leaf.
type feeds struct {
	n atomic.Int32 // subscriptions, so that without one nothing is made

	mu     sync.Mutex // guards the following
	all    map[*Feed]struct{}
	closed bool
}

// any says whether somebody listens.
func (h *feeds) any() bool { return h.n.Load() > 0 }

func (h *feeds) join() *Feed {
	c := make(chan Event, feedBuffer)
	f := &Feed{C: c, c: c, hub: h}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(c)
		return f
	}
	if h.all == nil {
		h.all = make(map[*Feed]struct{})
	}
	h.all[f] = struct{}{}
	h.n.Add(1)
	return f
}

func (h *feeds) leave(f *Feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.all[f]; ok {
		delete(h.all, f)
		h.n.Add(-1)
		close(f.c)
	}
}

func (h *feeds) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range h.all {
		select {
		case f.c <- e:
		default:
			f.missed.Add(1)
		}
	}
}

// end closes every feed; further ones are closed from the start.
func (h *feeds) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for f := range h.all {
		delete(h.all, f)
		h.n.Add(-1)
		close(f.c)
	}
}

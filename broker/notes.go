package broker

import (
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// sizes remembers the sizes of messages under way, so that the events feed can
// tell them with each state. It holds nothing while nobody listens, and forgets
// the oldest beyond its bound.
type sizes struct {
	of    map[sizeKey]int
	order []sizeKey
}

type sizeKey struct {
	id keys.MessageID
	to keys.Public
}

// sizesKept is how many messages sizes remembers.
const sizesKept = 4096

func (z *sizes) put(id keys.MessageID, to keys.Public, bytes int) {
	if z.of == nil {
		z.of = make(map[sizeKey]int)
	}
	k := sizeKey{id, to}
	if _, ok := z.of[k]; !ok {
		z.order = append(z.order, k)
	}
	z.of[k] = bytes
	if len(z.order) > sizesKept {
		for _, old := range z.order[:sizesKept/2] {
			delete(z.of, old)
		}
		z.order = append([]sizeKey(nil), z.order[sizesKept/2:]...)
	}
}

// note records a message that was taken. mu is held.
func (m *mesh) note(msg message, now int64) {
	m.b.recorder.message(m.id, &msg, now)
	m.b.metrics.took(&msg)
	if m.b.feeds.any() && msg.class == wire.ClassMessage {
		m.sizes.put(msg.id, msg.to, msg.bytes)
	}
}

// noteRow remembers the size of a message that is handed over. mu is held.
func (m *mesh) noteRow(r *delivery.Row) {
	if m.b.feeds.any() && r.Class == wire.ClassMessage {
		m.sizes.put(r.ID, r.To, r.Size())
	}
}

// noteState tells the events feed of a message's new state. Receipts have
// none: they would drown the messages. mu is held.
func (m *mesh) noteState(from keys.Public, label string, id keys.MessageID, to keys.Public, state wire.State, now int64) {
	if !m.b.feeds.any() {
		return
	}
	bytes, ok := m.sizes.of[sizeKey{id, to}]
	if !ok {
		return
	}
	if state != wire.StateQueued {
		delete(m.sizes.of, sizeKey{id, to}) // its sender may be told again later
	}
	m.emit(Event{Time: now, Kind: EventMessage, Actor: m.address(from, label), Target: m.address(to, ""),
		State: state.String(), Bytes: bytes})
}

// emit hands an event of this mesh to whoever listens. mu is held.
func (m *mesh) emit(e Event) {
	if !m.b.feeds.any() {
		return
	}
	e.Mesh, e.Name = m.id, m.name
	m.b.feeds.emit(e)
}

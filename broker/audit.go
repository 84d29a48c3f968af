package broker

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Events of the audit log.
const (
	auditMessage    = "message"
	auditConnect    = "connect"
	auditDisconnect = "disconnect"
	auditAppend     = "append"
	auditCreate     = "create"
	auditRefuse     = "refuse"
)

// recordEvery is how late a row of the audit log may be.
const recordEvery = time.Second

// auditRows is how many messages of a mesh have a row of their own in a
// second; what is above shares one for each actor, target and priority.
const auditRows = 1000

// audit is a row to be written. Whose keys these are stays in memory: the log
// has fingerprints.
type audit struct {
	mesh     keys.MeshID
	event    string
	actor    keys.Public
	target   keys.Public
	time     int64
	id       keys.MessageID // of one message
	class    wire.Class
	priority wire.Priority
	bytes    int
	count    int // of messages, where a row speaks of several
	detail   string
}

// message is what is noted of a message: never what it says.
type message struct {
	from, to keys.Public
	id       keys.MessageID
	class    wire.Class
	priority wire.Priority
	bytes    int
}

// recorder writes what nobody waits for: the audit log, presence and cards, a
// second late at most and off the delivery path. A kill may lose that second.
type recorder struct {
	b *Broker

	mu      sync.Mutex // guards the following; a leaf
	rows    []audit
	counts  map[keys.MeshID]int // rows of messages in this second
	sums    map[auditSum]int    // where in rows their sums stand
	comings []coming            // in their order: a session may go and come again in one second
	cards   []cardRow
}

// coming is a session that is there or changed, or one that went.
type coming struct {
	store.Presence
	gone bool
}

type auditSum struct {
	mesh     keys.MeshID
	actor    keys.Public
	target   keys.Public
	class    wire.Class
	priority wire.Priority
}

type cardRow struct {
	mesh keys.MeshID
	card store.Card
	drop bool
}

func (r *recorder) add(a audit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = append(r.rows, a)
}

// message adds one message's row, or counts it into a sum.
func (r *recorder) message(mesh keys.MeshID, m *message, now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := audit{mesh: mesh, event: auditMessage, actor: m.from, target: m.to, time: now, id: m.id,
		class: m.class, priority: m.priority, bytes: m.bytes, count: 1}
	if r.counts == nil {
		r.counts, r.sums = make(map[keys.MeshID]int), make(map[auditSum]int)
	}
	if r.counts[mesh] < auditRows {
		r.counts[mesh]++
		r.rows = append(r.rows, a)
		return
	}
	key := auditSum{mesh, m.from, m.to, m.class, m.priority}
	if i, ok := r.sums[key]; ok {
		r.rows[i].bytes += m.bytes
		r.rows[i].count++
		return
	}
	a.id = keys.MessageID{}
	r.sums[key] = len(r.rows)
	r.rows = append(r.rows, a)
}

// presence notes a session that came or changed.
func (r *recorder) presence(p store.Presence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.comings = append(r.comings, coming{Presence: p})
}

// absence notes one that went.
func (r *recorder) absence(mesh keys.MeshID, s keys.SessionID, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.comings = append(r.comings, coming{Presence: store.Presence{Mesh: mesh, Session: s, Seen: at}, gone: true})
}

func (r *recorder) card(mesh keys.MeshID, c store.Card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cards = append(r.cards, cardRow{mesh: mesh, card: c})
}

func (r *recorder) dropCards(mesh keys.MeshID, peer keys.Public) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cards = append(r.cards, cardRow{mesh: mesh, card: store.Card{Peer: peer}, drop: true})
}

// run writes every second until the broker ends, and then the rest.
func (r *recorder) run(ctx context.Context) {
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	tidy := 0
	for {
		select {
		case <-tick.C:
			r.write(ctx)
			if tidy++; tidy == tidyEvery {
				tidy = 0
				r.log("tidy the store", r.b.store.Tidy(ctx, r.b.now()))
			}
		case <-r.b.settled:
			r.write(ctx)
			return
		}
	}
}

// tidyEvery is how many seconds pass between two tidyings of the store.
const tidyEvery = 60

// write writes what came since the last time. What fails is lost and said in
// the log: nobody was promised it.
func (r *recorder) write(ctx context.Context) {
	r.mu.Lock()
	rows, comings, cards := r.rows, r.comings, r.cards
	r.rows, r.comings, r.cards = nil, nil, nil
	r.counts, r.sums = nil, nil
	r.mu.Unlock()
	if len(rows) > 0 {
		r.log("write the audit log", r.b.store.Audit(ctx, auditRecords(rows)))
	}
	for len(comings) > 0 {
		n := alike(comings)
		r.log("write presence", r.writeComings(ctx, comings[:n]))
		comings = comings[n:]
	}
	for _, c := range cards {
		if c.drop {
			r.log("drop cards", r.b.store.DropCards(ctx, c.mesh, c.card.Peer))
			continue
		}
		_, err := r.b.store.SaveCard(ctx, c.mesh, c.card)
		r.log("write a card", err)
	}
}

// alike is how many comings from the first on can be written together.
func alike(list []coming) int {
	first := &list[0]
	for i := range list {
		if list[i].gone != first.gone || (first.gone && list[i].Mesh != first.Mesh) {
			return i
		}
	}
	return len(list)
}

func (r *recorder) writeComings(ctx context.Context, list []coming) error {
	if !list[0].gone {
		rows := make([]store.Presence, len(list))
		for i := range list {
			rows[i] = list[i].Presence
		}
		return r.b.store.SavePresence(ctx, rows...)
	}
	ids := make([]keys.SessionID, len(list))
	for i := range list {
		ids[i] = list[i].Session
	}
	return r.b.store.DropPresence(ctx, list[0].Mesh, list[len(list)-1].Seen, ids...)
}

func (r *recorder) log(what string, err error) {
	if err != nil {
		r.b.log.Error(what, "err", err)
	}
}

// auditRecords makes the store's rows: fingerprints for keys, a JSON object of
// numbers and words of ours for the rest.
func auditRecords(rows []audit) []store.Audit {
	prints := make(map[keys.Public]string)
	print := func(k keys.Public) string {
		if k.IsZero() {
			return ""
		}
		p, ok := prints[k]
		if !ok {
			p = k.Fingerprint().String()
			prints[k] = p
		}
		return p
	}
	out := make([]store.Audit, len(rows))
	for i, a := range rows {
		out[i] = store.Audit{Mesh: a.mesh, Event: a.event, Actor: print(a.actor), Target: print(a.target),
			Metadata: a.metadata(), Time: a.time}
	}
	return out
}

func (a *audit) metadata() string {
	b := []byte("{")
	field := func(name, value string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", name, value)
	}
	if a.event == auditMessage {
		field("class", strconv.Quote(a.class.String()))
		field("priority", strconv.Quote(a.priority.String()))
		if !a.id.IsZero() {
			field("id", strconv.Quote(a.id.String()))
		}
		if a.count > 1 {
			field("count", strconv.Itoa(a.count))
		}
	}
	if a.bytes > 0 {
		field("size", strconv.Itoa(a.bytes))
	}
	if a.detail != "" {
		field("detail", strconv.Quote(a.detail))
	}
	return string(append(b, '}'))
}

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

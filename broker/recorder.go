package broker

import (
	"context"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// recordEvery is how late a row of the audit log may be.
const recordEvery = time.Second

// recorder writes what nobody waits for: the audit log, presence and cards, a
// second late at most and off the delivery path. A kill may lose that second.
type recorder struct {
	b *Broker

	mu      sync.Mutex // guards the following; a leaf
	rows    []audit
	counts  map[keys.MeshID]int // rows of messages in this second
	sums    map[auditSum]int    // where in rows their sums stand
	missed  int                 // rows that there was no room for
	comings []coming            // in their order: a session may go and come again in one second
	there   map[presenceKey]int // where in comings a session's last row stands
	cards   map[cardKey]*store.Card
}

// maxRows is how many rows wait for the store; what comes while so many do is
// counted.
const maxRows = 100_000

// cardKey names a peer's card; in recorder.cards nil means that it is dropped.
type cardKey struct {
	mesh keys.MeshID
	peer keys.Public
}

type presenceKey struct {
	mesh    keys.MeshID
	session keys.SessionID
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

// add adds a row.
func (r *recorder) add(a audit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(a)
}

func (r *recorder) addLocked(a audit) {
	if len(r.rows) >= maxRows {
		r.missed++
		return
	}
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
		r.addLocked(a)
		return
	}
	key := auditSum{mesh, m.from, m.to, m.class, m.priority}
	if i, ok := r.sums[key]; ok {
		r.rows[i].bytes += m.bytes
		r.rows[i].count++
		return
	}
	a.id = keys.MessageID{}
	if len(r.rows) < maxRows {
		r.sums[key] = len(r.rows)
	}
	r.addLocked(a)
}

// presence notes a session that came or changed.
func (r *recorder) presence(p store.Presence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.coming(coming{Presence: p})
}

// absence notes one that went.
func (r *recorder) absence(mesh keys.MeshID, s keys.SessionID, at int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.coming(coming{Presence: store.Presence{Mesh: mesh, Session: s, Seen: at}, gone: true})
}

// coming notes the newest of a session: of several changes the last is enough.
func (r *recorder) coming(c coming) {
	key := presenceKey{c.Mesh, c.Session}
	if i, ok := r.there[key]; ok && r.comings[i].gone == c.gone {
		r.comings[i] = c
		return
	}
	if r.there == nil {
		r.there = make(map[presenceKey]int)
	}
	r.there[key] = len(r.comings)
	r.comings = append(r.comings, c)
}

// card notes a peer's newest card.
func (r *recorder) card(mesh keys.MeshID, c store.Card) { r.setCard(cardKey{mesh, c.Peer}, &c) }

// dropCards notes that a peer's cards go.
func (r *recorder) dropCards(mesh keys.MeshID, peer keys.Public) { r.setCard(cardKey{mesh, peer}, nil) }

func (r *recorder) setCard(key cardKey, c *store.Card) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cards == nil {
		r.cards = make(map[cardKey]*store.Card)
	}
	r.cards[key] = c
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
	rows, comings, cards, missed := r.rows, r.comings, r.cards, r.missed
	r.rows, r.comings, r.cards, r.missed = nil, nil, nil, 0
	r.counts, r.sums, r.there = nil, nil, nil
	r.mu.Unlock()
	if missed > 0 {
		r.b.log.Error("the store is too slow for the audit log", "rows missing", missed)
	}
	if len(rows) > 0 {
		r.log("write the audit log", r.b.store.Audit(ctx, auditRecords(rows)))
	}
	for len(comings) > 0 {
		n := alike(comings)
		r.log("write presence", r.writeComings(ctx, comings[:n]))
		comings = comings[n:]
	}
	r.writeCards(ctx, cards)
}

// cardWriters is how many cards are written at a time: the store commits them
// together.
const cardWriters = 64

func (r *recorder) writeCards(ctx context.Context, cards map[cardKey]*store.Card) {
	var writers sync.WaitGroup
	n := 0
	for key, c := range cards {
		if n++; n%cardWriters == 0 {
			writers.Wait()
		}
		writers.Go(func() {
			if c == nil {
				r.log("drop cards", r.b.store.DropCards(ctx, key.mesh, key.peer))
				return
			}
			_, err := r.b.store.SaveCard(ctx, key.mesh, *c)
			r.log("write a card", err)
		})
	}
	writers.Wait()
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

package profile

import (
	"cmp"
	"slices"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// memory is what functions that may write know of state.db without reading it, and
// what they leave to be written once a transaction: see [sqlite.Memory].
type memory struct {
	numbers  map[numbering]uint64   // the last inner number that was given out
	unsaid   map[numbering]struct{} // those of numbers that state.db does not have yet
	active   map[int64]activity     // the last one of each mesh
	policies map[sender]policies
	sent     map[sentID]*sentDirect
	drops    map[int64][]int64             // places of the outbox that are done with, by mesh
	inbox    map[int64][]delivery.InboxRow // all rows of a mesh, without what is sealed
	streams  map[streamID]delivery.Stream
	sessions map[int64][]SessionInfo // all of a mesh, live or not
}

// remembered is how much of a kind is remembered at most, rememberedInbox how many rows
// of one inbox.
const (
	remembered      = 4096
	rememberedInbox = 512
)

// numbering names a stream of a session of ours.
type numbering struct {
	mesh     int64
	session  keys.SessionID
	audience delivery.Audience
	priority wire.Priority
}

// activity is that a session was active, as it was written.
type activity struct {
	session keys.SessionID
	status  delivery.Status
	at      int64
}

// sender is a device and its user.
type sender struct {
	mesh         int64
	device, user string
}

// policies are what was decided about them.
type policies struct{ device, user delivery.Policy }

// sentID names a message that was sent.
type sentID struct {
	mesh    int64
	message keys.MessageID
}

// streamID names an order of messages that are shown.
type streamID struct {
	mesh int64
	key  delivery.StreamKey
}

// sentDirect is what is known of a message to one recipient.
type sentDirect struct {
	session keys.SessionID
	hash    [32]byte
	to      SentTo
}

// Forget is [sqlite.Memory]'s.
func (m *memory) Forget() {
	*m = memory{
		numbers: map[numbering]uint64{}, unsaid: map[numbering]struct{}{}, active: map[int64]activity{}, policies: map[sender]policies{},
		sent: map[sentID]*sentDirect{}, drops: map[int64][]int64{}, inbox: map[int64][]delivery.InboxRow{},
		streams: map[streamID]delivery.Stream{}, sessions: map[int64][]SessionInfo{},
	}
}

// Flush is [sqlite.Memory]'s.
func (m *memory) Flush(q *sqlite.Tx) error {
	for s := range m.unsaid {
		if _, err := q.Exec("INSERT INTO numbering (mesh, session, audience, priority, last) VALUES (?, ?, ?, ?, ?)"+
			" ON CONFLICT DO UPDATE SET last = excluded.last", s.mesh, s.session[:], s.audience[:], uint8(s.priority), m.numbers[s]); err != nil {
			return err
		}
	}
	clear(m.unsaid)
	for mesh, places := range m.drops {
		if err := drop(q, mesh, "outbox", places); err != nil {
			return err
		}
		if err := eachRun(places, func(first, last int64) error {
			_, err := q.Exec("DELETE FROM outbox_target WHERE place BETWEEN ? AND ?", first, last)
			return err
		}); err != nil {
			return err
		}
		delete(m.drops, mesh)
	}
	keepFew(m.numbers)
	keepFew(m.policies)
	keepFew(m.sent)
	keepFew(m.streams)
	return nil
}

// keepFew forgets all of a kind where it is too much.
func keepFew[K comparable, V any](kind map[K]V) {
	if len(kind) > remembered {
		clear(kind)
	}
}

// inboxed is the row of the inbox at a place, where all rows are remembered; nil where
// there is none, or they are not.
func (tx *Tx) inboxed(place int64) *delivery.InboxRow {
	rows := tx.memory.inbox[tx.mesh]
	if i, found := findPlace(rows, place); found {
		return &rows[i]
	}
	return nil
}

// findPlace finds a row by its place among rows in the order of these.
func findPlace(rows []delivery.InboxRow, place int64) (int, bool) {
	return slices.BinarySearchFunc(rows, place, func(r delivery.InboxRow, p int64) int { return cmp.Compare(r.Place, p) })
}

// rememberInbox remembers all rows of the inbox, unless they are too many.
func (tx *Tx) rememberInbox(rows []delivery.InboxRow) {
	if len(rows) > rememberedInbox {
		delete(tx.memory.inbox, tx.mesh)
		return
	}
	tx.memory.inbox[tx.mesh] = rows
}

// flush writes what was left, so that what is read next is true.
func (tx *Tx) flush() error {
	if tx.memory == nil {
		return nil
	}
	return tx.memory.Flush(tx.q)
}

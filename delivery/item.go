package delivery

import (
	"math"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// place says where an item is.
type place uint8

const (
	placeWaiting place = iota // in its queue's list, with its row
	placeOut                  // handed over on a connection, without a receipt yet
	placeStored               // in the store only
	placeDone                 // finished; state says how
)

// disk says what the store has of an item.
type disk uint8

const (
	diskNone   disk = iota // nothing was asked for: its commit waits for a receipt
	diskSaving             // asked for, not answered
	diskSaved              // there
	diskFailed             // not there, and not asked for again before its sender sends again
)

// noNumber is above every number of a row.
const noNumber = math.MaxUint64

// noTime is after every time.
const noTime = math.MaxInt64

// message is what the machine knows of a message: of one that waits, and for
// ten minutes of one that is finished.
type message struct {
	from    *peerState
	id      keys.MessageID
	expires int64
	conn    *connState   // that sent it last; nil: not known
	also    []*connState // that sent it too, before
	one     bool
	acked   bool // one: its sender was told
	whole   bool // it was sent in this process: every row of it is among the items
	settled bool // one: the rows of other devices were asked for, to be dropped
	winner  *peerState
	vague   bool // one: the store may have rows that left does not count
	sole    bool // one: left counts the winner's row alone
	left    int  // one: rows that are not finished, as far as known
	rings   int  // how often it stands in the memory's ring
	items   *item
	first   item
}

func (m *message) key() messageKey { return messageKey{m.from.number, m.id} }

// busy tells whether the machine still works on the message.
func (m *message) busy() bool {
	for it := m.items; it != nil; it = it.sibling {
		if it.place == placeWaiting || it.place == placeOut || it.disk == diskSaving {
			return true
		}
	}
	return false
}

// sentOver tells whether a connection has sent the message.
func (m *message) sentOver(c *connState) bool { return m.conn == c || slices.Contains(m.also, c) }

// unanswered tells whether somebody was not told of the message yet. What came behind it
// goes with it where it cannot be stored, also if it came on a connection that has ended.
func (m *message) unanswered() bool {
	if m.one {
		return !m.acked
	}
	for it := m.items; it != nil; it = it.sibling {
		if !it.acked {
			return true
		}
	}
	return false
}

// answered counts one answer to the connections that sent the message.
func (m *message) answered() {
	m.conn.answered()
	for _, c := range m.also {
		c.answered()
	}
}

func (c *connState) answered() {
	if c != nil && c.unacked > 0 {
		c.unacked--
	}
}

// open tells whether a row of the message is left, as far as known.
func (m *message) open() bool {
	for it := m.items; it != nil; it = it.sibling {
		if it.place != placeDone {
			return true
		}
	}
	return false
}

// find gives the message's item for a recipient, or nil.
func (m *message) find(to *peerState) *item {
	for it := m.items; it != nil; it = it.sibling {
		if it.to == to {
			return it
		}
	}
	return nil
}

// fromStore adds the item of a row that the store has.
func (m *message) fromStore(row *Row, to *peerState) *item {
	it := &m.first
	if m.items != nil {
		it = &item{}
	}
	*it = item{m: m, to: to, sibling: m.items, n: row.N, hint: row.Session, since: row.Sent, lane: row.Lane,
		acked: true, disk: diskSaved}
	m.items = it
	return it
}

// item is one recipient's row and what is going on with it.
type item struct {
	m       *message
	sibling *item
	to      *peerState
	row     *Row // nil: the store has it, and memory let go
	n       uint64
	anew    uint64 // the number that it is being stored under, where the store had it under n; 0: none
	hint    keys.SessionID
	since   int64 // when it became what it is
	due     int64 // diskNone: when the commit does not wait any longer
	outAt   int64
	size    int
	attempt int32
	lane    Lane
	place   place
	disk    disk
	acked   bool // its sender was told; for one: message.acked
	state   wire.State
	why     wire.Why
	epoch   uint64       // of its recipient's connections, when handed over
	turn    uint64       // one: of its group, when handed over
	scan    uint64       // one: of its queue, when it was skipped; 0: it was not
	out     *connState   // placeOut
	claims  []*connState // one: that claim it, and wait until it is saved

	seq        uint64 // diskSaving: of its EffectSave
	displaced  bool   // handed over elsewhere, since its session had just connected
	spill      bool   // memory was full when it came: only the store keeps it
	asking     bool   // the store is asked whether it has it
	counted    bool   // it counts in its recipient's numbers
	waits      bool   // its commit waits: it is in its recipient's list of those
	q          *queue // placeWaiting: the queue it is in
	in         *list  // the list it is in
	prev, next *item
	graceNext  *item // the next one whose commit waits, of its recipient
}

// list is a list of items: a queue in the order of numbers, or what is out on a
// connection. Bytes counts rows in memory.
type list struct {
	first, last *item
	bytes       int
}

func (l *list) pushBack(it *item) { l.insertAfter(l.last, it) }

// insertAfter puts an item behind another, or first.
func (l *list) insertAfter(at, it *item) {
	it.in, it.prev = l, at
	if at == nil {
		it.next, l.first = l.first, it
	} else {
		it.next, at.next = at.next, it
	}
	if it.next == nil {
		l.last = it
	} else {
		it.next.prev = it
	}
	if it.row != nil {
		l.bytes += it.size
	}
}

// insert puts an item in the order of numbers, searching from at (or from the
// end, when nil) in either direction.
func (l *list) insert(at, it *item) {
	if at == nil {
		at = l.last
	}
	for at != nil && at.n > it.n {
		at = at.prev
	}
	for at != nil && at.next != nil && at.next.n < it.n {
		at = at.next
	}
	l.insertAfter(at, it)
}

func (l *list) remove(it *item) {
	if it.prev == nil {
		l.first = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		l.last = it.prev
	} else {
		it.next.prev = it.prev
	}
	if it.row != nil {
		l.bytes -= it.size
	}
	it.in, it.prev, it.next = nil, nil, nil
}

// release lets go of an item's row: the store has it.
func (it *item) release() {
	if it.in != nil && it.row != nil {
		it.in.bytes -= it.size
	}
	it.row = nil
}

// queue is what waits for one recipient in one lane, in memory and in the
// store. Rows in memory are handed over while their numbers are below from:
// from there on lower ones may wait in the store only.
type queue struct {
	list
	to       *peerState
	lane     Lane
	reply    *connState      // the queue of what carries this connection's session as hint; nil: the lane's own
	from     uint64          // lowest number that may be in the store only; noNumber: none
	evicted  uint64          // lowest number let go of since the fetch was asked for
	skipped  int             // one: how much is in the store that could not be handed over
	scan     uint64          // one: counts the times that the queue is looked through
	behind   *peerState      // one: the device that it stood back for, since that may have it; nil: none
	blocked  map[*group]bool // one: of which something has to stay
	fetching bool
	dead     bool // its connection is gone
}

// put puts an item into the queue, in the order of numbers, searching from at.
func (q *queue) put(at, it *item) {
	it.place, it.q = placeWaiting, q
	q.insert(at, it)
}

// take takes an item out of the queue.
func (q *queue) take(it *item) {
	q.remove(it)
	it.q = nil
}

func newQueue(to *peerState, lane Lane, reply *connState) queue {
	return queue{to: to, lane: lane, reply: reply, from: noNumber, evicted: noNumber, scan: 1}
}

// leave notes that a number is in the store only.
func (q *queue) leave(n uint64) {
	q.from = min(q.from, n)
	if q.fetching {
		q.evicted = min(q.evicted, n)
	}
}

// connState is a connection.
type connState struct {
	Connection
	peer    *peerState
	active  int64
	out     list
	told    []told  // outcomes that were told on it, not surely read
	unacked int     // sends of it that were not answered
	replies []queue // ReceivesReplies: what carries its session, a lane each
	fresh   bool    // what was out before it connected is still out
	closed  bool
}

// takes tells whether the connection is handed everything.
func (c *connState) takes() bool {
	return c.Receives == wire.ReceivesLive || c.Receives == wire.ReceivesDrain
}

// peerState is a peer: as a sender, and as a recipient.
type peerState struct {
	key      keys.Public
	number   uint32     // where it stands in Broker.numbered
	user     *userState // nil: not known yet
	conns    []*connState
	main     *connState // who gets what has no hint
	active   int64
	last     uint64 // highest number given
	waiting  int    // messages that wait, in memory and in the store
	memory   int    // those of them that are in memory
	queues   [lanes]queue
	outMsgs  int // messages of the lanes without claims that are out
	outBytes int
	epoch    uint64 // counts connects
	old      int    // messages out since before the last connect
	took     int64  // how long this recipient lately took for a receipt, in 1/8 ms

	graceFirst, graceLast *item // whose commit waits, in the order of numbers
	dueAt                 int64 // when the machine looks at them; 0: it does not

	receipts map[*peerState]int // that wait, by sender
	stored   int                // receipts that were in the store at the start
	unsure   bool               // the store may have rows for it that are not known here
	outcomes bool               // outcomes may be kept for it
	revoked  bool
}

// userState is a user with its devices, as far as they have connected or were
// sent to.
type userState struct {
	devices []*peerState
	groups  map[*peerState]*group // by sender
}

package delivery

import (
	"cmp"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Target is one recipient of an [OutboxRow] and what became of it there.
type Target struct {
	Key     keys.Public
	Session keys.SessionID // hint; zero: none
	Box     []byte         // its own box; nil: Sealed is a box itself
	State   wire.State     // StatePending until acknowledged
	Why     wire.Why
}

// OutboxRow is a message that its sender keeps until the broker acknowledged
// it for every target, or with One for any.
type OutboxRow struct {
	Place    int64          // order in the profile, rising; given by state.db
	Session  keys.SessionID // the session whose process sends it
	ID       keys.MessageID
	Class    wire.Class
	Priority wire.Priority
	One      bool
	Expires  int64 // Unix ms
	Sealed   []byte
	To       []Target
}

// Done tells whether nothing is left to send of the row.
func (r *OutboxRow) Done() bool { return r.pending() == 0 }

// pending is how many acks the row waits for.
func (r *OutboxRow) pending() int {
	n := 0
	for i := range r.To {
		if r.To[i].State <= wire.StatePending {
			n++
		} else if r.One {
			return 0
		}
	}
	if r.One {
		n = min(n, 1)
	}
	return n
}

// OutboxEffectKind says what an [OutboxEffect] asks for.
type OutboxEffectKind uint8

// Kinds of effects of an [Outbox].
const (
	// OutboxSend sends Row to those of its targets that are StatePending, after
	// checking them against the roster; who left is told by Refuse.
	OutboxSend OutboxEffectKind = iota + 1
	// OutboxState writes what became of a message (ID) for a recipient (To) into
	// what was sent and into the row: State, Why. It is to be merged by Advance.
	OutboxState
	// OutboxDone deletes the row Place (ID), in the transaction of the OutboxState
	// before it.
	OutboxDone
	// OutboxLoad reads rows of this session behind Place, lowest first, up to
	// Limit and wire.WindowBytes: Loaded or LoadFailed. It sees what was asked
	// for before, so it goes through the writer.
	OutboxLoad
)

// OutboxEffect is one thing to do, in order.
type OutboxEffect struct {
	Kind  OutboxEffectKind
	State wire.State
	Place int64
	Limit int
	Row   *OutboxRow
	Why   wire.Why
	ID    keys.MessageID
	To    keys.Public
}

// Outbox sends the rows of one session over one connection at a time: what is
// unacknowledged again after a reconnect, in order, before anything new, and
// never past its expiry [CM-8].
//
// It holds the lowest rows in memory, some more than may be in flight; those
// behind them stay in state.db until there is room.
type Outbox struct {
	now       int64
	effects   []OutboxEffect
	spare     []OutboxEffect // what was given out last
	rows      []*outboxItem
	byID      map[keys.MessageID]*outboxItem
	bytes     int   // of Sealed in rows
	loaded    int64 // rows up to this place were loaded
	loading   bool
	gone      map[keys.MessageID]bool // done since the load was asked for, which may bring them
	stale     bool                    // what is being loaded was asked for before Taken
	more      bool                    // state.db has rows behind loaded
	behind    bool                    // one was added since the load was asked for
	connected bool
	limit     int // targets in flight
	inFlight  int
	at        int   // rows before this index were sent on this connection
	expires   int64 // no row expires before
	retryAt   int64 // when the outbox is read again, which failed; 0: it did not
	paused    int64 // until when nothing is sent on this connection; 0: it is
}

// outboxItem is a row and what is going on with it.
type outboxItem struct {
	row     *OutboxRow
	sent    bool // on this connection
	pending int  // targets that are not acknowledged; with One 1 or 0
}

const (
	outboxRows   = 2 * wire.InFlight // rows in memory
	outboxBytes  = wire.WindowBytes  // of their payloads; one row always
	longestPause = 60_000            // ms for which a broker can ask to be sent nothing
)

// NewOutbox starts a session's outbox at a time, with what state.db holds for
// it (OutboxLoad is the first effect).
func NewOutbox(now int64) *Outbox {
	o := &Outbox{now: now, byID: map[keys.MessageID]*outboxItem{}, expires: noTime, more: true}
	o.load()
	return o
}

// Effects returns what is to be done since the last call. The slice is good
// until the next call, also while Refuse is called for what is in it.
func (o *Outbox) Effects() []OutboxEffect {
	out := o.effects
	clear(o.spare)
	o.effects, o.spare = o.spare[:0], out
	return out
}

// event starts an event. A clock that goes back is followed: what is past its
// expiry then is not any more.
func (o *Outbox) event(now int64) {
	o.now = now
	if o.retryAt > now+retryAfter {
		o.retryAt = now
	}
	if o.paused > now+longestPause {
		o.paused = now
	}
}

// Next tells when Tick has to be called at the latest, Unix ms; 0: never.
func (o *Outbox) Next() int64 {
	next := o.expires
	if o.retryAt > 0 {
		next = min(next, o.retryAt)
	}
	if o.paused > 0 {
		next = min(next, o.paused)
	}
	if next == noTime {
		return 0
	}
	return next
}

// Tick lets time pass: what expired is told and dropped.
func (o *Outbox) Tick(now int64) {
	o.event(now)
	if o.retryAt > 0 && o.now >= o.retryAt {
		o.retryAt = 0
		o.load()
	}
	if o.paused > 0 && o.now >= o.paused {
		o.paused = 0
	}
	o.expire()
	o.pump()
}

// Pause says that the broker takes no more on this connection for so many
// milliseconds. What is in flight waits there, and what is behind it here [CM-8.40].
func (o *Outbox) Pause(now, pause int64) {
	o.event(now)
	o.paused = now + min(max(pause, 1), longestPause)
}

// Paused tells until when nothing is sent on this connection, Unix ms; 0: it is.
func (o *Outbox) Paused() int64 { return o.paused }

// expire drops what is past its expiry, but not what is in flight: its ack
// says what became of it.
func (o *Outbox) expire() {
	if o.now < o.expires {
		return
	}
	o.expires = noTime
	for i := 0; i < len(o.rows); i++ {
		it := o.rows[i]
		switch {
		case it.sent:
		case it.row.Expires > o.now:
			o.expires = min(o.expires, it.row.Expires)
		default:
			o.settle(it, wire.StateExpired, wire.WhyNone)
			i--
		}
	}
	o.load()
}

// settle ends all targets of a row that are not acknowledged.
func (o *Outbox) settle(it *outboxItem, state wire.State, why wire.Why) {
	for i := range it.row.To {
		t := &it.row.To[i]
		if t.State > wire.StatePending {
			continue
		}
		t.State, t.Why = state, why
		o.emit(OutboxEffect{Kind: OutboxState, Place: it.row.Place, ID: it.row.ID, To: t.Key, State: state, Why: why})
	}
	o.drop(it)
}

func (o *Outbox) emit(e OutboxEffect) { o.effects = append(o.effects, e) }

// drop lets go of a row that is done.
func (o *Outbox) drop(it *outboxItem) {
	o.emit(OutboxEffect{Kind: OutboxDone, Place: it.row.Place, ID: it.row.ID})
	if it.sent {
		o.inFlight -= it.pending
	}
	o.bytes -= len(it.row.Sealed)
	i := o.index(it.row.Place)
	o.rows = slices.Delete(o.rows, i, i+1)
	if i < o.at {
		o.at--
	}
	delete(o.byID, it.row.ID)
	if o.loading {
		if o.gone == nil {
			o.gone = map[keys.MessageID]bool{}
		}
		o.gone[it.row.ID] = true
	}
}

// index gives where a place is, or belongs, among the rows.
func (o *Outbox) index(place int64) int {
	i, _ := slices.BinarySearchFunc(o.rows, place, func(it *outboxItem, p int64) int { return cmp.Compare(it.row.Place, p) })
	return i
}

// Connected starts a connection after its welcome; inFlight is the broker's
// limit, 0 for wire.InFlight. The caller has taken over the rows of ended
// sessions before ([Orphans]).
func (o *Outbox) Connected(now int64, inFlight int) {
	o.event(now)
	o.reset()
	o.connected, o.limit = true, inFlight
	if inFlight <= 0 {
		o.limit = wire.InFlight
	}
	o.expire()
	o.pump()
}

// Disconnected ends it. Nothing is sent until the next one.
func (o *Outbox) Disconnected() {
	o.event(o.now)
	o.reset()
	o.connected = false
}

// reset makes all rows rows that have to be sent.
func (o *Outbox) reset() {
	o.inFlight, o.at, o.paused = 0, 0, 0
	for _, it := range o.rows {
		it.sent = false
		o.expires = min(o.expires, it.row.Expires)
	}
}

// Add is a row that this session has just committed to state.db, in the order
// of their places.
func (o *Outbox) Add(now int64, row *OutboxRow) {
	o.event(now)
	if o.more || o.loading || len(o.rows) >= outboxRows || o.bytes > outboxBytes {
		o.more, o.behind = true, true // it comes when there is room
	} else {
		o.insert(row)
		o.loaded = max(o.loaded, row.Place)
	}
	o.pump()
}

// Taken says that rows of ended sessions were given to this one in state.db.
func (o *Outbox) Taken(now int64) {
	o.event(now)
	o.loaded, o.more = 0, true
	o.stale = o.loading
	o.load()
}

// insert puts a row into its place, if it is not there.
func (o *Outbox) insert(row *OutboxRow) {
	if o.byID[row.ID] != nil {
		return
	}
	if row.Done() {
		o.emit(OutboxEffect{Kind: OutboxDone, Place: row.Place, ID: row.ID})
		return
	}
	it := &outboxItem{row: row, pending: row.pending()}
	i := o.index(row.Place)
	o.rows = slices.Insert(o.rows, i, it)
	o.at = min(o.at, i)
	o.byID[row.ID] = it
	o.bytes += len(row.Sealed)
	o.expires = min(o.expires, row.Expires)
}

// load asks for the rows behind those that were loaded, when there is room.
func (o *Outbox) load() {
	if !o.more || o.loading || o.retryAt > 0 || len(o.rows) > outboxRows/2 || o.bytes > outboxBytes/2 {
		return
	}
	o.loading, o.behind = true, false
	o.emit(OutboxEffect{Kind: OutboxLoad, Place: o.loaded, Limit: outboxRows})
}

// Loaded answers an OutboxLoad. More says that there are more than these.
func (o *Outbox) Loaded(now int64, rows []*OutboxRow, more bool) {
	o.event(now)
	o.loading = false
	if !o.stale {
		o.more = more || o.behind
		for _, row := range rows {
			if !o.gone[row.ID] {
				o.insert(row)
			}
			o.loaded = max(o.loaded, row.Place)
		}
	}
	o.stale, o.gone = false, nil
	o.expire()
	o.load()
	o.pump()
}

// LoadFailed says that an OutboxLoad could not be answered. It is asked again
// later.
func (o *Outbox) LoadFailed(now int64) {
	o.event(now)
	o.loading, o.stale, o.gone = false, false, nil
	o.more, o.retryAt = true, o.now+retryAfter
}

// pump sends what may be sent now. What is being loaded goes before what comes
// behind it.
func (o *Outbox) pump() {
	for o.connected && o.paused == 0 && o.at < len(o.rows) {
		it := o.rows[o.at]
		if (o.loading || o.retryAt > 0) && it.row.Place > o.loaded {
			return
		}
		if !it.sent {
			if o.inFlight > 0 && o.inFlight+it.pending > o.limit {
				return
			}
			if it.row.Expires <= o.now {
				o.settle(it, wire.StateExpired, wire.WhyNone)
				continue
			}
			it.sent = true
			o.inFlight += it.pending
			o.emit(OutboxEffect{Kind: OutboxSend, Row: it.row, Place: it.row.Place, ID: it.row.ID})
		}
		o.at++
	}
}

// Ack is an ack frame. An ack of a message that is not in this outbox any more
// is a later change, and comes as an OutboxState alone.
func (o *Outbox) Ack(now int64, to keys.Public, state wire.State, why wire.Why, ids []keys.MessageID) {
	o.event(now)
	for _, id := range ids {
		o.ack(id, to, state, why)
	}
	o.load()
	o.pump()
}

// Refuse drops a target before its sending: its key is no member any more.
func (o *Outbox) Refuse(now int64, id keys.MessageID, to keys.Public, why wire.Why) {
	o.event(now)
	it := o.byID[id]
	if it != nil && it.row.One && len(it.row.To) > 1 { // another device has it yet
		it.row.To = slices.DeleteFunc(it.row.To, func(t Target) bool { return t.Key == to })
		return
	}
	o.ack(id, to, wire.StateRefused, why)
	o.load()
	o.pump()
}

func (o *Outbox) ack(id keys.MessageID, to keys.Public, state wire.State, why wire.Why) {
	it := o.byID[id]
	if it == nil {
		o.emit(OutboxEffect{Kind: OutboxState, ID: id, To: to, State: state, Why: why})
		return
	}
	o.emit(OutboxEffect{Kind: OutboxState, Place: it.row.Place, ID: id, To: to, State: state, Why: why})
	if it.row.One {
		for i := range it.row.To {
			it.row.To[i].State, it.row.To[i].Why = state, why
		}
		o.drop(it)
		return
	}
	for i := range it.row.To {
		t := &it.row.To[i]
		if t.Key != to {
			continue
		}
		if t.State <= wire.StatePending && it.sent {
			o.inFlight--
		}
		if t.State <= wire.StatePending {
			it.pending--
		}
		Advance(&t.State, &t.Why, state, why)
	}
	if it.pending == 0 {
		o.drop(it)
	}
}

// Empty tells whether all rows of the session are acknowledged, and state.db has no
// more of them.
func (o *Outbox) Empty() bool { return len(o.rows) == 0 && !o.loading && !o.more }

// strength orders what can be said of a message.
var strength = [...]uint8{
	wire.StateUnknown:   0,
	wire.StatePending:   1,
	wire.StateQueued:    2,
	wire.StateExpired:   3,
	wire.StateDelivered: 4,
	wire.StateHeld:      5,
	wire.StateRefused:   6,
	wire.StateSeen:      7,
}

// Advance merges what is newly said of a message for a recipient into what is
// known: the stronger word stays, whatever the order in which they come. seen
// is above all, being proved; refused, held, delivered, expired, queued and
// pending follow. It tells whether anything changed.
func Advance(known *wire.State, why *wire.Why, newState wire.State, newWhy wire.Why) bool {
	if int(newState) >= len(strength) || int(*known) < len(strength) && strength[newState] <= strength[*known] {
		return false
	}
	*known, *why = newState, newWhy
	return true
}

// Orphans gives the sessions among owners, which rows of the outbox name, that
// no live process holds. Their rows go to the process that connects.
func Orphans(owners []keys.SessionID, live []SessionRow) []keys.SessionID {
	var gone []keys.SessionID
	for _, id := range owners {
		if !slices.ContainsFunc(live, func(s SessionRow) bool { return s.ID == id }) {
			gone = append(gone, id)
		}
	}
	return gone
}

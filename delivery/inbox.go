package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Audience is a digest, made by package peer, of the sealed audience: what was
// addressed, as typed, with its keys and session. Numbers count within it.
type Audience [16]byte

// StreamKey names an order: messages of one sender's session to one audience
// in one priority, by their inner numbers.
type StreamKey struct {
	Sender   keys.Public
	Session  keys.SessionID
	Audience Audience
	Priority wire.Priority
}

// Stream is how far an order was shown.
type Stream struct {
	StreamKey
	Shown uint64 // highest inner number shown; 0: none yet
	Until int64  // forgotten after this: expiry of the last shown, and a day
}

// InboxState says where a message in the inbox stands.
type InboxState uint8

// States of an [InboxRow].
const (
	InboxWaiting  InboxState = iota // opened, ours, to be shown; the zero value
	InboxUnopened                   // received, cannot be opened yet: an entry or a key is missing
	InboxHeld                       // opened; policy keeps it back
	InboxShowing                    // being shown by Shower; no evidence yet
)

// InboxRow is a message that was received and not yet seen. The inner values
// are known once it was opened.
type InboxRow struct {
	Place   int64 // order of arrival in the profile, rising; given by state.db
	From    keys.Public
	ID      keys.MessageID
	State   InboxState
	Arrived int64 // Unix ms

	StreamKey                // inner: sender, its session, audience, priority
	N         uint64         // inner number in the stream; 0: none (receipts of old, bridges)
	Sent      int64          // inner time
	Expires   int64          // inner expiry
	For       keys.SessionID // session of ours that it is for; zero: any
	ForLabel  string         // label of that session, as the sender knew it
	Reply     bool           // For wrote what this answers

	// Copy: the broker keeps it until this device claimed it. Takers are the
	// sessions whose connections brought it; it goes with the last of them.
	// Granted, it is no copy any more, and keeps its Takers: no gap is looked for
	// before it.
	Copy   bool
	Takers []keys.SessionID
	// Missing is since when no session that it is for was there; 0: one is.
	Missing int64
	Shower  keys.SessionID // InboxShowing: who shows it
	// Again: it may have been shown before, and says so when shown.
	Again bool

	Sealed []byte // as delivered, with Box
	Box    []byte
}

// SessionRow is a live process of the profile in one mesh.
type SessionRow struct {
	ID       keys.SessionID
	Label    string
	Receives wire.Receives
	Status   Status
	Active   int64 // last active: it sent, or turned to working; Unix ms
}

// Status is what a session is doing.
type Status uint8

// Statuses.
const (
	StatusIdle    Status = iota // waits for its user
	StatusWorking               // in a turn
	StatusDND                   // not to be disturbed
)

// Policy says what happens to a sender's messages.
type Policy uint8

// Policies.
const (
	PolicyAccept Policy = iota
	PolicyHold
	PolicyRefuse
	PolicyMute // refused as muted
)

// ahead tells whether the message was sent later than it came, by more than
// clocks may differ. It waits for its time.
func (r *InboxRow) ahead(now int64) bool {
	return r.Sent > r.Arrived+wire.ClockAhead && r.Sent > now
}

// claimed tells whether the message is, or was, one that any one of several
// devices shows.
func (r *InboxRow) claimed() bool { return r.Copy || len(r.Takers) > 0 }

// Show moves a stream past a message that was shown.
func (s *Stream) Show(n uint64, expires int64) {
	s.Shown = max(s.Shown, n)
	s.Until = max(s.Until, RememberUntil(expires))
}

// RememberUntil gives how long (sender, id) is remembered, from the inner
// expiry.
func RememberUntil(expires int64) int64 { return expires + wire.RememberedAfter }

// PutBack puts a message back that was to be shown, and was not.
func (r *InboxRow) PutBack() { r.State, r.Shower = InboxWaiting, keys.SessionID{} }

// Recover puts a message back whose shower ended without evidence, or could not write
// it, and whose transcript does not tell. It is shown again and says so; not a copy,
// which is never shown before it was granted, and then is none.
func (r *InboxRow) Recover() {
	r.Again = r.Again || !r.Copy
	r.PutBack()
}

// Crashed gives the places of rows in InboxShowing whose shower is not live:
// the transcript decides whether they were seen; where it cannot, Recover.
func Crashed(rows []InboxRow, live []SessionRow) []int64 {
	var places []int64
	for i := range rows {
		if rows[i].State == InboxShowing && !isLive(live, rows[i].Shower) {
			places = append(places, rows[i].Place)
		}
	}
	return places
}

// TakersLeft is a copy some of whose takers' connections have ended. With
// none left it goes; its id is not remembered.
type TakersLeft struct {
	Place  int64
	Takers []keys.SessionID
}

// GoneCopies gives the copies that lost takers: sessions that are not live, and
// ended, when that is not zero, whose connection has ended.
func GoneCopies(rows []InboxRow, live []SessionRow, ended keys.SessionID) []TakersLeft {
	var changed []TakersLeft
	for i := range rows {
		r := &rows[i]
		if !r.Copy {
			continue
		}
		var left []keys.SessionID
		for _, id := range r.Takers {
			if id != ended && isLive(live, id) {
				left = append(left, id)
			}
		}
		if len(left) < len(r.Takers) {
			changed = append(changed, TakersLeft{r.Place, left})
		}
	}
	return changed
}

func isLive(live []SessionRow, id keys.SessionID) bool {
	return slices.ContainsFunc(live, func(s SessionRow) bool { return s.ID == id })
}

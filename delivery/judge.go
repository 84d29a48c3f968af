package delivery

import "github.com/claudemesh/claudemesh-go/wire"

// Arrival is what is judged of a delivered message, and again of one that
// could not be opened when it came. For one that cannot be opened yet, the
// outer values stand in for the inner ones.
type Arrival struct {
	Opened  bool
	Sent    int64 // inner
	Expires int64 // inner
	Copy    bool  // deliver said claim
	// Ended: the connection that brought it has ended since.
	Ended  bool
	Policy Policy
	// Known: (sender, id) is in the inbox or remembered. Of a message that was
	// unopened: otherwise than by its own row.
	Known bool
	// KnownCopy: it is in the inbox, as a copy that was not granted yet.
	KnownCopy bool
	// Rows is how many rows the inbox has, Limit how many it may have (0: no
	// limit).
	Rows, Limit int
}

// Judgement is what to do about an arrival.
type Judgement uint8

// Judgements.
const (
	// TakeIt: write a row in State, remember the id, and when that is synced say
	// received. Of a copy nothing is said, and its id is remembered when it is
	// granted.
	TakeIt Judgement = iota + 1
	// SayReceived: it is a duplicate; say received again, change nothing.
	SayReceived
	// RefuseIt: say refused, with Why; remember nothing.
	RefuseIt
	// Retake: a copy that is here came again. A new row in State, with a place of
	// its own, is written in the stead of the one there, so that the answer to a
	// claim of that one does not mean it; the session that has got it now is one
	// more of its Takers. Nothing is said.
	Retake
	// PassOver: a copy that has gone with its connection, or one that is here and
	// whose time has passed, of which the plan says what becomes: its claim may be
	// under way. Do nothing.
	PassOver
)

// Judged is the answer of [Judge].
type Judged struct {
	Do    Judgement
	State InboxState // TakeIt, Retake: of the row
	Why   wire.Why   // RefuseIt
	// Held: tell the sender by a receipt that policy keeps it back.
	Held bool
	// Clock: it is more than wire.ClockAhead ahead. A clock is wrong, say so; it
	// is shown when its time comes.
	Clock bool
}

// Judge decides about a message that came off the wire [CM-8].
func Judge(now int64, a Arrival) Judged {
	switch {
	case a.Copy && a.Ended:
		return Judged{Do: PassOver}
	case a.Known && !a.KnownCopy:
		return Judged{Do: SayReceived}
	case a.KnownCopy && a.Expires <= now:
		return Judged{Do: PassOver}
	}
	switch {
	case a.Expires <= now:
		return Judged{Do: RefuseIt, Why: wire.WhyExpired}
	case a.Policy == PolicyMute:
		return Judged{Do: RefuseIt, Why: wire.WhyMuted}
	case a.Policy == PolicyRefuse:
		return Judged{Do: RefuseIt, Why: wire.WhyPolicy}
	case a.Limit > 0 && a.Rows >= a.Limit && !a.KnownCopy:
		return Judged{Do: RefuseIt, Why: wire.WhyInboxFull}
	}
	j := Judged{Do: TakeIt, State: InboxWaiting, Clock: a.Sent > now+wire.ClockAhead}
	if a.KnownCopy && a.Copy { // else this device is meant alone now
		j.Do = Retake
	}
	switch {
	case !a.Opened:
		j.State, j.Clock = InboxUnopened, false
	case a.Policy == PolicyHold:
		j.State, j.Held = InboxHeld, !a.Copy
	}
	return j
}

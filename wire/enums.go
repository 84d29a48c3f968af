package wire

import "fmt"

// Class says what a message is to the broker: something for a person or an
// agent, or a sealed receipt with a lane of its own [CM-7.46].
type Class uint8

const (
	ClassMessage Class = iota // "message": numbered, windowed, queued; the zero value
	ClassReceipt              // "receipt": no number, no window, handed to any connection but ReceivesNone
)

// Priority says when the recipient's client shows a message [CM-8.24]. The
// broker keeps one order for each.
type Priority uint8

const (
	PriorityNext Priority = iota // "next": when the session is idle; the zero value
	PriorityNow                  // "now": at the next boundary
	PriorityLow                  // "low": when asked for
)

// State is what has become of a message for one recipient [CM-8.6, CM-8.9]. An ack
// carries StateDelivered, StateQueued, StateRefused or StateExpired; the
// others are the sender's own or come by sealed receipt.
type State uint8

const (
	StateUnknown   State = iota // "unknown": nothing is known; the zero value
	StatePending                // "pending": in the sender's outbox, not acknowledged yet
	StateQueued                 // "queued": stored by the broker (the broker's word)
	StateDelivered              // "delivered": stored by the recipient's client (the broker's word)
	StateHeld                   // "held": kept back by the recipient's policy (sealed receipt)
	StateSeen                   // "seen": in front of the recipient (sealed receipt)
	StateRefused                // "refused": will not be shown, see Why
	StateExpired                // "expired": its time passed before it was taken
)

// Verdict is what a recipient says about messages handed to it [CM-7.50, CM-8.19].
type Verdict uint8

const (
	VerdictReceived Verdict = iota // "received": stored durably in the inbox; the zero value
	VerdictClaim                   // "claim": about to show it, waits for the grant
	VerdictRefused                 // "refused": never to be handed over again, see Why
)

// Receives says what a session takes from the broker [CM-7.19].
type Receives uint8

const (
	ReceivesNone    Receives = iota // "none": nothing is delivered to it, not in presence; the zero value
	ReceivesReplies                 // "replies": receipts, and what carries its session as hint; not in presence
	ReceivesDrain                   // "drain": takes what waits, then goes
	ReceivesLive                    // "live": takes everything as it comes
)

var (
	classNames    = []string{"message", "receipt"}
	priorityNames = []string{"next", "now", "low"}
	stateNames    = []string{"unknown", "pending", "queued", "delivered", "held", "seen", "refused", "expired"}
	verdictNames  = []string{"received", "claim", "refused"}
	receivesNames = []string{"none", "replies", "drain", "live"}
)

// enumName gives the word of a value, "what(n)" for a value without one.
func enumName(names []string, v uint8, what string) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", what, v)
}

// enumText is enumName for text that is read back: a value without a word is
// an error.
func enumText(names []string, v uint8, what string) ([]byte, error) {
	if int(v) < len(names) {
		return []byte(names[v]), nil
	}
	return nil, fmt.Errorf("wire: %s %d has no name", what, v)
}

// enumValue finds a word's value without allocating.
func enumValue(names []string, text []byte) (uint8, bool) {
	for i, n := range names {
		if n == string(text) {
			return uint8(i), true
		}
	}
	return 0, false
}

func enumParse(names []string, text []byte, what string) (uint8, error) {
	v, ok := enumValue(names, text)
	if !ok {
		return 0, fmt.Errorf("wire: unknown %s %.32q", what, text)
	}
	return v, nil
}

// String gives the word used in frames.
func (c Class) String() string { return enumName(classNames, uint8(c), "class") }

// MarshalText gives the word used in frames.
func (c Class) MarshalText() ([]byte, error) { return enumText(classNames, uint8(c), "class") }

// UnmarshalText reads the word used in frames; unknown ones are an error.
func (c *Class) UnmarshalText(text []byte) error {
	v, err := enumParse(classNames, text, "class")
	*c = Class(v)
	return err
}

// String gives the word used in frames.
func (p Priority) String() string { return enumName(priorityNames, uint8(p), "priority") }

// MarshalText gives the word used in frames.
func (p Priority) MarshalText() ([]byte, error) {
	return enumText(priorityNames, uint8(p), "priority")
}

// UnmarshalText reads the word used in frames; unknown ones are an error.
func (p *Priority) UnmarshalText(text []byte) error {
	v, err := enumParse(priorityNames, text, "priority")
	*p = Priority(v)
	return err
}

// String gives the word used in frames and shown to people.
func (s State) String() string { return enumName(stateNames, uint8(s), "state") }

// MarshalText gives the word used in frames.
func (s State) MarshalText() ([]byte, error) { return enumText(stateNames, uint8(s), "state") }

// UnmarshalText reads the word used in frames; unknown ones are an error.
func (s *State) UnmarshalText(text []byte) error {
	v, err := enumParse(stateNames, text, "state")
	*s = State(v)
	return err
}

// String gives the word used in frames.
func (v Verdict) String() string { return enumName(verdictNames, uint8(v), "verdict") }

// MarshalText gives the word used in frames.
func (v Verdict) MarshalText() ([]byte, error) { return enumText(verdictNames, uint8(v), "verdict") }

// UnmarshalText reads the word used in frames; unknown ones are an error.
func (v *Verdict) UnmarshalText(text []byte) error {
	n, err := enumParse(verdictNames, text, "verdict")
	*v = Verdict(n)
	return err
}

// String gives the word used in frames.
func (r Receives) String() string { return enumName(receivesNames, uint8(r), "receives") }

// MarshalText gives the word used in frames.
func (r Receives) MarshalText() ([]byte, error) {
	return enumText(receivesNames, uint8(r), "receives")
}

// UnmarshalText reads the word used in frames; unknown ones are an error.
func (r *Receives) UnmarshalText(text []byte) error {
	v, err := enumParse(receivesNames, text, "receives")
	*r = Receives(v)
	return err
}

// Package history checks what became of messages against what was promised of
// them. It is for tests only: a simulation or a test with real processes tells a
// [Log] what happens, as it happens, and the log says what contradicts the rules of
// delivery, whatever is under test.
//
// The rules: what a sender was told is in its outbox, or safe with somebody else, is
// shown or accounted for in the end; nothing is shown twice without a mark; what one
// session sends in one priority to one audience is shown in its order, without a hole,
// or with a mark; nothing is shown after its time, after its sender was told that it
// would not be, or where it does not go; what is known of a message only becomes
// stronger, and says in the end what became of it; nobody is said to have seen what was
// not shown; and where nothing went wrong, nothing is marked.
package history

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// State is what a sender knows of its message for one recipient, by the names that
// the wire has.
type State string

// The states, the weakest first.
const (
	Pending   State = "pending"   // in the sender's outbox
	Queued    State = "queued"    // at the broker, on disk
	Expired   State = "expired"   // its time ran out before anybody took it
	Delivered State = "delivered" // with the recipient, on disk
	Held      State = "held"      // with the recipient, whose policy keeps it back
	Refused   State = "refused"   // it will not be shown
	Seen      State = "seen"      // it was in front of the recipient
)

// strength orders the states: a stronger word replaces a weaker one, never the other
// way round.
var strength = []State{"", Pending, Queued, Expired, Delivered, Held, Refused, Seen}

// Message is what is sent.
type Message struct {
	ID   string
	From string // who sends it
	// Stream names the order that it stands in: sender's session, audience and
	// priority. Empty: none.
	Stream string
	// To are the recipients. One: any one of them shows it.
	To  []string
	One bool
	// Sent is when, and Expires its last moment, Unix ms by its sender's clock. 0: it
	// does not matter; never.
	Sent, Expires int64
}

// Log is what happened so far. Its zero value is an empty one; its methods may be
// called from any goroutine.
type Log struct {
	// Quiet: no story is kept.
	Quiet bool

	mu       sync.Mutex // guards the rest
	messages map[string]*message
	order    []*message            // as they were sent
	streams  map[string][]*message // by number, from 1
	faults   int
	starts   int                // of the broker
	spread   int64              // by how much two clocks differ at most, ms
	released bool               // no policy keeps anything back
	keeps    map[[2]string]bool // whose policy may keep back what of whom: by, from
	gone     map[string]bool    // who was put out, or may have been
	forgets  map[string]bool    // who cannot write down all that it is told
	shown    int
	marked   int
	broken   []string
	story    []string
}

// message is what the log knows of one.
type message struct {
	Message
	n        int // in its stream, from 1
	unmarked int
	starts   int // of the broker, before it was sent
	to       map[string]*recipient
}

// recipient is what the log knows of a message at one recipient.
type recipient struct {
	state State
	shown int
	seen  bool // proved to have been in front of it
	kept  bool // kept back there, rightly
	over  State
	again bool  // refused, maybe when it came again and was there
	less  State // what its sender knows, where that is less than it was told; "": it is not
}

func (l *Log) contradict(format string, args ...any) {
	l.broken = append(l.broken, fmt.Sprintf(format, args...))
	l.tell("BROKEN: "+format, args...)
}

func (l *Log) tell(format string, args ...any) {
	if l.Quiet {
		return
	}
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

// Note puts a line into the story.
func (l *Log) Note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell(format, args...)
}

// Fault says that something goes wrong: from here on marks are in order.
func (l *Log) Fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults++
	l.tell(format, args...)
}

// Clocks says by how much two clocks differ, ms: what somebody's clock says is over may
// not be over by another's.
func (l *Log) Clocks(differ int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spread = max(l.spread, differ)
}

// Dated says that a message may be dated as late as this by its sender's clock, which
// was set while it was sent, Unix ms.
func (l *Log) Dated(id string, latest int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.messages[id]; m != nil {
		m.Sent = max(m.Sent, latest)
	}
}

// Restarted says that the broker began anew. What it had handed over before it does not
// know any more: where that comes again and finds the queue full, it is refused.
func (l *Log) Restarted() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.starts++
}

// MayKeep says that a policy of a recipient may keep back what somebody has sent and will
// send. Those behind it need not wait.
func (l *Log) MayKeep(by, from string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.keeps == nil {
		l.keeps = map[[2]string]bool{}
	}
	l.keeps[[2]string{by, from}] = true
	for _, m := range l.order {
		if r := m.to[by]; r != nil && m.From == from {
			r.kept = true
		}
	}
}

// MayForget says that a sender's disk is full: what it was told it cannot write down, and
// may know less for a while.
func (l *Log) MayForget(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.forgets == nil {
		l.forgets = map[string]bool{}
	}
	l.forgets[who] = true
}

// Gone says that somebody is put out, or may be: what it sent or is sent need not be shown
// any more, and nobody hears of it.
func (l *Log) Gone(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone == nil {
		l.gone = map[string]bool{}
	}
	l.gone[who] = true
}

// Released says that no policy keeps anything back any more: what was held must be
// shown too.
func (l *Log) Released() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released = true
}

// past tells whether the time of a message may be over for somebody, at a time by
// anybody's clock.
func (m *message) past(now, spread int64) bool { return m.Expires > 0 && now+spread >= m.Expires }

// Send says that somebody sets out to send a message. From here it may be shown; it
// must be once its sender was told so ([Log.Told]). Messages of a stream come in
// their order.
func (l *Log) Send(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.messages == nil {
		l.messages, l.streams = map[string]*message{}, map[string][]*message{}
	}
	if l.messages[m.ID] != nil {
		l.contradict("%s is sent twice", m.ID)
		return
	}
	made := &message{Message: m, starts: l.starts, to: map[string]*recipient{}}
	for _, to := range m.To {
		made.to[to] = &recipient{kept: l.keeps[[2]string{to, m.From}]}
	}
	if m.Stream != "" {
		l.streams[m.Stream] = append(l.streams[m.Stream], made)
		made.n = len(l.streams[m.Stream])
	}
	l.messages[m.ID] = made
	l.order = append(l.order, made)
	l.tell("%s is sent to %s (%s, %d)", m.ID, strings.Join(m.To, " "), m.Stream, made.n)
}

// NotSent says that a message was not sent after all: it must never be shown.
func (l *Log) NotSent(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[id]
	if m == nil {
		l.contradict("%s is not sent, and nobody wanted to", id)
		return
	}
	l.tell("%s is not sent", id)
	for to, r := range m.to {
		if r.shown > 0 || r.state != "" {
			l.contradict("%s is said not to be sent, and is %s at %s, shown %d times", id, r.state, to, r.shown)
		}
		r.over = Refused
	}
	if stream := l.streams[m.Stream]; m.n > 0 {
		// It has no number: those behind it move up.
		stream = slices.Delete(stream, m.n-1, m.n)
		for i, later := range stream {
			later.n = i + 1
		}
		l.streams[m.Stream] = stream
	}
}

// Told says what a sender is told of a message at a recipient, in the order in which
// it is told. now is Unix ms. Of a message for any one of several it is said of each.
func (l *Log) Told(now int64, id, to string, state State, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[id]
	if m == nil || m.to[to] == nil {
		l.contradict("%s is said to be %s at %s, where nobody sent it", id, state, to)
		return
	}
	r := m.to[to]
	was, is := slices.Index(strength, r.state), slices.Index(strength, state)
	r.less = ""
	if state == r.state {
		return
	}
	l.tell("%s at %s is %s %s", id, to, state, why)
	switch {
	case is < 0:
		l.contradict("%s at %s is said to be %q, which is no state", id, to, state)
	case is < was && l.forgets[m.From]:
		r.less = state // it could not write down what it was told
		return
	case is < was:
		l.contradict("%s at %s is said to be %s after %s", id, to, state, r.state)
	case state == Seen && r.shown == 0:
		l.contradict("%s is said to be seen by %s, and was not shown", id, to)
	case state == Expired && m.Expires > 0 && !m.past(now, l.spread):
		l.contradict("%s at %s is said to be expired before its time", id, to)
	case state == Refused && why == "":
		l.contradict("%s at %s is refused, and nobody says why", id, to)
	}
	r.state = state
	// By a clock that is wrong its time was over; when that is set, and the message comes
	// again, it is not.
	if again := why == "expired" && l.spread > 0; state == Expired || state == Refused && !again {
		r.over = state
	}
	r.again = why == "queue_full" && l.starts > m.starts
}

// Known compares what a sender has kept of a message at a recipient, the oldest state
// first, with what it was told, and says its last word.
func (l *Log) Known(now int64, id, to, why string, steps ...State) {
	for i, state := range steps {
		if i > 0 && slices.Index(strength, state) <= slices.Index(strength, steps[i-1]) {
			l.mu.Lock()
			l.contradict("%s at %s went from %s to %s", id, to, steps[i-1], state)
			l.mu.Unlock()
		}
	}
	if len(steps) > 0 {
		l.Told(now, id, to, steps[len(steps)-1], why)
	}
}

// KeptBack says that a recipient has a message and rightly does not show it yet: its
// policy says so, or a clock. Those behind it need not wait.
func (l *Log) KeptBack(id, by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.messages[id]; m != nil && m.to[by] != nil {
		m.to[by].kept = true
	}
}

// Proved says that a message was in front of a recipient for certain: in the end its
// sender must know.
func (l *Log) Proved(id, by string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.messages[id]
	if m == nil || m.to[by] == nil || m.to[by].shown == 0 {
		l.contradict("%s is proved to be seen by %s, and was not shown", id, by)
		return
	}
	l.tell("%s is seen by %s", id, by)
	m.to[by].seen = true
}

// Waiting lists what must still be shown: what a sender was told of, and nothing
// accounts for at this time, Unix ms.
func (l *Log) Waiting(now int64) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.order {
		if waiting := m.waiting(now, l); len(waiting) > 0 {
			ids = append(ids, fmt.Sprintf("%s at %s", m.ID, strings.Join(waiting, " ")))
		}
	}
	return ids
}

// waiting lists the recipients that have yet to show a message.
func (m *message) waiting(now int64, l *Log) (at []string) {
	if m.past(now, l.spread) || l.gone[m.From] || l.spread > 0 && m.Sent > now { // it waits for its time
		return nil
	}
	for _, to := range m.To {
		r := m.to[to]
		done := r.shown > 0 || l.gone[to] || r.over != "" || r.state == Held && !l.released || r.state == ""
		if done && r.state != "" && m.One {
			return nil
		}
		if !done {
			at = append(at, to)
		}
	}
	return at
}

// Untold lists the messages that were seen for certain, and whose sender does not
// know. What tells it ends with the message's time, Unix ms.
func (l *Log) Untold(now int64) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.order {
		if m.past(now, l.spread) || l.gone[m.From] {
			continue
		}
		for _, to := range m.To {
			if r := m.to[to]; !l.gone[to] && r.seen && r.state != Seen {
				ids = append(ids, fmt.Sprintf("%s at %s is %q", m.ID, to, r.state))
			}
		}
	}
	return ids
}

// Unsettled lists the messages of which their sender knows too little in the end: no more
// than that they wait, where their time is over at a time, Unix ms; less than it was told
// before its disk was full, where it is not.
func (l *Log) Unsettled(now int64) (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.order {
		over := m.Expires > 0 && now >= m.Expires
		var waits []string
		for _, to := range m.To {
			r := m.to[to]
			wait := r.state == Pending || r.state == Queued
			if m.One && !wait && r.state != "" {
				waits = nil
				break
			}
			if over && wait {
				waits = append(waits, fmt.Sprintf("%s at %s is %q, and its time is over", m.ID, to, r.state))
			} else if !over && r.less != "" {
				waits = append(waits, fmt.Sprintf("%s at %s is %q after its sender was told %q", m.ID, to, r.less, r.state))
			}
		}
		ids = append(ids, waits...)
	}
	return ids
}

// Counts is how many messages were sent, how many showings there were, and how many of
// those with a mark.
func (l *Log) Counts() (sent, shown, marked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.order), l.shown, l.marked
}

// Broken lists what contradicts the rules.
func (l *Log) Broken() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.broken)
}

// Story is all that was told, a line each.
func (l *Log) Story() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.story, "\n")
}

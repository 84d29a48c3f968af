package history

import (
	"cmp"
	"slices"
)

// Showing is a message in front of a recipient.
type Showing struct {
	ID, By string
	Time   int64 // when it was chosen, at the earliest: Unix ms, by the recipient's clock
	Latest int64 // the same at the latest. 0: Time
	// Expires is its last moment as it says itself, Unix ms. 0: as it was sent.
	Expires int64
	// Again: it says that it may have been shown before. Gap: that earlier ones are
	// missing. Late: that later ones were shown before it.
	Again, Gap, Late bool
}

// Shown says that a message is in front of a recipient.
func (l *Log) Shown(s Showing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell("%s is shown to %s: again %v gap %v late %v", s.ID, s.By, s.Again, s.Gap, s.Late)
	m := l.messages[s.ID]
	if m == nil || m.to[s.By] == nil {
		l.contradict("%s is shown to %s, to whom nobody sent it", s.ID, s.By)
		return
	}
	r := m.to[s.By]
	l.shown++
	if s.Again || s.Gap || s.Late {
		if l.marked++; l.faults == 0 && !l.explained(m, r, s) {
			l.contradict("%s is shown to %s with a mark, and nothing went wrong", s.ID, s.By)
		}
	}
	switch {
	case s.expired(m):
		l.contradict("%s is shown to %s after its time", s.ID, s.By)
	case r.over == Refused && !r.again && !l.gone[s.By]:
		l.contradict("%s is shown to %s after it was refused", s.ID, s.By)
	}
	if !s.Again {
		if r.shown > 0 {
			l.contradict("%s is shown to %s twice without a mark", s.ID, s.By)
		}
		if m.unmarked++; m.One && m.unmarked > 1 {
			l.contradict("%s is shown to two of several devices", s.ID)
		}
	}
	l.inOrder(m, s)
	r.shown++
}

// explained tells whether a mark is in order where nothing went wrong: it was shown
// before, and nobody proved it; or one before it will not come.
func (l *Log) explained(m *message, r *recipient, s Showing) bool {
	if s.Again {
		return r.shown > 0
	}
	return slices.ContainsFunc(l.streams[m.Stream], func(o *message) bool {
		before := o.to[s.By]
		return before != nil && o.n < m.n && (before.over != "" || before.state == Held || o.past(s.latest(), l.spread))
	})
}

// inOrder checks a showing against what was shown of its stream before. A hole is
// marked once, where it is met; the first number that comes starts the count.
func (l *Log) inOrder(m *message, s Showing) {
	if m.n == 0 {
		return
	}
	stream := l.streams[m.Stream]
	for _, o := range stream[m.n:] {
		if o.counts(s, l.spread) && !s.Late && !s.Again {
			l.contradict("%s (%d) is shown to %s after %s (%d) without a mark", s.ID, m.n, s.By, o.ID, o.n)
			return
		}
	}
	if m.One || s.Gap {
		return
	}
	for i := m.n - 2; i >= 0 && !stream[i].counts(s, l.spread); i-- {
		if o := stream[i]; o.missing(s, l.spread) && slices.ContainsFunc(stream[:i], func(o *message) bool { return o.counts(s, l.spread) }) {
			l.contradict("%s (%d) is shown to %s without %s (%d), without a mark", s.ID, m.n, s.By, o.ID, o.n)
			return
		}
	}
}

// counts tells whether a message was shown where another is now. Of what expired while
// nobody knew whether it was shown no count is kept.
func (m *message) counts(s Showing, spread int64) bool {
	r := m.to[s.By]
	return r != nil && r.shown > 0 && (r.seen || r.over != Expired && !m.past(s.latest(), spread))
}

// missing tells whether a message that was not shown would have to be. One that is
// dated ahead of its recipient's clock waits for its time.
func (m *message) missing(s Showing, spread int64) bool {
	r := m.to[s.By]
	return r != nil && r.shown == 0 && r.over == "" && r.state != Held && !r.kept && !m.past(s.latest(), spread) &&
		(spread == 0 || m.Sent <= s.Time)
}

func (s *Showing) latest() int64 { return max(s.Time, s.Latest) }

// expired tells whether a message is shown after its time.
func (s *Showing) expired(m *message) bool {
	until := cmp.Or(s.Expires, m.Expires)
	return until > 0 && s.Time >= until
}

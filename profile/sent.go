package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Word says by whose word a state is known.
type Word string

// By whose word a state is known.
const (
	WordSelf      Word = "self"      // this profile
	WordBroker    Word = "broker"    // the broker says so, unproved
	WordRecipient Word = "recipient" // a sealed receipt: proved
)

// Sent is what is kept of a message that was sent: metadata, for 30 days.
type Sent struct {
	ID       keys.MessageID
	Session  keys.SessionID
	Address  string // as typed
	Kind     string
	Priority wire.Priority
	One      bool // any one of the recipients, devices of one user, shows it
	Size     int  // bytes of the body
	Time     int64
	Expires  int64
	ReplyTo  keys.MessageID
	Thread   keys.MessageID
	// Hash is of what was sealed, which the recipients' receipts name.
	Hash [32]byte
	To   []SentTo
}

// SentTo is one recipient of a message that was sent.
type SentTo struct {
	Key     keys.Public
	Session keys.SessionID // as addressed; zero: any
	// Label is of the session as addressed, or that showed it; "" where unknown.
	Label string
	State wire.State
	Why   wire.Why
	// Steps are all states so far, oldest first.
	Steps []Step
}

// Step is one change of a message's state.
type Step struct {
	State wire.State
	Time  int64
	Word  Word
	Why   wire.Why // a code: never with a blank or a comma
}

// PutSent keeps the metadata of a message that goes into the outbox. named says that it
// is in the history too, which finds it by its name.
func (tx *Tx) PutSent(m *Sent, named bool) error {
	var tail any
	if !named {
		tail = tailOf(m.ID)
	}
	direct := [6]any{} // of the one recipient; else NULL
	if len(m.To) == 1 {
		var err error
		if direct, err = tx.targetColumns(&m.To[0]); err != nil {
			return err
		}
	}
	_, err := tx.q.Exec("INSERT INTO sent (message, mesh, tail, session, address, kind, priority, one, size, time, expires,"+
		" reply_to, thread, hash, "+targetColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		m.ID[:], tx.mesh, tail, m.Session[:], m.Address, m.Kind, uint8(m.Priority), m.One, m.Size, m.Time,
		m.Expires, orNull(m.ReplyTo), orNull(m.Thread), m.Hash[:],
		direct[0], direct[1], direct[2], direct[3], direct[4], direct[5])
	if err != nil {
		return err
	}
	if len(m.To) == 1 {
		to := m.To[0]
		to.Steps = slices.Clone(to.Steps)
		tx.memory.sent[sentID{tx.mesh, m.ID}] = &sentDirect{session: m.Session, hash: m.Hash, to: to}
		return nil
	}
	for i := range m.To {
		t, err := tx.targetColumns(&m.To[i])
		if err != nil {
			return err
		}
		if _, err := tx.q.Exec("INSERT INTO sent_target (message, mesh, "+targetColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			m.ID[:], tx.mesh, t[0], t[1], t[2], t[3], t[4], t[5]); err != nil {
			return err
		}
	}
	return nil
}

// stepsRoom is how many bytes label, state, reason and steps of a message take together,
// at least: those of one that is seen, by a session whose label has 20. So what is said
// later overwrites a row where it stands.
const stepsRoom = 112

// targetColumns are what is kept of one recipient.
const targetColumns = "recipient, target, label, state, why, steps"

func (tx *Tx) targetColumns(t *SentTo) (values [6]any, err error) {
	n, err := tx.peer(t.Key)
	if err != nil {
		return values, err
	}
	steps := appendSteps(make([]byte, 0, stepsRoom+1), t.Steps)
	room := stepsRoom - len(t.Label) - len(t.Why)
	if t.State <= 1 {
		room++ // SQLite keeps 0 and 1 in the row's header
	}
	for len(steps) < room {
		steps = append(steps, ' ')
	}
	return [6]any{n, orNull(t.Session), t.Label, uint8(t.State), string(t.Why), string(steps)}, nil
}

// appendSteps appends steps as they stand in state.db: "pending 1764352800000 self",
// a reason behind it where there is one, with commas in between.
func appendSteps(dst []byte, steps []Step) []byte {
	for i, s := range steps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, s.State.String()...), ' ')
		dst = append(strconv.AppendInt(dst, s.Time, 10), ' ')
		dst = append(dst, s.Word...)
		if s.Why != "" {
			dst = append(append(dst, ' '), s.Why...)
		}
	}
	return dst
}

// parseSteps reads what appendSteps wrote, and the room behind it.
func parseSteps(text string) ([]Step, error) {
	var steps []Step
	if text = strings.TrimRight(text, " "); text == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(text, ",") {
		words := strings.Fields(one)
		if len(words) < 3 || len(words) > 4 {
			return nil, fmt.Errorf("steps of a message: %q", one)
		}
		s := Step{Word: Word(words[2])}
		if err := s.State.UnmarshalText([]byte(words[0])); err != nil {
			return nil, fmt.Errorf("steps of a message: %w", err)
		}
		var err error
		if s.Time, err = strconv.ParseInt(words[1], 10, 64); err != nil {
			return nil, fmt.Errorf("steps of a message: %w", err)
		}
		if len(words) == 4 {
			s.Why = wire.Why(words[3])
		}
		steps = append(steps, s)
	}
	return steps, nil
}

// scanTarget reads targetColumns from a column on.
func (tx *Tx) scanTarget(r sqlite.Row, i int) (t SentTo, err error) {
	if t.Key, err = tx.key(r.Int64(i)); err != nil {
		return t, err
	}
	t.Session, t.Label = sid(r.Bytes(i+1)), r.Text(i+2)
	t.State, t.Why = wire.State(r.Int64(i+3)), wire.Why(r.Text(i+4))
	t.Steps, err = parseSteps(r.Text(i + 5))
	return t, err
}

// Said is what is newly said of a message for a recipient.
type Said struct {
	ID    keys.MessageID
	To    keys.Public
	State wire.State
	Why   wire.Why
	Time  int64
	Word  Word
	Label string // of the session that showed it; "": unknown
	// Hash, unless zero, must be that of what was sent (receipts name it).
	Hash [32]byte
}

// Advance merges what is said into what is known of a message that was sent,
// by [delivery.Advance]. It reports whether anything changed, and which session sent
// the message; what is not known, or is said of something else, changes nothing.
func (tx *Tx) Advance(s Said) (changed bool, by keys.SessionID, err error) {
	to, err := tx.known(s.To)
	if err != nil || to == 0 {
		return false, by, err
	}
	table := "sent"
	known := tx.memory.sent[sentID{tx.mesh, s.ID}]
	if known == nil {
		if known, err = tx.sentTo(s.ID); err != nil || known == nil {
			return false, by, err
		}
		if known.to.Key == (keys.Public{}) {
			table = "sent_target"
			t, err := tx.sentTarget(s.ID, to)
			if err != nil || t == nil {
				return false, by, err
			}
			known.to = *t
		}
	}
	if known.to.Key != s.To || !s.isOf(known.hash) || !known.to.advance(s) {
		return false, known.session, nil
	}
	if known.to.State == wire.StateSeen {
		delete(tx.memory.sent, sentID{tx.mesh, s.ID}) // nothing more is heard of it
	}
	t, err := tx.targetColumns(&known.to)
	if err != nil {
		return false, by, err
	}
	_, err = tx.q.Exec("UPDATE "+table+" SET label = ?, state = ?, why = ?, steps = ? WHERE message = ? AND mesh = ? AND recipient = ?",
		t[2], t[3], t[4], t[5], s.ID[:], tx.mesh, to)
	return err == nil, known.session, err
}

// sentTo reads what Advance needs of a message, nil where there is none; of one to
// several without a recipient.
func (tx *Tx) sentTo(message keys.MessageID) (found *sentDirect, err error) {
	return found, tx.q.Each("SELECT hash, session, "+targetColumns+" FROM sent WHERE message = ? AND mesh = ?",
		[]any{message[:], tx.mesh}, func(r sqlite.Row) (err error) {
			found = &sentDirect{session: sid(r.Bytes(1))}
			copy(found.hash[:], r.Bytes(0))
			if !r.Null(2) {
				found.to, err = tx.scanTarget(r, 2)
			}
			return err
		})
}

// sentTarget reads one of several recipients; nil where it is none.
func (tx *Tx) sentTarget(message keys.MessageID, to int64) (found *SentTo, err error) {
	return found, tx.q.Each("SELECT "+targetColumns+" FROM sent_target WHERE message = ? AND mesh = ? AND recipient = ?",
		[]any{message[:], tx.mesh, to}, func(r sqlite.Row) error {
			t, err := tx.scanTarget(r, 0)
			found = &t
			return err
		})
}

// isOf tells whether what is said is said of a message with this hash.
func (s *Said) isOf(hash [32]byte) bool { return s.Hash == [32]byte{} || s.Hash == hash }

// Advance is [Tx.Advance] for what is known of a message in memory.
func (m *Sent) Advance(s Said) (changed bool) {
	for i := range m.To {
		if t := &m.To[i]; t.Key == s.To {
			return s.isOf(m.Hash) && t.advance(s)
		}
	}
	return false
}

// advance merges what is said.
func (t *SentTo) advance(s Said) (changed bool) {
	if !delivery.Advance(&t.State, &t.Why, s.State, s.Why) {
		return false
	}
	t.Steps = append(t.Steps, Step{State: s.State, Time: s.Time, Word: s.Word, Why: s.Why})
	if s.Label != "" {
		t.Label = s.Label
	}
	return true
}

// Sent reads what is kept of a message; [ErrNotFound].
func (tx *Tx) Sent(message keys.MessageID) (*Sent, error) {
	var m *Sent
	err := tx.q.Each("SELECT session, address, kind, priority, one, size, time, expires, reply_to, thread, hash, "+targetColumns+
		" FROM sent WHERE message = ? AND mesh = ?", []any{message[:], tx.mesh}, func(r sqlite.Row) error {
		m = &Sent{ID: message, Session: sid(r.Bytes(0)), Address: r.Text(1), Kind: r.Text(2), Priority: wire.Priority(r.Int64(3)),
			One: r.Bool(4), Size: r.Int(5), Time: r.Int64(6), Expires: r.Int64(7), ReplyTo: mid(r.Bytes(8)), Thread: mid(r.Bytes(9))}
		copy(m.Hash[:], r.Bytes(10))
		if r.Null(11) {
			return nil
		}
		t, err := tx.scanTarget(r, 11)
		m.To = []SentTo{t}
		return err
	})
	if err == nil && m == nil {
		err = fmt.Errorf("message %s: %w", message, ErrNotFound)
	}
	if err != nil || m.To != nil {
		return m, err
	}
	err = tx.q.Each("SELECT "+targetColumns+" FROM sent_target WHERE message = ? AND mesh = ?", []any{message[:], tx.mesh},
		func(r sqlite.Row) error {
			t, err := tx.scanTarget(r, 0)
			m.To = append(m.To, t)
			return err
		})
	return m, err
}

// Undecided lists the messages of which a broker may know more at a time, Unix ms, in the
// order of their ids: those that it said wait, and those that ran out lately by this
// profile's own word.
func (tx *Tx) Undecided(now int64) (ids []keys.MessageID, err error) {
	// The states are those of the indexes: queued and expired.
	err = tx.q.Each("SELECT message, expires, state, steps FROM sent WHERE mesh = ?1 AND state IN (2, 7)"+
		" UNION ALL SELECT t.message, s.expires, t.state, t.steps FROM sent_target t"+
		" JOIN sent s ON s.message = t.message AND s.mesh = t.mesh WHERE t.mesh = ?1 AND t.state IN (2, 7)"+
		" ORDER BY 1", []any{tx.mesh}, func(r sqlite.Row) error {
		if wire.State(r.Int64(2)) == wire.StateExpired {
			steps, err := parseSteps(r.Text(3))
			if err != nil {
				return err
			}
			if len(steps) == 0 || steps[len(steps)-1].Word != WordSelf || r.Int64(1)+wire.RememberedByBroker <= now {
				return nil // a broker remembers what it handed over that long
			}
		}
		if id := mid(r.Bytes(0)); len(ids) == 0 || ids[len(ids)-1] != id {
			ids = append(ids, id)
		}
		return nil
	})
	return ids, err
}

// CountUndelivered is how many messages to a peer are known to be pending or
// queued: what goes when it is revoked.
func (tx *Tx) CountUndelivered(to keys.Public) (count int, err error) {
	n, err := tx.known(to)
	if err != nil || n == 0 {
		return 0, err
	}
	return count, tx.q.Get("SELECT (SELECT count(*) FROM sent WHERE mesh = ?1 AND recipient = ?2 AND state IN (?3, ?4))"+
		" + (SELECT count(*) FROM sent_target WHERE mesh = ?1 AND recipient = ?2 AND state IN (?3, ?4))",
		[]any{tx.mesh, n, uint8(wire.StatePending), uint8(wire.StateQueued)}, &count)
}

// tailOf is the last 20 bits of a message's id: the four characters by which
// people name it, and under which it is indexed.
func tailOf(id keys.MessageID) int64 {
	return int64(id[13]&0x0f)<<16 | int64(id[14])<<8 | int64(id[15])
}

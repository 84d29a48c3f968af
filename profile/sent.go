package profile

import (
	"encoding/json"
	"errors"
	"fmt"

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
	State wire.State `json:"state"`
	Time  int64      `json:"time"`
	Word  Word       `json:"word"`
	Why   wire.Why   `json:"why,omitempty"`
}

// PutSent keeps the metadata of a message that goes into the outbox.
func (tx *Tx) PutSent(m *Sent) error {
	id, err := tx.q.Insert("INSERT INTO sent (mesh, message, tail, session, address, kind, priority, one, size, time, expires,"+
		" reply_to, thread, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		tx.mesh, m.ID[:], tailOf(m.ID), m.Session[:], m.Address, m.Kind, uint8(m.Priority), m.One, m.Size, m.Time,
		m.Expires, orNull(m.ReplyTo), orNull(m.Thread), m.Hash[:])
	if err != nil {
		return err
	}
	for i := range m.To {
		t := &m.To[i]
		n, err := tx.peer(t.Key)
		if err != nil {
			return err
		}
		steps, err := json.Marshal(t.Steps)
		if err != nil {
			return err
		}
		if _, err := tx.q.Exec("INSERT INTO sent_target (sent, recipient, session, label, state, why, steps)"+
			" VALUES (?, ?, ?, ?, ?, ?, ?)",
			id, n, orNull(t.Session), t.Label, uint8(t.State), string(t.Why), string(steps)); err != nil {
			return err
		}
	}
	return nil
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
// by [delivery.Advance]. It reports whether anything changed; what is not
// known, or is said of something else, changes nothing.
func (tx *Tx) Advance(s Said) (changed bool, err error) {
	to, err := tx.known(s.To)
	if err != nil || to == 0 {
		return false, err
	}
	var (
		id         int64
		state      int
		why, steps string
		hash       []byte
		known      SentTo
	)
	err = tx.q.Get("SELECT s.id, t.state, t.why, t.label, t.steps, s.hash FROM sent s JOIN sent_target t"+
		" ON t.sent = s.id AND t.recipient = ? WHERE s.tail = ? AND s.message = ? AND s.mesh = ?",
		[]any{to, tailOf(s.ID), s.ID[:], tx.mesh}, &id, &state, &why, &known.Label, &steps, &hash)
	if errors.Is(err, sqlite.ErrNoRows) {
		return false, nil
	}
	if err != nil || !s.isOf([32]byte(hash)) {
		return false, err
	}
	known.State, known.Why = wire.State(state), wire.Why(why)
	if err := json.Unmarshal([]byte(steps), &known.Steps); err != nil {
		return false, fmt.Errorf("steps of %s: %w", s.ID, err)
	}
	if !known.advance(s) {
		return false, nil
	}
	raw, err := json.Marshal(known.Steps)
	if err != nil {
		return false, err
	}
	_, err = tx.q.Exec("UPDATE sent_target SET state = ?, why = ?, label = ?, steps = ? WHERE sent = ? AND recipient = ?",
		uint8(known.State), string(known.Why), known.Label, string(raw), id, to)
	return err == nil, err
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
	m := &Sent{ID: message}
	var (
		id                     int64
		session, reply, thread []byte
		hash                   []byte
		priority               int
	)
	err := tx.q.Get("SELECT id, session, address, kind, priority, one, size, time, expires, reply_to, thread, hash FROM sent"+
		" WHERE tail = ? AND message = ? AND mesh = ?", []any{tailOf(message), message[:], tx.mesh},
		&id, &session, &m.Address, &m.Kind, &priority, &m.One, &m.Size, &m.Time, &m.Expires, &reply, &thread, &hash)
	if errors.Is(err, sqlite.ErrNoRows) {
		return nil, fmt.Errorf("message %s: %w", message, ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	m.Session, m.ReplyTo, m.Thread, m.Priority = sid(session), mid(reply), mid(thread), wire.Priority(priority)
	copy(m.Hash[:], hash)
	err = tx.q.Each("SELECT recipient, session, label, state, why, steps FROM sent_target WHERE sent = ?", []any{id},
		func(r sqlite.Row) error {
			key, err := tx.key(r.Int64(0))
			if err != nil {
				return err
			}
			t := SentTo{Key: key, Session: sid(r.Bytes(1)), Label: r.Text(2), State: wire.State(r.Int64(3)), Why: wire.Why(r.Text(4))}
			m.To = append(m.To, t)
			return json.Unmarshal([]byte(r.Text(5)), &m.To[len(m.To)-1].Steps)
		})
	return m, err
}

// CountUndelivered is how many messages to a peer are known to be pending or
// queued: what goes when it is revoked.
func (tx *Tx) CountUndelivered(to keys.Public) (count int, err error) {
	n, err := tx.known(to)
	if err != nil || n == 0 {
		return 0, err
	}
	return count, tx.q.Get("SELECT count(*) FROM sent_target t JOIN sent s ON s.id = t.sent"+
		" WHERE s.mesh = ? AND t.recipient = ? AND t.state IN (?, ?)",
		[]any{tx.mesh, n, uint8(wire.StatePending), uint8(wire.StateQueued)}, &count)
}

// tailOf is the last 20 bits of a message's id: the four characters by which
// people name it, and under which it is indexed.
func tailOf(id keys.MessageID) int64 {
	return int64(id[13]&0x0f)<<16 | int64(id[14])<<8 | int64(id[15])
}

package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Keep is how long sent messages' metadata and the history are kept.
const Keep = 30 * 24 * 3_600_000

// Message is one of one's own messages in the clear: one that was shown here,
// or sent from here.
type Message struct {
	Place    int64 // given by state.db, rising
	ID       keys.MessageID
	Outgoing bool
	From     keys.Public
	// Address is the other side's, when it was shown or sent.
	Address  string
	Session  keys.SessionID // the sender's
	Label    string         // of that session
	Audience string         // as the sender typed it
	Kind     string
	Priority wire.Priority
	ReplyTo  keys.MessageID
	Thread   keys.MessageID
	Depth    int
	Via      string
	Sent     int64          // by the sender's clock
	Time     int64          // when it was shown here, or sent from here
	Shower   keys.SessionID // the session of ours that showed or sent it
	Again    bool           // it was shown as "may have been shown before"
	Body     string
}

// PutHistory keeps a message, at a place behind the others; one that is there already
// stays as it is.
func (tx *Tx) PutHistory(m *Message) error {
	n, err := tx.peer(m.From)
	if err != nil {
		return err
	}
	_, err = tx.q.Exec("INSERT INTO history (mesh, message, tail, outgoing, peer, address, session, label, audience, kind,"+
		" priority, reply_to, thread, depth, via, sent, time, shower, again, body)"+
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		tx.mesh, m.ID[:], tailOf(m.ID), m.Outgoing, n, m.Address, m.Session[:], m.Label, m.Audience, m.Kind,
		uint8(m.Priority), orNull(m.ReplyTo), orNull(m.Thread), m.Depth, m.Via, m.Sent, m.Time, m.Shower[:], m.Again,
		m.Body)
	return err
}

const historyColumns = "place, message, outgoing, peer, address, session, label, audience, kind, priority, reply_to," +
	" thread, depth, via, sent, time, shower, again, body"

// scanHistory reads a row of the history.
func (tx *Tx) scanHistory(r sqlite.Row) (Message, error) {
	key, err := tx.key(r.Int64(3))
	return Message{
		Place: r.Int64(0), ID: mid(r.Bytes(1)), Outgoing: r.Bool(2), From: key, Address: r.Text(4),
		Session: sid(r.Bytes(5)), Label: r.Text(6), Audience: r.Text(7), Kind: r.Text(8),
		Priority: wire.Priority(r.Int64(9)), ReplyTo: mid(r.Bytes(10)), Thread: mid(r.Bytes(11)), Depth: r.Int(12),
		Via: r.Text(13), Sent: r.Int64(14), Time: r.Int64(15), Shower: sid(r.Bytes(16)), Again: r.Bool(17), Body: r.Text(18),
	}, err
}

// HistoryQuery says which messages of the history are wanted. The zero value means
// all of them.
type HistoryQuery struct {
	// With are the peers that wrote them, or to whom they went; nil: anybody.
	With []keys.Public
	// Label is of the session of those peers; "": any.
	Label string
	// Audience is how they were addressed, as typed; "": in any way.
	Audience string
	// Words must all begin a word of the text. They are found in what
	// [State.IndexHistory] has indexed.
	Words []string
	// Before is the place that they stand before; 0: the end.
	Before int64
	// Limit is how many, at most.
	Limit int
}

// History reads messages of the mesh, newest first.
func (tx *Tx) History(h HistoryQuery) (all []Message, err error) {
	peers, err := tx.listed(h.With)
	if err != nil {
		return nil, err
	}
	before := h.Before
	if before <= 0 {
		before = 1<<63 - 1
	}
	err = tx.q.Each("SELECT "+historyColumns+" FROM history h WHERE mesh = ?1 AND place < ?2"+
		" AND (?3 = '' OR audience = ?3)"+
		" AND (?4 = '' OR place IN (SELECT rowid FROM history_text WHERE history_text MATCH ?4))"+
		" AND (NOT ?5 OR CASE outgoing"+
		" WHEN 0 THEN peer IN (SELECT value FROM json_each(?6)) AND (?7 = '' OR label = ?7)"+
		" ELSE EXISTS (SELECT 1 FROM sent s WHERE s.message = h.message AND s.mesh = h.mesh"+
		" AND s.recipient IN (SELECT value FROM json_each(?6)) AND (?7 = '' OR s.label = ?7))"+
		" OR EXISTS (SELECT 1 FROM sent_target t WHERE t.message = h.message AND t.mesh = h.mesh"+
		" AND t.recipient IN (SELECT value FROM json_each(?6)) AND (?7 = '' OR t.label = ?7)) END)"+
		" ORDER BY place DESC LIMIT ?8",
		[]any{tx.mesh, before, h.Audience, matchAll(h.Words), h.With != nil, peers, h.Label, h.Limit},
		func(r sqlite.Row) error {
			m, err := tx.scanHistory(r)
			all = append(all, m)
			return err
		})
	return all, err
}

// How much of the history one transaction indexes.
const (
	indexRows  = 1000
	indexBytes = 1 << 20
)

// IndexHistory indexes the words of those messages of the history, of all meshes, that
// came since it was called last. Whoever searches calls it before: few messages are
// ever looked for, and many together cost a fraction of what each alone would.
func (s *State) IndexHistory(ctx context.Context) error {
	for more := true; more; {
		err := s.db.Do(ctx, func(q *sqlite.Tx) (err error) {
			more, err = indexHistory(q)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// indexHistory indexes some messages, and tells whether there may be more.
func indexHistory(q *sqlite.Tx) (more bool, err error) {
	var after, last int64
	if err := q.Get("SELECT coalesce(max(id), 0) FROM history_text_docsize", nil, &after); err != nil {
		return false, err
	}
	rows, size := 0, 0
	err = q.Each("SELECT place, octet_length(body) FROM history WHERE place > ? ORDER BY place LIMIT ?", []any{after, indexRows},
		func(r sqlite.Row) error {
			last = r.Int64(0)
			rows, size = rows+1, size+r.Int(1)
			if size >= indexBytes {
				return sqlite.Stop()
			}
			return nil
		})
	if err != nil || rows == 0 {
		return false, err
	}
	_, err = q.Exec("INSERT INTO history_text (rowid, body) SELECT place, body FROM history"+
		" WHERE place > ? AND place <= ? ORDER BY place", after, last)
	return true, err
}

// matchAll is a full-text query for texts in which each of the words begins one. In
// quotes no character of them is an operator.
func matchAll(words []string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, `"%s"* `, strings.ReplaceAll(w, `"`, `""`))
	}
	return b.String()
}

// listed is the small integers of peers as a JSON array; a peer of which nothing is
// known here is left out.
func (tx *Tx) listed(all []keys.Public) (string, error) {
	list := []int64{}
	for _, key := range all {
		n, err := tx.known(key)
		if err != nil {
			return "", err
		}
		if n != 0 {
			list = append(list, n)
		}
	}
	text, err := json.Marshal(list)
	return string(text), err
}

// FindHistory reads messages of the history by id: two members may have used
// the same. [ErrNotFound] where there is none.
func (tx *Tx) FindHistory(id keys.MessageID) (found []Message, err error) {
	err = tx.q.Each("SELECT "+historyColumns+" FROM history WHERE tail = ? AND message = ? AND mesh = ?",
		[]any{tailOf(id), id[:], tx.mesh}, func(r sqlite.Row) error {
			m, err := tx.scanHistory(r)
			found = append(found, m)
			return err
		})
	if err == nil && found == nil {
		err = fmt.Errorf("message %s: %w", id, ErrNotFound)
	}
	return found, err
}

// Named is a message that a short name means.
type Named struct {
	Mesh keys.MeshID
	ID   keys.MessageID
	// Sent: it is one's own; else it came.
	Sent bool
}

// FindMessages lists the messages of the profile, in all meshes, that a name
// means: m- and the tail of an id, 4 characters and more, in any case; m- may
// be left out. None is no error.
func (s *State) FindMessages(ctx context.Context, name string) (found []Named, err error) {
	suffix := strings.TrimPrefix(strings.ToLower(name), "m-")
	tail, ok := tailNamed(suffix)
	if !ok {
		return nil, nil
	}
	err = s.db.Read(ctx, func(q *sqlite.Tx) error {
		all, err := withTail(q, tail)
		for _, n := range all {
			if strings.HasSuffix(n.ID.String(), suffix) {
				found = append(found, n)
			}
		}
		return err
	})
	return found, err
}

// ShortName is the shortest name that means a message in this profile now: m-
// and 4 or more characters.
func (s *State) ShortName(ctx context.Context, id keys.MessageID) (string, error) {
	name := id.Tail(4)
	err := s.db.Read(ctx, func(q *sqlite.Tx) (err error) {
		name, err = (&Tx{q: q}).ShortName(id)
		return err
	})
	return name, err
}

// ShortName is [State.ShortName] inside a transaction. The message need not be kept
// yet.
func (tx *Tx) ShortName(id keys.MessageID) (string, error) {
	all, err := withTail(tx.q, tailOf(id))
	n := shortest
	for i := range all {
		n = apart(n, id, all[i].ID)
	}
	return id.Tail(n), err
}

// ShortNameIn is ShortName for a message of the inbox, of which rows were read: they
// are not looked for again.
func (tx *Tx) ShortNameIn(rows []delivery.InboxRow, id keys.MessageID) (string, error) {
	n := shortest
	for i := range rows {
		n = apart(n, id, rows[i].ID)
	}
	err := tx.q.Each("SELECT message FROM sent WHERE tail = ?1 UNION ALL SELECT message FROM history WHERE tail = ?1",
		[]any{tailOf(id)}, func(r sqlite.Row) error {
			n = apart(n, id, mid(r.Bytes(0)))
			return nil
		})
	return id.Tail(n), err
}

// shortest is how many characters of its id name a message at least.
const shortest = 4

// apart is how many characters, n and more, tell a message from another one.
func apart(n int, id, other keys.MessageID) int {
	if other[15] == id[15] && other != id {
		for n < 26 && other.Tail(n) == id.Tail(n) {
			n++
		}
	}
	return n
}

// withTail lists the messages whose last 20 bits are these.
func withTail(q *sqlite.Tx, tail int64) (all []Named, err error) {
	seen := map[Named]bool{}
	err = q.Each("SELECT m.mesh_id, s.message, 1 FROM sent s JOIN mesh m ON m.id = s.mesh WHERE s.tail = ?1"+
		" UNION ALL SELECT m.mesh_id, h.message, h.outgoing FROM history h JOIN mesh m ON m.id = h.mesh WHERE h.tail = ?1"+
		" UNION ALL SELECT m.mesh_id, i.id, 0 FROM inbox i JOIN mesh m ON m.id = i.mesh WHERE substr(i.id, -2) = ?2",
		[]any{tail, []byte{byte(tail >> 8), byte(tail)}}, func(r sqlite.Row) error {
			n := Named{ID: mid(r.Bytes(1)), Sent: r.Bool(2)}
			copy(n.Mesh[:], r.Bytes(0))
			if tailOf(n.ID) == tail && !seen[n] {
				seen[n] = true
				all = append(all, n)
			}
			return nil
		})
	return all, err
}

// tailNamed gives the last 20 bits that a name's last four characters say.
func tailNamed(suffix string) (tail int64, ok bool) {
	if len(suffix) < 4 {
		return 0, false
	}
	for _, c := range []byte(suffix[len(suffix)-4:]) {
		switch {
		case 'a' <= c && c <= 'z':
			tail = tail<<5 | int64(c-'a')
		case '2' <= c && c <= '7':
			tail = tail<<5 | int64(c-'2'+26)
		default:
			return 0, false
		}
	}
	return tail, true
}

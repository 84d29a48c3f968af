package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// openNew opens a store with a mesh in a new folder.
func openNew(t *testing.T) (*sqliteStore, keys.MeshID) {
	t.Helper()
	s, err := OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	mesh := keys.MeshID{1}
	e := Entry{Signed: []byte("genesis"), Sig: []byte("sig")}
	if err := s.CreateMesh(t.Context(), NewMesh{ID: mesh, Entries: []Entry{e}, Head: Head{Signed: []byte("h"), Sig: []byte("s")}}); err != nil {
		t.Fatal(err)
	}
	return s.(*sqliteStore), mesh
}

func (s *sqliteStore) number(t *testing.T, query string) (n int) {
	t.Helper()
	if err := s.db.Read(t.Context(), func(q *sqlite.Tx) error { return q.Get(query, nil, &n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Whatever comes and goes, there is a body for each message that waits, and no
// other.
func TestBodiesComeAndGoWithTheirRows(t *testing.T) {
	s, mesh := openNew(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	var rows []*delivery.Row
	numbers := map[keys.Public]uint64{}
	var messages []*delivery.Message
	for range 300 {
		var ops []delivery.Effect
		for range rng.IntN(5) {
			if len(rows) > 0 && rng.IntN(2) == 0 {
				i := rng.IntN(len(rows))
				ops = append(ops, delivery.Effect{Kind: delivery.EffectDrop, Peer: rows[i].To, Lane: rows[i].Lane, N: rows[i].N})
				continue
			}
			m := &delivery.Message{From: keys.Public{byte(rng.IntN(3))}, ID: keys.MessageID{byte(rng.IntN(50))}, Sealed: []byte("x")}
			if len(messages) > 0 && rng.IntN(3) == 0 {
				m = messages[rng.IntN(len(messages))]
			}
			messages = append(messages, m)
			for range 1 + rng.IntN(3) {
				to := keys.Public{byte(rng.IntN(4))}
				numbers[to]++
				r := &delivery.Row{Message: m, To: to, N: numbers[to]}
				if rng.IntN(3) > 0 { // also both forms under one id: a sender's defect
					r.Box = []byte("box")
				}
				rows = append(rows, r)
				ops = append(ops, delivery.Effect{Kind: delivery.EffectSave, Row: r})
			}
		}
		if _, err := s.Write(t.Context(), Batch{Mesh: mesh, Ops: ops}); err != nil {
			t.Fatal(err)
		}
		if n := s.number(t, "SELECT count(*) FROM body WHERE id NOT IN (SELECT body FROM queue)"); n != 0 {
			t.Fatalf("%d bodies of no row", n)
		}
		if n := s.number(t, "SELECT count(*) FROM queue WHERE body NOT IN (SELECT id FROM body)"); n != 0 {
			t.Fatalf("%d rows without body", n)
		}
		if n := s.number(t, "SELECT count(*) - count(DISTINCT body) FROM queue WHERE box IS NULL"); n != 0 {
			t.Fatalf("%d direct messages share a body", n)
		}
	}
}

func TestManyToOneBodyOnce(t *testing.T) {
	s, mesh := openNew(t)
	m := &delivery.Message{From: keys.Public{1}, ID: keys.MessageID{1}, Sealed: bytes.Repeat([]byte("x"), 1000)}
	var ops []delivery.Effect
	for i := range 100 {
		ops = append(ops, delivery.Effect{Kind: delivery.EffectSave,
			Row: &delivery.Row{Message: m, To: keys.Public{2, byte(i)}, N: 1, Box: []byte("box")}})
	}
	if _, err := s.Write(t.Context(), Batch{Mesh: mesh, Ops: ops}); err != nil {
		t.Fatal(err)
	}
	if n := s.number(t, "SELECT count(*) FROM body"); n != 1 {
		t.Fatalf("%d bodies", n)
	}
}

// The queries of the hot paths use the indexes that were made for them.
func TestQueriesUseIndexes(t *testing.T) {
	s, _ := openNew(t)
	for query, want := range map[string]string{
		rowColumns + "WHERE q.recipient = 1 AND q.lane = 1 AND q.number >= 1 ORDER BY q.number":  "SEARCH q USING PRIMARY KEY (recipient=? AND lane=? AND number>?)",
		rowColumns + "WHERE q.sender = 1 AND q.message = x''":                                    "SEARCH q USING INDEX queue_message (sender=? AND message=?)",
		"DELETE FROM queue WHERE recipient = 1 AND lane = 1 AND number = 1":                      "SEARCH queue USING PRIMARY KEY (recipient=? AND lane=? AND number=?)",
		"SELECT body FROM queue WHERE sender = 1 AND message = x'' AND box IS NOT NULL LIMIT 1":  "SEARCH queue USING INDEX queue_message (sender=? AND message=?)",
		"SELECT 1 FROM peer p JOIN queue q ON q.recipient = p.id WHERE p.mesh = 1 GROUP BY p.id": "SEARCH q USING PRIMARY KEY (recipient=?)",
	} {
		plan, sorted := "", false
		err := s.db.Read(t.Context(), func(q *sqlite.Tx) error {
			return q.Each("EXPLAIN QUERY PLAN "+query, nil, func(r sqlite.Row) error {
				plan += r.Text(3) + "\n"
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if sorted = bytes.Contains([]byte(plan), []byte("TEMP B-TREE FOR ORDER")); sorted || !bytes.Contains([]byte(plan), []byte(want)) {
			t.Errorf("%s\nruns as\n%s", query, plan)
		}
	}
}

// Ciphertext stays only while it waits: not in free pages, not in the log.
func TestPayloadIsErased(t *testing.T) {
	s, mesh := openNew(t)
	marker := []byte("MARKER-sealed-bytes-MARKER")
	var saves, drops []delivery.Effect
	for i := range 50 {
		m := &delivery.Message{From: keys.Public{1}, ID: keys.MessageID{byte(i)}, Sealed: bytes.Repeat(marker, i*10+1)}
		r := &delivery.Row{Message: m, To: keys.Public{2}, N: uint64(i), Box: marker}
		saves = append(saves, delivery.Effect{Kind: delivery.EffectSave, Row: r})
		drops = append(drops, delivery.Effect{Kind: delivery.EffectDrop, Peer: r.To, Lane: r.Lane, N: r.N})
	}
	for _, ops := range [][]delivery.Effect{saves, drops} {
		if _, err := s.Write(t.Context(), Batch{Mesh: mesh, Ops: ops}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.db.Checkpoint(t.Context()), s.Tidy(t.Context(), 0)); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(s.db.Path() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, marker[:16]) {
			t.Errorf("%s%s still has what was deleted", filepath.Base(s.db.Path()), suffix)
		}
	}
}

func TestChangedAuditLogIsFound(t *testing.T) {
	for name, change := range map[string]string{
		"changed metadata": "UPDATE audit_log SET metadata = '{}' WHERE id = 3",
		"changed actor":    "UPDATE audit_log SET actor_peer_id = 'other' WHERE id = 3",
		"moved time":       "UPDATE audit_log SET created_at = created_at + 1 WHERE id = 3",
		"removed":          "DELETE FROM audit_log WHERE id = 2",
		"removed first":    "DELETE FROM audit_log WHERE id = 1",
		"swapped":          "UPDATE audit_log SET id = CASE id WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE id IN (2, 3)",
		"other writer":     "UPDATE audit_log SET writer = 'x' WHERE id = 3",
	} {
		t.Run(name, func(t *testing.T) {
			s, mesh := openNew(t)
			for i := range 5 {
				if err := s.Audit(t.Context(), []Audit{{Mesh: mesh, Event: "message", Actor: "a", Metadata: fmt.Sprint(i), Time: int64(i)}}); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.CheckAudit(t.Context(), mesh); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Do(t.Context(), func(q *sqlite.Tx) error { _, err := q.Exec(change); return err }); err != nil {
				t.Fatal(err)
			}
			var changed *AuditError
			if err := s.CheckAudit(t.Context(), mesh); !errors.As(err, &changed) || changed.Mesh != mesh {
				t.Fatalf("not found: %v", err)
			}
		})
	}
}

// Each process has a chain of its own, which begins anew.
func TestAuditOfSeveralProcesses(t *testing.T) {
	s, mesh := openNew(t)
	second, err := OpenSQLite(t.Context(), filepath.Dir(s.db.Path()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		one := []Store{s, second}[i%2]
		if err := one.Audit(t.Context(), []Audit{{Mesh: mesh, Event: "x", Metadata: "{}", Time: int64(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(second.CheckAudit(t.Context(), mesh), second.Close()); err != nil {
		t.Fatal(err)
	}
}

// A failed commit fails what was submitted, and teaches no integers that are
// not in the database.
func TestFailedCommitTeachesNothing(t *testing.T) {
	s, mesh := openNew(t)
	row := &delivery.Row{Message: &delivery.Message{From: keys.Public{1}, ID: keys.MessageID{1}}, To: keys.Public{2}, N: 1}
	bad := &delivery.Row{Message: &delivery.Message{From: keys.Public{3}, ID: keys.MessageID{2}}, To: keys.Public{2}, N: 1}
	_, err := s.Write(t.Context(), Batch{Mesh: mesh, Ops: []delivery.Effect{
		{Kind: delivery.EffectSave, Row: row}, {Kind: delivery.EffectSave, Row: bad}}})
	if !sqlite.IsConstraint(err) {
		t.Fatal(err)
	}
	s.ints.mu.RLock()
	learned := len(s.ints.peers)
	s.ints.mu.RUnlock()
	if learned != 0 || s.number(t, "SELECT count(*) FROM peer") != 0 {
		t.Fatalf("%d integers of a transaction that failed", learned)
	}
	other := &delivery.Row{Message: &delivery.Message{From: keys.Public{9}, ID: keys.MessageID{1}}, To: keys.Public{8}, N: 1}
	if _, err := s.Write(t.Context(), Batch{Mesh: mesh, Ops: []delivery.Effect{{Kind: delivery.EffectSave, Row: other}}}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Fetch(t.Context(), mesh, &delivery.Fetch{Kind: delivery.FetchLane, To: keys.Public{8}, Lane: delivery.LaneNow})
	if err != nil || len(got.Rows) != 1 || got.Rows[0].From != (keys.Public{9}) {
		t.Fatal(got, err)
	}
}

// These numbers are in databases: they must never change.
func TestStatesAreStoredAsNumbersThatStay(t *testing.T) {
	for state, n := range map[wire.State]uint8{wire.StateQueued: 2, wire.StateDelivered: 3, wire.StateRefused: 6, wire.StateExpired: 7} {
		if uint8(state) != n {
			t.Errorf("%s is %d, in databases it is %d", state, state, n)
		}
	}
	for lane, n := range map[delivery.Lane]uint8{delivery.LaneNow: 0, delivery.LaneNext: 1, delivery.LaneLow: 2,
		delivery.LaneOneNow: 3, delivery.LaneOneNext: 4, delivery.LaneOneLow: 5, delivery.LaneReceipt: 6} {
		if uint8(lane) != n {
			t.Errorf("lane %d is %d in databases", lane, n)
		}
	}
	for p, n := range map[wire.Priority]uint8{wire.PriorityNext: 0, wire.PriorityNow: 1, wire.PriorityLow: 2} {
		if uint8(p) != n {
			t.Errorf("%s is %d, in databases it is %d", p, p, n)
		}
	}
}

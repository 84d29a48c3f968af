package profile

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

func index(t *testing.T, s *State) {
	t.Helper()
	if err := s.IndexHistory(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestHistoryIsSearched(t *testing.T) {
	s := newState(t)
	put := func(n byte, from keys.Public, label, audience, body string, to ...keys.Public) {
		do(t, s, func(tx *Tx) error {
			m := &Message{ID: id(n), From: from, Label: label, Audience: audience, Kind: "message", Time: int64(n), Body: body,
				Outgoing: from == alice}
			sent := &Sent{ID: id(n)}
			for _, key := range to {
				sent.To = append(sent.To, SentTo{Key: key, State: wire.StateSeen, Label: label})
			}
			if len(to) == 0 {
				return tx.PutHistory(m)
			}
			return errors.Join(tx.PutSent(sent, true), tx.PutHistory(m))
		})
	}
	put(1, bob, "web", "alice", "The webhook retries are GRÜN now")
	put(2, alice, "", "bob", "which branch has the webhook fix?", bob)
	put(3, carol, "", "alice", "migration: AND then NOT \"that\"")
	put(4, alice, "", "@backend", "grün?", bob, carol)
	index(t, s)
	put(5, bob, "api", "alice", "fix/webhook-retry")
	index(t, s)
	for _, c := range []struct {
		name  string
		query HistoryQuery
		want  []byte
	}{
		{"all, newest first", HistoryQuery{}, []byte{5, 4, 3, 2, 1}},
		{"a page", HistoryQuery{Limit: 2}, []byte{5, 4}},
		{"with bob", HistoryQuery{With: []keys.Public{bob}}, []byte{5, 4, 2, 1}},
		{"with a session of bob's", HistoryQuery{With: []keys.Public{bob}, Label: "web"}, []byte{1}},
		{"with nobody known", HistoryQuery{With: []keys.Public{{77}}}, nil},
		{"by tag", HistoryQuery{Audience: "@backend"}, []byte{4}},
		{"a word", HistoryQuery{Words: []string{"webhook"}}, []byte{5, 2, 1}},
		{"all of the words, each the beginning of one", HistoryQuery{Words: []string{"webh", "FIX"}}, []byte{5, 2}},
		{"words and whom", HistoryQuery{Words: []string{"grun"}, With: []keys.Public{carol}}, []byte{4}},
		{"no operators", HistoryQuery{Words: []string{"AND", "NOT", `"that"`}}, []byte{3}},
		{"only a quote", HistoryQuery{Words: []string{`"`}}, nil},
		{"a word that was not said", HistoryQuery{Words: []string{"rollback"}}, nil},
	} {
		do(t, s, func(tx *Tx) error {
			if c.query.Limit == 0 {
				c.query.Limit = 10
			}
			all, err := tx.History(c.query)
			var got []byte
			for _, m := range all {
				got = append(got, m.ID[14])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
			return err
		})
	}
}

// However much there is, it is indexed once, and all of it.
func TestIndexHasEverything(t *testing.T) {
	s := newState(t)
	bodies := []string{strings.Repeat("long ", indexBytes/3), strings.Repeat("long ", indexBytes/3), "short"}
	for range indexRows {
		bodies = append(bodies, "short")
	}
	put := func(from, to int) {
		do(t, s, func(tx *Tx) (err error) {
			for i := from; i < to && err == nil; i++ {
				err = tx.PutHistory(&Message{ID: benchID(i), From: bob, Time: int64(i), Body: bodies[i]})
			}
			return err
		})
		index(t, s)
	}
	found := func(word string) int {
		var all []Message
		do(t, s, func(tx *Tx) (err error) {
			all, err = tx.History(HistoryQuery{Words: []string{word}, Limit: len(bodies)})
			return err
		})
		return len(all)
	}
	put(0, len(bodies)-1)
	if long, short := found("long"), found("short"); long != 2 || short != len(bodies)-3 {
		t.Errorf("%d and %d found", long, short)
	}
	// The newest goes: what comes takes no other's words.
	do(t, s, func(tx *Tx) error {
		_, err := tx.q.Exec("DELETE FROM history WHERE place = (SELECT max(place) FROM history)")
		return err
	})
	bodies[len(bodies)-1] = "last"
	put(len(bodies)-1, len(bodies))
	if last, short := found("last"), found("short"); last != 1 || short != len(bodies)-4 {
		t.Errorf("%d and %d found", last, short)
	}
}

// What was in the history before it was indexed leaves it without a word.
func TestHistoryLeavesUnindexed(t *testing.T) {
	s := newState(t)
	do(t, s, func(tx *Tx) error { return tx.PutHistory(&Message{ID: id(1), From: bob, Time: 1, Body: "first"}) })
	if err := s.Tidy(t.Context(), mesh, 3+Keep); err != nil {
		t.Fatal(err)
	}
	if err := s.db.Do(t.Context(), func(q *sqlite.Tx) error {
		_, err := q.Exec("INSERT INTO history_text (history_text, rank) VALUES ('integrity-check', 1)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// What left the history is found no more, and no word of it is on the disk.
func TestSearchForgets(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	do(t, s, func(tx *Tx) error {
		return errors.Join(
			tx.PutHistory(&Message{ID: id(1), From: bob, Time: 1, Body: "xylophonemarker first"}),
			tx.PutHistory(&Message{ID: id(2), From: bob, Time: 5, Body: "second"}))
	})
	index(t, s)
	if err := errors.Join(s.Tidy(t.Context(), mesh, 3+Keep), s.Scrub(t.Context())); err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error {
		gone, err := tx.History(HistoryQuery{Words: []string{"first"}, Limit: 10})
		left, err2 := tx.History(HistoryQuery{Words: []string{"second"}, Limit: 10})
		if len(gone) != 0 || len(left) != 1 {
			t.Errorf("%d and %d found", len(gone), len(left))
		}
		return errors.Join(err, err2)
	})
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(p.StatePath() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"xylophonemarker", "ylophonemark"} {
			if bytes.Contains(data, []byte(part)) {
				t.Errorf("%q is still in state.db%s", part, suffix)
			}
		}
	}
}

package profile

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

// testdata/state-1.sql is a state.db of the first schema with a row in each
// table. It is never changed: profiles like it are on people's disks.
func TestUpgradeFromTheFirstSchema(t *testing.T) {
	p := newProfile(t)
	script, err := os.ReadFile("testdata/state-1.sql")
	if err != nil {
		t.Fatal(err)
	}
	old, err := sqlite.Open(t.Context(), p.StatePath(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const refused = `INSERT INTO sent_target VALUES (1, 2, NULL, '', 6, 'muted',
		'[{"state":"pending","time":5,"word":"self"},{"state":"refused","time":6,"word":"broker","why":"muted"}]')`
	err = old.Do(t.Context(), func(tx *sqlite.Tx) error {
		_, err := tx.Exec(string(script))
		_, err2 := tx.Exec(refused)
		return errors.Join(err, err2)
	})
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	s := openState(t, p)
	if got, want := schemaOf(t, s.db), schemaOf(t, newState(t).db); got != want {
		t.Errorf("upgraded, the schema is\n%s\nmade anew, it is\n%s", got, want)
	}
	pending := Step{wire.StatePending, 5, WordSelf, ""}
	do(t, s, func(tx *Tx) error {
		rows, _, err := tx.Outbox(session(1), 0, 10, 1<<20)
		if len(rows) != 1 || rows[0].ID != id(3) || len(rows[0].To) != 2 || rows[0].To[1].Key != carol {
			t.Errorf("outbox %+v", rows)
		}
		in, err2 := tx.FindInbox(bob, id(2))
		want := inboxRow(2)
		if err2 == nil && (in.ForLabel != want.ForLabel || in.StreamKey != want.StreamKey || string(in.Sealed) != "sealed") {
			t.Errorf("inbox %+v", in)
		}
		history, err3 := tx.FindHistory(id(1))
		if err3 == nil && history[0].Body != "body 1" {
			t.Errorf("history %+v", history)
		}
		sent, err4 := tx.Sent(id(3))
		if err4 == nil && (sent.Address != "bob" || len(sent.To) != 2 || !slices.Equal(sent.To[0].Steps, []Step{pending}) ||
			!slices.Equal(sent.To[1].Steps, []Step{pending, {wire.StateRefused, 6, WordBroker, wire.WhyMuted}})) {
			t.Errorf("sent %+v", sent)
		}
		chain, err5 := tx.Chain(Roster, 0, 0)
		bans, err6 := tx.Bans()
		trust, err7 := tx.Trust("bob")
		status, err8 := tx.Value("status")
		cards, err9 := tx.Cards()
		receipts, err10 := tx.Receipts(session(1))
		if len(chain) != 1 || len(bans) != 1 || trust.Verified != 7 || status != "dnd" || len(cards) != 1 || len(receipts) != 1 {
			t.Error(chain, bans, trust, status, cards, receipts)
		}
		number, err11 := tx.NextNumber(session(1), delivery.Audience{1}, 0)
		counter, err12 := tx.NextCounter(0)
		stream, err13 := tx.Stream(want.StreamKey)
		if number != 2 || counter != 10 || stream.Shown != 4 {
			t.Error(number, counter, stream)
		}
		known, err14 := tx.Taken(bob, id(2))
		if !known {
			t.Error("a taken id is forgotten")
		}
		return errors.Join(err, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12, err13, err14)
	})
	if _, err := s.FindMessages(t.Context(), keys.MessageID{15: 1}.Tail(4)); err != nil {
		t.Fatal(err)
	}
}

// schemaOf is a database's schema as SQL.
func schemaOf(t *testing.T, db *sqlite.DB) (text string) {
	t.Helper()
	err := db.Read(t.Context(), func(q *sqlite.Tx) error {
		return q.Each("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name", nil, func(r sqlite.Row) error {
			text += r.Text(0) + ";\n"
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

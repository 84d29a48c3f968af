package profile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

func TestOutbox(t *testing.T) {
	s := newState(t)
	direct := &delivery.OutboxRow{Session: session(1), ID: id(1), Priority: wire.PriorityNow, Expires: 99, Sealed: []byte("sealed 1"),
		To: []delivery.Target{{Key: bob, Session: session(9), State: wire.StatePending}}}
	several := &delivery.OutboxRow{Session: session(1), ID: id(2), One: true, Class: wire.ClassMessage, Expires: 98, Sealed: []byte("sealed two"),
		To: []delivery.Target{{Key: bob, Box: []byte("b"), State: wire.StatePending}, {Key: carol, Box: []byte("c"), State: wire.StatePending, Session: session(8)}}}
	receipt := &delivery.OutboxRow{Session: session(2), ID: id(3), Class: wire.ClassReceipt, Sealed: []byte("r"),
		To: []delivery.Target{{Key: bob, State: wire.StatePending}}}
	for _, row := range []*delivery.OutboxRow{direct, several, receipt} {
		do(t, s, func(tx *Tx) error { return tx.PutOutbox(row) })
	}
	if direct.Place == 0 || several.Place <= direct.Place {
		t.Fatalf("places %d, %d", direct.Place, several.Place)
	}
	read := func(session keys.SessionID, after int64, limit, bytes int) (rows []*delivery.OutboxRow, more bool) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { rows, more, err = tx.Outbox(session, after, limit, bytes); return err })
		return rows, more
	}
	same := func(got []*delivery.OutboxRow, want ...*delivery.OutboxRow) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range got {
			if g, w := fmt.Sprintf("%+v", *got[i]), fmt.Sprintf("%+v", *want[i]); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		}
	}
	got, more := read(session(1), 0, 10, 1<<20)
	same(got, direct, several)
	if more {
		t.Error("more")
	}
	if got, more = read(session(1), 0, 1, 1<<20); !more {
		t.Error("no more by number")
	}
	same(got, direct)
	if got, more = read(session(1), 0, 10, 1); !more {
		t.Error("no more by bytes")
	}
	same(got, direct)
	got, _ = read(session(1), direct.Place, 10, 1<<20)
	same(got, several)

	do(t, s, func(tx *Tx) error { return tx.SetTarget(several.Place, carol, wire.StateQueued, "") })
	several.To[1].State = wire.StateQueued
	got, _ = read(session(1), direct.Place, 10, 1<<20)
	same(got, several)

	var owners []keys.SessionID
	var n int
	do(t, s, func(tx *Tx) (err error) {
		if n, err = tx.CountOutbox(); err != nil {
			return err
		}
		owners, err = tx.OutboxOwners(keys.SessionID{})
		return err
	})
	if len(owners) != 2 || n != 2 {
		t.Fatalf("owners %v, %d messages", owners, n)
	}
	// Taken over in order.
	do(t, s, func(tx *Tx) (err error) { n, err = tx.TakeOver(session(3), session(1), session(2)); return err })
	direct.Session, several.Session, receipt.Session = session(3), session(3), session(3)
	got, _ = read(session(3), 0, 10, 1<<20)
	same(got, direct, several, receipt)
	if n != 3 {
		t.Errorf("%d taken over", n)
	}
	do(t, s, func(tx *Tx) error { tx.DropOutbox(direct.Place, several.Place, receipt.Place, 12345); return nil })
	got, _ = read(session(3), 0, 10, 1<<20)
	same(got)
	if n := countRows(t, s, "outbox_target"); n != 0 {
		t.Errorf("%d recipients of what is gone", n)
	}
	// A place is never used again.
	do(t, s, func(tx *Tx) error { return tx.PutOutbox(direct) })
	if direct.Place <= receipt.Place {
		t.Errorf("place %d after %d", direct.Place, receipt.Place)
	}
}

func TestNumbers(t *testing.T) {
	s := newState(t)
	boom := errors.New("boom")
	next := func(a delivery.Audience, p wire.Priority, fail bool) (n uint64) {
		t.Helper()
		err := s.Update(t.Context(), mesh, func(tx *Tx) (err error) {
			if n, err = tx.NextNumber(session(1), a, p); err == nil && fail {
				err = boom
			}
			return err
		})
		if err != nil && !errors.Is(err, boom) {
			t.Fatal(err)
		}
		return n
	}
	a, b := delivery.Audience{1}, delivery.Audience{2}
	for i, got := range []uint64{next(a, 0, false), next(a, 0, false), next(a, 0, true), next(a, 0, false), next(b, 0, false), next(a, 1, false)} {
		if want := []uint64{1, 2, 3, 3, 1, 1}[i]; got != want {
			t.Errorf("number %d is %d, want %d", i, got, want)
		}
	}
}

func TestSent(t *testing.T) {
	s := newState(t)
	m := &Sent{ID: id(1), Session: session(1), Address: "bob", Kind: "message", Priority: wire.PriorityLow, Size: 12, Time: 5, Expires: 500,
		ReplyTo: id(8), Thread: id(9), Hash: [32]byte{1},
		To: []SentTo{
			{Key: bob, Session: session(7), Label: "web", State: wire.StatePending, Steps: []Step{{wire.StatePending, 5, WordSelf, ""}}},
			{Key: carol, State: wire.StatePending, Steps: []Step{{wire.StatePending, 5, WordSelf, ""}}}}}
	do(t, s, func(tx *Tx) error { return tx.PutSent(m, false) })
	say := func(said Said) (changed bool) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { changed, _, err = tx.Advance(said); return err })
		return changed
	}
	if !say(Said{ID: m.ID, To: bob, State: wire.StateQueued, Time: 6, Word: WordBroker}) ||
		!say(Said{ID: m.ID, To: bob, State: wire.StateSeen, Time: 8, Word: WordRecipient, Label: "shop", Hash: [32]byte{1}}) {
		t.Fatal("nothing changed")
	}
	for name, said := range map[string]Said{
		"weaker":          {ID: m.ID, To: bob, State: wire.StateDelivered, Time: 9, Word: WordBroker},
		"of another text": {ID: m.ID, To: carol, State: wire.StateSeen, Time: 9, Word: WordRecipient, Hash: [32]byte{2}},
		"unknown message": {ID: id(5), To: bob, State: wire.StateSeen},
		"no recipient":    {ID: m.ID, To: alice, State: wire.StateSeen},
	} {
		if say(said) {
			t.Errorf("%s: changed", name)
		}
	}
	if !say(Said{ID: m.ID, To: carol, State: wire.StateRefused, Why: wire.WhyMuted, Time: 10, Word: WordBroker}) {
		t.Fatal("nothing changed")
	}
	m.To[0].State, m.To[0].Label = wire.StateSeen, "shop"
	m.To[0].Steps = append(m.To[0].Steps, Step{wire.StateQueued, 6, WordBroker, ""}, Step{wire.StateSeen, 8, WordRecipient, ""})
	m.To[1].State, m.To[1].Why = wire.StateRefused, wire.WhyMuted
	m.To[1].Steps = append(m.To[1].Steps, Step{wire.StateRefused, 10, WordBroker, wire.WhyMuted})
	do(t, s, func(tx *Tx) error {
		got, err := tx.Sent(m.ID)
		if err == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", m) {
			t.Errorf("got  %+v\nwant %+v", got, m)
		}
		return err
	})
	one := &Sent{ID: id(2), Session: session(1), To: m.To[:1:1], Hash: [32]byte{1}}
	do(t, s, func(tx *Tx) error {
		if err := tx.PutSent(one, true); err != nil {
			return err
		}
		again, by, err := tx.Advance(Said{ID: one.ID, To: bob, State: wire.StateDelivered, Time: 9})
		other, _, err2 := tx.Advance(Said{ID: one.ID, To: carol, State: wire.StateSeen, Time: 9})
		got, err3 := tx.Sent(one.ID)
		if again || other || by != session(1) || err3 == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", one) {
			t.Errorf("changed %v and %v, sent by %v: %+v", again, other, by, got)
		}
		return errors.Join(err, err2, err3)
	})
	if err := s.View(t.Context(), mesh, func(tx *Tx) error { _, err := tx.Sent(id(77)); return err }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if err := s.Tidy(t.Context(), mesh, m.Expires+Keep+1); err != nil {
		t.Fatal(err)
	}
	if n, of := countRows(t, s, "sent"), countRows(t, s, "sent_target"); n != 0 || of != 0 {
		t.Errorf("%d messages and %d recipients past their time", n, of)
	}
}

// A row that changes its state takes the room that it had, and so is overwritten where
// it stands.
func TestStatesTakeTheSameRoom(t *testing.T) {
	s := newState(t)
	room := func(columns string) (bytes int) {
		t.Helper()
		err := s.db.Read(t.Context(), func(q *sqlite.Tx) error {
			return q.Get("SELECT (state > 1) + "+columns, nil, &bytes)
		})
		if err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	const ofSent = "octet_length(label) + octet_length(why) + octet_length(steps) FROM sent"
	m := &Sent{ID: id(1), To: []SentTo{{Key: bob, State: wire.StatePending, Steps: []Step{{wire.StatePending, 1764352800000, WordSelf, ""}}}}}
	do(t, s, func(tx *Tx) error { return tx.PutSent(m, true) })
	pending := room(ofSent)
	for _, said := range []Said{
		{State: wire.StateDelivered, Word: WordBroker},
		{State: wire.StateSeen, Word: WordRecipient, Label: "twenty-letters-label"},
	} {
		said.ID, said.To, said.Time = m.ID, bob, 1764352800001
		do(t, s, func(tx *Tx) error { _, _, err := tx.Advance(said); return err })
		if got := room(ofSent); got != pending {
			t.Errorf("%s takes %d bytes, pending %d", said.State, got, pending)
		}
	}
	const ofInbox = "octet_length(shower) FROM inbox"
	row := inboxRow(2)
	do(t, s, func(tx *Tx) error { return tx.PutInbox(row) })
	waiting := room(ofInbox)
	do(t, s, func(tx *Tx) error { return tx.ShowInbox(session(1), row.Place) })
	if got := room(ofInbox); got != waiting {
		t.Errorf("a row that is shown takes %d bytes, one that waits %d", got, waiting)
	}
	do(t, s, func(tx *Tx) error {
		got, err := tx.Inbox(row.Place)
		if err == nil && got.Shower != session(1) {
			t.Errorf("shown by %v", got.Shower)
		}
		if err == nil {
			got.PutBack()
			err = tx.SetInbox(got)
		}
		return err
	})
	if got := room(ofInbox); got != waiting {
		t.Errorf("a row that was put back takes %d bytes, one that waits %d", got, waiting)
	}
}

func inboxRow(n byte) *delivery.InboxRow {
	row := &delivery.InboxRow{From: bob, ID: id(n), State: delivery.InboxWaiting, Arrived: 10, N: uint64(n), Sent: 3, Expires: 400,
		For: session(5), ForLabel: "web", Reply: true, Copy: true, Takers: []keys.SessionID{session(6), session(7)}, Missing: 7, Sealed: []byte("sealed"), Box: []byte("box")}
	row.StreamKey = delivery.StreamKey{Sender: bob, Session: session(4), Audience: delivery.Audience{3}, Priority: wire.PriorityLow}
	return row
}

func TestInbox(t *testing.T) {
	s := newState(t)
	row := inboxRow(1)
	taken := func(n byte) (ok bool) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { ok, err = tx.Taken(bob, id(n)); return err })
		return ok
	}
	if taken(1) {
		t.Error("taken before")
	}
	do(t, s, func(tx *Tx) error { return errors.Join(tx.PutInbox(row), tx.PutInbox(inboxRow(2))) })
	for i, want := range []bool{false, true} {
		do(t, s, func(tx *Tx) error {
			before, err := tx.Take(bob, id(1), 500)
			if before != want {
				t.Errorf("time %d: taken before is %v", i+1, before)
			}
			return err
		})
	}
	if !taken(1) || taken(3) {
		t.Error("taken after")
	}
	do(t, s, func(tx *Tx) error {
		got, err := tx.Inbox(row.Place)
		if err != nil {
			return err
		}
		if fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *row) {
			t.Errorf("got  %+v\nwant %+v", *got, *row)
		}
		if again, err := tx.FindInbox(bob, row.ID); err != nil || again.Place != row.Place {
			t.Error(again, err)
		}
		_, err = tx.FindInbox(carol, row.ID)
		if !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		return nil
	})
	// Showing.
	row.State, row.Shower, row.Again, row.Copy, row.Missing = delivery.InboxShowing, session(9), true, false, 0
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetInbox(row), tx.SetStream(delivery.Stream{StreamKey: row.StreamKey, Shown: 4, Until: 900}))
	})
	var v delivery.View
	do(t, s, func(tx *Tx) (err error) { v, err = tx.InboxView(0); return err })
	if len(v.Rows) != 2 || v.Rows[0].State != delivery.InboxShowing || v.Rows[0].Shower != session(9) || v.Rows[0].Sealed != nil ||
		v.Streams[row.StreamKey].Shown != 4 || v.Streams[row.StreamKey].Until != 900 || len(v.Streams) != 1 {
		t.Fatalf("%+v", v)
	}
	do(t, s, func(tx *Tx) (err error) { v, err = tx.InboxView(1); return err })
	if len(v.Rows) != 1 || v.Rows[0].Place != row.Place {
		t.Fatalf("%+v", v)
	}
	// Seen: gone, and still known.
	do(t, s, func(tx *Tx) error { return tx.DropInbox(row.Place) })
	var n int
	do(t, s, func(tx *Tx) (err error) { n, err = tx.CountInbox(); return err })
	if n != 1 || !taken(1) {
		t.Error(n, taken(1))
	}
	if err := s.Update(t.Context(), mesh, func(tx *Tx) error { return tx.SetInbox(row) }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	do(t, s, func(tx *Tx) error { return tx.Forget(bob, id(1)) })
	if taken(1) {
		t.Error("a forgotten id is known")
	}
	// A later time replaces, an earlier one does not.
	do(t, s, func(tx *Tx) error { return errors.Join(tx.Remember(bob, id(1), 100), tx.Remember(bob, id(1), 50)) })
	if err := s.Tidy(t.Context(), mesh, 100); err != nil || !taken(1) {
		t.Error("forgotten too early", err)
	}
	if err := s.Tidy(t.Context(), mesh, 101); err != nil || taken(1) {
		t.Error("not forgotten", err)
	}
	shown := func() (shown uint64) {
		t.Helper()
		do(t, s, func(tx *Tx) error {
			stream, err := tx.Stream(row.StreamKey)
			shown = stream.Shown
			return err
		})
		return shown
	}
	if err := s.Tidy(t.Context(), mesh, 900); err != nil || shown() != 4 {
		t.Error("how far a stream was shown is forgotten too early", err)
	}
	if err := s.Tidy(t.Context(), mesh, 901); err != nil || shown() != 0 {
		t.Error("how far a stream was shown is not forgotten", err)
	}
}

func TestReceipts(t *testing.T) {
	s := newState(t)
	a := delivery.ReceiptRow{Session: session(1), To: bob, Of: []delivery.Receipted{{ID: id(1), Hash: [32]byte{4}}, {ID: id(3), Hash: [32]byte{5}}}, State: wire.StateSeen, Time: 5, Expires: 50}
	b := delivery.ReceiptRow{Session: session(1), To: carol, Of: []delivery.Receipted{{ID: id(2)}}, State: wire.StateRefused, Why: wire.WhyPolicy, Time: 6, Expires: 60}
	do(t, s, func(tx *Tx) error { return errors.Join(tx.PutReceipt(&a), tx.PutReceipt(&b)) })
	read := func(session keys.SessionID) (rows []delivery.ReceiptRow) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { rows, err = tx.Receipts(session); return err })
		return rows
	}
	if got := read(session(1)); !reflect.DeepEqual(got, []delivery.ReceiptRow{a, b}) {
		t.Fatalf("%+v", got)
	}
	do(t, s, func(tx *Tx) error { return tx.DropReceipts(a.Place) })
	var owners []keys.SessionID
	do(t, s, func(tx *Tx) (err error) { owners, err = tx.OutboxOwners(session(2)); return err })
	if !slices.Equal(owners, []keys.SessionID{session(1)}) {
		t.Errorf("receipts to be told are of %v", owners)
	}
	do(t, s, func(tx *Tx) error { _, err := tx.TakeOver(session(2), session(1)); return err })
	b.Session = session(2)
	if got := read(session(2)); !reflect.DeepEqual(got, []delivery.ReceiptRow{b}) {
		t.Fatalf("%+v", got)
	}
	if err := s.Tidy(t.Context(), mesh, 61); err != nil || len(read(session(2))) != 0 {
		t.Error("a receipt outlived its message", err)
	}
}

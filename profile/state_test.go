package profile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/sqlite"
	"github.com/claudemesh/claudemesh-go/wire"
)

var (
	mesh       = keys.MeshID{1}
	alice, bob = keys.Public{0xa1}, keys.Public{0xb0}
	carol      = keys.Public{0xca}
)

// newState opens the state of a new profile.
func newState(t testing.TB) *State {
	t.Helper()
	return openState(t, newProfile(t))
}

func openState(t testing.TB, p *Profile) *State {
	t.Helper()
	s, err := p.OpenState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// do runs fn in a transaction that must succeed.
func do(t testing.TB, s *State, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), mesh, fn); err != nil {
		t.Fatal(err)
	}
}

// id makes a message id with a tail of its own.
func id(n byte) keys.MessageID { return keys.MessageID{0: 1, 14: n, 15: 7} }

func session(n byte) keys.SessionID { return keys.SessionID{n} }

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
		owners, err = tx.OutboxOwners()
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
	do(t, s, func(tx *Tx) error { return tx.DropOutbox(direct.Place, several.Place, receipt.Place, 12345) })
	got, _ = read(session(3), 0, 10, 1<<20)
	same(got)
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
	do(t, s, func(tx *Tx) error { return tx.PutSent(m) })
	say := func(said Said) (changed bool) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { changed, err = tx.Advance(said); return err })
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
	if err := s.View(t.Context(), mesh, func(tx *Tx) error { _, err := tx.Sent(id(77)); return err }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
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
	do(t, s, func(tx *Tx) error { return errors.Join(tx.PutInbox(row, 500), tx.PutInbox(inboxRow(2), 500)) })
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
}

func TestReceipts(t *testing.T) {
	s := newState(t)
	a := delivery.ReceiptRow{Session: session(1), To: bob, ID: id(1), Hash: [32]byte{4}, State: wire.StateSeen, Time: 5, Expires: 50}
	b := delivery.ReceiptRow{Session: session(1), To: carol, ID: id(2), State: wire.StateRefused, Why: wire.WhyPolicy, Time: 6, Expires: 60}
	do(t, s, func(tx *Tx) error { return errors.Join(tx.PutReceipt(&a), tx.PutReceipt(&b)) })
	read := func(session keys.SessionID) (rows []delivery.ReceiptRow) {
		t.Helper()
		do(t, s, func(tx *Tx) (err error) { rows, err = tx.Receipts(session); return err })
		return rows
	}
	if got := read(session(1)); !slices.Equal(got, []delivery.ReceiptRow{a, b}) {
		t.Fatalf("%+v", got)
	}
	do(t, s, func(tx *Tx) error { return tx.DropReceipts(a.Place) })
	do(t, s, func(tx *Tx) error { _, err := tx.TakeOver(session(2), session(1)); return err })
	b.Session = session(2)
	if got := read(session(2)); !slices.Equal(got, []delivery.ReceiptRow{b}) {
		t.Fatalf("%+v", got)
	}
	if err := s.Tidy(t.Context(), mesh, 61); err != nil || len(read(session(2))) != 0 {
		t.Error("a receipt outlived its message", err)
	}
}

func blobOf(text string) signed.Object {
	return signed.Object{Bytes: []byte(text), Sig: []byte("sig of " + text)}
}

func TestChains(t *testing.T) {
	s := newState(t)
	head := func(n uint64) ChainHead { return ChainHead{N: n, Head: blobOf(fmt.Sprint("head ", n))} }
	entries := func(from, to int) (all []signed.Object) {
		for n := from; n < to; n++ {
			all = append(all, blobOf(fmt.Sprint("entry ", n)))
		}
		return all
	}
	read := func() (texts []string, h ChainHead) {
		t.Helper()
		do(t, s, func(tx *Tx) error {
			all, err := tx.Chain(Roster, 0, 0)
			for _, e := range all {
				texts = append(texts, string(e.Bytes))
			}
			if err == nil {
				h, err = tx.ChainHead(Roster)
			}
			return err
		})
		return texts, h
	}
	if err := s.View(t.Context(), mesh, func(tx *Tx) error { _, err := tx.ChainHead(Roster); return err }); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	do(t, s, func(tx *Tx) error { return tx.AppendChain(Roster, 0, entries(0, 3), head(2)) })
	do(t, s, func(tx *Tx) error { return tx.AppendChain(Roster, 1, entries(1, 5), head(4)) }) // partly there
	do(t, s, func(tx *Tx) error { return tx.AppendChain(Roster, 0, entries(0, 2), head(1)) }) // behind: nothing goes back
	if got, h := read(); len(got) != 5 || got[4] != "entry 4" || h.N != 4 || string(h.Head.Sig) != "sig of head 4" {
		t.Fatal(got, h)
	}
	for name, test := range map[string]struct {
		from    uint64
		entries []signed.Object
		want    error
	}{
		"gap":  {6, entries(6, 7), nil},
		"fork": {3, []signed.Object{blobOf("another 3"), blobOf("another 4"), blobOf("another 5")}, ErrFork},
	} {
		err := s.Update(t.Context(), mesh, func(tx *Tx) error { return tx.AppendChain(Roster, test.from, test.entries, head(9)) })
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	do(t, s, func(tx *Tx) error { return tx.Heal(Roster, 3, []signed.Object{blobOf("heal 3")}, head(3)) })
	if got, h := read(); !slices.Equal(got, []string{"entry 0", "entry 1", "entry 2", "heal 3"}) || h.N != 3 {
		t.Fatal(got, h)
	}
	do(t, s, func(tx *Tx) error {
		page, err := tx.Chain(Roster, 1, 2)
		if len(page) != 2 || string(page[0].Bytes) != "entry 1" {
			t.Error(page)
		}
		return err
	})
	channel := signed.Hash{5}
	do(t, s, func(tx *Tx) error { return tx.AppendChain(channel, 0, entries(0, 1), head(0)) })
	if got, _ := read(); len(got) != 4 {
		t.Error("chains mix", got)
	}
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.PutBan(blobOf("revoke"), 6), tx.PutBan(blobOf("revoke"), 5), tx.PutBan(blobOf("revoke"), 7), tx.PutBan(blobOf("revoke 2"), 7))
	})
	do(t, s, func(tx *Tx) error {
		bans, err := tx.Bans()
		if len(bans) != 2 || bans[0].Since != 5 || string(bans[1].Entry.Bytes) != "revoke 2" {
			t.Error(bans)
		}
		return err
	})
}

func TestValuesTrustAndCards(t *testing.T) {
	s := newState(t)
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetValue("status", "idle"), tx.SetValue("status", "dnd"), tx.SetValue("gone", "x"), tx.SetValue("gone", ""))
	})
	trust := Trust{Who: "bob", Policy: delivery.PolicyHold, Verified: 7, Keys: []keys.Public{bob, carol}}
	do(t, s, func(tx *Tx) error { return errors.Join(tx.SetTrust(Trust{Who: "bob"}), tx.SetTrust(trust)) })
	card := func(c uint64, of keys.SessionID) Card {
		return Card{Peer: bob, Session: of, Counter: c, Time: 5, Card: blobOf("card"), Extras: []byte("x")}
	}
	put := func(c Card, want bool) {
		t.Helper()
		do(t, s, func(tx *Tx) error {
			got, err := tx.PutCard(c)
			if got != want {
				t.Errorf("card %d: %v", c.Counter, got)
			}
			return err
		})
	}
	put(card(5, keys.SessionID{}), true)
	put(card(4, keys.SessionID{}), false)
	put(card(1, session(3)), true)
	put(card(6, keys.SessionID{}), true)
	var first, second, third uint64
	do(t, s, func(tx *Tx) (err error) { first, err = tx.NextCounter(0); return err })
	do(t, s, func(tx *Tx) (err error) { second, err = tx.NextCounter(0); return err })
	do(t, s, func(tx *Tx) (err error) { third, err = tx.NextCounter(100); return err })
	if first != 1 || second != 2 || third != 101 {
		t.Error(first, second, third)
	}
	err := s.View(t.Context(), mesh, func(tx *Tx) error {
		status, err := tx.Value("status")
		gone, err2 := tx.Value("gone")
		got, err3 := tx.Trust("bob")
		none, err4 := tx.Trust("carol")
		all, err5 := tx.Trusts()
		cards, err6 := tx.Cards()
		if status != "dnd" || gone != "" || fmt.Sprint(got) != fmt.Sprint(trust) || none.Policy != delivery.PolicyAccept || len(all) != 1 || len(cards) != 2 {
			t.Error(status, gone, got, none, all, cards)
		}
		return errors.Join(err, err2, err3, err4, err5, err6)
	})
	if err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error { return tx.DropCards(bob, session(3)) })
	do(t, s, func(tx *Tx) error {
		cards, err := tx.Cards()
		if len(cards) != 1 || cards[0].Counter != 6 || string(cards[0].Extras) != "x" {
			t.Error(cards)
		}
		return err
	})
}

func message(n byte, time int64) *Message {
	return &Message{ID: id(n), From: bob, Address: "bob@desk/web", Session: session(1), Label: "web", Audience: "alice", Kind: "ask",
		Priority: wire.PriorityNow, ReplyTo: id(50), Thread: id(51), Depth: 2, Via: "slack", Sent: 3, Time: time, Shower: session(2), Again: true,
		Body: fmt.Sprint("body ", n)}
}

func TestHistory(t *testing.T) {
	s := newState(t)
	for n := byte(1); n <= 5; n++ {
		m := message(n, int64(n))
		do(t, s, func(tx *Tx) error { return tx.PutHistory(m) })
		again := message(n, 999)
		do(t, s, func(tx *Tx) error { return tx.PutHistory(again) })
		do(t, s, func(tx *Tx) error {
			got, err := tx.FindHistory(m.ID)
			if err != nil || len(got) != 1 || got[0] != *m {
				t.Errorf("%+v, want %+v", got, *m)
			}
			return err
		})
	}
	other := message(1, 6)
	other.From, other.Outgoing = carol, true // another member may use an id too
	do(t, s, func(tx *Tx) error { return tx.PutHistory(other) })
	do(t, s, func(tx *Tx) error {
		got, err := tx.FindHistory(id(1))
		if len(got) != 2 {
			t.Error(got)
		}
		page, err2 := tx.History(0, 2)
		rest, err3 := tx.History(page[1].Place, 100)
		if page[0].From != carol || page[1].ID != id(5) || len(rest) != 4 {
			t.Error(page, rest)
		}
		_, err4 := tx.FindHistory(id(77))
		if !errors.Is(err4, ErrNotFound) {
			t.Error(err4)
		}
		return errors.Join(err, err2, err3)
	})
	if err := s.Tidy(t.Context(), mesh, 4+Keep); err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error {
		all, err := tx.History(0, 100)
		if len(all) != 3 {
			t.Errorf("%d left", len(all))
		}
		return err
	})
}

func TestShortNames(t *testing.T) {
	s := newState(t)
	a := keys.MessageID{15: 1}
	near := keys.MessageID{12: 1, 15: 1} // same last four characters, another fifth
	near[12] = 0x10                      // bit 28
	far := keys.MessageID{15: 2}
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.PutSent(&Sent{ID: a}), tx.PutHistory(&Message{ID: near, From: bob}), tx.PutHistory(&Message{ID: a, From: alice, Outgoing: true}))
	})
	if err := s.Update(t.Context(), keys.MeshID{2}, func(tx *Tx) error {
		return tx.PutInbox(&delivery.InboxRow{From: bob, ID: far}, 1)
	}); err != nil {
		t.Fatal(err)
	}
	short := func(m keys.MessageID) string {
		t.Helper()
		name, err := s.ShortName(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	if got := short(far); got != far.Tail(4) {
		t.Error(got)
	}
	name := short(a)
	if name == near.Tail(len(name)-2) || len(name) <= len("m-1234") {
		t.Errorf("%s is not the only one", name)
	}
	find := func(name string, want ...Named) {
		t.Helper()
		got, err := s.FindMessages(t.Context(), name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	find(name, Named{mesh, a, true})
	find(strings.ToUpper(name), Named{mesh, a, true})
	find(strings.TrimPrefix(name, "m-"), Named{mesh, a, true})
	find(a.Tail(4), Named{mesh, a, true}, Named{mesh, near, false})
	find(far.String(), Named{keys.MeshID{2}, far, false})
	find("m-abc")
	find("m-!!!!")
	find("")
	find("m-zzzzzzzz")
}

func TestMeshesApartAndDropped(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	other := keys.MeshID{2}
	marker := "MARKER-in-the-clear-MARKER"
	fill := func(tx *Tx) error {
		m := message(1, 5)
		m.Body = strings.Repeat(marker, 300)
		return errors.Join(tx.PutHistory(m), tx.PutInbox(inboxRow(1), 500), tx.SetValue("a", "b"), tx.SetTrust(Trust{Who: "bob"}),
			tx.PutOutbox(&delivery.OutboxRow{ID: id(1), To: []delivery.Target{{Key: bob, Box: []byte("b")}}}), tx.PutSent(&Sent{ID: id(1), To: []SentTo{{Key: bob}}}),
			tx.AppendChain(Roster, 0, []signed.Object{blobOf("e")}, ChainHead{Head: blobOf("h")}), tx.PutBan(blobOf("b"), 1))
	}
	do(t, s, fill)
	if err := s.Update(t.Context(), other, fill); err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error { return tx.DropMesh() })
	count := func(m keys.MeshID) (n int) {
		t.Helper()
		if err := s.View(t.Context(), m, func(tx *Tx) error {
			all, err := tx.History(0, 10)
			boxed, err2 := tx.CountInbox()
			waiting, err3 := tx.CountOutbox()
			chain, err4 := tx.Chain(Roster, 0, 0)
			trust, err5 := tx.Trusts()
			n = len(all) + boxed + waiting + len(chain) + len(trust)
			return errors.Join(err, err2, err3, err4, err5)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if count(mesh) != 0 || count(other) != 5 {
		t.Fatalf("%d and %d", count(mesh), count(other))
	}
	do(t, s, fill) // joined again
	if count(mesh) != 5 {
		t.Fatal(count(mesh))
	}
	if err := errors.Join(s.Update(t.Context(), mesh, (*Tx).DropMesh), s.Update(t.Context(), other, (*Tx).DropMesh), s.Scrub(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(p.StatePath() + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(data, []byte(marker)) {
			t.Errorf("state.db%s still has a message", suffix)
		}
	}
}

// A transaction that failed leaves no integers behind that the next one gives
// to somebody else.
func TestFailedTransactionTeachesNothing(t *testing.T) {
	s := newState(t)
	boom := errors.New("boom")
	err := s.Update(t.Context(), mesh, func(tx *Tx) error {
		return errors.Join(tx.PutHistory(message(1, 1)), boom)
	})
	if !errors.Is(err, boom) || len(s.peers) != 0 || len(s.mesh) != 0 {
		t.Fatal(err, s.peers, s.mesh)
	}
	m := message(2, 1)
	m.From = carol
	do(t, s, func(tx *Tx) error { return tx.PutHistory(m) })
	do(t, s, func(tx *Tx) error { return tx.PutHistory(message(3, 1)) })
	do(t, s, func(tx *Tx) error {
		got, err := tx.FindHistory(m.ID)
		if err == nil && got[0].From != carol {
			t.Error("a message has another sender")
		}
		return err
	})
}

func TestViewCannotWrite(t *testing.T) {
	s := newState(t)
	err := s.View(t.Context(), mesh, func(tx *Tx) error { return tx.PutHistory(message(1, 1)) })
	if err == nil {
		t.Fatal("written in a view")
	}
	if _, err := s.FindMessages(t.Context(), "m-abcd"); err != nil {
		t.Fatal(err)
	}
}

func TestStateOfTheFutureIsRefused(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	err := s.db.Do(t.Context(), func(q *sqlite.Tx) error {
		_, err := q.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		return err
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.OpenState(t.Context()); !errors.Is(err, ErrStateFuture) || !strings.Contains(err.Error(), p.StatePath()) {
		t.Fatal(err)
	}
}

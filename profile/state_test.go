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

func TestMeshesApartAndDropped(t *testing.T) {
	p := newProfile(t)
	s := openState(t, p)
	other := keys.MeshID{2}
	marker := "MARKER-in-the-clear-MARKER"
	fill := func(tx *Tx) error {
		m := message(1, 5)
		m.Body = strings.Repeat(marker, 300)
		return errors.Join(tx.PutHistory(m), tx.PutInbox(inboxRow(1)), tx.SetValue("a", "b"), tx.SetTrust(Trust{Who: "bob"}),
			tx.PutOutbox(&delivery.OutboxRow{ID: id(1), To: []delivery.Target{{Key: bob, Box: []byte("b")}}}), tx.PutSent(&Sent{ID: id(1), To: []SentTo{{Key: bob}, {Key: carol}}}, false),
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
			all, err := tx.History(HistoryQuery{Limit: 10})
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
	for _, table := range []string{"entry", "outbox_target", "sent_target"} { // which name no mesh, or go with others
		if n := countRows(t, s, table); n != 0 {
			t.Errorf("%s still has %d rows", table, n)
		}
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

// countRows is how many rows a table has.
func countRows(t *testing.T, s *State, table string) (n int) {
	t.Helper()
	err := s.db.Read(t.Context(), func(q *sqlite.Tx) error { return q.Get("SELECT count(*) FROM "+table, nil, &n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
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

// TestUndecided: what waits at the broker is listed, of several recipients too, and what
// ran out by the own word as long as a broker may remember it; nothing else.
func TestUndecided(t *testing.T) {
	s := newState(t)
	const runsOut = 1000
	put := func(n byte, word Word, states ...wire.State) {
		m := &Sent{ID: id(n), Session: session(1), Address: "x", Kind: "message", Time: 1, Expires: runsOut}
		for i, state := range states {
			m.To = append(m.To, SentTo{Key: []keys.Public{bob, carol}[i], State: state, Steps: []Step{{State: state, Time: 1, Word: word}}})
		}
		do(t, s, func(tx *Tx) error { return tx.PutSent(m, true) })
	}
	put(1, WordSelf, wire.StatePending)
	put(2, WordBroker, wire.StateQueued)
	put(3, WordBroker, wire.StateDelivered)
	put(4, WordBroker, wire.StateExpired)
	put(5, WordSelf, wire.StateExpired)
	put(6, WordBroker, wire.StateSeen, wire.StateQueued)
	put(7, WordBroker, wire.StateQueued, wire.StateQueued)
	put(8, WordBroker, wire.StateSeen, wire.StateDelivered)
	want := func(now int64, want ...keys.MessageID) {
		t.Helper()
		do(t, s, func(tx *Tx) error {
			got, err := tx.Undecided(now)
			if !slices.Equal(got, want) {
				t.Errorf("at %d: %v, want %v", now, got, want)
			}
			return err
		})
	}
	want(runsOut, id(2), id(5), id(6), id(7))
	want(runsOut+wire.RememberedByBroker, id(2), id(6), id(7))
}

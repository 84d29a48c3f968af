package profile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

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
			if err == nil && len(got) == 1 {
				m.Place = got[0].Place
			}
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
		page, err2 := tx.History(HistoryQuery{Limit: 2})
		rest, err3 := tx.History(HistoryQuery{Before: page[1].Place, Limit: 100})
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
		all, err := tx.History(HistoryQuery{Limit: 100})
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
		return errors.Join(tx.PutSent(&Sent{ID: a}, true), tx.PutHistory(&Message{ID: near, From: bob}), tx.PutHistory(&Message{ID: a, From: alice, Outgoing: true}))
	})
	if err := s.Update(t.Context(), keys.MeshID{2}, func(tx *Tx) error {
		return tx.PutInbox(&delivery.InboxRow{From: bob, ID: far})
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
	do(t, s, func(tx *Tx) error {
		in, err := tx.ShortNameIn([]delivery.InboxRow{{ID: a}, {ID: near}}, a)
		other, err2 := tx.ShortNameIn(nil, near)
		if in != short(a) || other != short(near) || len(other) <= len("m-1234") {
			t.Errorf("named %s and %s", in, other)
		}
		return errors.Join(err, err2)
	})
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

// What was sent has its name with the history, without it, and after that forgot it.
func TestSentIsNamed(t *testing.T) {
	s := newState(t)
	off, on := keys.MessageID{15: 1}, keys.MessageID{15: 2}
	do(t, s, func(tx *Tx) error {
		return errors.Join(tx.PutSent(&Sent{ID: off, Expires: 2 * Keep}, false), tx.PutSent(&Sent{ID: on, Expires: 2 * Keep}, true),
			tx.PutHistory(&Message{ID: on, From: alice, Outgoing: true, Time: 1}))
	})
	find := func(when string) {
		t.Helper()
		for _, id := range []keys.MessageID{off, on} {
			got, err := s.FindMessages(t.Context(), id.Tail(4))
			if err != nil || !slices.Equal(got, []Named{{mesh, id, true}}) {
				t.Errorf("%s: %v, %v", when, got, err)
			}
		}
	}
	find("at first")
	if err := s.Tidy(t.Context(), mesh, Keep+2); err != nil {
		t.Fatal(err)
	}
	do(t, s, func(tx *Tx) error {
		if _, err := tx.FindHistory(on); !errors.Is(err, ErrNotFound) {
			t.Errorf("the history still has it: %v", err)
		}
		return nil
	})
	find("later")
}

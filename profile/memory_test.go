package profile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/wire"
)

// What is remembered by the writers of two processes is what stands in state.db,
// whatever either does or fails to do.
func TestMemoryIsTrue(t *testing.T) {
	p := newProfile(t)
	states := []*State{openState(t, p), openState(t, p)}
	for n, s := range states {
		l, err := s.StartSession(t.Context(), mesh, SessionInfo{ID: session(byte(n + 1)), Label: "x", Started: int64(n)})
		if err != nil {
			t.Fatal(err)
		}
		defer l.End(t.Context())
	}
	rng := rand.New(rand.NewPCG(1, 2))
	boom := errors.New("boom")
	var places []int64
	any := func() int64 { return places[rng.IntN(len(places))] }
	for step := range 200 {
		s := states[rng.IntN(2)]
		var put *delivery.InboxRow
		err := s.Update(t.Context(), mesh, func(tx *Tx) (err error) {
			put = nil
			for range 1 + rng.IntN(3) {
				row := inboxRow(byte(step))
				switch op := rng.IntN(9); {
				case op <= 2 || len(places) == 0:
					row.Arrived = int64(step)
					put, err = row, tx.PutInbox(row)
				case op == 3:
					row.Place = any()
					if err = tx.SetInbox(row); errors.Is(err, ErrNotFound) {
						err = nil
					}
				case op == 4:
					err = tx.ShowInbox(session(1), any(), any())
				case op == 5:
					err = tx.DropInbox(any(), any())
				case op == 6:
					err = tx.SetStream(delivery.Stream{StreamKey: row.StreamKey, Shown: uint64(step)})
				case op == 7:
					err = tx.SetTrust(Trust{Who: "bob", Policy: delivery.Policy(step % 3)})
				default:
					err = tx.SetActive(session(byte(1+step%2)), delivery.Status(step%2), int64(step)*400)
				}
				if err != nil {
					return err
				}
			}
			if rng.IntN(6) == 0 {
				return boom
			}
			return nil
		})
		if err != nil && !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if put != nil && err == nil {
			places = append(places, put.Place)
		}
		var remembered, stored []string
		do(t, states[rng.IntN(2)], func(tx *Tx) (err error) { remembered, err = known(tx, places); return err })
		if err := s.View(t.Context(), mesh, func(tx *Tx) (err error) { stored, err = known(tx, places); return err }); err != nil {
			t.Fatal(err)
		}
		if len(remembered) != len(stored) {
			t.Fatalf("step %d: %d remembered, %d stored", step, len(remembered), len(stored))
		}
		for i := range stored {
			if remembered[i] != stored[i] {
				t.Fatalf("step %d: remembered\n%s\nstored\n%s", step, remembered[i], stored[i])
			}
		}
	}
}

// known is all that may be remembered, as texts.
func known(tx *Tx, places []int64) (all []string, err error) {
	v, err := tx.InboxView(20)
	left, err2 := tx.InInbox(places...)
	device, user, err3 := tx.Policies("bob@desk", "bob")
	stream, err4 := tx.Stream(inboxRow(0).StreamKey)
	for _, row := range v.Rows {
		all = append(all, fmt.Sprintf("%+v", row))
	}
	all = append(all, fmt.Sprint(v.Streams), fmt.Sprint(v.Sessions), fmt.Sprint(left), fmt.Sprint(device, user), fmt.Sprint(stream))
	return all, errors.Join(err, err2, err3, err4)
}

// Numbers are given out once, whoever shares a commit with one that fails, and go on
// where another process ended.
func TestNumbersOfAFailedCommit(t *testing.T) {
	p := newProfile(t)
	states := []*State{openState(t, p), openState(t, p)}
	boom := errors.New("boom")
	var numbers [6]uint64
	for round := range 2 {
		s := states[round]
		busy, free := make(chan struct{}), make(chan struct{})
		s.Submit(mesh, func(*Tx) error { close(busy); <-free; return nil }, func(error) {})
		<-busy
		done := make(chan error, 3)
		for i := range 3 {
			s.Submit(mesh, func(tx *Tx) (err error) {
				if numbers[3*round+i], err = tx.NextNumber(session(1), delivery.Audience{1}, wire.PriorityNext); err == nil && i == 1 {
					err = boom
				}
				return err
			}, func(err error) { done <- err })
		}
		close(free)
		for i := range 3 {
			if err := <-done; (i == 1) != errors.Is(err, boom) {
				t.Fatal(i, err)
			}
		}
	}
	if numbers != [6]uint64{1, 2, 2, 3, 4, 4} {
		t.Fatal(numbers)
	}
}

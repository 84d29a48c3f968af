package profile

import (
	"errors"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
)

func TestThread(t *testing.T) {
	s := newState(t)
	do(t, s, func(tx *Tx) error {
		var errs []error
		for n := byte(1); n <= 6; n++ {
			m := &Message{ID: id(n), From: bob, Kind: "message", Time: int64(n), Outgoing: n%2 == 0, Depth: int(n), Thread: id(1), Body: "body"}
			switch n {
			case 1:
				m.Thread = keys.MessageID{} // it begins the thread
			case 3:
				m.Thread = id(9)
			}
			errs = append(errs, tx.PutHistory(m))
		}
		return errors.Join(errs...)
	})
	do(t, s, func(tx *Tx) error {
		for limit, want := range map[int][]byte{10: {1, 2, 4, 5, 6}, 2: {5, 6}} {
			turns, err := tx.Thread(id(1), limit)
			if err != nil || len(turns) != len(want) {
				t.Errorf("limit %d: %+v: %v", limit, turns, err)
				continue
			}
			for i, n := range want {
				if turns[i].ID != id(n) {
					t.Errorf("limit %d: turn %d is %s", limit, i, turns[i].ID)
				}
			}
		}
		if turns, err := tx.Thread(id(9), 10); err != nil || len(turns) != 1 {
			t.Errorf("one whose first message is not there: %+v: %v", turns, err)
		}
		if _, err := tx.Thread(id(77), 10); !errors.Is(err, ErrNotFound) {
			t.Errorf("no thread: %v", err)
		}
		if count, deepest, err := tx.CountAutomatic(2); err != nil || count != 2 || deepest != 6 {
			t.Errorf("%d automatic messages, depth %d: %v", count, deepest, err)
		}
		return nil
	})
}

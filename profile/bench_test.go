package profile

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// benchID makes ids that differ, also in their tails.
func benchID(n int) (id keys.MessageID) {
	binary.BigEndian.PutUint64(id[:8], uint64(n))
	binary.BigEndian.PutUint64(id[8:], uint64(n)*0x9e3779b97f4a7c15)
	return id
}

// inFlight runs n transactions, with so many under way.
func inFlight(b *testing.B, s *State, n, bound int, fn func(*Tx, int) error) {
	free := make(chan struct{}, bound)
	for i := range n {
		free <- struct{}{}
		s.Submit(mesh, func(tx *Tx) error { return fn(tx, i) }, func(err error) {
			if err != nil {
				b.Error(err)
			}
			<-free
		})
	}
	for range bound {
		free <- struct{}{}
	}
}

// Messages are taken into the inbox, and seen: looked up, put, then dropped and
// moved to the history.
func BenchmarkReceived(b *testing.B) {
	for _, bound := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("inflight=%d", bound), func(b *testing.B) {
			s := newState(b)
			sealed := make([]byte, 400)
			b.ReportAllocs()
			b.ResetTimer()
			inFlight(b, s, b.N, bound, func(tx *Tx, i int) error {
				row := inboxRow(1)
				row.ID, row.Sealed = benchID(i), sealed
				known, err := tx.Take(bob, row.ID, 1<<50)
				if err != nil || known {
					return fmt.Errorf("known %v: %w", known, err)
				}
				return tx.PutInbox(row)
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// Messages are put into the outbox with their metadata, acknowledged, and let
// go of.
func BenchmarkSent(b *testing.B) {
	for _, bound := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("inflight=%d", bound), func(b *testing.B) {
			s := newState(b)
			sealed := make([]byte, 400)
			places := make([]int64, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			inFlight(b, s, b.N, bound, func(tx *Tx, i int) error {
				row := &delivery.OutboxRow{Session: session(1), ID: benchID(i), Sealed: sealed,
					To: []delivery.Target{{Key: bob, State: wire.StatePending}}}
				if err := tx.PutOutbox(row); err != nil {
					return err
				}
				places[i] = row.Place
				if err := tx.PutSent(&Sent{ID: row.ID, Session: session(1), Address: "bob", Kind: "message",
					To: []SentTo{{Key: bob, State: wire.StatePending, Steps: []Step{{wire.StatePending, 5, WordSelf, ""}}}}}, true); err != nil {
					return err
				}
				if i < bound { // the acknowledgement of one of before comes in the same time
					return nil
				}
				if _, _, err := tx.Advance(Said{ID: benchID(i - bound), To: bob, State: wire.StateDelivered, Time: 9, Word: WordBroker}); err != nil {
					return err
				}
				tx.DropOutbox(places[i-bound])
				return nil
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// What every command pays: state.db opened and closed, no other process having
// it open.
func BenchmarkOpenState(b *testing.B) {
	p := newProfile(b)
	for b.Loop() {
		s, err := p.OpenState(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

package store

import (
	"errors"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// A flush that shares its commit with something that fails is run anew: each batch is
// carried out once, and answered once.
func TestFlushRunsAnew(t *testing.T) {
	s, mesh := openNew(t)
	busy, free := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Add(3)
	s.db.Submit(func(*sqlite.Tx) error { close(busy); <-free; return nil }, func(error) { all.Done() })
	<-busy
	row := &delivery.Row{Message: &delivery.Message{From: keys.Public{1}, ID: keys.MessageID{1}, Sealed: []byte("x")}, To: keys.Public{2}, N: 1}
	claim := &delivery.Claim{From: keys.Public{1}, ID: keys.MessageID{1}, By: keys.Public{2}, Expires: 5}
	s.Submit(Batch{Mesh: mesh, Ops: []delivery.Effect{{Kind: delivery.EffectSave, Row: row}, {Kind: delivery.EffectClaim, Seq: 7, Claim: claim}}},
		func(claims []delivery.ClaimResult, err error) {
			defer all.Done()
			if err != nil || len(claims) != 1 || claims[0].Seq != 7 {
				t.Errorf("claims %v, error %v", claims, err)
			}
		})
	boom := errors.New("boom")
	s.db.Submit(func(*sqlite.Tx) error { return boom }, func(err error) {
		defer all.Done()
		if !errors.Is(err, boom) {
			t.Errorf("error %v", err)
		}
	})
	close(free)
	all.Wait()
	if n := s.number(t, "SELECT count(*) FROM queue"); n != 1 {
		t.Fatalf("%d rows", n)
	}
}

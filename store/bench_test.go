package store_test

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// queueBench is a store with a mesh, and makes rows.
type queueBench struct {
	s     store.Store
	mesh  keys.MeshID
	peers []keys.Public
	next  []uint64
	body  []byte
	made  uint64
}

func newQueueBench(b *testing.B, size int) *queueBench {
	b.Helper()
	s, err := store.OpenSQLite(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	q := &queueBench{s: s, mesh: keys.MeshID{1}, peers: make([]keys.Public, 16), next: make([]uint64, 16), body: make([]byte, size)}
	e := store.Entry{Signed: []byte("genesis"), Sig: []byte("sig")}
	if err := s.CreateMesh(b.Context(), store.NewMesh{ID: q.mesh, Entries: []store.Entry{e}, Head: store.Head{Signed: []byte("h"), Sig: []byte("s")}}); err != nil {
		b.Fatal(err)
	}
	for i := range q.peers {
		q.peers[i] = keys.Public{byte(i + 1)}
	}
	return q
}

// row makes a direct message from one of 8 peers to another of 8.
func (q *queueBench) row() *delivery.Row {
	q.made++
	to := 8 + int(q.made)%8
	q.next[to]++
	m := &delivery.Message{From: q.peers[q.made%8], Expires: 1 << 41, Sent: 1 << 40, Sealed: q.body}
	binary.BigEndian.PutUint64(m.ID[:8], q.made)
	binary.BigEndian.PutUint64(m.ID[8:], q.made*0x9e3779b97f4a7c15)
	return &delivery.Row{Message: m, To: q.peers[to], Lane: delivery.LaneNext, N: q.next[to]}
}

func saveOp(r *delivery.Row) delivery.Effect {
	return delivery.Effect{Kind: delivery.EffectSave, Row: r}
}
func dropOp(r *delivery.Row) delivery.Effect {
	return delivery.Effect{Kind: delivery.EffectDrop, Peer: r.To, Lane: r.Lane, N: r.N}
}

// run submits n batches, with so many in flight.
func (q *queueBench) run(b *testing.B, n, inFlight int, ops func() []delivery.Effect) {
	free := make(chan struct{}, inFlight)
	for range n {
		free <- struct{}{}
		q.s.Submit(store.Batch{Mesh: q.mesh, Ops: ops()}, func(_ []delivery.ClaimResult, err error) {
			if err != nil {
				b.Error(err)
			}
			<-free
		})
	}
	for range inFlight {
		free <- struct{}{}
	}
}

// Rows committed one by one, each its own batch, with a bound on how many are
// in flight.
func BenchmarkQueued(b *testing.B) {
	for _, size := range []int{256, 4096} {
		for _, inFlight := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("size=%d/inflight=%d", size, inFlight), func(b *testing.B) {
				q := newQueueBench(b, size)
				b.ReportAllocs()
				b.ResetTimer()
				q.run(b, b.N, inFlight, func() []delivery.Effect { return []delivery.Effect{saveOp(q.row())} })
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}

// Each message is saved, and dropped some messages later, as with recipients
// that answer within a commit or some.
func BenchmarkQueuedAndTaken(b *testing.B) {
	for _, behind := range []int{100, 2000} {
		b.Run(fmt.Sprintf("inflight=512/behind=%d", behind), func(b *testing.B) {
			q := newQueueBench(b, 256)
			var waiting []*delivery.Row
			b.ResetTimer()
			q.run(b, b.N, 512, func() []delivery.Effect {
				r := q.row()
				ops := []delivery.Effect{saveOp(r)}
				if waiting = append(waiting, r); len(waiting) > behind {
					ops = append(ops, dropOp(waiting[0]))
					waiting = waiting[1:]
				}
				return ops
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// A long queue is read and let go of page by page, by all recipients at once.
func BenchmarkDrained(b *testing.B) {
	q := newQueueBench(b, 256)
	rows := make([]*delivery.Row, b.N)
	for i := range rows {
		rows[i] = q.row()
	}
	i := 0
	q.run(b, b.N, 4096, func() []delivery.Effect { i++; return []delivery.Effect{saveOp(rows[i-1])} })
	b.ResetTimer()
	var wg sync.WaitGroup
	for _, to := range q.peers[8:] {
		wg.Go(func() { q.drain(b, to) })
	}
	wg.Wait()
	if _, err := q.s.Write(b.Context(), store.Batch{}); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// drain reads a lane in windows, and drops each before it reads the next.
func (q *queueBench) drain(b *testing.B, to keys.Public) {
	for from, more := uint64(0), true; more; {
		f, err := q.s.Fetch(b.Context(), q.mesh, &delivery.Fetch{Kind: delivery.FetchLane, To: to, Lane: delivery.LaneNext,
			From: from, Limit: wire.WindowMessages, Bytes: wire.WindowBytes})
		if err != nil {
			b.Error(err)
			return
		}
		var ops []delivery.Effect
		for _, r := range f.Rows {
			from = r.N + 1
			ops = append(ops, dropOp(r))
		}
		more = f.More
		q.s.Submit(store.Batch{Mesh: q.mesh, Ops: ops}, func(_ []delivery.ClaimResult, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
}

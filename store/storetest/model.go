package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// model is what a queue is, in the simplest form.
type model struct {
	rows map[modelPlace]*delivery.Row
}

type modelPlace struct {
	to   keys.Public
	lane delivery.Lane
	n    uint64
}

func (m *model) save(r *delivery.Row) {
	for _, have := range m.rows {
		if have.From == r.From && have.ID == r.ID && have.To == r.To {
			return
		}
	}
	m.rows[modelPlace{r.To, r.Lane, r.N}] = r
}

// lane lists a lane's rows by number.
func (m *model) lane(to keys.Public, l delivery.Lane) []*delivery.Row {
	var rows []*delivery.Row
	for p, r := range m.rows {
		if p.to == to && p.lane == l {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, func(a, b *delivery.Row) int { return int(a.N) - int(b.N) })
	return rows
}

// testAgainstModel runs random batches against store and model, many in flight,
// and compares all lanes now and then.
func testAgainstModel(t *testing.T, open Open) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	w := begin(t, open)
	m := model{rows: map[modelPlace]*delivery.Row{}}
	peers := make([]keys.Public, 5)
	for i := range peers {
		peers[i] = w.peer()
	}
	next := map[keys.Public]uint64{}
	var recent []*delivery.Message
	compare := func() {
		t.Helper()
		w.write() // answered behind all that was submitted
		for _, to := range peers {
			for l := delivery.LaneNow; l <= delivery.LaneReceipt; l++ {
				w.same(fmt.Sprintf("lane %d", l), w.lane(to, l), m.lane(to, l)...)
			}
		}
	}
	for step := range 400 {
		var ops []delivery.Effect
		for range rng.IntN(6) {
			if rng.IntN(5) < 2 {
				if places := slices.Collect(maps.Keys(m.rows)); len(places) > 0 {
					p := places[rng.IntN(len(places))]
					ops = append(ops, delivery.Effect{Kind: delivery.EffectDrop, Peer: p.to, Lane: p.lane, N: p.n})
					delete(m.rows, p)
				}
				continue
			}
			var msg *delivery.Message
			if len(recent) > 0 && rng.IntN(6) == 0 {
				msg = recent[rng.IntN(len(recent))] // sent again
			} else {
				msg = w.randomMessage(rng, peers)
				recent = append(recent, msg)
			}
			for _, r := range w.randomRows(rng, msg, peers, next) {
				ops = append(ops, delivery.Effect{Kind: delivery.EffectSave, Row: r})
				m.save(r)
			}
		}
		w.s.Submit(store.Batch{Mesh: w.mesh, Ops: ops}, func(_ []delivery.ClaimResult, err error) {
			if err != nil {
				t.Errorf("step %d: %v", step, err)
			}
		})
		if rng.IntN(40) == 0 {
			compare()
		}
	}
	compare()
}

// randomMessage makes a message; box or no box is decided by its id, so that
// all its rows agree.
func (w *world) randomMessage(rng *rand.Rand, peers []keys.Public) *delivery.Message {
	msg := w.message(peers[rng.IntN(len(peers))], wire.Priority(rng.IntN(3)), false)
	switch rng.IntN(4) {
	case 0:
		msg.One = true
	case 1:
		msg.Class = wire.ClassReceipt
	}
	return msg
}

// randomRows makes rows of a message: one of a direct one, else several.
func (w *world) randomRows(rng *rand.Rand, msg *delivery.Message, peers []keys.Public, next map[keys.Public]uint64) (rows []*delivery.Row) {
	direct := !msg.One && msg.ID[15]%2 == 0
	for _, i := range rng.Perm(len(peers)) {
		to := peers[i]
		var box []byte
		if direct {
			to = peers[int(msg.ID[15])/2%len(peers)] // always the same
		} else {
			box = fmt.Appendf(nil, "box of %x", to[31:])
		}
		next[to]++
		rows = append(rows, w.row(msg, to, next[to], box))
		if direct || len(rows) > rng.IntN(len(peers)) {
			break
		}
	}
	return rows
}

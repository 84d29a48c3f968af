// Package storetest is the suite that every implementation of store.Store
// passes: what the broker relies on, seen from outside.
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Open opens a store. The same place, once closed, is the same store again;
// another place is another one. Places are folders that exist.
type Open func(t testing.TB, place string) store.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"Meshes":            testMeshes,
		"CreateToken":       testCreateToken,
		"ChainCAS":          testChainCAS,
		"ChainPages":        testChainPages,
		"ChannelChain":      testChannelChain,
		"LaneOrder":         testLaneOrder,
		"LaneFilters":       testLaneFilters,
		"SavedOnce":         testSavedOnce,
		"SharedBody":        testSharedBody,
		"DropKeepsOthers":   testDropKeepsOthers,
		"DropRuns":          testDropRuns,
		"SaveThenDrop":      testSaveThenDrop,
		"PlaceTaken":        testPlaceTaken,
		"Trim":              testTrim,
		"Claims":            testClaims,
		"Outcomes":          testOutcomes,
		"Trace":             testTrace,
		"Sweep":             testSweep,
		"Expired":           testExpired,
		"PeerAndMessage":    testPeerAndMessage,
		"Left":              testLeft,
		"Backlog":           testBacklog,
		"Waiting":           testWaiting,
		"SubmitOrder":       testSubmitOrder,
		"FetchSeesAnswered": testFetchSeesAnswered,
		"BadBatchAlone":     testBadBatchAlone,
		"SubmitFromDone":    testSubmitFromDone,
		"MeshesApart":       testMeshesApart,
		"SurvivesReopening": testSurvivesReopening,
		"Closed":            testClosed,
		"Cards":             testCards,
		"Presence":          testPresence,
		"Audit":             testAudit,
		"Settings":          testSettings,
		"AgainstModel":      testAgainstModel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// world is an open store with one mesh in it, and makes what tests need, each
// thing different from all others and the same in every run.
type world struct {
	t     *testing.T
	ctx   context.Context
	s     store.Store
	mesh  keys.MeshID
	count uint64
}

// begin opens a store in a new place, with a mesh.
func begin(t *testing.T, open Open) *world {
	w := &world{t: t, ctx: t.Context(), s: open(t, t.TempDir())}
	t.Cleanup(func() {
		if err := w.s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w.mesh = w.newMesh()
	return w
}

// must ends the test on an error.
func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// fill makes bytes that were not made before.
func (w *world) fill(b []byte) {
	w.count++
	binary.BigEndian.PutUint64(b[len(b)-8:], w.count)
	b[0] = 0xa5
}

func (w *world) peer() (k keys.Public)       { w.fill(k[:]); return k }
func (w *world) id() (m keys.MessageID)      { w.fill(m[:]); return m }
func (w *world) session() (s keys.SessionID) { w.fill(s[:]); return s }
func (w *world) hash() (h [32]byte)          { w.fill(h[:]); return h }

func (w *world) entry(n uint64) store.Entry {
	h := w.hash()
	return store.Entry{N: n, Hash: h, Signed: fmt.Appendf(nil, "entry %d %x", n, h), Sig: []byte("sig")}
}

func (w *world) headOver(e store.Entry) store.Head {
	return store.Head{N: e.N, Hash: e.Hash, Time: 1000 + int64(e.N), Life: 1, Signed: fmt.Appendf(nil, "head %d", e.N), Sig: []byte("hsig")}
}

// newMesh creates a mesh of three entries.
func (w *world) newMesh() (id keys.MeshID) {
	w.t.Helper()
	w.fill(id[:])
	m := store.NewMesh{ID: id, Name: "acme", Created: 5, Entries: []store.Entry{w.entry(0), w.entry(1), w.entry(2)}}
	m.Head = w.headOver(m.Entries[2])
	w.must(w.s.CreateMesh(w.ctx, m))
	return id
}

// message makes a message of a priority, to nobody yet.
func (w *world) message(from keys.Public, p wire.Priority, one bool) *delivery.Message {
	id := w.id()
	return &delivery.Message{From: from, ID: id, Priority: p, One: one, Expires: 1_000_000, Sent: 500,
		Sealed: fmt.Appendf(nil, "sealed %x", id)}
}

// direct makes a message and its row.
func (w *world) direct(from, to keys.Public, n uint64) *delivery.Row {
	return w.row(w.message(from, wire.PriorityNext, false), to, n, nil)
}

// row makes a row of a message.
func (w *world) row(m *delivery.Message, to keys.Public, n uint64, box []byte) *delivery.Row {
	return &delivery.Row{Message: m, To: to, N: n, Box: box, Lane: delivery.LaneOf(m.Class, m.Priority, m.One)}
}

func save(rows ...*delivery.Row) (ops []delivery.Effect) {
	for i, r := range rows {
		ops = append(ops, delivery.Effect{Kind: delivery.EffectSave, Seq: uint64(i + 1), Row: r})
	}
	return ops
}

func drop(rows ...*delivery.Row) (ops []delivery.Effect) {
	for _, r := range rows {
		ops = append(ops, delivery.Effect{Kind: delivery.EffectDrop, Peer: r.To, Lane: r.Lane, N: r.N})
	}
	return ops
}

// write writes ops as one batch.
func (w *world) write(ops ...delivery.Effect) []delivery.ClaimResult {
	w.t.Helper()
	claims, err := w.s.Write(w.ctx, store.Batch{Mesh: w.mesh, Ops: ops})
	w.must(err)
	return claims
}

// fetch fetches in the world's mesh.
func (w *world) fetch(f delivery.Fetch) store.Fetched {
	w.t.Helper()
	got, err := w.s.Fetch(w.ctx, w.mesh, &f)
	w.must(err)
	return got
}

// lane fetches a whole lane.
func (w *world) lane(to keys.Public, l delivery.Lane) []*delivery.Row {
	w.t.Helper()
	got := w.fetch(delivery.Fetch{Kind: delivery.FetchLane, To: to, Lane: l})
	if got.More {
		w.t.Fatal("more without a limit")
	}
	return got.Rows
}

// equalRow compares all that is kept of a row.
func equalRow(a, b *delivery.Row) bool {
	return a.To == b.To && a.Lane == b.Lane && a.N == b.N && a.Session == b.Session && string(a.Box) == string(b.Box) &&
		a.From == b.From && a.ID == b.ID && a.Class == b.Class && a.Priority == b.Priority && a.One == b.One &&
		a.Expires == b.Expires && a.Sent == b.Sent && string(a.Sealed) == string(b.Sealed)
}

// same compares rows in order.
func (w *world) same(what string, got []*delivery.Row, want ...*delivery.Row) {
	w.t.Helper()
	if len(got) != len(want) {
		w.t.Fatalf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range got {
		if !equalRow(got[i], want[i]) {
			w.t.Fatalf("%s, row %d: %+v of %+v, want %+v of %+v", what, i, *got[i], *got[i].Message, *want[i], *want[i].Message)
		}
	}
}

// is ends the test where err is not what is wanted.
func (w *world) is(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) {
		w.t.Fatalf("error %v, want %v", err, want)
	}
}

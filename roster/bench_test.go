package roster_test

import (
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// bigMesh is a chain in which many joined by one link.
func bigMesh(b *testing.B, members int) []chain.Signed {
	b.Helper()
	var state roster.State
	var entries []chain.Signed
	add := func(e chain.Signed, err error) {
		if err != nil {
			b.Fatal(err)
		}
		next, void := state.Apply(e)
		if void != nil {
			b.Fatal(void)
		}
		state, entries = next, append(entries, e)
	}
	add(genesis(b), nil)
	link := chain.Invite{Key: public("link"), Rank: chain.RankMember, Expires: start + day, Uses: chain.MaxUses, Kinds: []chain.Kind{chain.KindAgent}}
	add(state.Sign(start, link, secret("owner")))
	for i := range members {
		name := fmt.Sprintf("u%d@d", i)
		add(state.Sign(start, join(name[:len(name)-2], "d"), secret("link"), secret(name)))
	}
	return entries
}

// What a process pays at its start for each member: the fold of what it kept.
func BenchmarkLoad(b *testing.B) {
	const members = 1000
	entries := objects(bigMesh(b, members))
	mesh := chain.MeshIDOf(genesis(b))
	b.ReportAllocs()
	for b.Loop() {
		r, err := roster.Load(mesh, keys.Public{}, entries, signed.Object{})
		if err != nil || r.State().Count() != members {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/members, "µs/member")
}

// What an append costs in a mesh of 1,000: no more than in a small one.
func BenchmarkApply(b *testing.B) {
	entries := bigMesh(b, 1001)
	var state roster.State
	for _, e := range entries[:len(entries)-1] {
		state, _ = state.Apply(e)
	}
	last := entries[len(entries)-1]
	b.ReportAllocs()
	for b.Loop() {
		if _, void := state.Apply(last); void != nil {
			b.Fatal(void)
		}
	}
}

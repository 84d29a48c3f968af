package chain

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Fork is the proof that a broker signed two orders in one life: two heads, of
// which the upper one does not lead to the lower one. An honest broker never makes
// such heads: when it starts, finds that it was restored, or orders a heal, it
// counts up its life. As JSON it can be shown to anybody who knows the broker's key. [CM-5.47]
type Fork struct {
	Lower signed.Object `json:"lower"` // head at the lower place, or at the same
	Upper signed.Object `json:"upper"`
	// Entries are the upper head's, from the place after the lower head up to the
	// upper head. Empty where both are at one place.
	Entries []signed.Object `json:"entries"`
}

// ProveFork makes the proof that two heads contradict each other. entries are those
// that lead to the head at the higher place, from any place up to the one after the
// other head. The proof verifies only if the heads do contradict each other.
func ProveFork(a, b SignedHead, entries []Signed) Fork {
	if a.Head.N > b.Head.N {
		a, b = b, a
	}
	f := Fork{Lower: a.Object, Upper: b.Object, Entries: []signed.Object{}}
	for _, e := range entries {
		if e.Entry.N > a.Head.N && e.Entry.N <= b.Head.N {
			f.Entries = append(f.Entries, e.Object)
		}
	}
	return f
}

// Verify checks the proof against a broker's key. It is nil where the broker is
// proved to have signed two orders; errors wrap [ErrBroken]. [CM-5.47]
func (f Fork) Verify(broker keys.Public) error {
	lower, err := DecodeHead(f.Lower)
	if err != nil {
		return err
	}
	upper, err := DecodeHead(f.Upper)
	if err != nil {
		return err
	}
	for _, h := range []SignedHead{lower, upper} {
		if err := h.Verify(broker); err != nil {
			return err
		}
	}
	a, b := lower.Head, upper.Head
	switch {
	case a.Mesh != b.Mesh || a.Chain != b.Chain:
		return broken("no fork: the heads are of two chains")
	case a.Life != b.Life:
		return broken("no fork: the heads are of two lives, so the broker was restored")
	case a.N > b.N || uint64(len(f.Entries)) != b.N-a.N:
		return broken("no fork: %d entries do not lead from place %d to %d", len(f.Entries), b.N, a.N)
	}
	// Only hashes bind the entries to the upper head, so what they say and who
	// signed them does not matter here.
	want := b.Hash
	for i := len(f.Entries) - 1; i >= 0; i-- {
		e, err := readUnverified(f.Entries[i])
		if err != nil {
			return err
		}
		if e.Hash != want || e.Entry.N != a.N+1+uint64(i) {
			return broken("no fork: entry %d does not lead to its head", i)
		}
		want = e.Entry.Prev
	}
	if want == a.Hash {
		return broken("no fork: one head leads to the other")
	}
	return nil
}

package delivery

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
)

// TestLateTickKeepsTheBucket: when a tick comes late, a recipient can be due
// again in the very bucket that is being looked at.
func TestLateTickKeepsTheBucket(t *testing.T) {
	const start = 1000
	b := NewBroker(start, BrokerOptions{})
	p := b.peer(keys.Public{1})
	first := &item{to: p, place: placeOut, due: start + 5}
	second := &item{to: p, place: placeOut, due: start + 13} // 8 ms on: the same bucket
	first.graceNext, p.graceFirst, p.graceLast, b.grace = second, first, second, 2
	b.lookAt(p)
	for _, step := range []struct{ now, saves int }{{start + 12, 1}, {start + 13, 2}} {
		b.now = int64(step.now)
		b.tickGrace()
		if len(b.saving) != step.saves {
			t.Fatalf("at %d: %d saves asked for, want %d", step.now, len(b.saving), step.saves)
		}
	}
	if b.grace != 0 {
		t.Fatalf("%d commits still wait", b.grace)
	}
}

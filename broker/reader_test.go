package broker

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/wire"
)

// heap is what the process holds now.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A recipient that stays connected and reads nothing costs the broker a little memory,
// however much is sent to it, and nobody else a moment. All of it is in the queue, and
// comes, in order and once, when the recipient is back.
func TestConsumerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, size, bound = 1000, 32 << 10, 12 << 20
		w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.DiscardHandler) })
		bob, carol, dan := w.join("bob", "desk"), w.join("carol", "mac"), w.join("dan", "pi")
		w.hello(bob, wire.ReceivesLive) // reads nothing any more
		a := w.hello(w.alice, wire.ReceivesReplies)
		c, d := w.hello(carol, wire.ReceivesReplies), w.hello(dan, wire.ReceivesLive)
		before, grown := heap(), int64(-1<<62)
		for i := range messages {
			a.wantAck(a.message(bob.Public(), fmt.Sprint(i, " ", strings.Repeat("x", size))), wire.StateQueued)
			if i%100 != 50 {
				continue
			}
			grown = max(grown, heap()-before)
			began := time.Now()
			id := c.message(dan.Public(), "between others")
			if _, text := d.receive(); text != "between others" {
				t.Fatalf("got %q", text)
			}
			c.wantAck(id, wire.StateDelivered)
			if d := time.Since(began); d != 0 {
				t.Errorf("others wait %v", d)
			}
		}
		t.Logf("%d MiB for who does not read: the heap grew by %d KiB at most", messages*size>>20, grown>>10)
		if grown > bound {
			t.Errorf("the heap grew by %d MiB", grown>>20)
		}
		b := w.hello(bob, wire.ReceivesLive)
		for i := range messages {
			if _, text := b.receive(); !strings.HasPrefix(text, fmt.Sprint(i, " ")) {
				t.Fatalf("%.20q comes as %d", text, i)
			}
		}
	})
}

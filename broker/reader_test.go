package broker

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/store"
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

// A broker that is stopped writes the audit rows that wait for their batch: with the
// message's row less than a second old, nothing is missing and the chain of hashes holds.
func TestAuditIsWrittenAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		<-time.After(5 * time.Second) // what came before is written
		a := w.hello(w.alice, wire.ReceivesReplies)
		const messages = 5
		for i := range messages {
			a.wantAck(a.message(bob.Public(), fmt.Sprint(i)), wire.StateQueued)
		}
		count := func(s store.Store) (n int) {
			for _, r := range must(s.AuditLog(t.Context(), w.mesh, 0, 100)) {
				if r.Event == auditMessage {
					n++
				}
			}
			return n
		}
		if n := count(w.b.store); n == messages {
			t.Fatal("the rows are written at once: this test shows nothing")
		}
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		s, err := store.OpenSQLite(t.Context(), w.opts.Dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if n := count(s); n != messages {
			t.Errorf("%d messages in the audit log, %d were taken", n, messages)
		}
		if err := s.CheckAudit(t.Context(), w.mesh); err != nil {
			t.Error(err)
		}
	})
}

package broker

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// burst sends n messages and gives their ids.
func (c *client) burst(to keys.Public, n int) (ids []keys.MessageID) {
	for i := range n {
		ids = append(ids, c.message(to, fmt.Sprint("message ", i)))
	}
	return ids
}

// A peer that sends more than is taken of it is told so by the first message that has to
// wait, and all of them arrive, once and in order, though it goes on sending. Its other
// connections count with it; nobody else waits for it.
func TestMessagesOfOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit, sent = 10, 25
		w := newWorld(t, func(o *Options) { o.Limits.Messages = limit })
		bob, carol := w.join("bob", "desk"), w.join("carol", "mac")
		a, b, c := w.hello(w.alice, wire.ReceivesLive), w.hello(bob, wire.ReceivesLive), w.hello(carol, wire.ReceivesLive)
		other := w.hello(w.alice, wire.ReceivesNone)
		began := time.Now()
		written := make(chan []keys.MessageID)
		go func() { written <- a.burst(bob.Public(), sent) }()

		// What may come at once comes, and then no time has passed yet.
		for i := range limit {
			if _, text := b.receive(); text != fmt.Sprint("message ", i) {
				t.Fatalf("message %d is %q", i, text)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("they took %v", d)
		}
		other.message(bob.Public(), "of another connection")
		if e := other.wantError(wire.CodeRate); len(e.IDs) != 1 {
			t.Errorf("another connection of the peer: %+v", e)
		}
		c.wantAck(c.message(w.alice.Public(), "of another peer"), wire.StateQueued)
		if d := time.Since(began); d > wire.CommitWait*time.Millisecond { // its recipient says nothing
			t.Errorf("another peer waited %v", d)
		}

		// What is too much comes in its turn.
		var texts []string
		for range sent - limit + 1 {
			_, text := b.receive()
			texts = append(texts, text)
		}
		next := limit
		for _, text := range texts {
			if text == "of another connection" {
				continue
			}
			if text != fmt.Sprint("message ", next) {
				t.Fatalf("%q comes after %d", text, next-1)
			}
			next++
		}
		if d := time.Since(began); d < 1500*time.Millisecond || d > 3*time.Second {
			t.Errorf("%d more than the limit took %v", sent-limit+1, d)
		}
		ids := <-written
		e := a.wantError(wire.CodeRate)
		if len(e.IDs) != 1 || e.IDs[0] != ids[limit] || e.RetryAfter < leastPause || e.RetryAfter > second || e.Re != 0 {
			t.Errorf("told %+v, want message %s", e, ids[limit])
		}
		for _, id := range ids {
			a.wantAck(id, wire.StateDelivered)
		}
	})
}

// A message counts once for each of its recipients.
func TestMessagesToSeveralCountForEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.Messages = 3 })
		bob, carol := w.join("bob", "desk"), w.join("carol", "mac")
		a := w.hello(w.alice, wire.ReceivesLive)
		both := func(f *wire.Send) {
			f.To = keys.Public{}
			f.Recipients = []wire.Recipient{{Key: bob.Public(), Box: []byte("b")}, {Key: carol.Public(), Box: []byte("c")}}
		}
		first := a.message(keys.Public{}, "one", both)
		a.wantAck(first, wire.StateQueued)
		second := a.message(keys.Public{}, "two", both)
		if e := a.wantError(wire.CodeRate); e.IDs[0] != second {
			t.Errorf("%+v", e)
		}
		a.wantAck(second, wire.StateQueued)
	})
}

// All peers behind one address share what is taken of it; this machine's own have none.
func TestMessagesOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.MessagesAddr = 10 })
		bob, carol := w.join("bob", "desk"), w.join("carol", "mac")
		from := func(key keys.Signer, ip string) *client {
			w.l.remote = &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}
			defer func() { w.l.remote = nil }()
			return w.hello(key, wire.ReceivesNone)
		}
		a, b := from(w.alice, "2001:db8::1"), from(bob, "2001:db8::2") // of one customer
		c, d := from(carol, "198.51.100.7"), from(w.alice, "127.0.0.1")
		for _, id := range a.burst(carol.Public(), 10) {
			a.wantAck(id, wire.StateQueued)
		}
		began := time.Now()
		late := b.message(carol.Public(), "of the same address")
		if e := b.wantError(wire.CodeRate); e.IDs[0] != late {
			t.Errorf("%+v", e)
		}
		c.wantAck(c.message(bob.Public(), "of another address"), wire.StateQueued)
		for _, id := range d.burst(bob.Public(), 20) {
			d.wantAck(id, wire.StateQueued)
		}
		if d := time.Since(began); d >= leastPause*time.Millisecond {
			t.Errorf("others waited %v", d)
		}
		b.wantAck(late, wire.StateQueued)
	})
}

// What is taken costs a few nanoseconds more for the limits.
func BenchmarkTurn(b *testing.B) {
	s := &session{b: &Broker{}}
	s.b.byPeer.limit, s.b.byPeer.per = 1<<31-1, second
	f := &wire.Send{}
	b.ReportAllocs()
	for b.Loop() {
		if !s.turn(f) {
			b.Fatal("the session ended")
		}
	}
}

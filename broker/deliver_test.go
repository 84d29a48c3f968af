package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

func TestMessageOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesLive)
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(bob.Public(), "hello bob")
		d, text := b.receive()
		if text != "hello bob" || d.ID != id || d.From != w.alice.Public() || d.Attempt != 1 || d.Sent == 0 {
			t.Fatalf("%+v %q", d, text)
		}
		a.wantAck(id, wire.StateDelivered)
		a.message(w.alice.Public(), "to myself")
	})
}

func TestMessageWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		var ids []keys.MessageID
		for i := range 20 {
			id := a.message(bob.Public(), fmt.Sprint("later ", i))
			a.wantAck(id, wire.StateQueued)
			ids = append(ids, id)
		}
		a.bye()
		w.restart()
		b := w.hello(bob, wire.ReceivesLive)
		if b.welcome.Queued != 20 {
			t.Fatalf("%d queued", b.welcome.Queued)
		}
		for i, id := range ids {
			d, text := b.receive()
			if text != fmt.Sprint("later ", i) || d.ID != id {
				t.Fatalf("%d: %+v %q", i, d, text)
			}
		}
		a = w.hello(w.alice, wire.ReceivesReplies)
		for _, id := range ids {
			a.wantAck(id, wire.StateDelivered) // the outcome waited for its sender
		}
	})
}

func TestMessageToStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.hello(w.alice, wire.ReceivesReplies)
		if got := a.wantAck(a.message(keys.Public{1}, "who?"), wire.StateRefused); got.Why != wire.WhyNotMember {
			t.Fatalf("why %s", got.Why)
		}
		if got := a.wantAck(a.message(w.owner.Public(), "boss?"), wire.StateRefused); got.Why != wire.WhyNotMember {
			t.Fatalf("why %s", got.Why)
		}
	})
}

// Each of several recipients gets its own box and no other's; who does not
// belong is refused alone.
func TestSeveralRecipients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob, carol := w.join("bob", "desk"), w.join("carol", "mac")
		b, c := w.hello(bob, wire.ReceivesLive), w.hello(carol, wire.ReceivesLive)
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(keys.Public{}, "all", func(f *wire.Send) {
			f.Recipients = []wire.Recipient{
				{Key: bob.Public(), Box: []byte("for bob")}, {Key: keys.Public{9}, Box: []byte("for nobody")},
				{Key: carol.Public(), Box: []byte("for carol")},
			}
		})
		if d, _ := b.receive(); string(d.Box) != "for bob" {
			t.Fatalf("%q", d.Box)
		}
		if d, text := c.receive(); string(d.Box) != "for carol" || text != "all" {
			t.Fatalf("%q %q", d.Box, text)
		}
		states := map[keys.Public]wire.State{}
		for len(states) < 3 {
			ack := want[*wire.Ack](a)
			if ack.IDs[0] != id {
				t.Fatalf("%+v", ack)
			}
			states[ack.To] = ack.State
		}
		if states[bob.Public()] != wire.StateDelivered || states[keys.Public{9}] != wire.StateRefused {
			t.Fatalf("%v", states)
		}
	})
}

// One device of a user shows what is for any: it claims, and is granted.
func TestOneDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		b := w.hello(bob, wire.ReceivesLive)
		one := func(to ...keys.Public) func(*wire.Send) {
			return func(f *wire.Send) {
				f.One = true
				for _, k := range to {
					f.Recipients = append(f.Recipients, wire.Recipient{Key: k, Box: []byte("box")})
				}
			}
		}
		a.message(keys.Public{}, "any", one(bob.Public()))
		d, _ := wantBoth[*wire.Deliver](b)
		if !d.Claim {
			t.Fatalf("%+v", d)
		}
		b.send(&wire.Receipt{State: wire.VerdictClaim, From: d.From, IDs: []keys.MessageID{d.ID}})
		if g := want[*wire.Grant](b); !g.Granted || g.IDs[0] != d.ID {
			t.Fatalf("%+v", g)
		}
		// Who does not belong any more is passed over while another device is left.
		id := a.message(keys.Public{}, "any that is left", one(keys.Public{9}, bob.Public(), keys.Public{8}))
		for ack := want[*wire.Ack](a); ack.IDs[0] != id || ack.State != wire.StateQueued; ack = want[*wire.Ack](a) {
			if ack.State == wire.StateRefused {
				t.Fatalf("%+v", ack)
			}
		}
		id = a.message(keys.Public{}, "none is left", one(keys.Public{9}, keys.Public{8}))
		if ack := want[*wire.Ack](a); ack.State != wire.StateRefused || ack.IDs[0] != id || ack.To != (keys.Public{8}) {
			t.Fatalf("%+v", ack)
		}
		id = a.message(keys.Public{}, "mixed", one(bob.Public(), w.alice.Public()))
		if e := a.wantError(wire.CodeMalformed); e.IDs[0] != id {
			t.Fatalf("%+v", e)
		}
	})
}

func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(bob.Public(), "where?")
		a.wantAck(id, wire.StateQueued)
		a.bye()
		w.restart()
		a = w.hello(w.alice, wire.ReceivesReplies)
		a.send(&wire.Trace{ID: 5, Message: id})
		tr := want[*wire.Trace](a)
		if tr.Re != 5 || len(tr.States) != 1 || tr.States[0].State != wire.StateQueued || tr.States[0].To != bob.Public() {
			t.Fatalf("%+v", tr)
		}
		b := w.hello(bob, wire.ReceivesLive)
		b.send(&wire.Trace{ID: 6, Message: id}) // of another's message nothing is told
		if tr := want[*wire.Trace](b); len(tr.States) != 0 {
			t.Fatalf("%+v", tr)
		}
	})
}

// TestTraceInTheEnd: a broker that remembers nothing by itself says what its sender may not
// have heard yet, who took what was for any one device, and of what was delivered nothing;
// but not where its store was restored since.
func TestTraceInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob, carol := w.join("bob", "desk"), w.join("carol", "mac")
		a := w.hello(w.alice, wire.ReceivesReplies)
		expired := a.message(carol.Public(), "too late", func(f *wire.Send) { f.Expires = now() + 1000 })
		delivered := a.message(bob.Public(), "hello")
		claimed := a.message(keys.Public{}, "any", func(f *wire.Send) {
			f.One, f.Recipients = true, []wire.Recipient{{Key: bob.Public(), Box: []byte("box")}}
		})
		for _, id := range []keys.MessageID{expired, delivered, claimed} {
			a.wantAck(id, wire.StateQueued)
		}
		a.bye()
		synctest.Wait() // the broker knows
		b := w.hello(bob, wire.ReceivesLive)
		for range 2 {
			if d, _ := wantBoth[*wire.Deliver](b); d.Claim {
				b.send(&wire.Receipt{State: wire.VerdictClaim, From: d.From, IDs: []keys.MessageID{d.ID}})
			} else {
				b.send(&wire.Receipt{From: d.From, IDs: []keys.MessageID{d.ID}})
			}
		}
		if g := want[*wire.Grant](b); !g.Granted {
			t.Fatalf("%+v", g)
		}
		b.send(&wire.Receipt{From: w.alice.Public(), IDs: []keys.MessageID{claimed}})
		<-timeAfter(2 * 60_000) // what expired is searched for
		b.bye()
		w.restart()

		asked := uint64(0)
		traced := func(id keys.MessageID) (said []string) {
			t.Helper()
			asked++
			a.send(&wire.Trace{ID: asked, Message: id})
			for {
				if tr := want[*wire.Trace](a); tr.Re == asked {
					for _, s := range tr.States {
						said = append(said, fmt.Sprint(s.State))
						if s.Time <= 0 || s.Time > now() {
							t.Errorf("%s since %d", s.State, s.Time)
						}
					}
					return said
				}
			}
		}
		a = w.hello(w.alice, wire.ReceivesReplies)
		a.wantAck(expired, wire.StateExpired)
		a.wantAck(delivered, wire.StateDelivered)
		a.wantAck(claimed, wire.StateDelivered)
		for range 50 { // they were read, and delivered is forgotten
			<-timeAfter(5_000)
			a.send(&wire.Ping{N: 1})
			want[*wire.Pong](a)
		}
		w.restart()
		a = w.hello(w.alice, wire.ReceivesReplies)
		if got := traced(expired); len(got) > 0 {
			t.Errorf("what was heard is kept: %v", got)
		}
		if got := traced(delivered); len(got) > 0 {
			t.Errorf("what was delivered and heard is kept: %v", got)
		}
		if got := traced(claimed); !slices.Equal(got, []string{"delivered"}) {
			t.Errorf("of what was claimed: %v", got)
		}
		late := a.message(carol.Public(), "too late again", func(f *wire.Send) { f.Expires = now() + 1000 })
		a.wantAck(late, wire.StateQueued)
		a.bye()
		synctest.Wait() // the broker knows
		<-timeAfter(2 * 60_000)
		w.restart()
		a = w.hello(w.alice, wire.ReceivesReplies)
		if got := traced(late); !slices.Equal(got, []string{"expired"}) {
			t.Errorf("of what ran out: %v", got)
		}
		waits := a.message(carol.Public(), "it waits")
		a.wantAck(waits, wire.StateQueued)

		copied := t.TempDir()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if _, err := Restore(t.Context(), w.opts.Dir, copied); err != nil {
			t.Fatal(err)
		}
		w.opts.Dir = copied
		w.start()
		a = w.hello(w.alice, wire.ReceivesReplies)
		a.send(&wire.Trace{ID: 1, Message: delivered})
		a.wantError(wire.CodeRestored)
		if got := traced(waits); !slices.Equal(got, []string{"queued"}) {
			t.Errorf("of what waits: %v", got)
		}
		a.bye()
		synctest.Wait() // the broker knows
		<-timeAfter(wire.ClockAhead)
		a = w.hello(w.alice, wire.ReceivesReplies)
		fresh := must(keys.NewMessageID(now(), rand.Reader))
		if got := traced(fresh); len(got) > 0 {
			t.Errorf("of what was made since: %v", got)
		}
	})
}

// lateReceipts is a store that gives no receipts before it may.
type lateReceipts struct {
	store.Store
	may chan struct{}
}

func (s *lateReceipts) Fetch(ctx context.Context, mesh keys.MeshID, f *delivery.Fetch) (store.Fetched, error) {
	if f.Kind == delivery.FetchLane && f.Lane == delivery.LaneReceipt {
		<-s.may
	}
	return s.Store.Fetch(ctx, mesh, f)
}

// Who was away and asks what became of a message gets the receipts that wait first:
// they say more than the broker can. [CM-7.38]
func TestTraceAfterReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &lateReceipts{may: make(chan struct{})}
		w := newWorld(t, func(o *Options) {
			late.Store = must(store.OpenSQLite(t.Context(), o.Dir))
			t.Cleanup(func() {
				if err := late.Close(); err != nil {
					t.Error(err)
				}
			})
			o.Store = late
		})
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesLive)
		b.wantAck(b.message(w.alice.Public(), "receipt", func(f *wire.Send) { f.Class = wire.ClassReceipt }), wire.StateQueued)

		acts := w.hello(w.alice, wire.ReceivesNone) // is handed none, so none is waited for
		acts.send(&wire.Trace{ID: 6, Message: keys.MessageID{1}})
		want[*wire.Trace](acts)

		a := w.hello(w.alice, wire.ReceivesReplies)
		a.send(&wire.Trace{ID: 7, Message: keys.MessageID{1}})
		synctest.Wait() // it was read
		close(late.may)
		if tr := want[*wire.Trace](a); tr.Re != 7 {
			t.Errorf("an answer to %d", tr.Re)
		}
		if !strings.Contains(a.keptTypes(), "deliver") {
			t.Errorf("the receipt was not there before the answer, but%s", a.keptTypes())
		}
		a.receive()
		a.send(&wire.Trace{ID: 8, Message: keys.MessageID{1}})
		if tr := want[*wire.Trace](a); tr.Re != 8 {
			t.Errorf("an answer to %d", tr.Re)
		}
	})
}

// A sender that is not answered is not read from: its messages stay its own.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowStore
		w := newWorld(t, func(o *Options) {
			o.Limits.InFlight = 4
			slow = newSlowStore(t, o)
		})
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		slow.hold()
		sent := make(chan keys.MessageID, 100)
		go func() {
			defer close(sent)
			for i := range 50 {
				sent <- a.message(bob.Public(), strings.Repeat("x", 1000)+fmt.Sprint(i))
			}
		}()
		synctest.Wait()
		m := must(w.b.mesh(w.mesh))
		m.mu.Lock()
		for _, s := range m.conns {
			if n := m.delivery.InFlight(s.conn); n > 4 {
				t.Errorf("%d in flight", n)
			}
		}
		m.mu.Unlock()
		slow.release()
		for id := range sent {
			a.wantAck(id, wire.StateQueued)
		}
	})
}

// What cannot be stored is not acknowledged: the sender's connection ends, and
// it comes back with it.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowStore
		w := newWorld(t, func(o *Options) {
			slow = newSlowStore(t, o)
			o.Logger = nil
		})
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		slow.fail(errors.New("disk full"))
		id := a.message(bob.Public(), "keep this")
		for {
			r, err := a.read()
			if err != nil {
				if !isEnd(err) {
					t.Fatal(err)
				}
				break
			}
			if ack, ok := r.frame.(*wire.Ack); ok && ack.State != wire.StateRefused {
				t.Fatalf("acknowledged: %+v", ack)
			}
		}
		slow.fail(nil)
		a = w.hello(w.alice, wire.ReceivesReplies)
		a.message(bob.Public(), "keep this", func(f *wire.Send) { f.ID = id })
		a.wantAck(id, wire.StateQueued)
	})
}

// What was to be deleted when the store kept nothing is deleted later: what is over does not
// come to life at the next start.
func TestStoreFailsToDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowStore
		w := newWorld(t, func(o *Options) {
			slow = newSlowStore(t, o)
			o.Logger = nil
		})
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(bob.Public(), "once")
		a.wantAck(id, wire.StateQueued)
		slow.fail(errors.New("disk full"))
		b := w.hello(bob, wire.ReceivesLive)
		b.receive()
		a.wantAck(id, wire.StateDelivered)
		synctest.Wait()
		slow.fail(nil)
		<-time.After(2 * storePause)
		rows, err := slow.Fetch(t.Context(), w.mesh, &delivery.Fetch{Kind: delivery.FetchMessage, Sender: w.alice.Public(), ID: id, Limit: 1})
		if err != nil || len(rows.Rows) != 0 {
			t.Errorf("the store has %d: %v", len(rows.Rows), err)
		}
	})
}

// A consumer that does not read blocks nobody, and costs what it may.
func TestSlowConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesLive)
		a := w.hello(w.alice, wire.ReceivesReplies)
		for i := range 64 {
			id := a.message(bob.Public(), strings.Repeat("x", 64<<10), func(f *wire.Send) {
				if i%2 == 1 {
					f.Priority = wire.PriorityNow
				}
			})
			a.wantAck(id, wire.StateQueued)
		}
		m := must(w.b.mesh(w.mesh))
		m.mu.Lock()
		for _, s := range m.conns {
			s.out.mu.Lock()
			waits := s.out.bytes
			for _, i := range s.out.items {
				if i.row != nil {
					waits += i.row.Size()
				}
			}
			if waits > wire.WindowBytes+wire.SlowConsumer {
				t.Errorf("%d bytes in memory for one connection", waits)
			}
			s.out.mu.Unlock()
		}
		m.mu.Unlock()
		b.wantSlow() // a write of 10 s ends it
		b = w.hello(bob, wire.ReceivesLive)
		for range 64 {
			b.receive()
		}
	})
}

// wantSlow does not read until the broker has given up, and then only finds
// the connection's end.
func (c *client) wantSlow() {
	c.t.Helper()
	<-timeAfter(wire.WriteWithin * 3)
	for {
		if _, err := c.read(); err != nil {
			return
		}
	}
}

// Who was told of a commit and sends again at once shares the next one with what
// gathered meanwhile; what gathered does not wait long for who says nothing.
func TestCommitsGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowStore
		w := newWorld(t, func(o *Options) { slow = newSlowStore(t, o) })
		to := w.join("dave", "desk").Public()
		a, b := w.hello(w.alice, wire.ReceivesReplies), w.hello(w.join("bob", "desk"), wire.ReceivesReplies)
		slow.sizes = nil
		for _, again := range []bool{true, false} {
			slow.hold()
			first := a.message(to, "is being stored")
			synctest.Wait()
			second := b.message(to, "comes meanwhile")
			<-timeAfter(10) // the commit takes some time
			began := time.Now()
			slow.release()
			a.wantAck(first, wire.StateQueued)
			if again {
				a.wantAck(a.message(to, "comes at once"), wire.StateQueued)
			}
			b.wantAck(second, wire.StateQueued)
			if d := time.Since(began); again && d > 0 || !again && d != 5*time.Millisecond {
				t.Errorf("after %v", d)
			}
			<-timeAfter(100)
		}
		if want := []int{1, 2, 1, 1}; !slices.Equal(slow.sizes, want) {
			t.Errorf("commits of %d, not of %d", slow.sizes, want)
		}
	})
}

// slowStore is a store whose commits can be held and made to fail.
type slowStore struct {
	store.Store
	gate  chan struct{} // capacity 1: free
	err   chan error    // capacity 1: what Submit answers
	sizes []int         // of the batches, in their order
}

func newSlowStore(t *testing.T, o *Options) *slowStore {
	inner, err := store.OpenSQLite(context.Background(), o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowStore{Store: inner, gate: make(chan struct{}, 1), err: make(chan error, 1)}
	s.err <- nil
	s.release()
	o.Store = s
	t.Cleanup(func() { inner.Close() })
	return s
}

func (s *slowStore) hold()    { <-s.gate }
func (s *slowStore) release() { s.gate <- struct{}{} }

func (s *slowStore) fail(err error) {
	<-s.err
	s.err <- err
}

func (s *slowStore) Submit(b store.Batch, done func([]delivery.ClaimResult, error)) {
	err := <-s.err
	s.sizes = append(s.sizes, len(b.Ops)) // one batch at a time is under way
	s.err <- err
	if err != nil {
		go done(nil, err)
		return
	}
	s.Store.Submit(b, func(claims []delivery.ClaimResult, err error) {
		<-s.gate
		s.gate <- struct{}{}
		done(claims, err)
	})
}

func TestFloodOfGarbage(t *testing.T) {
	w := newWorld(t, patient)
	tests := []struct {
		name string
		kind websocket.MessageType
		msg  string
		code wire.CloseCode
	}{
		{"garbage", websocket.MessageText, "garbage", wire.CloseMalformed},
		{"no UTF-8", websocket.MessageText, "{\"type\":\"ping\",\"n\":1,\"x\":\"\xff\xfe\"}", wire.CloseMalformed},
		{"deep", websocket.MessageText, `{"type":"ping","n":1,"x":` + strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000) + "}", wire.CloseMalformed},
		{"too large", websocket.MessageText, strings.Repeat(" ", wire.MaxFrame+1), wire.CloseTooLarge},
		{"header too large", websocket.MessageBinary, "\x7f\xff\xff\xff{}", wire.CloseTooLarge},
		{"send without payload", websocket.MessageText, `{"type":"send"}`, wire.CloseMalformed},
		{"payload where none belongs", websocket.MessageBinary, "\x00\x00\x00\x15{\"type\":\"ping\",\"n\":1}x", wire.CloseMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t = t
			c := w.hello(w.alice, wire.ReceivesLive)
			_ = c.ws.Write(context.Background(), tt.kind, []byte(tt.msg)) // may be cut short
			c.wantClose(tt.code)
		})
	}
	c := w.hello(w.alice, wire.ReceivesLive)
	c.raw(websocket.MessageText, []byte(`{"type":"sesame","id":4}`))
	if e := c.wantError(wire.CodeUnknownType); e.Re != 4 {
		t.Fatalf("%+v", e)
	}
	for _, f := range []wire.Frame{&wire.Drain{}, &wire.Challenge{Broker: w.b.Key()}} { // only a broker's
		c.send(f)
		c.wantError(wire.CodeUnknownType)
	}
}

// Who asks for much is read slowly; the others are not.
func TestFloodOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		flood := w.hello(bob, wire.ReceivesLive)
		go func() {
			for i := range uint64(requestBurst * 3) {
				msg := must(wire.AppendFrame(nil, &wire.Sync{ID: i + 1}, nil))
				if flood.ws.Write(context.Background(), websocket.MessageText, msg) != nil {
					return
				}
			}
		}()
		began := now()
		a := w.hello(w.alice, wire.ReceivesReplies)
		a.send(&wire.Sync{ID: 1})
		want[*wire.Entries](a)
		if now()-began > 1000 {
			t.Error("others wait")
		}
		for range requestBurst * 3 {
			want[*wire.Entries](flood)
		}
		if d := now() - began; d < 2*1000*requestBurst/requestRate-1000 {
			t.Errorf("all answered within %d ms", d)
		}
	})
}

// A sender that never reads its acks is not read from for ever: what waits for
// it in memory is bounded, and in the end it is sent away.
func TestSenderThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				f := &wire.Send{ID: must(keys.NewMessageID(now(), rand.Reader)), To: keys.Public{1}, Expires: now() + 3_600_000}
				if a.ws.Write(context.Background(), websocket.MessageBinary, wire.AppendSend(nil, f, []byte("x"))) != nil {
					return
				}
			}
		}()
		synctest.Wait()
		m := must(w.b.mesh(w.mesh))
		m.mu.Lock()
		for _, s := range m.conns {
			s.out.mu.Lock()
			if s.out.bytes > 2*wire.SlowConsumer {
				t.Errorf("%d bytes wait", s.out.bytes)
			}
			s.out.mu.Unlock()
		}
		m.mu.Unlock()
		<-ended
		w.hello(bob, wire.ReceivesLive)
	})
}

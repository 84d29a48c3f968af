package broker

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/wire"
)

// setClock gives a broker a clock that is ahead by what stands in ahead.
func setClock(ahead *atomic.Int64) func(*Options) {
	return func(o *Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	}
}

// The broker's clock jumps forward by an hour while it serves, and comes right: what its
// recipient does not take is queued at once all the same.
func TestClockIsSetWhileServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		w := newWorld(t, setClock(&ahead))
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		w.hello(bob, wire.ReceivesLive) // reads nothing
		began := time.Now()
		for _, to := range []time.Duration{0, time.Hour, 0, -time.Hour, 0} {
			synctest.Wait()
			ahead.Store(int64(to))
			id := a.message(bob.Public(), "hello", func(f *wire.Send) { f.Expires = now() + wire.DefaultExpiry })
			a.wantAck(id, wire.StateQueued)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("queued after %v", d)
		}
	})
}

// Who falls silent is gone after two and a half heartbeats, also where the clock is set
// back meanwhile, and nobody is before, where it jumps forward.
func TestSilenceWhereTheClockIsSet(t *testing.T) {
	for _, to := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var ahead atomic.Int64
			w := newWorld(t, setClock(&ahead))
			bob := w.join("bob", "desk")
			a := w.hello(w.alice, wire.ReceivesLive)
			a.subscribe(1)
			began := time.Now()
			w.hello(bob, wire.ReceivesLive) // reads nothing, answers no ping
			if p := a.change(bob.Public()); !p.Connected {
				t.Fatalf("%+v", p)
			}
			ahead.Store(int64(to))
			if p := a.change(bob.Public()); p.Connected {
				t.Fatalf("%+v", p)
			}
			if d := time.Since(began); d < 20*time.Second || d > 30*time.Second {
				t.Errorf("gone after %v", d)
			}
		})
	}
}

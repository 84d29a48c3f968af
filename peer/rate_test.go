package peer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// A sender of which the broker takes no more keeps what waits, says until when, and
// everything comes, in order; the connection stays, and others are served meanwhile.
func TestSenderThatIsTooFast(t *testing.T) {
	slow := func(o *broker.Options) { o.Limits.Messages = 2 }
	meshtest.Run(t, meshtest.Options{Broker: slow}, func(t *testing.T, m *meshtest.Mesh) {
		sender, reader := m.Create("alice", "laptop"), m.Join("bob", "desk")
		alice, bob := sender.Live("a"), reader.Live("b")
		defer m.Close(alice, bob)
		meshtest.Pass(time.Minute)
		dials := m.Net.Dials()

		const sent = 12
		began := time.Now()
		var all []peer.Sent
		for i := range sent {
			all = append(all, send(t, alice, "bob", fmt.Sprint("message ", i), peer.SendOptions{NoWait: true}))
		}
		meshtest.Pass(2 * time.Second)
		last, err := alice.Message(t.Context(), all[sent-1].Short)
		if err != nil {
			t.Fatal(err)
		}
		r := last.To[0]
		if r.State != peer.Pending || !r.RetryAt.After(time.Now()) || r.RetryAt.After(time.Now().Add(time.Second)) {
			t.Errorf("the last one is %s until %s, now is %s", r.State, r.RetryAt, time.Now())
		}
		if alice.Condition().State != peer.Online {
			t.Errorf("the sender is %s", alice.Condition().State)
		}
		// What alice says of it waits behind her messages, so it may be queued first.
		back := send(t, bob, "alice", "you are loud", peer.SendOptions{SeenWait: -1})
		if got := back.To[0].State; got != peer.Queued && got != peer.Delivered {
			t.Errorf("who is not too fast hears %s", got)
		}

		for i := range sent {
			if got := meshtest.Next(t, bob); got.Body != fmt.Sprint("message ", i) || got.Missing > 0 || got.Late || got.Again {
				t.Errorf("message %d is %+v", i, got)
			}
		}
		if d := time.Since(began); d < (sent-2)/2*time.Second {
			t.Errorf("%d messages took %v, two a second are taken", sent, d)
		}
		meshtest.Pass(time.Minute)
		for _, s := range all {
			wantLast(t, alice, s.Short, step{peer.Seen, peer.Receipt, ""})
		}
		if n := m.Net.Dials(); n != dials {
			t.Errorf("%d connections were lost", n-dials)
		}
	})
}

// Send does not wait for ever: what the broker does not take for now is kept, and it
// says so.
func TestSendToABusyBroker(t *testing.T) {
	slow := func(o *broker.Options) { o.Limits.Messages = 1 }
	meshtest.Run(t, meshtest.Options{Broker: slow}, func(t *testing.T, m *meshtest.Mesh) {
		sender, reader := m.Create("alice", "laptop"), m.Join("bob", "desk")
		alice, bob := sender.Live("a"), reader.Live("b")
		defer m.Close(alice, bob)
		meshtest.Pass(time.Minute)
		for range 40 {
			send(t, alice, "bob", "one of many", peer.SendOptions{NoWait: true})
		}
		_, err := alice.Send(t.Context(), "bob", "behind them", peer.SendOptions{})
		const want = "not sent yet: 127.0.0.1:7900 takes no more messages from here at the moment (too many requests in a short time). Kept; goes out by itself."
		if err == nil || err.Error() != want || peer.ClassOf(err) != peer.ClassUnreachable {
			t.Errorf("%v, want %s", err, want)
		}
		for range 40 {
			meshtest.Next(t, bob)
		}
		if got := meshtest.Next(t, bob); got.Body != "behind them" {
			t.Errorf("got %q", got.Body)
		}
	})
}

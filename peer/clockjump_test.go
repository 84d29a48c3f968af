package peer_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// While everybody was down, the clock of the machine jumped: what was acknowledged before
// is shown, once, and what comes afterwards is not held up by it. Every bubble of synctest
// begins at the same moment, so a second one over the same folders is a clock that went
// back by as much as passed in the first.
func TestClockJumpsWhileDown(t *testing.T) {
	for _, c := range []struct {
		name   string
		before time.Duration // after this much of the first life the message is written
		after  time.Duration // and so much of the second one passes before anybody is up
	}{
		{"forward an hour", 0, time.Hour},
		{"forward six days", 0, 6 * 24 * time.Hour},
		{"back five minutes", 5 * time.Minute, 0},
		{"back an hour", time.Hour, 0},
		{"back a day", 24 * time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var told peer.Sent
			synctest.Test(t, func(t *testing.T) {
				m := meshtest.New(t, meshtest.Options{Dir: dir})
				defer m.Stop()
				sender := m.Create("alice", "laptop")
				m.Join("bob", "desk")
				meshtest.Pass(c.before)
				alice := sender.Live("a")
				defer m.Close(alice)
				told = send(t, alice, "bob", "before the jump", peer.SendOptions{})
				if told.To[0].State != peer.Queued {
					t.Fatalf("%+v", told.To)
				}
			})
			synctest.Test(t, func(t *testing.T) {
				<-time.After(c.after)
				m := meshtest.New(t, meshtest.Options{Dir: dir})
				defer m.Stop()
				bob := m.Machine("bob", "desk").Live("b")
				alice := m.Machine("alice", "laptop").Live("a")
				defer func() { m.Close(alice, bob) }()
				late := c.before > 10*time.Minute // it is dated in the future now, and waits for its time
				if !late {
					wantBody(t, bob, "before the jump", false)
				}
				send(t, alice, "bob", "after the jump", peer.SendOptions{})
				wantBody(t, bob, "after the jump", false)
				if late {
					m.Close(alice, bob)
					meshtest.Pass(c.before)
					bob, alice = m.Machine("bob", "desk").Live("b"), m.Machine("alice", "laptop").Live("a")
					wantBody(t, bob, "before the jump", true)
				}
				nothingMore(t, bob)
				wantLast(t, alice, told.Short, step{peer.Seen, peer.Receipt, ""})
			})
		})
	}
}

// wantBody waits for the next message, which may be marked as early only.
func wantBody(t *testing.T, p *peer.Peer, body string, early bool) {
	t.Helper()
	if got := meshtest.Next(t, p); got.Body != body || got.Early != early || got.Again || got.Late || got.Missing > 0 {
		t.Errorf("got %+v, want %q, early %v", got, body, early)
	}
}

// The clock of a machine is set by an hour while its process runs: what is due is not put
// off by it.
func TestClockIsSetWhileRunning(t *testing.T) {
	for name, off := range map[string]time.Duration{"back": -time.Hour, "forward": time.Hour} {
		t.Run(name, func(t *testing.T) {
			meshtest.Run(t, meshtest.Options{}, func(t *testing.T, m *meshtest.Mesh) {
				sender, reader := m.Create("alice", "laptop"), m.Join("bob", "desk")
				alice := sender.Live("a")
				var clock simClock
				bob := reader.Open(peer.WithClock(peer.Options{Label: "b", Receives: peer.Live}, clock.now))
				defer m.Close(alice, bob)
				meshtest.Online(t, bob)
				meshtest.Pass(time.Minute)
				// What is seen within a second of the first is told together, a second later.
				var all []peer.Sent
				for _, body := range []string{"one", "two"} {
					all = append(all, send(t, alice, "bob", body, peer.SendOptions{SeenWait: -1}))
					wantBody(t, bob, body, false)
					synctest.Wait()
				}
				clock.put(off)
				meshtest.Pass(20 * time.Second)
				for _, s := range all {
					wantLast(t, alice, s.Short, step{peer.Seen, peer.Receipt, ""})
				}
				// It knows the broker's time again, or the broker would not take the entry.
				if _, err := bob.Revoke(t.Context(), "bob"); err != nil {
					t.Errorf("bob leaves: %v", err)
				}
			})
		})
	}
}

// TestClockOfTheBrokerWasAhead: after a change that was dated ahead none is taken before
// the clocks are near it; who makes one is told when, and then it is.
func TestClockOfTheBrokerWasAhead(t *testing.T) {
	var ahead time.Duration
	wrong := func(o *broker.Options) {
		o.Clock = func() time.Time { return time.Now().Add(ahead) }
	}
	meshtest.Run(t, meshtest.Options{Broker: wrong}, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		m.Stop()
		ahead = time.Hour
		m.Start()
		alice := machine.Live("a")
		if _, err := alice.Invite(t.Context(), peer.InviteOptions{Uses: 1}); err != nil {
			t.Fatal(err)
		}
		m.Close(alice)
		m.Stop()
		ahead = 0
		m.Start()
		alice = machine.Live("a")
		defer m.Close(alice)
		_, err := alice.Invite(t.Context(), peer.InviteOptions{Uses: 1})
		var refused *peer.RefusedError
		if !errors.As(err, &refused) || refused.RetryAfter <= 50*time.Minute || refused.RetryAfter > 55*time.Minute {
			t.Fatalf("%v", err)
		}
		want := "The next one is taken from " + time.Now().Add(refused.RetryAfter).Format("2006-01-02 15:04") + " on"
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		meshtest.Pass(refused.RetryAfter + time.Second)
		if _, err := alice.Invite(t.Context(), peer.InviteOptions{Uses: 1}); err != nil {
			t.Errorf("after that: %v", err)
		}
	})
}

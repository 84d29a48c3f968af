package peer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// watching waits for a watch in the background.
func watching(t *testing.T, p *peer.Peer, address string, until peer.Until) <-chan peer.Watched {
	t.Helper()
	w, err := p.Watch(t.Context(), address, until)
	if err != nil {
		t.Fatalf("watch %s: %v", address, err)
	}
	found := make(chan peer.Watched, 1)
	go func() {
		defer close(found)
		if one, err := w.Wait(t.Context()); err == nil {
			found <- one
		} else {
			t.Errorf("watch %s: %v", address, err)
		}
	}()
	return found
}

// told says whether a watch has ended by now.
func told(found <-chan peer.Watched) string {
	select {
	case one := <-found:
		return one.Address
	default:
		return ""
	}
}

func TestWatch(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine := m.Join("bob", "desk")

		back, session := watching(t, alice, "bob", peer.UntilBack), watching(t, alice, "bob@desk/web", peer.UntilBack)
		meshtest.Pass(time.Minute)
		if told(back) != "" || told(session) != "" {
			t.Error("told that bob is back, while he is away")
		}
		bob := machine.Live("web")
		defer func() { m.Close(bob) }()
		meshtest.Pass(5 * time.Second)
		if got := told(back); got != "bob@desk" {
			t.Errorf("back: %q", got)
		}
		if got := told(session); got != "bob@desk/web" {
			t.Errorf("the session is back: %q", got)
		}

		// Idle holds already; done begins with work that is seen.
		idle, done := watching(t, alice, "bob", peer.UntilIdle), watching(t, alice, "bob", peer.UntilDone)
		meshtest.Pass(time.Minute)
		if got := told(idle); got != "bob@desk/web" {
			t.Errorf("idle: %q", got)
		}
		set := func(s peer.Status) {
			if err := bob.SetStatus(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			meshtest.Pass(time.Minute)
		}
		set(peer.DoNotDisturb)
		set(peer.Idle)
		if told(done) != "" {
			t.Error("told that bob is done, who did not work")
		}
		set(peer.Working)
		// The broker goes and comes back meanwhile.
		m.Restart()
		meshtest.Pass(time.Minute)
		if told(done) != "" {
			t.Error("told that bob is done, who works")
		}
		set(peer.Idle)
		if got := told(done); got != "bob@desk/web" {
			t.Errorf("done: %q", got)
		}
	})
}

func TestWatchEnds(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		m.Join("bob", "desk")
		w, err := alice.Watch(t.Context(), "bob", peer.UntilBack)
		if err != nil {
			t.Fatal(err)
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Wait(now); !errors.Is(err, context.Canceled) {
			t.Errorf("one look: %v", err)
		}
		began := time.Now()
		if w.Expires.Sub(began) != peer.WatchFor {
			t.Errorf("it ends %s", w.Expires)
		}
		w.Expires = began.Add(10 * time.Minute)
		var late *peer.TimeoutError
		if _, err := w.Wait(t.Context()); !errors.As(err, &late) || err.Error() != "no word that bob is back within 10m0s" {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if took := time.Since(began); took < 10*time.Minute || took > 11*time.Minute {
			t.Errorf("it took %s", took)
		}
		var unknown *peer.UnknownNameError
		var usage *peer.UsageError
		if _, err := alice.Watch(t.Context(), "bbo", peer.UntilBack); !errors.As(err, &unknown) {
			t.Errorf("a name that nobody has: %v", err)
		}
		for _, c := range [][2]string{{"bob", "happy"}, {"*", "back"}, {"@backend", "idle"}, {"!", "back"}} {
			if _, err := alice.Watch(t.Context(), c[0], peer.Until(c[1])); !errors.As(err, &usage) {
				t.Errorf("watch %s until %s: %v", c[0], c[1], err)
			}
		}
	})
}

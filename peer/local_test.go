package peer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestStartBroker: where nobody listens on the socket of the profile's own broker it
// is started, again after it ended; another broker's meshes are dialled as ever.
func TestStartBroker(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine, dir := m.Create("alice", "laptop"), t.TempDir()
		var local *broker.Broker
		var done chan error
		end := func() {
			b, ended := local, done // before home has another one started
			if err := errors.Join(b.Close(), <-ended); err != nil {
				t.Error(err)
			}
		}
		serve := func() error {
			l, err := m.Net.Listen("unix", machine.Socket())
			if err != nil {
				return err
			}
			if local, err = broker.New(broker.Options{Dir: dir, Listen: []broker.Listen{{Net: l}}}); err != nil {
				return err
			}
			done = make(chan error, 1)
			b, ended := local, done
			go func() {
				defer close(ended) // a second end is then no wait
				ended <- b.Run(context.Background())
			}()
			return nil
		}
		if err := serve(); err != nil {
			t.Fatal(err)
		}
		key := local.Key()
		if _, err := peer.CreateMesh(t.Context(), peer.CreateOptions{Dir: machine.Profile, Name: "home", User: "alice", Device: "laptop",
			Broker: "unix:" + machine.Socket(), Dial: m.Net.Dial}); err != nil {
			t.Fatal(err)
		}
		end()

		started, full := 0, false
		start := func(_ context.Context, wanted peer.Key) error {
			switch {
			case wanted != key:
				return peer.ErrNotOwnBroker
			case full:
				return errors.New("the disk is full")
			}
			started++
			return serve()
		}
		home := machine.Open(peer.Options{Mesh: "home", Label: "a", Receives: peer.Live, StartBroker: start})
		meshtest.Online(t, home)
		acme := machine.Open(peer.Options{Mesh: "acme", Label: "a", Receives: peer.Live, StartBroker: start})
		meshtest.Online(t, acme)
		if host := acme.Condition().Host; host != meshtest.Address || started != 1 {
			t.Errorf("started %d times; acme is served by %s", started, host)
		}
		end()
		synctest.Wait() // home has noticed
		if err := home.Connected(t.Context(), true); err != nil || started != 2 {
			t.Errorf("started %d times after it ended, %v", started, err)
		}
		m.Close(home, acme)
		end()

		full = true
		home = machine.Open(peer.Options{Mesh: "home", Label: "b", StartBroker: start})
		defer m.Close(home)
		const want = "the broker of this machine does not answer (it does not start: the disk is full)"
		if err := home.Connected(t.Context(), false); err == nil || err.Error() != want || peer.ClassOf(err) != peer.ClassUnreachable {
			t.Errorf("connected: %v, want %s", err, want)
		}
		facts, err := home.Facts(t.Context())
		if err != nil || len(facts.Dials) != 1 || facts.Dials[0].Reason != "it does not start: the disk is full" {
			t.Errorf("facts: %+v, %v", facts.Dials, err)
		}
	})
}

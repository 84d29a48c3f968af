package peer_test

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestPokes is about the local sockets, so these are real ones, and time is too: two
// sessions of a profile, of which one is told by the other.
func TestPokes(t *testing.T) {
	t.Parallel()
	m := meshtest.New(t, meshtest.Options{})
	defer m.Stop()
	machine := m.Create("alice", "laptop")
	bob := m.Join("bob", "desk").Open(peer.Options{Label: "b", Receives: peer.Live})
	defer m.Close(bob)
	meshtest.Online(t, bob)
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "unix" {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		return m.Net.Dial(ctx, network, address)
	}
	open := func(label string) *peer.Peer {
		p, err := peer.Open(t.Context(), peer.Options{Dir: machine.Profile, Label: label, Receives: peer.Live, Dial: dial, Logger: m.Logger(label)})
		if err != nil {
			t.Fatal(err)
		}
		meshtest.Online(t, p)
		return p
	}
	one := open("one")
	defer m.Close(one)
	two := open("two")
	sockets, err := filepath.Glob(filepath.Join(machine.Profile, "run", "p-*.sock"))
	if err != nil || len(sockets) != 2 {
		t.Fatalf("sockets %v: %v", sockets, err)
	}
	events := bob.Events(t.Context())
	quiet := func() bool {
		sessions := member(t, bob, "alice@laptop").Sessions
		return len(sessions) == 2 && !slices.ContainsFunc(sessions, func(s peer.Session) bool { return s.Status != peer.DoNotDisturb })
	}
	if quiet() {
		t.Fatal("before it was said")
	}
	if err := one.SetPeerStatus(t.Context(), peer.DoNotDisturb); err != nil {
		t.Fatal(err)
	}
	for !quiet() { // both sign their cards anew at once, and not within the hour
		meshtest.Event(t, events, peer.EventPresence, "")
	}
	m.Close(two)
	left, err := filepath.Glob(filepath.Join(machine.Profile, "run", "p-*.sock"))
	if err != nil || len(left) != 1 {
		t.Errorf("sockets left: %v, %v", left, err)
	}
}

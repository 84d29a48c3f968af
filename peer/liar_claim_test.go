package peer_test

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// claims has alice, the liar between bob's desk and the broker, and a phone of bob's that
// is away: what alice sends to bob any one of the two shows.
func claims(t *testing.T, test func(t *testing.T, m *meshtest.Mesh, l *meshtest.Liar, alice, desk *peer.Peer, phone *meshtest.Machine)) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		machine, phone := m.Join("bob", "desk"), m.Join("bob", "phone")
		liar := m.Liar()
		defer liar.Close()
		desk := deceived(t, machine, liar, "b")
		defer m.Close(desk)
		meshtest.Online(t, desk)
		admitOne(t, desk)
		synctest.Wait() // alice knows
		test(t, m, liar, alice, desk, phone)
	})
}

// forAny is how what any one device shows is sent here: it is shown to who asks.
var forAny = peer.SendOptions{Priority: peer.Low, SeenWait: -1}

// ask takes what there is, and gives it with its bodies.
func ask(t *testing.T, p *peer.Peer) ([]peer.Message, []string) {
	t.Helper()
	in, err := p.Take(t.Context(), peer.TakeOptions{Asked: true})
	if err != nil {
		t.Fatal(err)
	}
	return in.Messages, bodies(in)
}

// asked takes what there is and says that it was seen.
func asked(t *testing.T, p *peer.Peer) []string {
	t.Helper()
	in, got := ask(t, p)
	if err := p.Seen(t.Context(), in...); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestLiarDoesNotGrant: what any one device of a user shows is not shown before the broker
// has said that it is this one: not where the broker does not hear the claim, not where it
// says nothing or too late, not where it says that it is another. It comes again, and is
// shown once.
func TestLiarDoesNotGrant(t *testing.T) {
	isClaim := func(f meshtest.Frame) bool {
		r, ok := f.Frame.(*wire.Receipt)
		return ok && r.State == wire.VerdictClaim
	}
	for name, lie := range map[string]meshtest.Lie{
		"does not hear": func(up bool, f meshtest.Frame) []meshtest.Frame {
			if isClaim(f) {
				return nil
			}
			return []meshtest.Frame{f}
		},
		"does not answer": only(func(*wire.Grant, []byte) []meshtest.Frame { return nil }),
		"says another": only(func(g *wire.Grant, _ []byte) []meshtest.Frame {
			lied := *g
			lied.Granted = false
			return []meshtest.Frame{{Frame: &lied}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			claims(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, desk *peer.Peer, _ *meshtest.Machine) {
				liar.Tell(lie)
				send(t, alice, "bob", "for one of you", forAny)
				synctest.Wait()
				if got := asked(t, desk); len(got) != 0 {
					t.Errorf("shown, and nobody granted it: %q", got)
				}
				for _, late := range liar.Heard(wire.TypeGrant) {
					liar.Inject(late) // nobody waits for it any more
				}
				synctest.Wait()
				liar.Tell(nil)
				liar.Hang()
				meshtest.Pass(time.Minute)
				in, got := ask(t, desk)
				if !slices.Equal(got, []string{"for one of you"}) || in[0].Again {
					t.Errorf("granted, it shows %q, as shown before: %v", got, in)
				}
				if err := desk.Seen(t.Context(), in...); err != nil {
					t.Fatal(err)
				}
				if got := asked(t, desk); len(got) != 0 {
					t.Errorf("shown again: %q", got)
				}
			})
		})
	}
}

// TestLiarForgetsThatItGranted: what was granted and shown is handed over again as if it had
// not been, and granted again. It is shown once.
func TestLiarForgetsThatItGranted(t *testing.T) {
	claims(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, desk *peer.Peer, _ *meshtest.Machine) {
		liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
			if r, ok := f.Frame.(*wire.Receipt); ok && up && r.State == wire.VerdictReceived {
				return nil // so that the broker keeps it
			}
			return []meshtest.Frame{f}
		})
		send(t, alice, "bob", "once", forAny)
		synctest.Wait()
		if got := asked(t, desk); !slices.Equal(got, []string{"once"}) {
			t.Fatalf("shown: %q", got)
		}
		liar.Tell(nil)
		liar.Hang()
		meshtest.Pass(time.Minute)
		if handed := len(liar.Heard(wire.TypeDeliver)); handed < 2 {
			t.Fatalf("handed over %d times", handed)
		}
		if got := asked(t, desk); len(got) != 0 {
			t.Errorf("shown again: %q", got)
		}
	})
}

// TestGrantedStays: what was granted is this device's, also when the connection ends before
// it is in front of anybody.
func TestGrantedStays(t *testing.T) {
	claims(t, func(t *testing.T, m *meshtest.Mesh, liar *meshtest.Liar, alice, desk *peer.Peer, phone *meshtest.Machine) {
		sent := send(t, alice, "bob", "mine", forAny)
		synctest.Wait()
		in, got := ask(t, desk)
		if !slices.Equal(got, []string{"mine"}) {
			t.Fatalf("granted: %q", got)
		}
		synctest.Wait()
		if got := states(t, alice, sent.Short); !slices.Equal(got, []peer.State{peer.Delivered}) {
			t.Errorf("alice takes it for %v", got)
		}
		if err := desk.Release(t.Context(), in...); err != nil {
			t.Fatal(err)
		}
		liar.Hang()
		meshtest.Pass(time.Minute)
		other := phone.Live("p")
		defer m.Close(other)
		meshtest.Pass(2 * time.Minute)
		if got := asked(t, other); len(got) != 0 {
			t.Errorf("the other device shows %q", got)
		}
		if got := asked(t, desk); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("after the connection ended: %q", got)
		}
	})
}

// TestCopiesGo: a copy that was not claimed goes: with the connection by which it came,
// with the process that had it, and when another device shows it. No device waits with what
// its user has read elsewhere.
func TestCopiesGo(t *testing.T) {
	for name, leave := range map[string]func(m *meshtest.Mesh, desk *peer.Peer, process *meshtest.Process, away *atomic.Bool){
		"its connection ends": func(m *meshtest.Mesh, _ *peer.Peer, _ *meshtest.Process, away *atomic.Bool) {
			away.Store(true)
			m.Net.Break()
		},
		"its process is killed": func(_ *meshtest.Mesh, desk *peer.Peer, process *meshtest.Process, _ *atomic.Bool) {
			process.Kill()
			_ = desk.Close() // the dead let go of their locks, and say nothing
		},
		"it stays, and claims nothing": func(*meshtest.Mesh, *peer.Peer, *meshtest.Process, *atomic.Bool) {
			meshtest.Pass(2 * time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				alice := m.Create("alice", "laptop").Live("a")
				defer m.Close(alice)
				machine, phoneMachine := m.Join("bob", "desk"), m.Join("bob", "phone")
				looks := machine.Open(peer.Options{Label: "looks", Receives: peer.Live, Offline: true})
				defer m.Close(looks)
				process := m.Net.Process()
				var away atomic.Bool
				var desk *peer.Peer
				var err error
				process.Open(machine.Profile, func() {
					desk, err = machine.TryOpen(peer.Options{Label: "b", Receives: peer.Live, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						if away.Load() {
							return nil, syscall.ENETUNREACH
						}
						return process.Dial(ctx, network, address)
					}})
				})
				if err != nil {
					t.Fatal(err)
				}
				defer desk.Close()
				meshtest.Online(t, desk)
				admitOne(t, desk)
				synctest.Wait()
				send(t, alice, "bob", "for one of you", forAny)
				synctest.Wait()
				everything := peer.TakeOptions{Asked: true, Elsewhere: true}
				if got := bodies(waiting(t, desk, everything)); !slices.Equal(got, []string{"for one of you"}) {
					t.Fatalf("at first %q waits at the desk", got)
				}
				phone := phoneMachine.Live("p")
				defer m.Close(phone)
				leave(m, desk, process, &away)
				meshtest.Pass(30 * time.Second)
				if got := asked(t, phone); !slices.Equal(got, []string{"for one of you"}) {
					t.Errorf("the phone shows %q", got)
				}
				meshtest.Pass(30 * time.Second) // the other process of the desk's looks now and then
				if rows, err := looks.Rows(t.Context()); err != nil || slices.ContainsFunc(rows, func(row string) bool { return row[:5] == "inbox" }) {
					t.Errorf("at the desk there is still %q: %v", rows, err)
				}
			})
		})
	}
}

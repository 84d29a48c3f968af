package peer_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// manglings is how many seeds TestMangledFrames plays; make torture plays more.
var manglings = flag.Int("manglings", 4, "how many seeds TestMangledFrames plays")

// mangler spoils some of the messages that pass, both ways, by a seed.
type mangler struct {
	mu    sync.Mutex
	rng   *rand.Rand
	late  map[bool][]meshtest.Raw // by direction: to go behind the next one
	count map[string]int          // of what was done
}

// mangle is a meshtest.Mangler. What it makes of a frame is another frame only where
// both were whole: cut and invented ones are none.
func (m *mangler) mangle(up bool, raw meshtest.Raw) []meshtest.Raw {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := m.late[up]
	m.late[up] = nil
	did, out := "passed", []meshtest.Raw{raw}
	switch m.rng.IntN(40) {
	case 0, 1:
		did, out = "twice", []meshtest.Raw{raw, raw}
	case 2, 3:
		did, out, m.late[up] = "late", nil, []meshtest.Raw{raw}
	case 4:
		did, out[0].Message = "cut", raw.Message[:m.rng.IntN(min(len(raw.Message), 40))]
	case 5:
		garbage := make([]byte, 1+m.rng.IntN(300))
		for i := range garbage {
			garbage[i] = byte(m.rng.Uint32())
		}
		did, out[0].Message, out[0].Binary = "garbage", garbage, true
	case 6:
		did, out[0].Message = "oversized", make([]byte, wire.MaxFrame+1)
	case 7:
		did, out[0].Binary = "wrong kind", !raw.Binary
	}
	m.count[did]++
	return append(out, held...)
}

// TestMangledFrames: what passes between two peers and the broker comes twice, late,
// cut, as garbage, oversized and as the wrong kind of message, handshakes included. What
// was written is shown once, and marked where it comes out of its order; and nobody else
// notices anything.
func TestMangledFrames(t *testing.T) {
	for seed := range uint64(*manglings) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) { mangled(t, m, seed) })
		})
	}
}

func mangled(t *testing.T, m *meshtest.Mesh, seed uint64) {
	sender, reader := m.Create("alice", "laptop"), m.Join("bob", "desk")
	carol, dan := m.Join("carol", "mac").Live("c"), m.Join("dan", "pi").Live("d")
	defer m.Close(carol, dan)
	liar := m.Liar()
	defer liar.Close()
	alice, bob := deceived(t, sender, liar, "a"), deceived(t, reader, liar, "b")
	defer m.Close(alice, bob)
	meshtest.Online(t, alice)
	meshtest.Online(t, bob)

	bad := &mangler{rng: rand.New(rand.NewPCG(seed, 4)), late: map[bool][]meshtest.Raw{}, count: map[string]int{}}
	liar.Mangle(bad.mangle)
	const messages = 40
	var sent []peer.Sent
	for i := range messages {
		sent = append(sent, send(t, alice, "bob", fmt.Sprint(i), peer.SendOptions{NoWait: true}))
		meshtest.Pass(5 * time.Second)
		if i%8 == 0 { // who is not mangled
			body := fmt.Sprint("between others ", i)
			other := send(t, carol, "dan", body, peer.SendOptions{SeenWait: -1})
			if got := meshtest.Next(t, dan); got.Body != body || other.To[0].State != peer.Delivered {
				t.Errorf("%q came of %q, which is %s", got.Body, body, other.To[0].State)
			}
		}
	}
	liar.Mangle(nil)
	liar.Hang()
	meshtest.Pass(2 * time.Minute) // who was told nonsense of the list of members waits for long

	next, shown := 0, map[string]bool{}
	for range messages {
		got := meshtest.Next(t, bob)
		var n int
		if _, err := fmt.Sscan(got.Body, &n); err != nil || shown[got.Body] || got.Again {
			t.Fatalf("%q was shown before: %v; marked: %v", got.Body, shown[got.Body], got.Again)
		}
		shown[got.Body] = true
		if n < next && !got.Late || n > next && got.Missing == 0 {
			t.Errorf("%d comes where %d is due, late %v, missing %d", n, next, got.Late, got.Missing)
		}
		next = max(next, n+1)
	}
	nothingMore(t, bob)
	for _, s := range sent {
		wantLast(t, alice, s.ID.String(), step{peer.Seen, peer.Receipt, ""}) // of so many two may end alike
	}
	t.Logf("messages: %v", bad.count)
	if bad.count["cut"]+bad.count["garbage"]+bad.count["oversized"]+bad.count["wrong kind"] == 0 {
		t.Error("nothing was mangled")
	}
}

// TestLeavesWithCode: a peer that is sent what cannot be read says so by the close code,
// during the handshake and after it, and comes back. [CM-7.7]
func TestLeavesWithCode(t *testing.T) {
	for _, tt := range []struct {
		name    string
		message meshtest.Raw
		want    wire.CloseCode
	}{
		{"no frame", meshtest.Raw{Message: []byte("{")}, wire.CloseMalformed},
		{"no frame with payload", meshtest.Raw{Message: []byte{0, 0, 0, 9, '{', '}'}, Binary: true}, wire.CloseMalformed},
		{"too large", meshtest.Raw{Message: make([]byte, wire.MaxFrame+1)}, wire.CloseTooLarge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				machine := m.Create("alice", "laptop")
				bob := m.Join("bob", "desk").Live("b")
				defer m.Close(bob)
				liar := m.Liar()
				defer liar.Close()
				alice := deceived(t, machine, liar, "a")
				defer m.Close(alice)
				meshtest.Online(t, alice)
				spoilNext := func() {
					var done atomic.Bool
					liar.Mangle(func(up bool, raw meshtest.Raw) []meshtest.Raw {
						if !up && done.CompareAndSwap(false, true) {
							return []meshtest.Raw{tt.message}
						}
						return []meshtest.Raw{raw}
					})
				}
				spoilNext()
				send(t, bob, "alice", "hi", peer.SendOptions{SeenWait: -1})
				meshtest.Pass(time.Minute)
				if left := liar.Left(); !slices.Equal(left, []wire.CloseCode{tt.want}) {
					t.Errorf("it went with %d, want %d", left, tt.want)
				}
				spoilNext() // the challenge
				liar.Hang()
				meshtest.Pass(time.Minute)
				if left := liar.Left(); !slices.Equal(left, []wire.CloseCode{tt.want, tt.want}) {
					t.Errorf("it went with %d from the handshake, want %d", left, tt.want)
				}
				meshtest.Online(t, alice)
				if got := meshtest.Next(t, alice); got.Body != "hi" {
					t.Errorf("%q came", got.Body)
				}
			})
		})
	}
}

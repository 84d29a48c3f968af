package peer_test

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// forger makes entries behind those that a machine holds, signed whatever comes of it,
// and heads of the real broker's over them.
type forger struct {
	t     *testing.T
	liar  *meshtest.Liar
	r     *roster.Roster
	own   keys.PeerPrivate // of the machine
	first uint64
	made  []signed.Object
	last  signed.Hash
}

func newForger(t *testing.T, x *meshtest.Machine, liar *meshtest.Liar) *forger {
	t.Helper()
	mine, r := holding(t, x)
	return &forger{t: t, liar: liar, r: r, own: mine.PeerKey, first: r.Chain().Len(), last: r.Chain().Tip()}
}

// add makes the next entry.
func (f *forger) add(body chain.Body, signers ...keys.Signer) {
	f.t.Helper()
	e := f.r.State().Draft(time.Now().UnixMilli(), signers[0].Public(), body)
	e.N, e.Prev = f.first+uint64(len(f.made)), f.last
	made, err := chain.Make(e, signers...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.made, f.last = append(f.made, made.Object), made.Hash
}

// page is what a broker sends that ordered them.
func (f *forger) page() *wire.Entries {
	head := f.r.Chain().Head().Head
	head.N, head.Hash, head.Time = f.first+uint64(len(f.made))-1, f.last, time.Now().UnixMilli()
	return &wire.Entries{From: f.first, Entries: f.made, Head: f.liar.Head(head)}
}

func newKeys(t *testing.T) (keys.InvitePrivate, keys.PeerPrivate) {
	t.Helper()
	invite, err := keys.NewInvitePrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return invite, own
}

func inviteBy(key keys.InvitePrivate) chain.Invite {
	return chain.Invite{Key: key.Public(), Rank: chain.RankMember, Uses: 1, Expires: time.Now().Add(time.Hour).UnixMilli(), Kinds: []chain.Kind{chain.KindAgent}}
}

// tookVoid is what the user is told of a broker that orders what does not count.
const tookVoid = "127.0.0.1:7900 took a change into the list of members of acme that whoever signed it had no right to; it changes nothing. An honest broker refuses it; details: claudemesh doctor --mesh acme"

// TestLiarOrdersWhatDoesNotCount: a broker orders entries under its own true head, each
// with true signatures, that no honest one would. Nothing comes of them, and the user
// hears of it.
func TestLiarOrdersWhatDoesNotCount(t *testing.T) {
	for name, forge := range map[string]func(t *testing.T, m *meshtest.Mesh, f *forger) keys.PeerPrivate{
		"a member that nobody invited": func(t *testing.T, _ *meshtest.Mesh, f *forger) keys.PeerPrivate {
			link, mallory := newKeys(t)
			_, stranger := newKeys(t)
			f.add(inviteBy(link), stranger)
			f.add(chain.Join{User: "mallory", Device: "x", Peer: mallory.Public(), Kind: chain.KindAgent}, link, mallory)
			return mallory
		},
		"an invite of the broker's own": func(t *testing.T, _ *meshtest.Mesh, f *forger) keys.PeerPrivate {
			link, mallory := newKeys(t)
			f.add(inviteBy(link), f.liar.Key)
			f.add(chain.Join{User: "mallory", Device: "x", Peer: mallory.Public(), Kind: chain.KindAgent}, link, mallory)
			return mallory
		},
		"an invite by a revoked admin": func(t *testing.T, m *meshtest.Mesh, f *forger) keys.PeerPrivate {
			mine, _ := holding(t, m.Machine("carol", "mac"))
			link, mallory := newKeys(t)
			f.add(inviteBy(link), mine.PeerKey)
			f.add(chain.Join{User: "mallory", Device: "x", Peer: mallory.Public(), Kind: chain.KindAgent}, link, mallory)
			return mallory
		},
		"an invite beyond its limit": func(t *testing.T, _ *meshtest.Mesh, f *forger) keys.PeerPrivate {
			link, bob := newKeys(t)
			_, mallory := newKeys(t)
			f.add(inviteBy(link), f.own)
			f.add(chain.Join{User: "dave", Device: "pc", Peer: bob.Public(), Kind: chain.KindAgent}, link, bob)
			f.add(chain.Join{User: "mallory", Device: "x", Peer: mallory.Public(), Kind: chain.KindAgent}, link, mallory)
			return mallory
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				machine := m.Create("alice", "laptop")
				liar := m.Liar()
				defer liar.Close()
				alice := deceived(t, machine, liar, "a")
				defer m.Close(alice)
				meshtest.Online(t, alice)
				admins, err := alice.Invite(t.Context(), peer.InviteOptions{Admin: true})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Machine("carol", "mac").TryJoin(admins.Link); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if _, err := alice.Revoke(t.Context(), "carol"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				f := newForger(t, machine, liar)
				mallory := forge(t, m, f)
				events := alice.Events(t.Context())
				liar.Inject(meshtest.Frame{Frame: f.page()})
				meshtest.Event(t, events, peer.EventWarning, tookVoid)
				if alice.At().N != f.first+uint64(len(f.made))-1 {
					t.Fatalf("the entries were not taken as void: %d", alice.At().N)
				}
				if _, err := alice.Send(t.Context(), "mallory", "hi", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), `no "mallory"`) {
					t.Errorf("sent to mallory: %v", err)
				}
				// What that key writes is refused.
				said := make(chan wire.Receipt, 8)
				liar.Tell(func(up bool, f meshtest.Frame) []meshtest.Frame {
					if r, ok := f.Frame.(*wire.Receipt); ok && up {
						said <- *r
					}
					return []meshtest.Frame{f}
				})
				liar.Inject(sealedBy(t, mallory, alice))
				if r := <-said; r.State != wire.VerdictRefused || r.Why != wire.WhyNotMember || r.From != mallory.Public() {
					t.Errorf("the broker is told %+v", r)
				}
				nothingMore(t, alice)
			})
		})
	}
}

// sealedBy is a message that a key seals for a peer, as the broker hands it over.
func sealedBy(t *testing.T, from keys.PeerPrivate, to *peer.Peer) meshtest.Frame {
	t.Helper()
	now := time.Now().UnixMilli()
	m := seal.Message{Mesh: to.Self().Mesh, From: from.Public(), Session: keys.SessionID{1}, Kind: seal.KindMessage, Seq: 1,
		Audience: seal.Audience{Keys: []keys.Public{to.Self().Key}}, Priority: seal.PriorityNow, Time: now, Expires: now + 60_000,
		At: to.At(), Body: "let me in"}
	var err error
	if m.ID, err = keys.NewMessageID(now, rand.Reader); err != nil {
		t.Fatal(err)
	}
	pair, err := seal.NewPair(from, to.Self().Key)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.SealDirect(rand.Reader, pair, &m)
	if err != nil {
		t.Fatal(err)
	}
	return meshtest.Frame{Payload: sealed, Frame: &wire.Deliver{ID: m.ID, Class: wire.ClassMessage, From: from.Public(),
		Priority: wire.PriorityNow, Expires: m.Expires, Sent: now, Attempt: 1}}
}

// TestLiarReordersTheChain: entries are taken out, moved, changed or held back while
// later ones pass. None of it joins on, and nothing of it is taken.
func TestLiarReordersTheChain(t *testing.T) {
	for name, lie := range map[string]func(e *wire.Entries){
		"one is taken out":         func(e *wire.Entries) { e.Entries = slices.Delete(slices.Clone(e.Entries), 0, 1) },
		"two are moved":            func(e *wire.Entries) { slices.Reverse(e.Entries) },
		"one comes twice":          func(e *wire.Entries) { e.Entries = append(e.Entries[:1:1], e.Entries...) },
		"a signature is another's": func(e *wire.Entries) { e.Entries[0].Sig, e.Entries[1].Sig = e.Entries[1].Sig, e.Entries[0].Sig },
		"one is held back": func(e *wire.Entries) {
			e.From, e.Entries = e.From+1, e.Entries[1:]
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				machine := m.Create("alice", "laptop")
				liar := m.Liar()
				defer liar.Close()
				alice := deceived(t, machine, liar, "a")
				defer m.Close(alice)
				meshtest.Online(t, alice)
				f := newForger(t, machine, liar)
				before := alice.At()
				for range 2 {
					link, _ := newKeys(t)
					f.add(inviteBy(link), f.own)
				}
				lied := f.page()
				lie(lied)
				liar.Tell(only(func(e *wire.Entries, _ []byte) []meshtest.Frame {
					again := *lied
					again.Re = e.Re
					return []meshtest.Frame{{Frame: &again}}
				}))
				events := alice.Events(t.Context())
				liar.Inject(meshtest.Frame{Frame: lied})
				meshtest.Event(t, events, peer.EventWarning, "127.0.0.1:7900 gave a list of members of acme whose signatures do not check out. Nothing of it was taken; details: claudemesh doctor --mesh acme")
				if alice.At() != before {
					t.Errorf("taken: %+v", alice.At())
				}
			})
		})
	}
}

// TestLiarRelaysTheHandshake: a link that was changed to lead to a relay of the real
// broker: the hello names what was dialled, and the broker does not take it.
func TestLiarRelaysTheHandshake(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		m.Create("alice", "laptop")
		liar := m.Liar()
		defer liar.Close()
		link := strings.Replace(m.Link(), "127.0.0.1:7900", "127.0.0.1:6666", 1)
		bob := m.Machine("bob", "desk")
		_, err := peer.Join(t.Context(), link, peer.JoinOptions{Dir: bob.Profile, User: "bob", Device: "desk", Dial: m.Net.Dial})
		if peer.ClassOf(err) != peer.ClassRefused || err.Error() != "the broker refused: the broker does not answer at the address that was dialled" {
			t.Errorf("joined: %v", err)
		}
		for _, f := range liar.Heard(wire.TypeWelcome) {
			t.Errorf("welcomed: %+v", f)
		}
	})
}

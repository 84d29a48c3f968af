package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Every page stands under a head of its own and is what a client's roster
// takes.
func TestSyncPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range 3 {
			w.invite(1)
		}
		c := w.hello(w.alice, wire.ReceivesNone)
		r := roster.New(w.mesh, keys.Public{})
		for id := uint64(1); ; id++ {
			c.send(&wire.Sync{ID: id, From: r.Chain().Len(), Limit: 2})
			e := want[*wire.Entries](c)
			if e.Re != id {
				t.Fatalf("re %d", e.Re)
			}
			if _, err := r.Append(chain.Page{From: e.From, Entries: e.Entries, Head: e.Head}, now()); err != nil {
				t.Fatal(err)
			}
			if !e.More {
				break
			}
		}
		if r.State().At() != w.state().At() {
			t.Fatalf("%+v, the broker is at %+v", r.State().At(), w.state().At())
		}
		c.send(&wire.Sync{ID: 99, From: 1000})
		if e := want[*wire.Entries](c); len(e.Entries) != 0 || e.From != r.Chain().Len() {
			t.Fatalf("%+v", e)
		}
		c.send(&wire.Sync{ID: 100, Chain: signed.Hash{1}})
		c.wantError(wire.CodeForbidden)
	})
}

func TestAppendPushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.hello(w.alice, wire.ReceivesLive)
		link := w.invite(1)
		e := want[*wire.Entries](a)
		if e.Re != 0 || len(e.Entries) != 1 {
			t.Fatalf("%+v", e)
		}
		got := must(chain.Decode(e.Entries[0]))
		if got.Entry.Body.(chain.Invite).Key != link.Public() {
			t.Fatal("another entry")
		}
	})
}

func TestAppendRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		c := w.hello(bob, wire.ReceivesNone)
		state := w.state()
		link := must(keys.NewInvitePrivate(rand.Reader))
		invite := chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000,
			Kinds: []chain.Kind{chain.KindAgent}}
		make := func(time int64, body chain.Body, by keys.Signer) signed.Object {
			e := state.Draft(now(), by.Public(), body)
			if time != 0 {
				e.Time = time
			}
			return must(chain.Make(e, by)).Object
		}
		forged := make(0, invite, w.alice)
		forged.Sig = append([]byte(nil), forged.Sig...)
		forged.Sig[5] ^= 1
		tests := []struct {
			name  string
			entry signed.Object
			code  wire.Code
		}{
			{"not entitled", make(0, invite, bob), wire.CodeRefused},
			{"ahead of the clock", make(now()+6*60_000, invite, w.alice), wire.CodeClock},
			{"signature", forged, wire.CodeBadSignature},
			{"unknown type", signed.Sign(signed.DomainEntry, []byte(fmt.Sprintf(
				`{"mesh":%q,"n":%d,"prev":%q,"type":"party","by":%q,"time":%d}`,
				text(w.mesh), state.Next(), text(state.Tip()), text(w.owner.Public()), now())), w.owner), wire.CodeUnknownType},
			{"garbage", signed.Object{Bytes: []byte("{}"), Sig: make(0, invite, bob).Sig}, wire.CodeMalformed},
		}
		for i, tt := range tests {
			c.t = t
			c.send(&wire.Append{ID: uint64(i + 1), Entries: []signed.Object{tt.entry}})
			if e := c.wantError(tt.code); e.Re != uint64(i+1) {
				t.Errorf("%s: re %d", tt.name, e.Re)
			}
		}
		if w.state().At() != state.At() {
			t.Fatal("something was ordered")
		}
	})
}

func text(v interface{ MarshalText() ([]byte, error) }) string { return string(must(v.MarshalText())) }

// Whoever was slower gets what is missing, signs anew, and is ordered.
func TestAppendConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.hello(w.alice, wire.ReceivesNone)
		link := must(keys.NewInvitePrivate(rand.Reader))
		stale := w.sign(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000,
			Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
		w.invite(1)
		want[*wire.Entries](c) // the push
		c.send(&wire.Append{ID: 1, Entries: []signed.Object{stale}})
		e := want[*wire.Entries](c)
		if e.Appended || e.Re != 1 || len(e.Entries) != 1 || e.From != 3 {
			t.Fatalf("%+v", e)
		}
		fresh := w.sign(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000,
			Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
		c.append(fresh)
		// The answer was lost: asked again it is the same.
		at := w.state().At()
		c.append(fresh)
		if w.state().At() != at {
			t.Fatal("ordered twice")
		}
	})
}

func TestAppendRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.Appends = 3 })
		c := w.hello(w.alice, wire.ReceivesNone)
		for i := range 4 {
			link := must(keys.NewInvitePrivate(rand.Reader))
			e := w.sign(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 60_000,
				Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
			if i < 3 {
				c.append(e)
				continue
			}
			c.send(&wire.Append{ID: 9, Entries: []signed.Object{e}})
			if e := c.wantError(wire.CodeRate); e.RetryAfter < 1 || e.RetryAfter > minute {
				t.Fatalf("%+v", e)
			}
		}
	})
}

// 50 at once by a link of 10 uses: 10 join, and nobody's answer is lost.
func TestJoinAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		link := w.invite(10)
		var mu sync.Mutex
		joined, shut := 0, 0
		var wg sync.WaitGroup
		clients := make([]*client, 50)
		for i := range clients {
			clients[i] = w.hello(link, wire.ReceivesNone)
		}
		for i, c := range clients {
			wg.Go(func() {
				peer := must(keys.NewPeerPrivate(rand.Reader))
				ok, err := w.tryJoin(c, link, peer, fmt.Sprintf("user%d", i))
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				if ok {
					joined++
				} else {
					shut++
				}
			})
		}
		wg.Wait()
		if joined != 10 || shut != 40 || w.state().Count() != 11 {
			t.Fatalf("%d joined, %d found it shut, %d members", joined, shut, w.state().Count())
		}
	})
}

// tryJoin is a joiner: signs, is told of others, signs anew.
func (w *world) tryJoin(c *client, link keys.InvitePrivate, peer keys.PeerPrivate, user string) (bool, error) {
	for {
		e, err := w.state().Sign(now(), chain.Join{User: user, Device: "desk", Peer: peer.Public(), Kind: chain.KindAgent}, link, peer)
		if err != nil {
			return false, nil // used up
		}
		c.seq++
		msg := must(wire.AppendFrame(nil, &wire.Append{ID: c.seq, Entries: []signed.Object{e.Object}}, nil))
		if err := c.ws.Write(c.t.Context(), websocket.MessageText, msg); err != nil {
			return false, nil
		}
		for done := false; !done; {
			r, err := c.read()
			if err != nil && isEnd(err) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			switch f := r.frame.(type) {
			case *wire.Error:
				if f.Code != wire.CodeRefused && f.Code != wire.CodeNotMember {
					return false, errors.New(f.Message)
				}
				done = f.Re == c.seq
			case *wire.Entries:
				if f.Re == c.seq && f.Appended {
					return true, nil
				}
				done = f.Re == c.seq
			}
		}
	}
}

// Who waits for a yes may sync, nothing else; the yes makes it take part on
// the same connection.
func TestPendingAdmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		phone := w.join("bob", "phone") // waits for bob's yes
		c := w.hello(phone, wire.ReceivesLive)
		id := c.message(w.alice.Public(), "psst")
		if e := c.wantError(wire.CodePending); e.IDs[0] != id {
			t.Fatalf("%+v", e)
		}
		c.send(&wire.Subscribe{ID: 1})
		c.wantError(wire.CodeForbidden)
		c.send(&wire.Append{ID: 2, Entries: []signed.Object{w.sign(chain.Admit{Peer: phone.Public()}, bob)}})
		c.wantError(wire.CodePending)

		a := w.hello(w.alice, wire.ReceivesReplies)
		if got := a.wantAck(a.message(phone.Public(), "hi"), wire.StateRefused); got.Why != wire.WhyPending {
			t.Fatalf("why %s", got.Why)
		}
		w.order(chain.Admit{Peer: phone.Public()}, bob)
		want[*wire.Entries](c)
		id = a.message(phone.Public(), "welcome")
		if _, text := c.receive(); text != "welcome" {
			t.Fatalf("%q", text)
		}
		a.wantAck(id, wire.StateDelivered)
	})
}

// Who is revoked learns it with the entry that did it, goes at once, and what
// waited for it is dropped and told.
func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		waits := a.message(bob.Public(), "one")
		a.wantAck(waits, wire.StateQueued)
		b := w.hello(bob, wire.ReceivesNone)
		w.order(chain.Revoke{Keys: []keys.Public{bob.Public()}}, w.alice)
		push := want[*wire.Entries](b)
		if e := must(chain.Decode(push.Entries[0])); e.Entry.Type() != chain.TypeRevoke {
			t.Fatalf("%s", e.Entry.Type())
		}
		b.wantError(wire.CodeRevoked)
		b.wantClose(wire.CloseRevoked)
		if got := a.wantAck(waits, wire.StateRefused); got.Why != wire.WhyRevoked {
			t.Fatalf("why %s", got.Why)
		}
		if got := a.wantAck(a.message(bob.Public(), "two"), wire.StateRefused); got.Why != wire.WhyRevoked {
			t.Fatalf("why %s", got.Why)
		}
		// When it comes back it is shown the proof, and sent away.
		at := must(chain.Decode(push.Entries[0])).At()
		again := w.greet(bob, func(b *wire.HelloBody) { b.At = w.before(at) })
		shown := want[*wire.Entries](again)
		if e := must(chain.Decode(shown.Entries[len(shown.Entries)-1])); e.Entry.Type() != chain.TypeRevoke {
			t.Fatalf("%s", e.Entry.Type())
		}
		again.wantError(wire.CodeRevoked)
		again.wantClose(wire.CloseRevoked)
		// Held already, it is not shown again.
		knows := w.greet(bob, func(b *wire.HelloBody) { b.At = at })
		knows.wantError(wire.CodeRevoked)
		knows.wantClose(wire.CloseRevoked)
		if len(knows.kept) != 0 {
			t.Fatalf("kept%s", knows.keptTypes())
		}
	})
}

// before is the place before another.
func (w *world) before(at signed.At) signed.At {
	m := must(w.b.mesh(w.mesh))
	m.mu.Lock()
	defer m.mu.Unlock()
	e, _ := m.roster.Chain().Entry(at.N - 1)
	return e.At()
}

func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		b := w.hello(bob, wire.ReceivesLive)
		b.send(&wire.Append{ID: 1, Entries: []signed.Object{w.sign(chain.Revoke{Keys: []keys.Public{bob.Public()}}, bob)}})
		if e := want[*wire.Entries](b); !e.Appended {
			t.Fatalf("%+v", e)
		}
		b.wantClose(wire.CloseRevoked)
		want[*wire.Entries](a)
	})
}

// After a restart everything is as it was.
func TestChainKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		w.order(chain.Revoke{Keys: []keys.Public{bob.Public()}}, w.alice)
		at := w.state().At()
		w.restart()
		if w.state().At() != at {
			t.Fatal("another chain")
		}
		c := w.greet(bob, nil)
		c.wantClose(wire.CloseRevoked)
		w.invite(1)
	})
}

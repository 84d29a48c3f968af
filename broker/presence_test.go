package broker

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// card signs a card of the client's.
func (c *client) card(key keys.Signer, counter uint64, change func(*wire.CardBody)) signed.Object {
	b := wire.CardBody{Mesh: c.body.Mesh, Peer: key.Public(), Session: c.body.Session, Counter: counter, Time: now(),
		At: signed.At{N: 1, Hash: signed.ShortHash{1}}, Label: "test", Status: wire.StatusIdle}
	if change != nil {
		change(&b)
	}
	return signed.Sign(signed.DomainCard, must(signed.Encode(b)), key)
}

// peers reads the pages that answer a subscribe.
func (c *client) subscribe(id uint64) map[keys.Public]wire.PeerPresence {
	c.t.Helper()
	c.send(&wire.Subscribe{ID: id})
	out := map[keys.Public]wire.PeerPresence{}
	for {
		p := want[*wire.Presence](c)
		if p.Re != id {
			c.t.Fatalf("re %d", p.Re)
		}
		for _, one := range p.Peers {
			out[one.Key] = one
		}
		if !p.More {
			return out
		}
	}
}

// change reads changes until one tells of a peer.
func (c *client) change(key keys.Public) wire.PeerPresence {
	c.t.Helper()
	for {
		p := want[*wire.Presence](c)
		for _, one := range p.Peers {
			if one.Key == key {
				return one
			}
		}
	}
}

func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		all := a.subscribe(1)
		if len(all) != 2 || !all[w.alice.Public()].Connected || all[bob.Public()].Connected || all[bob.Public()].Since != 0 {
			t.Fatalf("%+v", all)
		}
		began := time.Now()
		b := w.hello(bob, wire.ReceivesLive)
		if p := a.change(bob.Public()); !p.Connected || len(p.Sessions) != 1 || p.Sessions[0].ID != b.body.Session || p.Sessions[0].Card != nil {
			t.Fatalf("%+v", p)
		}
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("told after %v", d)
		}
		// Cards and what is sealed beside them: each reader its own box.
		card := b.card(bob, 1, nil)
		b.send(&wire.Presence{Cards: []signed.Object{card}, PID: 4711, CWD: "/home/bob/secret", Host: "desk",
			Extras: &wire.Extras{Scheme: 1, Sealed: signed.Bytes("sealed"), Boxes: []wire.Recipient{
				{Key: w.alice.Public(), Box: signed.Bytes("for alice")}, {Key: keys.Public{7}, Box: signed.Bytes("for another")}}}})
		p := a.change(bob.Public())
		s := p.Sessions[0]
		if s.Card == nil || string(s.Card.Bytes) != string(card.Bytes) || s.Extras == nil ||
			string(s.Extras.Box) != "for alice" || s.Extras.Boxes != nil || string(s.Extras.Sealed) != "sealed" {
			t.Fatalf("%+v", s)
		}
		if text := fmt.Sprintf("%+v", p); strings.Contains(text, "secret") || strings.Contains(text, "4711") {
			t.Fatal("the operator's metadata reached a peer")
		}
		// A session without live receiving is nobody's business.
		quiet := w.hello(bob, wire.ReceivesReplies)
		quiet.send(&wire.Ping{N: 1})
		want[*wire.Pong](quiet)
		b.bye()
		if p := a.change(bob.Public()); p.Connected || len(p.Sessions) != 0 || p.Since == 0 {
			t.Fatalf("%+v", p)
		}
		if all := quiet.subscribe(2); all[bob.Public()].Connected {
			t.Fatal("connected by a session that sends")
		}
	})
}

// Who subscribed to nothing is told nothing.
func TestPresenceOnlyAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		w.hello(bob, wire.ReceivesLive)
		<-timeAfter(5000)
		a.send(&wire.Ping{N: 1})
		want[*wire.Pong](a)
		if len(a.kept) != 0 {
			t.Fatalf("told%s", a.keptTypes())
		}
	})
}

func TestCardsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		a.subscribe(1)
		b := w.hello(bob, wire.ReceivesLive)
		a.change(bob.Public())
		good := b.card(bob, 5, nil)
		b.send(&wire.Presence{Cards: []signed.Object{good}})
		a.change(bob.Public())
		forged := b.card(w.alice, 9, func(c *wire.CardBody) { c.Peer = bob.Public() })
		for name, o := range map[string]signed.Object{
			"another's signature": forged,
			"another peer":        b.card(w.alice, 9, nil),
			"another mesh":        b.card(bob, 9, func(c *wire.CardBody) { c.Mesh[0] ^= 1 }),
			"another session":     b.card(bob, 9, func(c *wire.CardBody) { c.Session[0] ^= 1 }),
		} {
			b.send(&wire.Presence{Cards: []signed.Object{o}})
			if e := want[*wire.Error](b); e.Code != wire.CodeForbidden && e.Code != wire.CodeBadSignature {
				t.Errorf("%s: %s", name, e.Code)
			}
		}
		b.send(&wire.Presence{Cards: []signed.Object{b.card(bob, 5, nil), b.card(bob, 4, nil)}}) // not newer
		<-timeAfter(3000)
		if p := a.subscribe(2)[bob.Public()]; string(p.Sessions[0].Card.Bytes) != string(good.Bytes) {
			t.Fatal("another card")
		}
	})
}

// A peer's own card outlives its sessions and the broker, until it is revoked.
func TestPeerCardKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesLive)
		own := b.card(bob, 3, func(c *wire.CardBody) {
			c.Session, c.Label, c.Status, c.Tags = keys.SessionID{}, "", "", []string{"backend"}
		})
		b.send(&wire.Presence{Cards: []signed.Object{own}})
		b.send(&wire.Ping{N: 1})
		want[*wire.Pong](b)
		b.bye()
		w.restart()
		a := w.hello(w.alice, wire.ReceivesLive)
		p := a.subscribe(1)[bob.Public()]
		if p.Card == nil || string(p.Card.Bytes) != string(own.Bytes) || p.Connected || p.Since == 0 {
			t.Fatalf("%+v", p)
		}
		w.order(chain.Revoke{Keys: []keys.Public{bob.Public()}}, w.alice)
		a.bye()
		w.restart()
		cards, err := w.b.store.Cards(t.Context(), w.mesh)
		if err != nil || len(cards) != 0 {
			t.Fatalf("%d cards %v", len(cards), err)
		}
	})
}

// Many members come in pages, and a reader that is slow is told the newest.
func TestPresencePages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.Buffer = 4 << 10; o.Limits.Appends = 1000 })
		link := must(keys.NewInvitePrivate(rand.Reader))
		w.order(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: 1000, Expires: now() + 3_600_000,
			Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
		for i := range wire.MaxPeersPage + 10 {
			peer := must(keys.NewPeerPrivate(rand.Reader))
			c := w.hello(link, wire.ReceivesNone)
			c.append(w.sign(chain.Join{User: fmt.Sprintf("user%d", i), Device: "d", Peer: peer.Public(), Kind: chain.KindAgent}, link, peer))
			c.bye()
		}
		a := w.hello(w.alice, wire.ReceivesLive)
		if all := a.subscribe(1); len(all) != wire.MaxPeersPage+11 {
			t.Fatalf("%d peers", len(all))
		}
	})
}

// A silent connection is asked for a sign of life, and ended after two and a
// half heartbeats; one that answers stays.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesLive)
		a.subscribe(1)
		began := time.Now()
		w.hello(bob, wire.ReceivesLive) // reads nothing, answers no ping
		if p := a.change(bob.Public()); !p.Connected {
			t.Fatalf("%+v", p)
		}
		// Alice reads, so her library answers pings.
		if p := a.change(bob.Public()); p.Connected {
			t.Fatalf("%+v", p)
		}
		if d := time.Since(began); d < 20*time.Second || d > 30*time.Second {
			t.Errorf("gone after %v", d)
		}
		a.send(&wire.Ping{N: 1})
		want[*wire.Pong](a)
	})
}

// What the operator sees stands in the store while the session lives.
func TestPresenceRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.hello(w.alice, wire.ReceivesLive)
		a.send(&wire.Presence{Cards: []signed.Object{a.card(w.alice, 1, nil)}, PID: 42, CWD: "/src", Host: "laptop"})
		<-timeAfter(3000)
		rows := must(w.b.store.Presence(t.Context(), w.mesh))
		if len(rows) != 1 {
			t.Fatalf("%+v", rows)
		}
		want := store.Presence{Session: a.body.Session, Mesh: w.mesh, Peer: w.alice.Public(), Label: "test", Status: "idle",
			Receives: "live", Client: "test/1", PID: 42, CWD: "/src", Host: "laptop", Connected: rows[0].Connected, Seen: rows[0].Seen}
		if rows[0] != want {
			t.Fatalf("%+v", rows[0])
		}
		a.bye()
		<-timeAfter(3000)
		if rows := must(w.b.store.Presence(t.Context(), w.mesh)); len(rows) != 0 {
			t.Fatalf("%+v", rows)
		}
	})
}

// The log has metadata, chained, and of payload nothing; nor has any file of
// the broker once the message is gone.
func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		synctest.Wait() // the join's own event is none of ours
		feed := w.b.Events()
		defer feed.Close()
		a := w.hello(w.alice, wire.ReceivesReplies)
		id := a.message(bob.Public(), "marker-of-payload")
		a.wantAck(id, wire.StateQueued)
		b := w.hello(bob, wire.ReceivesLive)
		b.receive()
		a.wantAck(id, wire.StateDelivered)
		<-timeAfter(3000)
		rows := must(w.b.store.AuditLog(t.Context(), w.mesh, 0, 100))
		if err := w.b.store.CheckAudit(t.Context(), w.mesh); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range rows {
			seen[r.Event] = true
			if text := fmt.Sprintf("%+v", r); strings.Contains(text, "marker") || strings.Contains(r.Actor+r.Target, "key-") {
				t.Fatal(text)
			}
			if r.Event == auditMessage && (r.Actor != w.alice.Public().Fingerprint().String() ||
				r.Target != bob.Public().Fingerprint().String() || !strings.Contains(r.Metadata, `"size":17`) ||
				!strings.Contains(r.Metadata, `"priority":"next"`)) {
				t.Fatalf("%+v", r)
			}
		}
		for _, e := range []string{auditMessage, auditConnect, auditAppend, auditCreate} {
			if !seen[e] {
				t.Errorf("no row of %s", e)
			}
		}
		var got []string
		for len(feed.C) > 0 {
			e := <-feed.C
			got = append(got, fmt.Sprintf("%s %s>%s %s %d", e.Kind, e.Actor, e.Target, e.State, e.Bytes))
			if e.Mesh != w.mesh || e.Name != "acme" {
				t.Errorf("%+v", e)
			}
		}
		wantEvents := []string{
			"message alice@laptop/test>bob@desk queued 17",
			"online bob@desk/test> queued 0",
			"message alice@laptop/test>bob@desk delivered 17",
		}
		wantEvents[1] = "online bob@desk/test>  0"
		if strings.Join(got, "\n") != strings.Join(wantEvents, "\n") {
			t.Fatalf("%s", strings.Join(got, "\n"))
		}
	})
}

// Above a thousand messages a second rows are shared.
func TestAuditSums(t *testing.T) {
	r := &recorder{}
	m := message{from: keys.Public{1}, to: keys.Public{2}, bytes: 10}
	for range auditRows + 500 {
		r.message(keys.MeshID{1}, &m, 1)
	}
	r.message(keys.MeshID{2}, &m, 1)
	if len(r.rows) != auditRows+2 {
		t.Fatalf("%d rows", len(r.rows))
	}
	if sum := r.rows[auditRows]; sum.count != 500 || sum.bytes != 5000 || !strings.Contains(sum.metadata(), `"count":500,"size":5000`) {
		t.Fatalf("%+v %s", sum, sum.metadata())
	}
}

// A feed that nobody reads slows nothing down, and says what it missed.
func TestFeedMisses(t *testing.T) {
	h := &feeds{}
	f, g := h.join(), h.join()
	for range feedBuffer + 5 {
		h.emit(Event{})
		<-g.C
	}
	if f.Missed() != 5 || f.Missed() != 0 || g.Missed() != 0 {
		t.Fatal("missed")
	}
	g.Close()
	g.Close()
	h.end()
	n := 0
	for range f.C {
		n++
	}
	if _, open := <-h.join().C; open || n != feedBuffer {
		t.Fatal(n)
	}
}

// Drain: what was taken is stored and answered, everyone is told, and a
// session that does not read holds nobody up for long.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesLive) // does not read
		a := w.hello(w.alice, wire.ReceivesReplies)
		var ids []keys.MessageID
		for i := range 30 {
			ids = append(ids, a.message(bob.Public(), fmt.Sprint(i)))
		}
		began := time.Now()
		stopped := make(chan error, 1)
		go func() { stopped <- w.stop() }()
		acked := 0
		for done := false; !done; {
			r, err := a.read()
			if err != nil {
				a.t.Fatalf("no drain: %v", err)
			}
			switch f := r.frame.(type) {
			case *wire.Ack:
				acked += len(f.IDs)
			case *wire.Drain:
				done = true
			}
		}
		a.wantClose(wire.CloseDrain)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("it took %v", d)
		}
		b.ws.CloseNow()
		w.start()
		b = w.hello(bob, wire.ReceivesLive)
		if b.welcome.Queued < acked {
			t.Fatalf("%d acknowledged, %d kept", acked, b.welcome.Queued)
		}
		for range b.welcome.Queued {
			b.receive()
		}
		_ = ids
	})
}

// Drain waits for the disk: what was taken is acknowledged, and then everyone is sent away.
func TestDrainCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow *slowStore
		w := newWorld(t, func(o *Options) { slow = newSlowStore(t, o) })
		bob := w.join("bob", "desk")
		a := w.hello(w.alice, wire.ReceivesReplies)
		slow.hold()
		id := a.message(bob.Public(), "taken")
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- w.stop() }()
		synctest.Wait()
		slow.release()
		a.wantAck(id, wire.StateQueued)
		want[*wire.Drain](a)
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
	})
}

// Neither strangers that say no hello nor members that read nothing hold the
// end up.
func TestDrainStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.Drain = time.Second })
		bob := w.join("bob", "desk")
		w.dial() // reads not even the challenge
		want[*wire.Challenge](w.dial())
		w.hello(bob, wire.ReceivesLive)
		a := w.hello(w.alice, wire.ReceivesReplies)
		for range 8 { // bob reads none of it
			id := a.message(bob.Public(), strings.Repeat("x", 100<<10))
			a.wantAck(id, wire.StateQueued)
		}
		began := time.Now()
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d > 5*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// While it goes away it says so, and takes nobody in.
func TestNotServing(t *testing.T) {
	l := newMemory()
	b, err := New(Options{Dir: t.TempDir(), Listen: []Listen{{Net: l, Hosts: []string{"mesh.test"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(t.Context()); err != nil {
		t.Fatal("its end came before it, which is no failure", err)
	}
	if _, err := l.dial(t.Context(), "", ""); err != net.ErrClosed {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

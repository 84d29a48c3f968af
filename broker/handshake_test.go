package broker

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

func TestHelloRefused(t *testing.T) {
	w := newWorld(t, patient)
	stranger := must(keys.NewPeerPrivate(rand.Reader))
	tests := []struct {
		name   string
		key    keys.Signer
		change func(*wire.HelloBody)
		code   wire.Code
		close  wire.CloseCode
	}{
		{"unknown key", stranger, nil, wire.CodeNotMember, wire.CloseNotMember},
		{"another nonce", w.alice, func(b *wire.HelloBody) { b.Nonce[0] ^= 1 }, wire.CodeBadSignature, wire.CloseHello},
		{"another broker", w.alice, func(b *wire.HelloBody) { b.Broker[0] ^= 1 }, wire.CodeBadSignature, wire.CloseHello},
		{"key of another", stranger, func(b *wire.HelloBody) { b.Peer = w.alice.Public() }, wire.CodeBadSignature, wire.CloseHello},
		{"relayed", w.alice, func(b *wire.HelloBody) { b.Origin = "https://mallory.test" }, wire.CodeOrigin, wire.CloseOrigin},
		{"another port", w.alice, func(b *wire.HelloBody) { b.Origin = "http://mesh.test:8080" }, wire.CodeOrigin, wire.CloseOrigin},
		{"another scheme", w.alice, func(b *wire.HelloBody) { b.Origin = "https://mesh.test" }, wire.CodeOrigin, wire.CloseOrigin},
		{"unix socket", w.alice, func(b *wire.HelloBody) { b.Origin = "unix:" }, wire.CodeOrigin, wire.CloseOrigin},
		{"no origin", w.alice, func(b *wire.HelloBody) { b.Origin = "" }, wire.CodeOrigin, wire.CloseOrigin},
		{"origin with a path", w.alice, func(b *wire.HelloBody) { b.Origin = "http://mesh.test/v1" }, wire.CodeOrigin, wire.CloseOrigin},
		{"unknown mesh", w.alice, func(b *wire.HelloBody) { b.Mesh[0] ^= 1 }, wire.CodeUnknownMesh, wire.CloseUnknownMesh},
		{"no session", w.alice, func(b *wire.HelloBody) { b.Session = keys.SessionID{} }, wire.CodeMalformed, wire.CloseMalformed},
		{"label is no slug", w.alice, func(b *wire.HelloBody) { b.Label = "a/b" }, wire.CodeMalformed, wire.CloseMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t = t
			c := w.greet(tt.key, tt.change)
			c.wantError(tt.code)
			c.wantClose(tt.close)
		})
	}
}

// A hello that was recorded is worthless: its nonce is another connection's.
func TestHelloReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.hello(w.alice, wire.ReceivesLive)
		again := w.dial()
		want[*wire.Challenge](again)
		again.sayHello(first.body, w.alice)
		again.wantError(wire.CodeBadSignature)
		again.wantClose(wire.CloseHello)
	})
}

func TestHelloHostile(t *testing.T) {
	w := newWorld(t, patient)
	deep := `{"type":"hello","signed":` + strings.Repeat("[", 4000) + strings.Repeat("]", 4000) + `}`
	tests := []struct {
		name string
		kind websocket.MessageType
		msg  string
		code wire.CloseCode
	}{
		{"too large", websocket.MessageText, strings.Repeat(" ", wire.MaxFrameBeforeHello+1), wire.CloseTooLarge},
		{"no JSON", websocket.MessageText, "hello", wire.CloseMalformed},
		{"empty", websocket.MessageText, "", wire.CloseMalformed},
		{"binary without length", websocket.MessageBinary, "ab", wire.CloseMalformed},
		{"length beyond the frame", websocket.MessageBinary, "\x00\x01\x00\x00{}", wire.CloseMalformed},
		{"no UTF-8", websocket.MessageText, "{\"type\":\"hello\",\"signed\":\"\xff\"}", wire.CloseMalformed},
		{"deep nesting", websocket.MessageText, deep, wire.CloseMalformed},
		{"twice the same name", websocket.MessageText, `{"type":"hello","type":"send"}`, wire.CloseMalformed},
		{"another frame", websocket.MessageText, `{"type":"ping","n":1}`, wire.CloseHello},
		{"unknown frame", websocket.MessageText, `{"type":"sesame"}`, wire.CloseMalformed},
		{"hello of garbage", websocket.MessageText, `{"type":"hello","signed":"AAAA","sig":"` + strings.Repeat("A", 86) + `"}`, wire.CloseMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := *w
			w.t = t
			c := w.dial()
			want[*wire.Challenge](c)
			c.raw(tt.kind, []byte(tt.msg))
			c.wantClose(tt.code)
		})
	}
	w.hello(w.alice, wire.ReceivesLive) // it still serves
}

func TestHelloLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.dial()
		want[*wire.Challenge](c)
		began := time.Now()
		c.wantClose(wire.CloseNoHello)
		if d := time.Since(began); d > 6*time.Second {
			t.Errorf("closed after %v", d)
		}
		// One that sends a byte now and then gains nothing by it.
		raw, err := w.l.dial(context.Background(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		began = time.Now()
		var drip sync.WaitGroup
		defer drip.Wait()
		drip.Go(func() {
			for _, b := range []byte("GET /v1 HTTP/1.1\r\nHost: mesh.test\r\nX-Slow: very very slow\r\n") {
				if _, err := raw.Write([]byte{b}); err != nil {
					return
				}
				<-time.After(time.Second)
			}
		})
		buf := make([]byte, 1024)
		for {
			if _, err := raw.Read(buf); err != nil {
				break
			}
		}
		if d := time.Since(began); d > 11*time.Second {
			t.Errorf("the slow one was closed after %v", d)
		}
	})
}

func TestHalfOpenBound(t *testing.T) {
	h := halfOpen{all: 4, each: 2}
	evicted := 0
	evict := func() { evicted++ }
	a, b := mustAddr("192.0.2.1"), mustAddr("2001:db8::1")
	one, two := h.enter(a, false, evict), h.enter(a, false, nil)
	if one == nil || two == nil || h.enter(a, false, evict) != nil {
		t.Fatal("an address has two")
	}
	three, four := h.enter(b, false, nil), h.enter(mustAddr("2001:db8::2"), false, evict)
	if three == nil || four == nil || h.enter(mustAddr("2001:db8::3"), false, evict) != nil {
		t.Fatal("a /64 is one address, and has two")
	}
	// All have four: the oldest that can goes.
	five := h.enter(mustAddr("192.0.2.2"), true, nil)
	if five == nil || evicted != 1 {
		t.Fatalf("%d evicted", evicted)
	}
	one() // it is gone already
	if again := h.enter(a, false, nil); again == nil || evicted != 2 {
		t.Fatalf("%d evicted", evicted)
	}
	if h.enter(mustAddr("192.0.2.3"), true, evict) != nil {
		t.Fatal("nobody can go")
	}
	for _, release := range []func(){two, three, four, five} {
		release()
		release()
	}
	if h.open.Len() != 1 || len(h.addr) != 1 {
		t.Fatalf("%d counted, %v", h.open.Len(), h.addr)
	}
}

// Many handshakes at a time make the next connection wait until one of them ends; who
// means no hello makes nobody wait for long.
func TestHandshakesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := halfOpen{all: 2 * atATime, left: make(chan struct{}, 1)}
		began := time.Now()
		waited := func(what string, want time.Duration) {
			t.Helper()
			h.wait()
			if d := time.Since(began); d != want {
				t.Fatalf("%s: they waited %v in all, not %v", what, d, want)
			}
		}
		var release func()
		for range atATime {
			waited("the first ones", 0)
			release = h.enter(mustAddr("127.0.0.1"), true, nil)
		}
		go release()
		waited("one ends", 0)
		h.enter(mustAddr("127.0.0.1"), true, nil)
		waited("none ends", mostPatience)
		waited("no patience is left", mostPatience)
		h.accepted()
		waited("a hello was accepted", mostPatience+earned)
	})
}

// Connections that say nothing at all are counted, and go when others come;
// those who say hello do not count.
func TestHalfOpenGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.HalfOpen = 3 })
		var silent []net.Conn
		for range 4 {
			c, err := w.l.dial(context.Background(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			silent = append(silent, c)
		}
		began := time.Now()
		if _, err := silent[0].Read(make([]byte, 1)); err == nil || time.Since(began) > 0 {
			t.Fatal("the oldest stays")
		}
		a := w.hello(w.alice, wire.ReceivesLive)
		for range 4 {
			w.hello(w.alice, wire.ReceivesLive)
		}
		a.send(&wire.Ping{N: 1})
		want[*wire.Pong](a)
		if d := time.Since(began); d > time.Second {
			t.Errorf("others waited %v", d)
		}
		for _, c := range silent { // all are closed for their silence
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Fatal("answered without a request")
			}
		}
	})
}

func TestHelloReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.hello(w.alice, wire.ReceivesLive)
		same := func(b *wire.HelloBody) { b.Session = old.body.Session }
		fresh := w.hello(w.alice, wire.ReceivesLive, same)
		old.wantClose(wire.CloseReplaced)
		fresh.send(&wire.Ping{N: 7})
		if p := want[*wire.Pong](fresh); p.N != 7 {
			t.Fatalf("%+v", p)
		}
		// Another peer's session of the same id is another session.
		bob := w.join("bob", "desk")
		w.hello(bob, wire.ReceivesLive, same)
		fresh.send(&wire.Ping{N: 8})
		want[*wire.Pong](fresh)
	})
}

func TestConnectionsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Limits.Connections = 2 })
		w.hello(w.alice, wire.ReceivesLive)
		w.hello(w.alice, wire.ReceivesNone)
		c := w.greet(w.alice, nil)
		c.wantError(wire.CodeRate)
		c.wantClose(wire.CloseRate)
	})
}

func TestWelcomeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.hello(w.alice, wire.ReceivesLive)
		if a.welcome.Missing != 3 || a.welcome.Present != 1 || a.welcome.Queued != 0 {
			t.Fatalf("%+v", a.welcome)
		}
		if a.welcome.Limits.InFlight != wire.InFlight || a.welcome.Heartbeat <= 0 || a.welcome.Time <= 0 {
			t.Fatalf("%+v", a.welcome)
		}
		at := w.state().At()
		bob := w.join("bob", "desk")
		b := w.hello(bob, wire.ReceivesNone, func(b *wire.HelloBody) { b.At = at })
		if b.welcome.Missing != 2 || b.welcome.Present != 2 {
			t.Fatalf("%+v", b.welcome)
		}
	})
}

// An invite's key may sync, and append one join by that invite.
func TestInviteKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		link := w.invite(1)
		c := w.hello(link, wire.ReceivesLive)
		c.send(&wire.Sync{ID: 1})
		if e := want[*wire.Entries](c); e.Re != 1 || len(e.Entries) != 4 || e.More {
			t.Fatalf("%+v", e)
		}
		other := must(keys.NewInvitePrivate(rand.Reader))
		c.send(&wire.Append{ID: 2, Entries: []signed.Object{w.sign(chain.Invite{
			Key: other.Public(), Rank: chain.RankMember, Uses: 1, Expires: now() + 1000, Kinds: []chain.Kind{chain.KindAgent},
		}, w.alice)}})
		c.wantError(wire.CodeForbidden)
		id := c.message(w.alice.Public(), "psst")
		if e := c.wantError(wire.CodeForbidden); len(e.IDs) != 1 || e.IDs[0] != id {
			t.Fatalf("%+v", e)
		}
		for i, f := range []wire.Frame{
			&wire.Subscribe{ID: 3}, &wire.Trace{ID: 4, Message: id}, &wire.Presence{PID: 1},
		} {
			c.send(f)
			if e := c.wantError(wire.CodeForbidden); i < 2 && e.Re == 0 {
				t.Fatalf("%+v", e)
			}
		}
		// Used up, it is shut, also for one who is connected.
		peer := must(keys.NewPeerPrivate(rand.Reader))
		second := w.hello(link, wire.ReceivesNone)
		c.append(w.sign(chain.Join{User: "bob", Device: "desk", Peer: peer.Public(), Kind: chain.KindAgent}, link, peer))
		c.wantClose(wire.CloseJoined)
		second.wantError(wire.CodeNotMember)
		second.wantClose(wire.CloseNotMember)
		third := w.greet(link, nil)
		third.wantError(wire.CodeForbidden)
		third.wantClose(wire.CloseNotMember)
	})
}

// An owner's and the recovery key may sync and append, nothing else.
func TestOwnerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, key := range []keys.Signer{w.owner, w.recovery} {
			c := w.hello(key, wire.ReceivesLive)
			c.send(&wire.Sync{ID: 1})
			want[*wire.Entries](c)
			c.message(w.alice.Public(), "psst")
			c.wantError(wire.CodeForbidden)
			c.send(&wire.Subscribe{ID: 3})
			c.wantError(wire.CodeForbidden)
		}
		c := w.hello(w.owner, wire.ReceivesNone)
		c.append(w.sign(chain.Broker{URLs: []string{"https://mesh.example.org"}}, w.owner))
	})
}

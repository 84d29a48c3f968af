package broker

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/wire"
)

// halfOpens is how many connections TestHandshakeUnderAttack opens; make torture opens
// 10,000.
var halfOpens = flag.Int("half-open", handshakes, "how many half-open connections TestHandshakeUnderAttack makes")

// attackers are who opens connections and never says a proper hello. Each gives the
// connection back to the broker, which ends it.
var attackers = []struct {
	name   string
	attack func(c net.Conn)
}{
	{"silence", func(net.Conn) {}},
	{"half a request", func(c net.Conn) { io.WriteString(c, "GET "+wire.PathSocket+" HTTP/1.1\r\nHost: mesh.test\r\n") }},
	{"no hello", func(c net.Conn) { upgrade(c) }},
	{"a hello byte by byte", func(c net.Conn) {
		upgrade(c)
		for _, b := range clientFrame([]byte(`{"type":"hello","signed":"`)) {
			<-time.After(time.Second)
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
		}
	}},
	{"a huge frame", func(c net.Conn) {
		upgrade(c)
		c.Write(clientFrame(bytes.Repeat([]byte{' '}, wire.MaxFrame)))
	}},
	{"a nested frame", func(c net.Conn) {
		upgrade(c)
		c.Write(clientFrame([]byte(`{"type":"hello","signed":` + strings.Repeat("[", wire.MaxFrameBeforeHello-100))))
	}},
	{"frames without end", func(c net.Conn) {
		upgrade(c)
		for range 1000 {
			if _, err := c.Write(clientFrame([]byte(`{"type":"ping","n":1}`))); err != nil {
				return
			}
		}
	}},
}

// upgrade asks for a WebSocket, and does not wait for the answer.
func upgrade(c net.Conn) {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: mesh.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
		wire.PathSocket, wire.Subprotocol)
}

// clientFrame is a text message of a WebSocket client, masked by zeros.
func clientFrame(payload []byte) []byte {
	frame := []byte{0x81, 0x80 | 127}
	frame = binary.BigEndian.AppendUint64(frame, uint64(len(payload)))
	return append(append(frame, 0, 0, 0, 0), payload...)
}

// TestHandshakeUnderAttack: many connections that never say a proper hello, from many
// addresses and from one. Whoever is connected is served, new ones are let in, and the
// broker holds no more than its limit of them.
func TestHandshakeUnderAttack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Logger = slog.New(slog.DiscardHandler) })
		bob := w.join("bob", "desk")
		w.l.remote = &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 1}
		a, b := w.hello(w.alice, wire.ReceivesLive), w.hello(bob, wire.ReceivesLive)
		served := func(i int) {
			text := fmt.Sprintf("under attack %d", i)
			id := a.message(bob.Public(), text)
			if _, got := b.receive(); got != text {
				t.Fatalf("got %q", got)
			}
			a.wantAck(id, wire.StateDelivered)
			w.hello(bob, wire.ReceivesNone).bye()
		}
		var before, during runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		var all sync.WaitGroup
		var conns []net.Conn
		most := 0
		for i := range *halfOpens {
			ip := net.IPv4(203, 0, byte(i>>8), byte(i))
			if i%3 == 0 {
				ip = net.IPv4(192, 0, 2, 1) // a third of them from one address
			}
			c, err := w.l.dialFrom(&net.TCPAddr{IP: ip, Port: i})
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			kind := attackers[i%len(attackers)]
			all.Go(func() { kind.attack(c) })
			all.Go(func() { io.Copy(io.Discard, c) })
			if i%100 == 99 {
				served(i)
				w.b.half.mu.Lock()
				most = max(most, w.b.half.open.Len())
				one := 0
				for _, n := range w.b.half.addr {
					one = max(one, n)
				}
				w.b.half.mu.Unlock()
				if most > w.b.limits.HalfOpen || one > w.b.limits.HalfOpenAddr {
					t.Fatalf("%d half-open, %d of one address", most, one)
				}
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&during)
		t.Logf("%d connections, at most %d half-open at a time, the heap grew by %d KiB", *halfOpens, most, (int64(during.HeapAlloc)-int64(before.HeapAlloc))>>10)
		if most == 0 {
			t.Error("nobody was half-open: no attack")
		}
		// With what the test's own ends hold.
		if grown := int64(during.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<20 {
			t.Errorf("%d MiB for %d half-open connections", grown>>20, most)
		}
		if d := time.Since(began); d > w.b.limits.HelloWithin {
			t.Errorf("others waited %v", d)
		}
		// All of them are ended, by their time at the latest, with nobody's help.
		<-time.After(2 * w.b.limits.HelloWithin)
		all.Wait()
		w.b.half.mu.Lock()
		if n := w.b.half.open.Len(); n != 0 {
			t.Errorf("%d are still half-open", n)
		}
		w.b.half.mu.Unlock()
		served(*halfOpens)
		for _, c := range conns {
			c.Close()
		}
	})
}

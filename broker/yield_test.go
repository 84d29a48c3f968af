package broker

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/wire"
)

// A broker that ends when idle stays while somebody is connected, and what waits
// in it is there at the next start.
func TestIdleEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *Options) { o.Idle = 10 * time.Second })
		bob := w.join("bob", "desk")
		alice := w.hello(w.alice, wire.ReceivesLive)
		alice.wantAck(alice.message(bob.Public(), "later"), wire.StateQueued)
		<-time.After(15 * time.Second)
		synctest.Wait()
		if !w.b.serving() {
			t.Fatal("ended under a connection")
		}
		alice.bye()
		synctest.Wait()
		<-time.After(9 * time.Second)
		synctest.Wait()
		if !w.b.serving() {
			t.Fatal("ended before its time")
		}
		<-time.After(2 * time.Second)
		<-w.b.ended
		w.restart()
		if c := w.hello(bob, wire.ReceivesLive); c.welcome.Queued != 1 {
			t.Errorf("%d wait, want the one", c.welcome.Queued)
		}
	})
}

// Only a broker that was made to gives way, and only to who reaches its socket.
func TestYield(t *testing.T) {
	for _, yields := range []bool{true, false} {
		socket := filepath.Join(t.TempDir(), "b.sock")
		w := newWorld(t, patient, func(o *Options) {
			o.Listen, o.Yields = []Listen{{Addr: "unix:" + socket}}, yields
		})
		if resp, err := w.http().Post(testOrigin+pathYield, "", nil); err != nil || resp.StatusCode != http.StatusNotFound {
			t.Errorf("asked over the network: %v, %v", resp, err)
		}
		if !Serves(t.Context(), socket) {
			t.Error("it does not serve")
		}
		will, err := Yield(t.Context(), socket)
		if err != nil || will != yields {
			t.Fatalf("asked: %v, %v; want %v", will, err, yields)
		}
		if !yields {
			continue
		}
		<-w.b.ended
		if _, err := Yield(t.Context(), socket); err == nil {
			t.Error("somebody answers still")
		}
		if Serves(t.Context(), socket) {
			t.Error("it serves still")
		}
		if key, err := KeyIn(w.opts.Dir); err != nil || key != w.b.Key() {
			t.Errorf("key %v, %v", key, err)
		}
	}
	if _, err := KeyIn(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key of an empty folder: %v", err)
	}
}

// A broker that has its socket already and then cannot start serves nobody.
func TestHoldingASocketIsNotServing(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "b.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			err = conn.Close()
		}
		ended <- errors.Join(err, l.Close())
	}()
	if Serves(t.Context(), socket) {
		t.Error("it serves")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

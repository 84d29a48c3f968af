package gather_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/gather"
)

// gate is a connection whose writes are recorded and wait for a word each.
type gate struct {
	net.Conn
	started chan []byte   // what a write was given, when it starts
	answer  chan error    // how it ends
	closed  chan struct{} // by Close
	once    sync.Once
}

func newGate() *gate {
	return &gate{started: make(chan []byte), answer: make(chan error), closed: make(chan struct{})}
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.started <- bytes.Clone(p):
	case <-g.closed:
		return 0, net.ErrClosed
	}
	select {
	case err := <-g.answer:
		if err != nil {
			return 0, err
		}
		return len(p), nil
	case <-g.closed:
		return 0, net.ErrClosed
	}
}

func (g *gate) SetWriteDeadline(time.Time) error { return nil } // does not obey deadlines

func (g *gate) Close() error {
	g.once.Do(func() { close(g.closed) })
	return nil
}

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(text), n, err)
	}
}

func TestWritesDuringAWriteShareTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{})
		write(t, c, "one")
		if got := <-g.started; string(got) != "one" {
			t.Fatalf("first call %q: a write on an idle connection waits for nobody", got)
		}
		write(t, c, "two,")
		write(t, c, "three,")
		write(t, c, "four")
		g.answer <- nil
		if got := <-g.started; string(got) != "two,three,four" {
			t.Fatalf("second call %q", got)
		}
		g.answer <- nil
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestIdleHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{})
		for range 3 {
			write(t, c, "x")
			<-g.started
			g.answer <- nil
			synctest.Wait()
		}
		// The bubble fails if a goroutine outlives this function: none does,
		// without Close.
	})
}

func TestWriteBlocksAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{Limit: 10})
		write(t, c, "0123456789")
		<-g.started // ten bytes are unwritten, none is free
		done := make(chan error)
		go func() {
			_, err := c.Write([]byte("abcdefghijKL")) // larger than the limit: by portions
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Write returned %v with the limit reached", err)
		default:
		}
		g.answer <- nil
		if got := <-g.started; string(got) != "abcdefghij" {
			t.Fatalf("second call %q", got)
		}
		g.answer <- nil
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := <-g.started; string(got) != "KL" {
			t.Fatalf("third call %q", got)
		}
		g.answer <- nil
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseWritesWhatWasAccepted(t *testing.T) {
	near, far := net.Pipe()
	c := gather.New(near, gather.Options{})
	var want []byte
	for i := range 100 {
		p := bytes.Repeat([]byte{byte(i)}, 1000)
		want = append(want, p...)
		write(t, c, string(p))
	}
	got := make(chan []byte)
	go func() {
		data, _ := io.ReadAll(far)
		got <- data
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if data := <-got; !bytes.Equal(data, want) {
		t.Fatalf("%d bytes arrived of %d", len(data), len(want))
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("second Close: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Write after Close: %v", err)
	}
	if err := c.SetWriteDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("SetWriteDeadline after Close: %v", err)
	}
}

func TestCloseReportsWhatWasLost(t *testing.T) {
	for _, c := range []struct {
		name string
		conn func() (net.Conn, func())
	}{
		{"deadlines obeyed", func() (net.Conn, func()) {
			near, far := net.Pipe() // nobody reads
			return near, func() { far.Close() }
		}},
		{"deadlines ignored", func() (net.Conn, func()) { return newDeaf(), func() {} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				beneath, cleanup := c.conn()
				defer cleanup()
				conn := gather.New(beneath, gather.Options{Linger: 3 * time.Second})
				write(t, conn, "lost")
				start := time.Now()
				if err := conn.Close(); err == nil {
					t.Fatal("Close says that all was written")
				}
				if d := time.Since(start); d != 3*time.Second {
					t.Fatalf("Close took %v", d)
				}
			})
		})
	}
}

// deaf is a connection that never writes, until it is closed.
type deaf struct{ *gate }

func newDeaf() deaf { return deaf{newGate()} }

func (d deaf) Write([]byte) (int, error) {
	<-d.closed
	return 0, net.ErrClosed
}

func TestAStuckWriteEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe() // nobody reads far
		defer far.Close()
		c := gather.New(near, gather.Options{WriteWithin: 10 * time.Second})
		start := time.Now()
		write(t, c, "stuck")
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatal("reading goes on")
		}
		if d := time.Since(start); d != 10*time.Second {
			t.Fatalf("it ended after %v", d)
		}
		synctest.Wait()
		for range 2 {
			if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the error is not kept: %v", err)
			}
		}
		if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Close: %v", err)
		}
	})
}

func TestSlowIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		c := gather.New(near, gather.Options{WriteWithin: 10 * time.Second, Linger: time.Minute})
		got := make(chan int)
		go func() { // 64 KiB in 8 s: 256 KiB take longer than WriteWithin
			total := 0
			buf := make([]byte, 32<<10)
			for {
				<-time.After(4 * time.Second) // the bubble's clock
				n, err := io.ReadFull(far, buf)
				if total += n; err != nil {
					got <- total
					return
				}
			}
		}()
		write(t, c, string(make([]byte, 256<<10)))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if n := <-got; n != 256<<10 {
			t.Fatalf("%d bytes arrived", n)
		}
	})
}

func TestErrorWakesWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{Limit: 1})
		write(t, c, "x")
		<-g.started
		failed := make(chan error)
		go func() {
			_, err := c.Write([]byte("y"))
			failed <- err
		}()
		synctest.Wait()
		broken := errors.New("broken pipe")
		g.answer <- broken
		if err := <-failed; !errors.Is(err, broken) {
			t.Fatalf("the waiting Write got %v", err)
		}
		if err := c.Close(); !errors.Is(err, broken) {
			t.Fatalf("Close got %v", err)
		}
	})
}

func TestCloseWakesWriters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{Limit: 1})
		write(t, c, "x")
		<-g.started
		woken := make(chan error)
		go func() {
			_, err := c.Write([]byte("y"))
			woken <- err
		}()
		synctest.Wait()
		closed := make(chan error)
		go func() { closed <- c.Close() }()
		if err := <-woken; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("the waiting Write got %v", err)
		}
		g.answer <- nil
		if err := <-closed; err != nil {
			t.Fatal(err)
		}
	})
}

func TestWriteDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		c := gather.New(g, gather.Options{Limit: 4})
		write(t, c, "abcd")
		<-g.started
		start := time.Now()
		if err := c.SetWriteDeadline(start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Write([]byte("e")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("Write = %d, %v", n, err)
		}
		if d := time.Since(start); d != time.Second {
			t.Fatalf("Write gave up after %v", d)
		}
		if err := c.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		g.answer <- nil
		write(t, c, "fg") // the deadline spoiled nothing
		if got := <-g.started; string(got) != "fg" {
			t.Fatalf("second call %q", got)
		}
		g.answer <- nil
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestConcurrentWritersKeepTheirWritesWhole: writes of several goroutines
// come out whole, each goroutine's in its order, also by portions.
func TestConcurrentWritersKeepTheirWritesWhole(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	near, far := net.Pipe()
	c := gather.New(near, gather.Options{Limit: 100})
	const writers, writes = 4, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for i := range writes {
				size := 3 + rng.IntN(250)
				p := bytes.Repeat([]byte{byte(w)}, size)
				p[0], p[1], p[2] = byte(w), byte(i), byte(size)
				if _, err := c.Write(p); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	ended := make(chan error)
	go func() {
		all.Wait()
		ended <- c.Close()
	}()
	var next [writers]int
	head := make([]byte, 3)
	for {
		if _, err := io.ReadFull(far, head); err != nil {
			break
		}
		rest := make([]byte, int(head[2])-3)
		if _, err := io.ReadFull(far, rest); err != nil {
			t.Fatalf("a write was cut: %v", err)
		}
		w := int(head[0])
		if w >= writers || byte(next[w]) != head[1] || !bytes.Equal(rest, bytes.Repeat(head[:1], len(rest))) {
			t.Fatalf("writer %d, write %d: got %v and %d bytes", w, next[w], head, len(rest))
		}
		next[w]++
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for w, n := range next {
		if n != writes {
			t.Errorf("writer %d: %d writes of %d arrived", w, n, writes)
		}
	}
}

func TestAddressesAndDeadlinesAreThoseBeneath(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	c := gather.New(near, gather.Options{})
	if c.LocalAddr() != near.LocalAddr() || c.RemoteAddr() != near.RemoteAddr() || c.NetConn() != near {
		t.Error("addresses differ")
	}
	if err := c.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read past its deadline: %v", err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write past its deadline: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

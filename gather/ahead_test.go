package gather

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
)

// script is a connection that gives what it has, as much as there is room for, and
// counts the calls.
type script struct {
	net.Conn
	data  []byte
	calls int
	end   error
}

func (s *script) Read(p []byte) (int, error) {
	s.calls++
	n := copy(p, s.data)
	s.data = s.data[n:]
	if len(s.data) == 0 {
		return n, s.end
	}
	return n, nil
}

// TestReadAhead: everything comes once, in order, and its end behind it; in few calls
// where there is much.
func TestReadAhead(t *testing.T) {
	all := make([]byte, 300<<10)
	for i := range all {
		all[i] = byte(i * 7 / 3)
	}
	for _, room := range []int{1, 512, 4096, aheadSize, 2 * aheadSize} {
		end := errors.New("the end")
		conn := &script{data: all, end: end}
		c := New(conn, Options{})
		var got []byte
		p := make([]byte, room)
		for {
			n, err := c.Read(p[:1+rand.IntN(room)])
			got = append(got, p[:n]...)
			if err != nil {
				if !errors.Is(err, end) {
					t.Fatalf("room of %d: %v", room, err)
				}
				break
			}
		}
		if !bytes.Equal(got, all) {
			t.Fatalf("room of %d: %d bytes came, not those %d", room, len(got), len(all))
		}
	}
	conn := &script{data: all, end: io.EOF}
	c := New(conn, Options{})
	p := make([]byte, 4096)
	for err := error(nil); err == nil; {
		_, err = c.Read(p)
	}
	if most := 2 + 2*len(all)/aheadSize; conn.calls > most {
		t.Errorf("%d system calls, at most %d are wanted", conn.calls, most)
	}
	if c.reading.room != nil {
		t.Error("a buffer is held at the end")
	}
}

// BenchmarkRead reads a connection that always has much, as a WebSocket library does:
// 4 KiB at a time.
func BenchmarkRead(b *testing.B) {
	c := New(endless{}, Options{})
	p := make([]byte, 4096)
	b.ReportAllocs()
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if _, err := c.Read(p); err != nil {
			b.Fatal(err)
		}
	}
}

// endless is a connection that fills whatever room there is.
type endless struct{ net.Conn }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

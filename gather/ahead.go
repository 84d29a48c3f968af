package gather

import (
	"net"
	"sync"
)

// aheadSize is how much one system call reads at most, in bytes, where a reader gives
// less room and is behind.
const aheadSize = 32 << 10

var rooms = sync.Pool{New: func() any { return new([aheadSize]byte) }}

// ahead is what was read and not asked for yet. Whoever reads in small pieces, as a
// WebSocket library does, would else make a system call for each.
type ahead struct {
	mu     sync.Mutex       // held during a read; taken before nothing
	room   *[aheadSize]byte // nil: nothing is left
	left   []byte           // of room
	behind bool             // the last system call filled what it was given
	err    error            // that came with what is left
}

func (a *ahead) read(conn net.Conn, p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.left) == 0 {
		if err := a.err; err != nil {
			a.err = nil
			return 0, err
		}
		if !a.behind || len(p) >= aheadSize {
			n, err := conn.Read(p)
			a.behind = n > 0 && n == len(p)
			return n, err
		}
		a.room = rooms.Get().(*[aheadSize]byte)
		n, err := conn.Read(a.room[:])
		a.left, a.err, a.behind = a.room[:n], err, n == aheadSize
	}
	n := copy(p, a.left)
	a.left = a.left[n:]
	if len(a.left) == 0 && a.room != nil {
		rooms.Put(a.room)
		a.room, a.left = nil, nil
	}
	if n == 0 && a.err != nil {
		err := a.err
		a.err = nil
		return 0, err
	}
	return n, nil
}

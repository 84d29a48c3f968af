package meshtest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeSize is how many bytes a direction of a connection holds before writing
// blocks.
const pipeSize = 64 << 10

// pipe is one direction of a connection: a bounded buffer.
type pipe struct {
	mu     sync.Mutex
	cond   sync.Cond
	buffer []byte
	ended  bool  // the writer closed: what is buffered can still be read
	cut    error // what is read behind that; nil: the end
	left   int   // bytes that may still be written before it breaks, if back is set
	back   *pipe // the other direction, which breaks with it
	err    error // broken, or closed by the reader
	read   deadline
	write  deadline
}

// deadline is a point in time that wakes a pipe.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func newPipe() *pipe {
	p := new(pipe)
	p.cond.L = &p.mu
	return p
}

// set arms a deadline of the pipe.
func (p *pipe) set(d *deadline, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.at = at; !at.IsZero() {
		if wait := time.Until(at); wait > 0 {
			d.timer = time.AfterFunc(wait, p.wake)
		}
	}
	p.cond.Broadcast()
}

func (p *pipe) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cond.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// Read takes what is there, and waits while nothing is.
func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.read.passed():
			return 0, os.ErrDeadlineExceeded
		case p.err != nil:
			return 0, p.err
		case len(p.buffer) > 0:
			n := copy(b, p.buffer)
			p.buffer = append(p.buffer[:0], p.buffer[n:]...)
			p.cond.Broadcast()
			return n, nil
		case p.ended && p.cut != nil:
			return 0, p.cut
		case p.ended:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		p.cond.Wait()
	}
}

// Write puts b into the buffer, and waits while it is full.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		switch {
		case p.write.passed():
			return written, os.ErrDeadlineExceeded
		case p.err != nil:
			return written, p.err
		case p.ended && p.cut != nil:
			return written, p.cut
		case p.ended:
			return written, io.ErrClosedPipe
		case len(b) == 0:
			return written, nil
		}
		if room := pipeSize - len(p.buffer); room > 0 {
			n := min(room, len(b))
			if p.back != nil {
				n = min(n, p.left)
			}
			p.buffer = append(p.buffer, b[:n]...)
			b, written = b[n:], written+n
			p.cond.Broadcast()
			if p.back != nil {
				if p.left -= n; p.left == 0 {
					p.ended, p.cut = true, syscall.ECONNRESET
					defer p.back.fail(p.cut) // not with both locks held
					p.back = nil
				}
			}
			continue
		}
		p.cond.Wait()
	}
}

// cutAfter breaks the pipe, and the other direction with it, behind some more bytes,
// one at least.
func (p *pipe) cutAfter(bytes int, back *pipe) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.back = max(bytes, 1), back
}

// end says that no more is written.
func (p *pipe) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.cond.Broadcast()
}

// fail breaks the pipe, unless it is broken already.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
		p.buffer = nil
	}
	p.cond.Broadcast()
}

// conn is one end of a connection.
type conn struct {
	network       *Network
	of            *Process
	dialled       int // which dial it was, of the end that dialled; else 0
	in, out       *pipe
	local, remote net.Addr
	once          sync.Once
}

// Read reads from the other end.
func (c *conn) Read(b []byte) (int, error) { return c.in.Read(b) }

// Write writes to the other end.
func (c *conn) Write(b []byte) (int, error) { return c.out.Write(b) }

// Close ends both directions; the other end reads what is on its way.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.out.end()
		c.in.fail(net.ErrClosed)
		for _, p := range []*pipe{c.in, c.out} {
			p.mu.Lock()
			for _, d := range []*deadline{&p.read, &p.write} {
				if d.timer != nil {
					d.timer.Stop()
				}
			}
			p.mu.Unlock()
		}
		c.network.mu.Lock()
		delete(c.network.conns, c)
		c.network.mu.Unlock()
	})
	return nil
}

// LocalAddr is this end.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	c.out.set(&c.out.write, t)
	return nil
}

// SetReadDeadline bounds reading.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.set(&c.in.read, t)
	return nil
}

// SetWriteDeadline bounds writing.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.set(&c.out.write, t)
	return nil
}

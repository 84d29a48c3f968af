package gather

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Defaults of [Options].
const (
	DefaultLimit       = 256 << 10        // bytes
	DefaultWriteWithin = 10 * time.Second // for one system call
	DefaultLinger      = time.Second      // for what is left at Close
)

// chunk is the most that one call of the connection beneath is given, in
// bytes. A slow connection so has WriteWithin for each 64 KiB, not for all
// that waits.
const chunk = 64 << 10

// Options of a Conn. The zero value is ready to use.
type Options struct {
	// Limit is how many bytes may be accepted and not yet written; then Write
	// blocks. Zero or less: DefaultLimit.
	Limit int

	// WriteWithin is how long one call of the connection beneath may take; a
	// longer one ends the connection. Zero or less: DefaultWriteWithin.
	WriteWithin time.Duration

	// Linger is how long Close waits until what was accepted is written. Zero
	// or less: DefaultLinger.
	Linger time.Duration
}

// Conn is a net.Conn that gathers writes. Reading and addresses are those of
// the connection beneath. All methods may be called by any goroutine at any
// time.
//
// A goroutine lives only while something is being written; Close waits for
// it. An idle Conn holds no buffer, but one that fell silent in the middle of a
// burst may hold one for reading.
type Conn struct {
	conn        net.Conn
	limit       int
	writeWithin time.Duration
	linger      time.Duration

	reading ahead // of Read

	writing sync.Mutex // held during Write, so that a large one is not cut by another; taken before mu

	mu        sync.Mutex // guards the following fields
	moved     sync.Cond  // on mu; something was written, failed, ended, or a deadline passed
	next      *block     // accepted, not yet taken by flush; nil when idle
	unwritten int        // bytes accepted and not written
	flushing  bool       // flush runs
	err       error      // of the first failed write; sticky
	closed    bool       // Close was called
	closeBy   time.Time  // set with closed: no write lasts longer
	deadline  time.Time  // for Write to accept; zero: none
	wake      *time.Timer
}

// block is a buffer of the pool.
type block struct{ b []byte }

var blocks = sync.Pool{New: func() any { return new(block) }}

// New wraps a connection, which it owns from now on.
func New(conn net.Conn, o Options) *Conn {
	c := &Conn{conn: conn, limit: o.Limit, writeWithin: o.WriteWithin, linger: o.Linger}
	if c.limit <= 0 {
		c.limit = DefaultLimit
	}
	if c.writeWithin <= 0 {
		c.writeWithin = DefaultWriteWithin
	}
	if c.linger <= 0 {
		c.linger = DefaultLinger
	}
	c.moved.L = &c.mu
	return c
}

// Write accepts p: it copies p and returns, before p is written. It blocks
// while Limit bytes are unwritten, until there is room, the write deadline
// passes (os.ErrDeadlineExceeded) or the connection is closed
// (net.ErrClosed). An error of an earlier write is returned by every later
// call.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	accepted := 0
	for {
		for c.unwritten >= c.limit && c.refusal() == nil {
			c.moved.Wait()
		}
		if err := c.refusal(); err != nil {
			return accepted, err
		}
		n := min(len(p)-accepted, c.limit-c.unwritten)
		if n > 0 {
			c.accept(p[accepted : accepted+n])
			accepted += n
		}
		if accepted == len(p) {
			return accepted, nil
		}
	}
}

// refusal says why nothing can be accepted now, nil if it can. mu is held.
func (c *Conn) refusal() error {
	switch {
	case c.err != nil:
		return fmt.Errorf("gather: an earlier write failed: %w", c.err)
	case c.closed:
		return net.ErrClosed
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// accept takes p and sees to it that flush runs. mu is held.
func (c *Conn) accept(p []byte) {
	if c.next == nil {
		c.next = blocks.Get().(*block)
	}
	c.next.b = append(c.next.b, p...)
	c.unwritten += len(p)
	if !c.flushing {
		c.flushing = true
		go c.flush() // Close waits for flushing to end
	}
}

// flush writes until nothing is left or a write fails.
func (c *Conn) flush() {
	out := blocks.Get().(*block)
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.next.b) > 0 {
		out, c.next = c.next, out
		c.err = c.writeAll(out.b)
		out.b = out.b[:0]
	}
	if c.err != nil {
		// What reads this connection must learn that it is over. The error
		// of closing adds nothing to the one that is kept.
		_ = c.conn.Close()
	}
	c.next.b = c.next.b[:0]
	blocks.Put(out)
	blocks.Put(c.next)
	c.next = nil
	c.flushing = false
	c.moved.Broadcast()
}

// writeAll writes b in chunks. mu is held, but not during the writes.
func (c *Conn) writeAll(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), chunk)
		if err := c.limitWrite(); err != nil {
			return err
		}
		c.mu.Unlock()
		_, err := c.conn.Write(b[:n])
		c.mu.Lock()
		if err != nil {
			return err
		}
		b = b[n:]
		c.unwritten -= n
		c.moved.Broadcast()
	}
	return nil
}

// limitWrite sets the deadline beneath for the coming write. mu is held, so
// that Close and flush agree on the deadline that holds.
func (c *Conn) limitWrite() error {
	by := time.Now().Add(c.writeWithin)
	if c.closed && c.closeBy.Before(by) {
		by = c.closeBy
	}
	return c.conn.SetWriteDeadline(by)
}

// Close writes what was accepted, for Linger at most, and closes the
// connection. It returns an error if something accepted could not be written;
// net.ErrClosed if it was called before.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	if c.wake != nil {
		c.wake.Stop()
	}
	c.moved.Broadcast()
	var lost error
	if c.flushing {
		c.closeBy = time.Now().Add(c.linger)
		lost = c.limitWrite()
		// A connection that does not obey deadlines is closed under its write.
		force := time.AfterFunc(c.linger, func() { _ = c.conn.Close() })
		for c.flushing {
			c.moved.Wait()
		}
		force.Stop()
	}
	switch {
	case c.err != nil:
		lost = fmt.Errorf("gather: closed with %d bytes unwritten: %w", c.unwritten, c.err)
	case c.unwritten == 0:
		lost = nil
	}
	err := c.conn.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // flush or force closed it
	}
	return errors.Join(lost, err)
}

// Read reads from the connection beneath. Where more comes than p holds, the next
// system call takes much of it at once.
func (c *Conn) Read(p []byte) (int, error) { return c.reading.read(c.conn, p) }

// LocalAddr is that of the connection beneath.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr is that of the connection beneath.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// NetConn is the connection beneath. Writing to it spoils the order.
func (c *Conn) NetConn() net.Conn { return c.conn }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline sets until when Write waits for room. What was accepted is
// written all the same, within Options.WriteWithin.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if c.wake != nil {
		c.wake.Stop()
		c.wake = nil
	}
	c.deadline = t
	if !t.IsZero() {
		c.wake = time.AfterFunc(max(0, time.Until(t)), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.moved.Broadcast()
		})
	}
	return nil
}

// listener wraps what it accepts.
type listener struct {
	net.Listener
	options Options
}

// NewListener wraps every connection that l accepts.
func NewListener(l net.Listener, o Options) net.Listener { return &listener{l, o} }

// Accept waits for a connection and wraps it.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(conn, l.options), nil
}

// DialFunc is the form of net.Dialer.DialContext, tls.Dialer.DialContext and
// of the fields of http.Transport.
type DialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// Dial wraps every connection that dial makes.
func Dial(dial DialFunc, o Options) DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return New(conn, o), nil
	}
}

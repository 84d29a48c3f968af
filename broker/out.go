package broker

import (
	"sync"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/wire"
)

// outHard is how many bytes beyond Limits.Buffer may wait for one connection,
// of frames that nothing holds back: beyond it the connection ends as a slow
// consumer.
const outHard = 1 << 20

// out is what waits to be written to one connection, and the goroutine that
// writes it, which lives only while there is something. Rows wait as they are
// and become frames when their turn comes, so that a message is not in memory
// twice.
type out struct {
	sock  *socket
	limit int         // bytes of frames beyond which full is true
	room  func()      // called by the writing goroutine once there is room after full said no
	fail  func(error) // called once, when a write fails

	mu      sync.Mutex // guards the following; a leaf
	buf     []byte     // frames, one behind the other
	items   []outItem
	bytes   int  // of frames, not of rows: the delivery machine's window bounds those
	wanted  bool // somebody waits for room
	ping    bool // a ping is due
	running bool
	ended   bool // nothing is taken any more
	code    wire.CloseCode
	reason  string
	idle    chan struct{} // closed when ended and the goroutine is gone
}

// outItem is one frame: a stretch of buf, or a row.
type outItem struct {
	end     int // of the frame in buf
	binary  bool
	row     *delivery.Row
	attempt int32
}

func newOut(s *socket, limit int, room func(), fail func(error)) *out {
	return &out{sock: s, limit: limit, room: room, fail: fail, idle: make(chan struct{})}
}

// frame queues a frame; it says false where the connection is at an end, or so
// far behind that it has to be ended.
func (o *out) frame(f wire.Frame) bool {
	return o.put(func(dst []byte) []byte {
		// Encoding a frame of our own making cannot fail but by a mistake in
		// this program, and then the frame is left out.
		with, err := wire.AppendFrame(dst, f, nil)
		if err != nil {
			return dst
		}
		return with
	})
}

// text queues a text frame that is encoded already.
func (o *out) text(msg []byte) bool {
	return o.put(func(dst []byte) []byte { return append(dst, msg...) })
}

// ack queues an ack frame.
func (o *out) ack(f *wire.Ack) bool {
	return o.put(func(dst []byte) []byte { return wire.AppendAck(dst, f) })
}

// put queues a text frame that encode appends.
func (o *out) put(encode func([]byte) []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	before := len(o.buf)
	o.buf = encode(o.buf)
	if len(o.buf) == before {
		return true
	}
	o.bytes += len(o.buf) - before
	o.add(outItem{end: len(o.buf)})
	return o.bytes <= o.limit+outHard
}

// deliver queues a row's deliver frame.
func (o *out) deliver(row *delivery.Row, attempt int32) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return false
	}
	o.add(outItem{end: len(o.buf), row: row, attempt: attempt})
	return true
}

// add queues an item and sees to it that it is written. mu is held.
func (o *out) add(i outItem) {
	o.items = append(o.items, i)
	o.start()
}

func (o *out) start() {
	if !o.running {
		o.running = true
		go o.run() // end is waited for by whoever reads idle
	}
}

// pingNow has a ping written, unless frames are under way anyway.
func (o *out) pingNow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.ended && !o.running {
		o.ping = true
		o.start()
	}
}

// full says whether so much waits that its maker should hold back; room is
// called when that has changed. Rows do not count: a peer that says received
// before it reads on must be read, or both would wait for each other.
func (o *out) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bytes < o.limit || o.ended {
		return false
	}
	o.wanted = true
	return true
}

// closing says whether nothing is taken any more.
func (o *out) closing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}

// end takes nothing more, has written what waits, and closes with a code. The
// first call counts.
func (o *out) end(code wire.CloseCode, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	o.ended, o.code, o.reason = true, code, reason
	o.start()
}

// run writes what waits, until nothing does.
func (o *out) run() {
	var buf, scratch []byte
	var items []outItem
	o.mu.Lock()
	for {
		if len(o.items) == 0 && !o.ping {
			break
		}
		ping := o.ping
		o.ping = false
		buf, o.buf = o.buf, buf[:0]
		items, o.items = o.items, items[:0]
		o.mu.Unlock()
		var err error
		if ping {
			err = o.sock.ping()
		}
		if err == nil {
			scratch, err = o.write(buf, items, scratch)
		}
		clear(items) // lets go of the rows
		o.mu.Lock()
		if err != nil {
			o.failed(err)
			return
		}
	}
	// An idle connection holds no buffers.
	o.buf, o.items = nil, nil
	o.running = false
	ended, code, reason := o.ended, o.code, o.reason
	o.mu.Unlock()
	if ended {
		o.sock.close(code, reason)
		close(o.idle)
	}
}

// failed ends writing for ever. mu is held, and let go.
func (o *out) failed(err error) {
	ended := o.ended
	o.ended = true
	o.buf, o.items, o.bytes = nil, nil, 0
	o.mu.Unlock()
	o.sock.abort()
	if !ended {
		o.fail(err)
	}
	close(o.idle)
}

// write writes a batch and counts it down, item by item, so that who waits for
// room does not wait for all of it.
func (o *out) write(buf []byte, items []outItem, scratch []byte) ([]byte, error) {
	start := 0
	for _, i := range items {
		msg, size, binary := buf[start:i.end], i.end-start, i.binary
		if i.row != nil {
			scratch = appendRow(scratch[:0], i.row, i.attempt)
			msg, size, binary = scratch, 0, true
		}
		start = i.end
		if err := o.sock.write(msg, binary); err != nil {
			return scratch, err
		}
		o.mu.Lock()
		o.bytes -= size
		call := o.wanted && o.bytes < o.limit/2
		if call {
			o.wanted = false
		}
		o.mu.Unlock()
		if call {
			o.room()
		}
	}
	return scratch, nil
}

// appendRow appends a row's deliver frame.
func appendRow(dst []byte, r *delivery.Row, attempt int32) []byte {
	f := wire.Deliver{
		ID: r.ID, Class: r.Class, From: r.From, Session: r.Session, Box: r.Box,
		Priority: r.Priority, Expires: r.Expires, Sent: r.Sent, Attempt: int(attempt), Claim: r.One,
	}
	return wire.AppendDeliver(dst, &f, r.Sealed)
}

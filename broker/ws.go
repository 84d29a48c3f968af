package broker

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/gather"
	"github.com/claudemesh/claudemesh-go/wire"
)

// This is the only file that knows which WebSocket library there is.

// Sizes of a connection's buffers, in bytes.
const (
	gatherLimit = 64 << 10 // accepted and not yet written
	readKeep    = 8 << 10  // a read buffer larger than this is not kept
	readStart   = 512
)

// closeLinger is how long a closed connection may take to answer the close
// frame.
const closeLinger = time.Second

// errTooLarge: a frame beyond the limit came in.
var errTooLarge = errors.New("frame too large")

// socket is one WebSocket connection: one message a frame. One goroutine
// reads, one at a time writes; the rest may be called by any.
type socket struct {
	ws   *websocket.Conn
	conn *gather.Conn // beneath it
	raw  *gateConn    // beneath that
	buf  []byte       // of read
	max  int          // bytes of a frame; its reader's
}

// acceptSocket upgrades a request. The answer to a failure is written.
func (b *Broker) acceptSocket(w http.ResponseWriter, r *http.Request) (*socket, error) {
	if !offers(r, wire.Subprotocol) {
		err := errors.New("a WebSocket of subprotocol " + wire.Subprotocol + " is spoken here")
		http.Error(w, err.Error(), http.StatusBadRequest)
		return nil, err
	}
	s := &socket{}
	ws, err := websocket.Accept(&hijacker{ResponseWriter: w, into: s, broker: b}, r, &websocket.AcceptOptions{
		Subprotocols: []string{wire.Subprotocol},
		// Host and Origin were checked, and more strictly, before.
		InsecureSkipVerify: true,
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, err
	}
	s.ws = ws
	// read has a limit of its own: the library's would close with a code that
	// tells the peer to come back and try the same again.
	ws.SetReadLimit(-1)
	return s, nil
}

// offers says whether a request offers a subprotocol.
func offers(r *http.Request, protocol string) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(p), protocol) {
				return true
			}
		}
	}
	return false
}

// hijacker puts a gathering connection between the WebSocket and what the
// HTTP server accepted: above TLS, so that many frames share a record too.
type hijacker struct {
	http.ResponseWriter
	into   *socket
	broker *Broker
}

// Hijack takes the connection from the HTTP server.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if h.into.raw = gated(c); h.into.raw == nil { // served as a handler
		h.into.raw = &gateConn{Conn: c, broker: h.broker, release: func() {}}
		c = h.into.raw
	}
	h.into.conn = gather.New(c, gather.Options{Limit: gatherLimit, WriteWithin: h.broker.limits.WriteWithin, Linger: closeLinger})
	rw.Writer.Reset(h.into.conn)
	return h.into.conn, rw, nil
}

// limit sets how many bytes a frame may have; for the goroutine that reads.
func (s *socket) limit(n int) { s.max = n }

// readBy ends reads at a time; zero ends that.
func (s *socket) readBy(t time.Time) error { return s.conn.SetReadDeadline(t) }

// read gives the next message, valid until the next call, and whether it is a
// binary one. It fails with errTooLarge, os.ErrDeadlineExceeded or whatever
// ended the connection.
func (s *socket) read() (msg []byte, binary bool, err error) {
	kind, r, err := s.ws.Reader(context.Background())
	if err != nil {
		return nil, false, err
	}
	if cap(s.buf) > readKeep || s.buf == nil {
		s.buf = make([]byte, 0, readStart)
	}
	// The buffer grows with what has come, not with what was announced.
	buf := s.buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > s.max {
			return nil, false, errTooLarge
		}
		if errors.Is(err, io.EOF) {
			s.buf = buf
			return buf, kind == websocket.MessageBinary, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
}

// write hands one message to the connection. It blocks while much is
// unwritten.
func (s *socket) write(msg []byte, binary bool) error {
	kind := websocket.MessageText
	if binary {
		kind = websocket.MessageBinary
	}
	return s.ws.Write(context.Background(), kind, msg)
}

// pingFrame is a whole ping of RFC 6455 without payload, unmasked as a
// server's frames are.
var pingFrame = []byte{0x89, 0x00}

// ping sends one. The library's own ping waits for its pong, which would keep
// a goroutine for each; nobody waits here, since any byte that comes back is a
// sign of life. It goes beneath the library, between two of its frames: only
// the goroutine that writes calls it, what the reading one writes meanwhile is
// a single small frame, and gather keeps each write whole.
func (s *socket) ping() error {
	_, err := s.conn.Write(pingFrame)
	return err
}

// close says why and ends the connection, also under a read; it waits a
// second for the other side's word.
func (s *socket) close(code wire.CloseCode, reason string) {
	_ = s.readBy(time.Now().Add(closeLinger))
	_ = s.ws.Close(websocket.StatusCode(code), reason)
}

// abort ends the connection at once.
func (s *socket) abort() { _ = s.ws.CloseNow() }

// cut takes the network away from under a connection: whoever reads or writes
// it finds out. It does not wait.
func (s *socket) cut() { _ = s.raw.Conn.Close() }

// closedBy says whether the other side ended the connection by a close frame.
func closedBy(err error) bool { return websocket.CloseStatus(err) != -1 }

// timedOut says whether a read ended because its time was over.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// sockets are the connections there are, so that the end finds them.
type sockets struct {
	mu   sync.Mutex       // guards the following
	open map[*socket]bool // true: its hello was accepted
	over bool             // none is taken any more
	left time.Time        // when the last one left; zero: none was there yet
}

// join adds one, unless the end has begun.
func (l *sockets) join(s *socket) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return false
	}
	if l.open == nil {
		l.open = make(map[*socket]bool)
	}
	l.open[s] = false
	return true
}

// greeted notes that a hello was accepted.
func (l *sockets) greeted(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[s] = true
}

// leave takes one out.
func (l *sockets) leave(s *socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, s)
	l.left = time.Now()
}

// quiet is for how long there was no connection, counted from begun where there
// never was one.
func (l *sockets) quiet(begun time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.open) > 0:
		return 0
	case l.left.IsZero():
		return time.Since(begun)
	}
	return time.Since(l.left)
}

// abort lets no more join, and ends those whose hello was not accepted yet, or
// all.
func (l *sockets) abort(all bool) {
	l.mu.Lock()
	l.over = true
	var list []*socket
	for s, greeted := range l.open {
		if all || !greeted {
			list = append(list, s)
		}
	}
	l.mu.Unlock()
	for _, s := range list {
		s.cut()
	}
}

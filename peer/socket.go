package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/gather"
	"github.com/claudemesh/claudemesh-go/wire"
)

// This file alone knows the WebSocket library.

// dialFunc makes a connection, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// socket is one WebSocket connection to a broker: messages in, messages out. One
// goroutine at a time reads; writes may come from any.
type socket struct {
	ws     *websocket.Conn
	raw    net.Conn // beneath it
	buffer []byte   // of the last message read

	// life ends with the connection; its cause is why.
	life context.Context
	end  context.CancelCauseFunc

	began   time.Time    // when it was dialled
	heard   atomic.Int64 // ms after that of the last sign of life
	silence atomic.Int64 // ms after which the connection is dead

	mu     sync.Mutex  // guards the rest
	watch  *time.Timer // ends a silent connection
	closed bool        // watch is not armed again
}

// transportTo is an HTTP transport that dials one endpoint, whatever the request's
// host is. Writes made during a write share the next one. The pin is checked where
// the endpoint is TLS.
func transportTo(e endpoint, p pin, dial dialFunc) *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx, e.network, e.address)
			if err != nil {
				return nil, err
			}
			return gather.New(conn, gather.Options{}), nil
		},
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dial(ctx, e.network, e.address)
			if err != nil {
				return nil, err
			}
			secure := tls.Client(conn, p.config(e.host))
			if err := secure.HandshakeContext(ctx); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return gather.New(secure, gather.Options{}), nil
		},
		DisableKeepAlives: true,
	}
}

// httpURL is the URL of a path at an endpoint.
func (e endpoint) httpURL(path string) string {
	if e.scheme == "unix" {
		return "http://localhost" + path
	}
	return e.origin + path
}

// dialSocket dials an endpoint and opens the WebSocket.
func dialSocket(ctx context.Context, e endpoint, p pin, dial dialFunc) (*socket, error) {
	s := &socket{began: time.Now()}
	keep := func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		s.raw, err = dial(ctx, network, address)
		return s.raw, err
	}
	ws, response, err := websocket.Dial(ctx, e.httpURL(wire.PathSocket), &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: transportTo(e, p, keep)},
		Subprotocols: []string{wire.Subprotocol},
		OnPingReceived: func(context.Context, []byte) bool {
			s.alive()
			return true
		},
	})
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("%w: %s", errNoBroker, response.Status)
		}
		return nil, err
	}
	if ws.Subprotocol() != wire.Subprotocol {
		ws.CloseNow()
		return nil, errNoBroker
	}
	ws.SetReadLimit(-1) // read has one of its own: the library's says a code of its own
	s.ws = ws
	s.life, s.end = context.WithCancelCause(context.Background())
	s.silence.Store(wire.SilenceWithin)
	s.alive()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = time.AfterFunc(wire.SilenceWithin*time.Millisecond, s.check)
	return s, nil
}

// errNoBroker is an answer that no broker gives.
var errNoBroker = errors.New("no claudemesh broker answers there")

// unreadableError is a message that is no frame, or too large for one. What comes
// behind it cannot be trusted to be in step.
type unreadableError struct {
	code wire.CloseCode // what the broker is told
	err  error
}

// Error says what is wrong with it.
func (e *unreadableError) Error() string {
	return fmt.Sprintf("what the broker sent cannot be read: %v", e.err)
}

// Unwrap returns that, and that no broker of ours sends it.
func (e *unreadableError) Unwrap() []error { return []error{errNoBroker, e.err} }

// unreadable makes it of why a message does not decode.
func unreadable(err error) error {
	code := wire.CloseMalformed
	if wire.CodeOf(err) == wire.CodeTooLarge {
		code = wire.CloseTooLarge
	}
	return &unreadableError{code, err}
}

// errSilent ends a connection without a sign of life.
var errSilent = errors.New("no sign of life")

// alive notes a sign of life.
func (s *socket) alive() { s.heard.Store(time.Since(s.began).Milliseconds()) }

// setHeartbeat takes over the welcome's heartbeat: two and a half of it without a
// sign of life end the connection. [CM-7]
func (s *socket) setHeartbeat(seconds int) {
	if seconds <= 0 {
		return
	}
	s.silence.Store(min(int64(seconds)*2500, wire.SilenceWithin))
	s.check()
}

// check ends the connection if it was silent for too long, else comes again when
// it would have been.
func (s *socket) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	left := s.heard.Load() + s.silence.Load() - time.Since(s.began).Milliseconds()
	if left <= 0 {
		s.closed = true
		s.end(errSilent)
		return
	}
	s.watch.Reset(time.Duration(left) * time.Millisecond)
}

// read returns the next message. It is valid until the next call.
func (s *socket) read() (message []byte, binary bool, err error) {
	kind, r, err := s.ws.Reader(s.life)
	if err != nil {
		return nil, false, s.why(err)
	}
	s.buffer = s.buffer[:0]
	for {
		if len(s.buffer) == cap(s.buffer) {
			s.buffer = append(s.buffer, 0)[:len(s.buffer)]
		}
		n, err := r.Read(s.buffer[len(s.buffer):cap(s.buffer)])
		s.buffer = s.buffer[:len(s.buffer)+n]
		if len(s.buffer) > wire.MaxFrame {
			return nil, false, unreadable(wire.ErrTooLarge)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, s.why(err)
		}
	}
	s.alive()
	return s.buffer, kind == websocket.MessageBinary, nil
}

// write sends one message. It gives up after ten seconds, which ends the
// connection. [CM-10]
func (s *socket) write(message []byte, binary bool) error {
	ctx, cancel := context.WithTimeout(s.life, wire.WriteWithin*time.Millisecond)
	defer cancel()
	kind := websocket.MessageText
	if binary {
		kind = websocket.MessageBinary
	}
	return s.ws.Write(ctx, kind, message)
}

// why makes of a read's error what the other end said, where it said something.
func (s *socket) why(err error) error {
	if cause := context.Cause(s.life); cause != nil {
		return cause
	}
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return &closedError{code: wire.CloseCode(closed.Code), reason: closed.Reason}
	}
	return err
}

// closedError is a connection that the broker closed.
type closedError struct {
	code   wire.CloseCode
	reason string
}

// Error names the code.
func (e *closedError) Error() string {
	return fmt.Sprintf("the broker closed the connection (%d %s)", e.code, e.reason)
}

// goodbyeWithin is how long the other side may take to answer a goodbye.
const goodbyeWithin = 5 * time.Second

// close says goodbye and waits for the answer, goodbyeWithin at most.
func (s *socket) close(code wire.CloseCode) {
	s.stopWatch()
	// The library waits for ever for the rest of a message that was not read.
	late := time.AfterFunc(goodbyeWithin, func() { s.raw.Close() })
	defer late.Stop()
	_ = s.ws.Close(websocket.StatusCode(code), code.Info().Reason)
	s.end(errEnded)
}

// hangUp ends the connection because of err. Where what the broker sent is the reason,
// it is told so. [CM-7.7]
func (s *socket) hangUp(err error) {
	var bad *unreadableError
	if errors.As(err, &bad) {
		s.close(bad.code)
		return
	}
	s.abort()
}

// abort ends the connection at once; it may be called at any time.
func (s *socket) abort() {
	s.stopWatch()
	s.end(errEnded)
	_ = s.ws.CloseNow()
}

// errEnded is a connection that this side ended.
var errEnded = errors.New("the connection was ended here")

func (s *socket) stopWatch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.watch.Stop()
}

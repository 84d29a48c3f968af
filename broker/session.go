package broker

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Requests that are not part of delivery cost the broker a signature, a page
// or the store: a session that asks for more of them a second is read more
// slowly, which hurts nobody else.
const (
	requestRate  = 50
	requestBurst = 200
)

// sessionKey names a session. Its maker chose the id, so it counts only beside
// the peer's key: nobody ends another's session by claiming its id.
type sessionKey struct {
	peer keys.Public
	id   keys.SessionID
}

// session is one connection whose hello was accepted.
type session struct {
	b     *Broker
	m     *mesh
	hello wire.HelloBody
	conn  delivery.Conn
	since int64 // Unix ms
	sock  *socket
	out   *out

	resume chan struct{} // capacity 1: reading may go on
	gone   chan struct{} // closed by detach
	paused atomic.Bool   // the reader waits, so silence says nothing
	starts atomic.Int64  // when reading started or went on, by the steady clock
	pinged int64         // when the sweeper last asked for a ping; its own

	addr     netip.Addr        // that messages count against; zero: none
	requests *rate.Limiter     // used by the reading goroutine, like what follows
	to       [1]wire.Recipient // of a message to one: no memory for each
	brought  brought
	ahead    struct{ peer, addr int } // messages that were counted and have not come

	// The mesh's mu guards the following.
	standing roster.Standing
	attached bool
	waits    bool // the reader waits for acks
	present  bool // others see it: a member's that receives
	sub      subscription
	shown    shown
	asked    []wire.Trace // that wait for receipts to go first
	brings   bool         // an unknown key that may bring what lets it in
	bringing *time.Timer  // until when
}

func (s *session) peer() keys.Public { return s.hello.Peer }

func (s *session) key() sessionKey { return sessionKey{s.hello.Peer, s.hello.Session} }

// end has what waits written and closes with a code. It does not wait.
func (s *session) end(code wire.CloseCode) { s.out.end(code, code.Info().Reason) }

// fail tells what is wrong and ends the connection.
func (s *session) fail(code wire.Code, close wire.CloseCode, re uint64) {
	s.out.frame(&wire.Error{Code: code, Message: code.Info().Sentence, Re: re})
	s.end(close)
}

// send queues a frame; a connection that is too far behind is ended.
func (s *session) send(f wire.Frame) {
	if !s.out.frame(f) {
		s.end(wire.CloseSlow)
	}
}

// refuse answers a request with an error.
func (s *session) refuse(code wire.Code, re uint64, message string) {
	if message == "" {
		message = code.Info().Sentence
	}
	s.send(&wire.Error{Code: code, Message: message, Re: re})
}

// read handles frames until the connection ends, then takes the session out.
func (s *session) read() {
	code := wire.CloseNormal
	var decoder wire.Decoder
	for {
		if !s.mayRead() {
			break
		}
		msg, binary, err := s.sock.read()
		if err != nil {
			code = s.readFailed(err)
			break
		}
		frame, payload, err := decoder.Decode(msg, binary)
		if err != nil {
			if !s.badFrame(err) {
				break
			}
			continue
		}
		if !s.handle(frame, payload) {
			break
		}
	}
	if s.b.draining.Load() && !s.out.closing() {
		<-s.gone // what was taken is answered first, and drain takes it out
	}
	s.m.detach(s)
	s.end(code)
	<-s.out.idle
}

// readFailed chooses the close code for a read that failed.
func (s *session) readFailed(err error) wire.CloseCode {
	switch {
	case errors.Is(err, errTooLarge):
		return wire.CloseTooLarge
	case closedBy(err):
		return wire.CloseNormal
	}
	return wire.CloseGoingAway
}

// badFrame answers a frame that could not be decoded: one of an unknown type
// is answered and forgotten, all else ends the connection, since what came
// next could not be trusted to be in step.
func (s *session) badFrame(err error) bool {
	var unknown *wire.UnknownTypeError
	if errors.As(err, &unknown) {
		s.refuse(wire.CodeUnknownType, unknown.ID, "")
		return s.slow(1)
	}
	code, close := wire.CodeOf(err), wire.CloseMalformed
	if code == wire.CodeTooLarge {
		close = wire.CloseTooLarge
	}
	s.fail(code, close, 0)
	return false
}

// mayRead waits until the session may be read from: until what it was sent is
// on its way and few enough of its messages are unanswered. It says false when
// the session ended.
func (s *session) mayRead() bool {
	for {
		if s.out.closing() {
			return false // what came now could not be answered
		}
		if !s.out.full() && !s.m.tooMany(s) {
			return true
		}
		readOn := s.unread()
		select {
		case <-s.resume:
		case <-s.gone:
			return false
		}
		readOn()
	}
}

// unread begins a time in which nobody reads the connection, so that its silence
// says nothing; what it returns ends it.
func (s *session) unread() (readOn func()) {
	s.paused.Store(true)
	return func() {
		s.starts.Store(s.b.steady())
		s.paused.Store(false)
	}
}

// wake lets mayRead look again.
func (s *session) wake() {
	select {
	case s.resume <- struct{}{}:
	default:
	}
}

// slow waits for the session's turn to make a request of a cost.
func (s *session) slow(cost int) bool {
	defer s.unread()()
	return s.requests.WaitN(s.b.ending, min(cost, requestBurst)) == nil
}

// leastPause is how long nothing is read of a connection whose peer or address has
// sent too much, in milliseconds: long enough to be worth a word.
const leastPause = 100

// turn waits until peer and address of the session may send a message [CM-8.39].
// It says false when the session ended meanwhile.
func (s *session) turn(f *wire.Send) bool {
	n := max(1, len(f.Recipients))
	if s.ahead.peer < n && !s.count(f.ID, &s.ahead.peer, n, s.b.byPeer.atOnce(), func(n int) int64 {
		return s.b.byPeer.take(s.peer(), n, s.b.steady())
	}) {
		return false
	}
	s.ahead.peer -= n
	if !s.addr.IsValid() {
		return true
	}
	if s.ahead.addr < n && !s.count(f.ID, &s.ahead.addr, n, s.b.byAddr.atOnce(), func(n int) int64 {
		return s.b.byAddr.take(s.addr, n, s.b.steady())
	}) {
		return false
	}
	s.ahead.addr -= n
	return true
}

// count has what is missing of n messages counted, and some ahead. Where there is no
// room for them it says so, and reads on later: what came stays where it is, so that
// nothing is lost and nothing overtakes.
func (s *session) count(id keys.MessageID, ahead *int, n, atOnce int, take func(int) int64) bool {
	more := max(n-*ahead, atOnce)
	for {
		pause := take(more)
		if pause == 0 {
			*ahead += more
			return true
		}
		pause = max(pause, leastPause)
		s.b.metrics.slowed.Inc()
		s.send(&wire.Error{Code: wire.CodeRate, Message: wire.CodeRate.Info().Sentence, IDs: []keys.MessageID{id}, RetryAfter: pause})
		if !s.wait(time.Duration(pause) * time.Millisecond) {
			return false
		}
	}
}

// wait reads nothing for a time; it says false when the session ended.
func (s *session) wait(d time.Duration) bool {
	defer s.unread()()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !s.out.closing()
	case <-s.gone:
	case <-s.b.ending.Done():
	}
	return false
}

// cost is what a request costs of requestRate, by the signatures, bytes and
// members that it means.
func cost(frame wire.Frame) int {
	switch f := frame.(type) {
	case *wire.Sync:
		return 4
	case *wire.Append:
		return 2 + len(f.Entries)/2
	case *wire.Entries:
		return 2 + len(f.Entries)/2
	case *wire.Presence:
		return 1 + len(f.Cards)
	case *wire.Subscribe:
		return 25
	}
	return 1
}

// handle acts on a frame; it says false when reading is over.
func (s *session) handle(frame wire.Frame, payload []byte) bool {
	switch f := frame.(type) {
	case *wire.Send:
		if !s.turn(f) {
			return false
		}
		s.m.send(s, f, payload)
		return true
	case *wire.Receipt:
		s.m.receipt(s, f)
		return true
	}
	if !s.slow(cost(frame)) {
		return false
	}
	switch f := frame.(type) {
	case *wire.Sync:
		s.m.sync(s, f)
	case *wire.Append:
		s.m.append(s, f)
	case *wire.Entries:
		s.m.offered(s, f)
	case *wire.Presence:
		s.m.tell(s, f)
	case *wire.Subscribe:
		s.m.subscribe(s, f)
	case *wire.Trace:
		s.m.trace(s, f)
	case *wire.Ping:
		s.send(&wire.Pong{N: f.N})
	case *wire.Pong, *wire.Error:
		// Signs of life; an error says that the peer could not read something.
	default:
		// A frame that only a broker sends.
		s.refuse(wire.CodeUnknownType, 0, "")
	}
	return true
}

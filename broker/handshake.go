package broker

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// serveSocket upgrades a request and hands the connection to a goroutine of
// its own, so that the HTTP server's can go.
func (b *Broker) serveSocket(w http.ResponseWriter, r *http.Request, q request) {
	if !b.enter(false) {
		b.refuse(w, wire.CodeBusy, "")
		return
	}
	defer b.tasks.Done() // of enter
	release := func() {}
	if q.conn == nil || contains(b.opts.BehindProxy, q.conn.addr) {
		// The gate did not count this client: it saw the proxy, or nothing.
		release = b.half.enter(q.addr, b.uncounted(q.addr), nil)
		if release == nil {
			w.Header().Set("Retry-After", "1")
			b.refuse(w, wire.CodeRate, "")
			return
		}
	}
	began := time.Now()
	sock, err := b.acceptSocket(w, r)
	if err != nil {
		release()
		b.log.Debug("upgrade", "addr", q.addr, "err", err)
		return
	}
	b.tasks.Go(func() {
		defer b.sockets.leave(sock)
		if !b.sockets.join(sock) {
			sock.abort()
			release()
			return
		}
		s := b.greet(sock, q, began)
		release()
		if s == nil {
			return
		}
		b.sockets.greeted(sock)
		b.half.accepted()
		if q.conn != nil {
			q.conn.greeted()
		}
		s.read()
	})
}

// refused is why a hello is not accepted.
type refused struct {
	code  wire.Code
	close wire.CloseCode
	// show is what the key is shown before it is sent away: the entry that put
	// it out, and what leads there.
	show *wire.Entries
}

// Error gives the sentence of the code.
func (r *refused) Error() string { return r.code.Info().Sentence }

// greet leads a connection through the handshake: challenge, hello, welcome.
// It gives nil where that failed, and has ended the connection then.
func (b *Broker) greet(sock *socket, q request, began time.Time) *session {
	s, err := b.handshake(sock, q, began)
	if err == nil {
		return s
	}
	var no *refused
	code, text := wire.CloseGoingAway, ""
	switch {
	case errors.As(err, &no):
		if no.show != nil {
			sendNow(sock, no.show)
		}
		sendNow(sock, &wire.Error{Code: no.code, Message: no.Error()})
		code = no.close
	case timedOut(err):
		code = wire.CloseNoHello
	case errors.Is(err, errTooLarge):
		code = wire.CloseTooLarge
	}
	text = code.Info().Reason
	b.metrics.refused.Inc()
	b.log.Debug("hello refused", "addr", q.addr, "close", code, "err", err)
	sock.close(code, text)
	return nil
}

// sendNow writes a frame on a connection that has no writing goroutine yet. A
// failure shows at the next read.
func sendNow(sock *socket, f wire.Frame) error {
	msg, err := wire.AppendFrame(nil, f, nil)
	if err != nil {
		return err
	}
	return sock.write(msg, false)
}

func (b *Broker) handshake(sock *socket, q request, began time.Time) (*session, error) {
	var nonce wire.Nonce
	rand.Read(nonce[:])
	sock.limit(wire.MaxFrameBeforeHello)
	if err := sock.readBy(began.Add(b.limits.HelloWithin)); err != nil {
		return nil, err
	}
	if err := sendNow(sock, &wire.Challenge{Broker: b.Key(), Nonce: nonce}); err != nil {
		return nil, err
	}
	msg, binary, err := sock.read()
	if err != nil {
		return nil, err
	}
	frame, _, err := wire.Decode(msg, binary)
	if err != nil {
		return nil, &refused{code: wire.CodeOf(err), close: wire.CloseMalformed}
	}
	hello, ok := frame.(*wire.Hello)
	if !ok {
		return nil, &refused{code: wire.CodeForbidden, close: wire.CloseHello}
	}
	body, err := wire.DecodeHello(hello)
	if err != nil {
		return nil, &refused{code: wire.CodeMalformed, close: wire.CloseMalformed}
	}
	m, standing, err := b.judge(hello, body, nonce, q)
	if err != nil {
		return nil, err
	}
	sock.limit(wire.MaxFrame)
	if err := sock.readBy(time.Time{}); err != nil {
		return nil, err
	}
	s := b.newSession(sock, m, body, standing)
	if !b.uncounted(q.addr) {
		s.addr = customer(q.addr)
	}
	if err := m.attach(s, func(head chain.SignedHead) (*wire.Welcome, error) { return b.welcome(hello, head) }); err != nil {
		return nil, b.notAttached(err)
	}
	return s, nil
}

func (b *Broker) notAttached(err error) error {
	switch {
	case errors.Is(err, errBusy):
		return &refused{code: wire.CodeBusy, close: wire.CloseDrain}
	case errors.Is(err, errCrowded):
		return &refused{code: wire.CodeRate, close: wire.CloseRate}
	case errors.Is(err, errStranger):
		return &refused{code: wire.CodeNotMember, close: wire.CloseNotMember}
	case errors.Is(err, errStanding):
		return &refused{code: wire.CodeBusy, close: wire.CloseGoingAway}
	}
	b.log.Error("welcome", "err", err)
	return &refused{code: wire.CodeInternal, close: wire.CloseInternal}
}

// judge checks a hello, the cheap things first: a stranger is sent away before
// its signature is looked at. What it may do is its standing [CM-7].
func (b *Broker) judge(hello *wire.Hello, body wire.HelloBody, nonce wire.Nonce, q request) (*mesh, roster.Standing, error) {
	if body.Nonce != nonce || body.Broker != b.Key() {
		return nil, 0, &refused{code: wire.CodeBadSignature, close: wire.CloseHello}
	}
	origin, err := normalOrigin(body.Origin)
	if err != nil || !b.knowsOrigin(q.via, q.local, origin) {
		return nil, 0, &refused{code: wire.CodeOrigin, close: wire.CloseOrigin}
	}
	m, err := b.mesh(body.Mesh)
	if err != nil {
		if errors.Is(err, errUnknownMesh) {
			return nil, 0, &refused{code: wire.CodeUnknownMesh, close: wire.CloseUnknownMesh}
		}
		b.log.Error("load a mesh", "mesh", body.Mesh, "err", err)
		return nil, 0, &refused{code: wire.CodeStorage, close: wire.CloseStorage}
	}
	m.mu.Lock()
	state := m.state()
	m.mu.Unlock()
	standing := state.Standing(body.Peer, b.now())
	stranger := standing == roster.Unknown || standing == roster.Lapsed || standing == roster.Orderer
	// One that holds entries which this broker lost may bring them back.
	if stranger && (standing != roster.Unknown || !m.fromAhead(body)) {
		return nil, 0, &refused{code: wire.CodeNotMember, close: wire.CloseNotMember}
	}
	if err := hello.Object().Verify(signed.DomainHello, body.Peer); err != nil {
		return nil, 0, &refused{code: wire.CodeBadSignature, close: wire.CloseHello}
	}
	switch standing {
	case roster.InviteShut:
		return nil, 0, &refused{code: wire.CodeForbidden, close: wire.CloseNotMember}
	case roster.Revoked:
		return nil, 0, &refused{code: wire.CodeRevoked, close: wire.CloseRevoked, show: m.outOf(state, body)}
	}
	return m, standing, nil
}

// outOf gives a key that was put out the entries from what it holds to the one
// that did it: so it can tell its user who did it and when, and that it is
// true. It learns nothing that it would not have learned by being there.
func (m *mesh) outOf(state roster.State, body wire.HelloBody) *wire.Entries {
	out, ok := state.Revoked(body.Peer)
	if !ok {
		return nil
	}
	from := uint64(0)
	m.mu.Lock()
	if c := m.roster.Chain(); !body.At.IsZero() && c.Compare(body.At) == chain.Part {
		from = body.At.N + 1
	}
	m.mu.Unlock()
	if out.N < from {
		return nil // it has the entry
	}
	page, err := m.page(from, int(min(out.N-from+1, wire.MaxEntries)))
	if err != nil {
		return nil
	}
	return page
}

// welcome makes the broker's answer to a hello, signed over it and the head.
func (b *Broker) welcome(hello *wire.Hello, head chain.SignedHead) (*wire.Welcome, error) {
	body, err := signed.Encode(wire.WelcomeBody{
		Hello: signed.HashOf(signed.DomainHello, hello.Signed),
		Head:  signed.HashOf(signed.DomainHead, head.Bytes),
	})
	if err != nil {
		return nil, err
	}
	o := signed.Sign(signed.DomainWelcome, body, b.key)
	limits := wire.DefaultLimits()
	limits.InFlight, limits.Waiting = b.limits.InFlight, b.limits.Waiting
	return &wire.Welcome{
		Signed: o.Bytes, Sig: o.Sig, Head: head.Object, Limits: limits, Features: []string{},
		Time: b.now(), Heartbeat: int(max(1, (b.limits.Heartbeat+time.Second-1)/time.Second)),
	}, nil
}

func (b *Broker) newSession(sock *socket, m *mesh, body wire.HelloBody, standing roster.Standing) *session {
	s := &session{
		b: b, m: m, hello: body, standing: standing, sock: sock,
		conn:     delivery.Conn(b.conns.Add(1)),
		resume:   make(chan struct{}, 1),
		gone:     make(chan struct{}),
		requests: rate.NewLimiter(requestRate, requestBurst),
	}
	s.out = newOut(sock, b.limits.Buffer, func() { m.room(s) }, func(err error) {
		b.log.Debug("write", "mesh", m.id, "err", err)
		m.detach(s)
	})
	s.starts.Store(b.steady())
	return s
}

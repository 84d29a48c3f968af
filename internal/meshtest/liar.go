package meshtest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Frame is a frame on its way, with its payload.
type Frame struct {
	wire.Frame
	Payload []byte
}

// Lie looks at a frame and says what goes on in its place: itself, nothing, or
// something else. up tells that it goes to the broker.
type Lie func(up bool, f Frame) []Frame

// Raw is a WebSocket message as it is, whether it is a frame or not.
type Raw struct {
	Message []byte
	Binary  bool
}

// Mangler looks at a message on its way and says what goes on in its place. up tells
// that it goes to the broker.
type Mangler func(up bool, m Raw) []Raw

// Liar is a broker that cheats: it stands between peers and the real broker, has the
// real broker's key, and changes what passes.
type Liar struct {
	Key  keys.BrokerPrivate // of the broker, to sign lies with
	mesh *Mesh

	mu     sync.Mutex // guards the following
	lie    Lie
	mangle Mangler
	down   map[*websocket.Conn]struct{} // connections to peers
	last   []Frame                      // what the real broker sent, for replays
	left   []wire.CloseCode             // with which peers went
	closed bool                         // nothing more is served

	serving sync.WaitGroup // added to under mu, unless closed
	server  *http.Server
	dials   *http.Transport
}

// liarAddress is where a Liar listens on the test's network.
const liarAddress = "127.0.0.1:6666"

// Liar starts a liar with the broker's key. Dial with its Dial to be lied to.
func (m *Mesh) Liar() *Liar {
	m.T.Helper()
	text, err := os.ReadFile(filepath.Join(m.Dir, "broker", "broker.key"))
	if err != nil {
		m.T.Fatal(err)
	}
	key, err := keys.ParseBrokerPrivate(strings.TrimSpace(string(text)))
	if err != nil {
		m.T.Fatal(err)
	}
	listener, err := m.Net.Listen("tcp", liarAddress)
	if err != nil {
		m.T.Fatal(err)
	}
	l := &Liar{Key: key, mesh: m, down: make(map[*websocket.Conn]struct{})}
	l.dials = &http.Transport{DialContext: m.Net.Dial, DisableKeepAlives: true}
	l.server = &http.Server{Handler: l}
	l.serving.Go(func() {
		if err := l.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			m.T.Errorf("liar: %v", err)
		}
	})
	return l
}

// Dial dials the liar where the broker is meant.
func (l *Liar) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address == Address {
		address = liarAddress
	}
	return l.mesh.Net.Dial(ctx, network, address)
}

// Tell sets the lie. Nil is the truth.
func (l *Liar) Tell(lie Lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lie = lie
}

// Mangle has messages mangled, and no lies told meanwhile. Nil ends that.
func (l *Liar) Mangle(m Mangler) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mangle = m
}

// mangler is what mangles now, nil if nothing does.
func (l *Liar) mangler() Mangler {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mangle
}

// Close hangs up on everybody and waits.
func (l *Liar) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.Hang()
	l.server.Close()
	l.serving.Wait()
}

// Hang hangs up on all peers; they dial again.
func (l *Liar) Hang() {
	l.mu.Lock()
	all := make([]*websocket.Conn, 0, len(l.down))
	for c := range l.down {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		c.CloseNow()
	}
}

// Inject sends a frame to all peers.
func (l *Liar) Inject(f Frame) {
	l.mu.Lock()
	all := make([]*websocket.Conn, 0, len(l.down))
	for c := range l.down {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = write(context.Background(), c, f) // whoever is gone is not lied to
	}
}

// Heard lists what the real broker sent so far, of one type.
func (l *Liar) Heard(t wire.Type) (found []Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.last {
		if f.FrameType() == t {
			found = append(found, f)
		}
	}
	return found
}

// Left lists the close codes with which peers went so far.
func (l *Liar) Left() []wire.CloseCode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.left)
}

// enter counts a connection that Close waits for, unless that was called.
func (l *Liar) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.serving.Add(1)
	}
	return !l.closed
}

// ServeHTTP passes a WebSocket on, frame by frame.
func (l *Liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !l.enter() {
		http.Error(w, "the end", http.StatusServiceUnavailable)
		return
	}
	defer l.serving.Done()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	up, _, err := websocket.Dial(ctx, "http://"+Address+r.URL.Path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: l.dials}, Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		http.Error(w, "no broker", http.StatusBadGateway)
		return
	}
	defer up.CloseNow()
	down, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{wire.Subprotocol}})
	if err != nil {
		return
	}
	defer down.CloseNow()
	up.SetReadLimit(wire.MaxFrame)
	down.SetReadLimit(wire.MaxFrame)
	l.mu.Lock()
	if l.closed { // after Close hung up on those that were there
		l.mu.Unlock()
		return
	}
	l.down[down] = struct{}{}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.down, down)
	}()
	var both sync.WaitGroup
	both.Go(func() { defer cancel(); l.pass(ctx, true, down, up) })
	both.Go(func() { defer cancel(); l.pass(ctx, false, up, down) })
	both.Go(func() { keepAlive(ctx, down) })
	both.Wait()
}

// pingEvery is how often the liar gives a peer a sign of life, as a broker does.
const pingEvery = wire.Heartbeat * time.Millisecond

// keepAlive gives a peer signs of life: pings end at each hop.
func keepAlive(ctx context.Context, down *websocket.Conn) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if down.Ping(ctx) != nil {
			return
		}
	}
}

// pass reads from one side and writes to the other what the lie makes of it.
func (l *Liar) pass(ctx context.Context, upward bool, from, to *websocket.Conn) {
	for {
		kind, message, err := from.Read(ctx)
		if err != nil {
			var closed websocket.CloseError
			if errors.As(err, &closed) {
				if upward {
					l.mu.Lock()
					l.left = append(l.left, wire.CloseCode(closed.Code))
					l.mu.Unlock()
				}
				to.Close(closed.Code, closed.Reason)
			}
			return
		}
		if mangle := l.mangler(); mangle != nil {
			for _, m := range mangle(upward, Raw{message, kind == websocket.MessageBinary}) {
				if writeRaw(ctx, to, m) != nil {
					return
				}
			}
			continue
		}
		frame, payload, err := wire.Decode(message, kind == websocket.MessageBinary)
		if err != nil {
			return
		}
		f := Frame{frame, payload}
		l.mu.Lock()
		lie := l.lie
		if !upward {
			l.last = append(l.last, f)
		}
		l.mu.Unlock()
		out := []Frame{f}
		if lie != nil {
			out = lie(upward, f)
		}
		for _, o := range out {
			if write(ctx, to, o) != nil {
				return
			}
		}
	}
}

func write(ctx context.Context, c *websocket.Conn, f Frame) error {
	message, err := wire.AppendFrame(nil, f.Frame, f.Payload)
	if err != nil {
		return err
	}
	return writeRaw(ctx, c, Raw{message, f.Payload != nil})
}

func writeRaw(ctx context.Context, c *websocket.Conn, m Raw) error {
	kind := websocket.MessageText
	if m.Binary {
		kind = websocket.MessageBinary
	}
	return c.Write(ctx, kind, m.Message)
}

// Welcome makes a welcome say another head, signed as if the broker had meant it.
// hello is the one that it answers.
func (l *Liar) Welcome(w *wire.Welcome, hello *wire.Hello, head signed.Object) *wire.Welcome {
	body, err := signed.Encode(wire.WelcomeBody{Hello: signed.HashOf(signed.DomainHello, hello.Signed), Head: signed.HashOf(signed.DomainHead, head.Bytes)})
	if err != nil {
		panic(err) // of a test: two hashes can be encoded
	}
	o := signed.Sign(signed.DomainWelcome, body, l.Key)
	lied := *w
	lied.Signed, lied.Sig, lied.Head = o.Bytes, o.Sig, head
	return &lied
}

// Head signs a head as the broker would.
func (l *Liar) Head(h chain.Head) signed.Object {
	made, err := chain.MakeHead(h, l.Key)
	if err != nil {
		panic(err) // of a test: heads can be encoded
	}
	return made.Object
}

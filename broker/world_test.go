package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// memory is a listener in memory.
type memory struct {
	accept chan net.Conn
	remote net.Addr // of who dials; nil: none
	once   sync.Once
	closed chan struct{}
}

func newMemory() *memory {
	return &memory{accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }

func (l *memory) Addr() net.Addr { return memoryAddr{} }

func (l *memory) dial(context.Context, string, string) (net.Conn, error) {
	return l.dialFrom(l.remote)
}

// remoteConn is a connection from an address.
type remoteConn struct {
	net.Conn
	remote net.Addr
}

func (c remoteConn) RemoteAddr() net.Addr { return c.remote }

func (l *memory) dialFrom(remote net.Addr) (net.Conn, error) {
	ours, theirs := net.Pipe()
	if remote != nil {
		theirs = remoteConn{theirs, remote}
	}
	select {
	case l.accept <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// world is a broker in memory with one mesh, alice@laptop its first peer.
type world struct {
	t        *testing.T
	opts     Options
	l        *memory
	b        *Broker
	stop     func() error
	mesh     keys.MeshID
	owner    keys.OwnerPrivate
	recovery keys.OwnerPrivate
	alice    keys.PeerPrivate
}

// patient is for a test in real time: whoever says hello late on a slow machine is waited
// for.
func patient(o *Options) { o.Limits.HelloWithin = time.Minute }

const testOrigin = "http://mesh.test"

func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, opts: Options{Dir: t.TempDir()}}
	for _, c := range change {
		c(&w.opts)
	}
	w.start()
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	w.create()
	return w
}

// start runs a broker over the folder.
func (w *world) start() {
	w.t.Helper()
	w.l = newMemory()
	o := w.opts
	o.Listen = append([]Listen{{Net: w.l, Hosts: []string{"mesh.test"}}}, o.Listen...)
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(testLog{w.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	b, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.b = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	var once sync.Once
	var result error
	w.stop = func() error {
		once.Do(func() {
			cancel()
			result = <-done
		})
		return result
	}
	w.waitServing()
}

// waitServing returns once requests are answered.
func (w *world) waitServing() {
	w.t.Helper()
	resp, err := w.http().Get(testOrigin + wire.PathHealth)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
}

// restart ends the broker and starts another over the same folder.
func (w *world) restart() {
	w.t.Helper()
	if err := w.stop(); err != nil {
		w.t.Fatal(err)
	}
	w.start()
}

func (w *world) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: w.l.dial, DisableKeepAlives: true}}
}

// must gives a value that cannot fail.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func now() int64 { return time.Now().UnixMilli() }

// founding makes the entries of a new mesh.
func (w *world) founding(broker keys.Public) ([]signed.Object, roster.State) {
	w.owner, w.recovery = must(keys.NewOwnerPrivate(rand.Reader)), must(keys.NewOwnerPrivate(rand.Reader))
	w.alice = must(keys.NewPeerPrivate(rand.Reader))
	genesis := must(chain.NewGenesis(now(), w.owner, chain.Genesis{
		Name: "acme", Recovery: w.recovery.Public(), Broker: broker, URLs: []string{testOrigin},
	}, rand.Reader))
	state, void := roster.State{}.Apply(genesis)
	if void != nil {
		panic(void)
	}
	objects := []signed.Object{genesis.Object}
	add := func(body chain.Body, signers ...keys.Signer) {
		e := must(state.Sign(now(), body, signers...))
		state, _ = state.Apply(e)
		objects = append(objects, e.Object)
	}
	link := must(keys.NewInvitePrivate(rand.Reader))
	add(chain.Invite{Key: link.Public(), Rank: chain.RankAdmin, Uses: 1, Expires: now() + 60_000, Kinds: []chain.Kind{chain.KindAgent}}, w.owner)
	add(chain.Join{User: "alice", Device: "laptop", Peer: w.alice.Public(), Kind: chain.KindAgent}, link, w.alice)
	return objects, state
}

func (w *world) create() {
	w.t.Helper()
	objects, state := w.founding(w.b.Key())
	head, err := w.b.CreateMesh(context.Background(), objects)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mesh = state.Mesh()
	h := must(chain.DecodeHead(head))
	if err := h.Verify(w.b.Key()); err != nil || h.Head.At() != state.At() {
		w.t.Fatalf("head %+v: %v", h.Head, err)
	}
}

// state is the roster as the broker has it.
func (w *world) state() roster.State {
	m := must(w.b.mesh(w.mesh))
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state()
}

// sign makes an entry on top of what the broker has.
func (w *world) sign(body chain.Body, signers ...keys.Signer) signed.Object {
	w.t.Helper()
	e, err := w.state().Sign(now(), body, signers...)
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Object
}

// order has an entry ordered, by alice's hand.
func (w *world) order(body chain.Body, signers ...keys.Signer) {
	w.t.Helper()
	c := w.hello(w.alice, wire.ReceivesNone)
	defer c.bye()
	c.append(w.sign(body, signers...))
}

// invite opens a link.
func (w *world) invite(uses int64) keys.InvitePrivate {
	w.t.Helper()
	link := must(keys.NewInvitePrivate(rand.Reader))
	w.order(chain.Invite{Key: link.Public(), Rank: chain.RankMember, Uses: uses, Expires: now() + 3_600_000,
		Kinds: []chain.Kind{chain.KindAgent}}, w.alice)
	return link
}

// join lets a new peer in.
func (w *world) join(user, device string) keys.PeerPrivate {
	w.t.Helper()
	link := w.invite(1)
	peer := must(keys.NewPeerPrivate(rand.Reader))
	c := w.hello(link, wire.ReceivesNone)
	c.append(w.sign(chain.Join{User: user, Device: device, Peer: peer.Public(), Kind: chain.KindAgent}, link, peer))
	c.wantClose(wire.CloseJoined)
	return peer
}

// testLog writes a broker's log into the test's.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("broker: %s", bytes.TrimSpace(p))
	return len(p), nil
}

// client is a peer by hand: frames, and nothing that behaves.
type client struct {
	t       *testing.T
	ws      *websocket.Conn
	welcome *wire.Welcome
	body    wire.HelloBody
	kept    []received                     // read, and passed over by a want
	acks    map[keys.MessageID][]*wire.Ack // read, and not wanted yet
	seq     uint64
}

type received struct {
	frame   wire.Frame
	payload []byte
}

// dial upgrades a connection, and says nothing.
func (w *world) dial() *client {
	w.t.Helper()
	ws, resp, err := websocket.Dial(context.Background(), "ws://mesh.test"+wire.PathSocket, &websocket.DialOptions{
		HTTPClient: w.http(), Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		status := ""
		if resp != nil {
			status = resp.Status
		}
		w.t.Fatalf("dial: %v %s", err, status)
	}
	ws.SetReadLimit(wire.MaxFrame)
	w.t.Cleanup(func() { ws.CloseNow() })
	return &client{t: w.t, ws: ws}
}

// helloBody is a hello as it should be.
func (w *world) helloBody(key keys.Public, ch *wire.Challenge) wire.HelloBody {
	return wire.HelloBody{
		Mesh: w.mesh, Peer: key, Session: must(keys.NewSessionID(rand.Reader)), Label: "test",
		Client: "test/1", Origin: testOrigin, Nonce: ch.Nonce, Broker: ch.Broker,
	}
}

// greet makes the handshake with a hello that change may spoil.
func (w *world) greet(key keys.Signer, change func(*wire.HelloBody)) *client {
	w.t.Helper()
	c := w.dial()
	ch := want[*wire.Challenge](c)
	if ch.Broker != w.b.Key() {
		w.t.Fatal("a challenge of another broker")
	}
	c.body = w.helloBody(key.Public(), ch)
	if change != nil {
		change(&c.body)
	}
	c.sayHello(c.body, key)
	return c
}

func (c *client) sayHello(body wire.HelloBody, key keys.Signer) {
	c.t.Helper()
	o := signed.Sign(signed.DomainHello, must(signed.Encode(body)), key)
	c.send(&wire.Hello{Signed: o.Bytes, Sig: o.Sig})
}

// hello makes the whole handshake and checks the welcome.
func (w *world) hello(key keys.Signer, receives wire.Receives, change ...func(*wire.HelloBody)) *client {
	w.t.Helper()
	c := w.greet(key, func(b *wire.HelloBody) {
		b.Receives = receives
		for _, f := range change {
			f(b)
		}
	})
	c.welcome = want[*wire.Welcome](c)
	body, err := wire.DecodeWelcome(c.welcome)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.welcome.Object().Verify(signed.DomainWelcome, w.b.Key()); err != nil {
		w.t.Fatal(err)
	}
	if body.Hello != signed.HashOf(signed.DomainHello, must(signed.Encode(c.body))) ||
		body.Head != signed.HashOf(signed.DomainHead, c.welcome.Head.Bytes) {
		w.t.Fatal("the welcome is not over this hello and head")
	}
	return c
}

func (c *client) bye() { c.ws.Close(websocket.StatusNormalClosure, "bye") }

// raw writes a message as it is.
func (c *client) raw(kind websocket.MessageType, msg []byte) {
	c.t.Helper()
	if err := c.ws.Write(context.Background(), kind, msg); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) send(f wire.Frame) {
	c.t.Helper()
	c.raw(websocket.MessageText, must(wire.AppendFrame(nil, f, nil)))
}

// read gives the next frame.
func (c *client) read() (received, error) {
	kind, msg, err := c.ws.Read(context.Background())
	if err != nil {
		return received{}, err
	}
	f, payload, err := wire.Decode(msg, kind == websocket.MessageBinary)
	return received{f, payload}, err
}

// want gives the next frame of a type; others that come before are kept for
// later wants.
func want[F wire.Frame](c *client) F {
	c.t.Helper()
	f, _ := wantBoth[F](c)
	return f
}

func wantBoth[F wire.Frame](c *client) (F, []byte) {
	c.t.Helper()
	for i, r := range c.kept {
		if f, ok := r.frame.(F); ok {
			c.kept = append(c.kept[:i:i], c.kept[i+1:]...)
			return f, r.payload
		}
	}
	for {
		r, err := c.read()
		if err != nil {
			var zero F
			c.t.Fatalf("wanted %T: %v (kept: %s)", zero, err, c.keptTypes())
		}
		if f, ok := r.frame.(F); ok {
			return f, r.payload
		}
		c.kept = append(c.kept, r)
	}
}

func (c *client) keptTypes() string {
	out := ""
	for _, r := range c.kept {
		out += fmt.Sprintf(" %s", r.frame.FrameType())
		if e, ok := r.frame.(*wire.Error); ok {
			out += fmt.Sprintf("(%s: %s)", e.Code, e.Message)
		}
	}
	return out
}

// wantClose reads until the broker closes, and checks the code.
func (c *client) wantClose(code wire.CloseCode) {
	c.t.Helper()
	for {
		r, err := c.read()
		if err == nil {
			c.kept = append(c.kept, r)
			continue
		}
		if got := websocket.CloseStatus(err); got != websocket.StatusCode(code) {
			c.t.Fatalf("closed with %d, want %d (%s): %v; kept:%s", got, code, code.Info().Reason, err, c.keptTypes())
		}
		return
	}
}

// wantError reads an error of a code.
func (c *client) wantError(code wire.Code) *wire.Error {
	c.t.Helper()
	e := want[*wire.Error](c)
	if e.Code != code {
		c.t.Fatalf("error %s (%s), want %s", e.Code, e.Message, code)
	}
	return e
}

// append has an entry ordered.
func (c *client) append(o ...signed.Object) *wire.Entries {
	c.t.Helper()
	c.seq++
	c.send(&wire.Append{ID: c.seq, Entries: o})
	for {
		e := want[*wire.Entries](c)
		if e.Re != c.seq {
			continue
		}
		if !e.Appended {
			c.t.Fatalf("not appended: %d entries missing from %d on", len(e.Entries), e.From)
		}
		return e
	}
}

// message sends a message and gives its id.
func (c *client) message(to keys.Public, payload string, change ...func(*wire.Send)) keys.MessageID {
	c.t.Helper()
	f := &wire.Send{ID: must(keys.NewMessageID(now(), rand.Reader)), To: to, Expires: now() + 3_600_000}
	for _, x := range change {
		x(f)
	}
	c.raw(websocket.MessageBinary, wire.AppendSend(nil, f, []byte(payload)))
	return f.ID
}

// wantAck reads acks until one tells of id, and checks its state.
func (c *client) wantAck(id keys.MessageID, state wire.State) *wire.Ack {
	c.t.Helper()
	for len(c.acks[id]) == 0 {
		a := want[*wire.Ack](c)
		for _, got := range a.IDs {
			if c.acks == nil {
				c.acks = make(map[keys.MessageID][]*wire.Ack)
			}
			c.acks[got] = append(c.acks[got], a)
		}
	}
	a := c.acks[id][0]
	c.acks[id] = c.acks[id][1:]
	if a.State != state {
		c.t.Fatalf("ack %s (%s), want %s", a.State, a.Why, state)
	}
	return a
}

// receive reads the next message and says received.
func (c *client) receive() (*wire.Deliver, string) {
	c.t.Helper()
	d, payload := wantBoth[*wire.Deliver](c)
	c.send(&wire.Receipt{From: d.From, IDs: []keys.MessageID{d.ID}})
	return d, string(payload)
}

// isEnd says whether a read failed because the connection is over.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || websocket.CloseStatus(err) != -1
}

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }

func timeAfter(ms int) <-chan time.Time { return time.After(time.Duration(ms) * time.Millisecond) }

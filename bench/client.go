package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/gather"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// client is one connection of a peer whose memory is this process's: what
// package peer is without profile, presence and reconnects. One goroutine
// reads; any may write.
type client struct {
	ws        *websocket.Conn
	transport *http.Transport
	session   keys.SessionID
	decoder   wire.Decoder
	in        bytes.Buffer

	writing sync.Mutex // guards out
	out     []byte
}

// dialPeer connects to the mesh's broker and says hello with a key.
func dialPeer(ctx context.Context, m *mesh, key keys.Signer, receives wire.Receives) (*client, error) {
	session, err := keys.NewSessionID(rand.Reader)
	if err != nil {
		return nil, err
	}
	c := &client{session: session, transport: &http.Transport{
		DialContext: gather.Dial(new(net.Dialer).DialContext, gather.Options{}),
	}}
	c.ws, _, err = websocket.Dial(ctx, m.url+wire.PathSocket, &websocket.DialOptions{
		HTTPClient:   &http.Client{Transport: c.transport},
		Subprotocols: []string{wire.Subprotocol},
	})
	if err != nil {
		return nil, err
	}
	c.ws.SetReadLimit(wire.MaxFrame)
	if err := c.greet(ctx, m, key, receives); err != nil {
		c.close()
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, nil
}

func (c *client) greet(ctx context.Context, m *mesh, key keys.Signer, receives wire.Receives) error {
	f, _, err := c.read(ctx)
	if err != nil {
		return err
	}
	challenge, ok := f.(*wire.Challenge)
	if !ok || challenge.Broker != m.key {
		return fmt.Errorf("the first frame is %s, or of another broker", f.FrameType())
	}
	body, err := signed.Encode(wire.HelloBody{Mesh: m.id, Peer: key.Public(), Session: c.session, Label: "bench",
		Client: "bench", Receives: receives, Origin: m.url, At: m.at, Life: m.life,
		Nonce: challenge.Nonce, Broker: challenge.Broker})
	if err != nil {
		return err
	}
	hello := signed.Sign(signed.DomainHello, body, key)
	if err := c.write(ctx, &wire.Hello{Signed: hello.Bytes, Sig: hello.Sig}, nil); err != nil {
		return err
	}
	if f, _, err = c.read(ctx); err != nil {
		return err
	}
	switch f := f.(type) {
	case *wire.Welcome:
		return f.Object().Verify(signed.DomainWelcome, m.key)
	case *wire.Error:
		return fmt.Errorf("the broker says %s: %s", f.Code, f.Message)
	}
	return fmt.Errorf("%s instead of welcome", f.FrameType())
}

// read gives the next frame, valid until the next call.
func (c *client) read(ctx context.Context) (wire.Frame, []byte, error) {
	kind, reader, err := c.ws.Reader(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.in.Reset()
	if _, err := c.in.ReadFrom(reader); err != nil {
		return nil, nil, err
	}
	return c.decoder.Decode(c.in.Bytes(), kind == websocket.MessageBinary)
}

// write sends any frame.
func (c *client) write(ctx context.Context, f wire.Frame, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	var err error
	if c.out, err = wire.AppendFrame(c.out[:0], f, payload); err != nil {
		return err
	}
	kind := websocket.MessageText
	if payload != nil {
		kind = websocket.MessageBinary
	}
	return c.ws.Write(ctx, kind, c.out)
}

// send sends a message.
func (c *client) send(f *wire.Send, payload []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = wire.AppendSend(c.out[:0], f, payload)
	return c.ws.Write(context.Background(), websocket.MessageBinary, c.out)
}

// receipt sends a receipt.
func (c *client) receipt(f *wire.Receipt) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.out = wire.AppendReceipt(c.out[:0], f)
	return c.ws.Write(context.Background(), websocket.MessageText, c.out)
}

// close ends the connection without ceremony.
func (c *client) close() {
	_ = c.ws.CloseNow()
	c.transport.CloseIdleConnections()
}

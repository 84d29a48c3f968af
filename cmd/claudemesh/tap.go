package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"

	"github.com/claudemesh/claudemesh-go/wire"
)

// tap listens in on what a broker hands to one peer, as demo shows it: the very
// bytes that left the broker, which are all that it has of a message.
type tap struct {
	mu     sync.Mutex // guards the following
	stream []byte     // received and not yet understood
	opened bool       // the HTTP answer before the first frame is past
	seen   []overheard
}

// overheard is one message as the broker passed it on.
type overheard struct {
	frame   wire.Deliver
	payload []byte
}

// dial connects as a peer does, and copies what comes back.
func (t *tap) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.stream, t.opened = nil, false
	t.mu.Unlock()
	return tapped{c, t}, nil
}

// last is the message that was overheard last.
func (t *tap) last() (overheard, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seen) == 0 {
		return overheard{}, false
	}
	return t.seen[len(t.seen)-1], true
}

// tapped is a connection that is listened to.
type tapped struct {
	net.Conn
	tap *tap
}

// Read reads, and lets the tap hear it.
func (c tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.tap.hear(p[:n])
	}
	return n, err
}

func (t *tap) hear(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stream = append(t.stream, p...)
	if !t.opened {
		_, rest, found := bytes.Cut(t.stream, []byte("\r\n\r\n"))
		if !found {
			return
		}
		t.stream, t.opened = rest, true
	}
	for {
		message, isBinary, rest, whole := webSocketFrame(t.stream)
		if !whole {
			return
		}
		t.stream = rest
		frame, payload, err := wire.Decode(message, isBinary)
		if err != nil {
			continue // a ping, or something that is no message
		}
		if d, ok := frame.(*wire.Deliver); ok && d.Class == wire.ClassMessage {
			t.seen = append(t.seen, overheard{*d, bytes.Clone(payload)})
		}
	}
}

// webSocketFrame takes the first frame off what a WebSocket server wrote: it
// never masks, and this broker sends each message in one frame.
func webSocketFrame(stream []byte) (message []byte, isBinary bool, rest []byte, whole bool) {
	const opcodeBinary = 2
	if len(stream) < 2 {
		return nil, false, stream, false
	}
	head, size := 2, uint64(stream[1]&0x7f)
	switch size {
	case 126:
		head = 4
	case 127:
		head = 10
	}
	if len(stream) < head {
		return nil, false, stream, false
	}
	switch head {
	case 4:
		size = uint64(binary.BigEndian.Uint16(stream[2:]))
	case 10:
		size = binary.BigEndian.Uint64(stream[2:])
	}
	if uint64(len(stream)-head) < size {
		return nil, false, stream, false
	}
	end := head + int(size)
	return stream[head:end], stream[0]&0x0f == opcodeBinary, stream[end:], true
}

package gather_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/gather"
)

// TestBeneathWebSocket is both ends of a WebSocket over gathering connections,
// in the clear and above TLS, as the package comment shows.
func TestBeneathWebSocket(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "ws", true: "wss"}[secure]
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			client := &http.Transport{}
			defer client.CloseIdleConnections()
			url := serveEcho(t, secure, client)
			conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: client}})
			if err != nil {
				t.Fatal(err)
			}
			conn.SetReadLimit(2 << 20)
			sizes := []int{0, 1, 125, 126, 256, 4096, 65535, 65536, 1 << 20}
			for round := range 20 {
				for _, size := range sizes {
					p := bytes.Repeat([]byte{byte(round)}, size)
					if err := conn.Write(ctx, websocket.MessageBinary, p); err != nil {
						t.Fatal(err)
					}
				}
				for _, size := range sizes {
					_, p, err := conn.Read(ctx)
					if err != nil || len(p) != size || !bytes.Equal(p, bytes.Repeat([]byte{byte(round)}, size)) {
						t.Fatalf("round %d, %d bytes: got %d, %v", round, size, len(p), err)
					}
				}
				if round == 10 {
					sizes = sizes[:7]
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, "bye"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// serveEcho starts a server whose connections gather and sets the client up
// likewise. It returns the URL to dial.
func serveEcho(t *testing.T, secure bool, client *http.Transport) string {
	t.Helper()
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		conn.SetReadLimit(2 << 20)
		for {
			kind, p, err := conn.Read(r.Context())
			if err != nil {
				if websocket.CloseStatus(err) != websocket.StatusNormalClosure {
					t.Error(err)
				}
				return
			}
			if err := conn.Write(r.Context(), kind, p); err != nil {
				t.Error(err)
				return
			}
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme := "ws"
	client.DialContext = gather.Dial(new(net.Dialer).DialContext, gather.Options{})
	if secure {
		scheme = "wss"
		borrowed := httptest.NewTLSServer(nil) // for its certificate
		config := borrowed.TLS.Clone()
		config.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, config)
		roots := borrowed.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		borrowed.Close()
		dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, DynamicRecordSizingDisabled: true}}
		client.DialTLSContext = gather.Dial(dialer.DialContext, gather.Options{})
	}
	server := &http.Server{Handler: echo}
	ended := make(chan error)
	go func() { ended <- server.Serve(gather.NewListener(l, gather.Options{})) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return scheme + "://" + l.Addr().String()
}

// BenchmarkPipeline writes 64 pieces of 256 B over loopback, one by one, for
// each byte that it reads back.
func BenchmarkPipeline(b *testing.B) {
	for _, wrapped := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "gather"}[wrapped], func(b *testing.B) {
			near, far := tcpPair(b)
			if wrapped {
				near = gather.New(near, gather.Options{})
			}
			const group, size = 64, 256
			go func() {
				buf := make([]byte, group*size)
				for {
					if err := readFull(far, buf); err != nil {
						return
					}
					if _, err := far.Write(buf[:1]); err != nil {
						return
					}
				}
			}()
			p := make([]byte, size)
			b.SetBytes(group * size)
			b.ReportAllocs()
			for b.Loop() {
				for range group {
					if _, err := near.Write(p); err != nil {
						b.Fatal(err)
					}
				}
				if err := readFull(near, p[:1]); err != nil {
					b.Fatal(err)
				}
			}
			near.Close()
			far.Close()
		})
	}
}

func readFull(c net.Conn, p []byte) error {
	for len(p) > 0 {
		n, err := c.Read(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

func tcpPair(b *testing.B) (near, far net.Conn) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	return near, far
}

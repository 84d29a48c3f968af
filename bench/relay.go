package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/gather"
)

// relayRig is a bare relay with its pairs.
type relayRig struct {
	*load
	relay   *relay
	senders []*websocket.Conn
	message []byte
	sent    []uint64 // by pair; of its sender alone
	all     []*websocket.Conn
	readers sync.WaitGroup
	client  *http.Transport
}

func startRelay(gathering bool) func(context.Context, config, int) (rig, error) {
	return func(ctx context.Context, cfg config, size int) (rig, error) {
		r := &relayRig{load: newLoad(cfg), message: make([]byte, size), sent: make([]uint64, cfg.pairs)}
		dial := new(net.Dialer).DialContext
		if gathering {
			dial = gather.Dial(dial, gather.Options{})
		}
		r.client = &http.Transport{DialContext: dial}
		var err error
		if r.relay, err = listenRelay(cfg.pairs, gathering); err != nil {
			return nil, err
		}
		for pair := range cfg.pairs {
			recipient, err := r.dial(ctx, pair, "recipient")
			if err != nil {
				return nil, errors.Join(err, r.close())
			}
			r.readers.Go(func() { r.read(pair, recipient) })
			sender, err := r.dial(ctx, pair, "sender")
			if err != nil {
				return nil, errors.Join(err, r.close())
			}
			r.senders = append(r.senders, sender)
		}
		return r, nil
	}
}

func (r *relayRig) dial(ctx context.Context, pair int, role string) (*websocket.Conn, error) {
	url := fmt.Sprintf("ws://%s/?role=%s&pair=%d", r.relay.addr, role, pair)
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: r.client}})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1)
	r.all = append(r.all, conn)
	return conn, nil
}

// read takes what arrives and checks that nothing is missing or out of order.
func (r *relayRig) read(pair int, conn *websocket.Conn) {
	var buf bytes.Buffer
	for n := uint64(1); ; n++ {
		if _, err := readInto(conn, &buf); err != nil {
			r.fail(fmt.Errorf("recipient %d: %w", pair, err))
			return
		}
		if got := binary.BigEndian.Uint64(buf.Bytes()); got != n || buf.Len() != len(r.message) {
			r.fail(fmt.Errorf("recipient %d: message %d of %d B, not %d", pair, got, buf.Len(), n))
			return
		}
		r.watch.arrived(n)
		r.finish(pair)
	}
}

func (r *relayRig) run(ctx context.Context, warm, d time.Duration) (result, error) {
	return r.load.run(ctx, warm, d, r.send)
}

func (r *relayRig) send(pair int) error {
	r.sent[pair]++
	r.watch.sent(r.sent[pair])
	message := append(binary.BigEndian.AppendUint64(nil, r.sent[pair]), r.message[8:]...)
	return r.senders[pair].Write(context.Background(), websocket.MessageBinary, message)
}

func (r *relayRig) close() error {
	for _, conn := range r.all {
		_ = conn.CloseNow() // the measuring is over, and so is what it was for
	}
	r.readers.Wait()
	r.client.CloseIdleConnections()
	return r.relay.close()
}

// relay writes what a pair's sender sends to the pair's recipient.
type relay struct {
	addr       string
	server     *http.Server
	recipients []chan *websocket.Conn
	stop       chan struct{}  // closed by close
	running    sync.WaitGroup // the handlers, which outlive the server: their connections were hijacked
	ended      chan error
}

func listenRelay(pairs int, gathering bool) (*relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &relay{addr: l.Addr().String(), stop: make(chan struct{}), ended: make(chan error, 1)}
	for range pairs {
		r.recipients = append(r.recipients, make(chan *websocket.Conn, 1))
	}
	if gathering {
		l = gather.NewListener(l, gather.Options{})
	}
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve)}
	go func() { r.ended <- r.server.Serve(l) }() // close waits for it
	return r, nil
}

func (r *relay) serve(w http.ResponseWriter, request *http.Request) {
	r.running.Add(1)
	defer r.running.Done()
	pair, err := strconv.Atoi(request.FormValue("pair"))
	if err != nil || pair < 0 || pair >= len(r.recipients) {
		http.Error(w, "no such pair", http.StatusBadRequest)
		return
	}
	conn, err := websocket.Accept(w, request, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(-1)
	var buf bytes.Buffer
	if role := request.FormValue("role"); role != "sender" {
		if role == "recipient" {
			r.recipients[pair] <- conn
		}
		_, _ = readInto(conn, &buf) // a recipient sends nothing: it ends with the connection
		return
	}
	var to *websocket.Conn
	select {
	case to = <-r.recipients[pair]:
	case <-r.stop:
		return
	}
	for {
		kind, err := readInto(conn, &buf)
		if err != nil {
			return
		}
		if err := to.Write(context.Background(), kind, buf.Bytes()); err != nil {
			return
		}
	}
}

func (r *relay) close() error {
	close(r.stop)
	err := r.server.Close()
	if ended := <-r.ended; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	r.running.Wait()
	return err
}

// readInto reads one message into buf, whose memory is used again.
func readInto(conn *websocket.Conn, buf *bytes.Buffer) (websocket.MessageType, error) {
	kind, reader, err := conn.Reader(context.Background())
	if err != nil {
		return 0, err
	}
	buf.Reset()
	_, err = buf.ReadFrom(reader)
	return kind, err
}

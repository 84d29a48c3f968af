package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// idlePeers share the idle sessions: one peer may have 64 connections.
const idlePeers = 200

// server is a broker or a bare relay in a process of its own, so that its memory is
// not mixed with that of its clients.
type server struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// served is what a server says of itself.
type served struct {
	URL   string
	Key   keys.Public
	Mesh  keys.MeshID
	At    signed.At
	Life  uint64
	Peers []string // their private keys
}

func startServer(ctx context.Context, kind string) (*server, served, error) {
	var about served
	program, err := os.Executable()
	if err != nil {
		return nil, about, err
	}
	s := &server{cmd: exec.CommandContext(ctx, program, "-serve", kind)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, about, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, about, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, about, err
	}
	if err := s.answer(&about); err != nil {
		return nil, about, errors.Join(err, s.close())
	}
	return s, about, nil
}

func (s *server) answer(value any) error {
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the server ended: %w", err)
	}
	return json.Unmarshal(line, value)
}

// memory is how much the server has, in bytes, after it cleaned up.
func (s *server) memory() (int64, error) {
	if _, err := fmt.Fprintln(s.in, "memory"); err != nil {
		return 0, err
	}
	var n int64
	err := s.answer(&n)
	return n, err
}

// restart ends the broker and starts it again at the same address.
func (s *server) restart() error {
	if _, err := fmt.Fprintln(s.in, "restart"); err != nil {
		return err
	}
	var ok bool
	return s.answer(&ok)
}

func (s *server) close() error { return errors.Join(s.in.Close(), s.cmd.Wait()) }

// serve is the other process: it serves until its input ends.
func serve(ctx context.Context, kind string, in io.Reader, out io.Writer) (err error) {
	var about served
	var m *mesh
	switch kind {
	case "relay":
		r, err := listenRelay(1, false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.close()) }()
		about.URL = "http://" + r.addr
	case "broker":
		if m, err = startMesh(ctx, idlePeers); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.close()) }()
		about = served{URL: m.url, Key: m.key, Mesh: m.id, At: m.at, Life: m.life}
		for _, p := range m.peers {
			about.Peers = append(about.Peers, p.Export())
		}
	default:
		return fmt.Errorf("-serve: no %q", kind)
	}
	answers := json.NewEncoder(out)
	if err := answers.Encode(about); err != nil {
		return err
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var answer any = true
		switch lines.Text() {
		case "memory":
			answer = ownMemory()
		case "restart":
			if err := errors.Join(m.end(), m.listen(ctx, strings.TrimPrefix(about.URL, "http://"), idlePeers)); err != nil {
				return err
			}
		}
		if err := answers.Encode(answer); err != nil {
			return err
		}
	}
	return nil
}

// ownMemory is what this process has from the system by Go's account.
func ownMemory() int64 {
	debug.FreeOSMemory()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.Sys - s.HeapReleased)
}

// idle connects sessions that say nothing, to a bare relay and to a broker, compares
// what each costs, restarts the broker and prints how long it took until all were
// back.
func idle(ctx context.Context, cfg config, _ int, _ []contender, out, _ io.Writer) error {
	relayEach, err := idleRelay(ctx, cfg.sessions)
	if err != nil {
		return fmt.Errorf("relay: %w", err)
	}
	s, about, err := startServer(ctx, "broker")
	if err != nil {
		return err
	}
	err = idleBroker(ctx, cfg.sessions, s, about, relayEach, out)
	return errors.Join(err, s.close())
}

func idleRelay(ctx context.Context, n int) (each float64, err error) {
	s, about, err := startServer(ctx, "relay")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	before, err := s.memory()
	if err != nil {
		return 0, err
	}
	client := &http.Client{Transport: &http.Transport{DialContext: new(net.Dialer).DialContext}}
	for range n {
		conn, _, err := websocket.Dial(ctx, about.URL+"/?role=idle&pair=0", &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.CloseNow() }()
	}
	after, err := s.memory()
	return float64(after-before) / float64(n), err
}

// idlers are sessions that stay connected.
type idlers struct {
	m       *mesh
	there   atomic.Int64
	running sync.WaitGroup
}

func idleBroker(ctx context.Context, n int, s *server, about served, relayEach float64, out io.Writer) error {
	before, err := s.memory()
	if err != nil {
		return err
	}
	m := &mesh{url: about.URL, key: about.Key, id: about.Mesh, at: about.At, life: about.Life}
	for _, text := range about.Peers {
		p, err := keys.ParsePeerPrivate(text)
		if err != nil {
			return err
		}
		m.peers = append(m.peers, p)
	}
	ctx, stop := context.WithCancel(ctx)
	all := &idlers{m: m}
	defer all.running.Wait()
	defer stop()
	start := time.Now()
	for i := range n {
		all.running.Go(func() { all.stay(ctx, i) })
	}
	if err := all.wait(ctx, int64(n)); err != nil {
		return err
	}
	came := time.Since(start)
	after, err := s.memory()
	if err != nil {
		return err
	}
	each := float64(after-before) / float64(n)
	start = time.Now()
	if err := s.restart(); err != nil {
		return err
	}
	began := time.Now()
	if err := all.wait(ctx, int64(n)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "\n%d idle sessions of %d peers: %.1f KiB each, a bare relay's connection %.1f KiB: ratio %.2f\n"+
		"all came in %.1f s; the broker restarted in %.1f s, and %.1f s later all were back\n",
		n, idlePeers, each/1024, relayEach/1024, each/relayEach, came.Seconds(), began.Sub(start).Seconds(), time.Since(began).Seconds())
	return err
}

// stay connects, and again whenever the connection ends.
func (l *idlers) stay(ctx context.Context, i int) {
	pause := func(most time.Duration) {
		select {
		case <-time.After(rand.N(most)):
		case <-ctx.Done():
		}
	}
	for pause(time.Second); ctx.Err() == nil; pause(time.Second) {
		c, err := dialPeer(ctx, l.m, l.m.peers[i%len(l.m.peers)], wire.ReceivesLive)
		if err != nil {
			continue
		}
		l.there.Add(1)
		for err == nil {
			_, _, err = c.read(ctx)
		}
		l.there.Add(-1)
		c.close()
	}
}

// wait waits until so many are connected.
func (l *idlers) wait(ctx context.Context, n int64) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	patience := time.After(5 * time.Minute)
	for l.there.Load() != n {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return fmt.Errorf("%d of %d sessions are there", l.there.Load(), n)
		}
	}
	return nil
}

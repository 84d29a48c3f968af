package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// What a hook and the MCP process of its session say to each other, over a
// local socket: one line of JSON each way.
type (
	// request is what a process started by the client asks.
	request struct {
		Op string `json:"op"` // opHook, opWait or opLine
		// The rest is of opHook.
		Event      string `json:"event,omitempty"`
		Transcript string `json:"transcript,omitempty"` // path
		Human      bool   `json:"human,omitempty"`      // of UserPromptSubmit: a human wrote it
		Rung       bool   `json:"rung,omitempty"`       // of UserPromptSubmit: our bell is in it
		Attended   bool   `json:"attended,omitempty"`   // somebody sits before the session
	}
	// answer is what it gets. An empty one means that there is nothing to say.
	answer struct {
		Bell string `json:"bell,omitempty"`
		Line string `json:"line,omitempty"`
	}
)

const (
	opHook = "hook" // a hook of the client ran
	opWait = "wait" // answer when a bell is due
	opLine = "line" // what the status line shows

	requestSize   = 64 << 10        // bytes of a request at most
	requestWithin = 2 * time.Second // for a request to come, and an answer to go
)

// socketName is the control socket of the session of a client's process.
func socketName(run string, pid int) string {
	return filepath.Join(run, fmt.Sprintf("claude-%d.sock", pid))
}

// control serves the control socket.
type control struct {
	listener net.Listener
	handle   func(context.Context, request) answer
	ctx      context.Context
	cancel   context.CancelFunc
	group    sync.WaitGroup // accept, and one a connection
}

// openControl listens on path. What a dead process left there is replaced.
func openControl(path string, handle func(context.Context, request) answer) (*control, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		if conn, e := net.DialTimeout("unix", path, time.Second); e == nil {
			conn.Close()
			return nil, fmt.Errorf("control socket: another process serves this session: %w", err)
		}
		if e := os.Remove(path); e != nil && !errors.Is(e, os.ErrNotExist) {
			return nil, fmt.Errorf("control socket: %w", e)
		}
		if l, err = net.Listen("unix", path); err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), l.Close())
	}
	c := &control{listener: l, handle: handle}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.group.Go(c.accept)
	return c, nil
}

// accept serves until the listener is closed.
func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.group.Go(func() { c.serve(conn) })
	}
}

// serve answers one request. A connection that its other end gives up, or that
// ends with the process, gets no answer.
func (c *control) serve(conn net.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) //nolint:errcheck // it is closed next
	defer stop()
	if conn.SetReadDeadline(time.Now().Add(requestWithin)) != nil {
		return
	}
	reader := bufio.NewReader(io.LimitReader(conn, requestSize))
	line, err := reader.ReadBytes('\n')
	var r request
	if err != nil || json.Unmarshal(line, &r) != nil {
		return
	}
	// A waiter blocks for hours: its end is seen by reading on.
	if conn.SetReadDeadline(time.Time{}) != nil {
		return
	}
	c.group.Go(func() {
		_, _ = reader.ReadByte()
		cancel()
	})
	a := c.handle(ctx, r)
	if ctx.Err() != nil && r.Op == opWait {
		return
	}
	reply, err := json.Marshal(a)
	if err != nil || conn.SetWriteDeadline(time.Now().Add(requestWithin)) != nil {
		return
	}
	_, _ = conn.Write(append(reply, '\n'))
}

// close stops serving, lets waiters go, and waits for all of it.
func (c *control) close() {
	c.listener.Close()
	c.cancel()
	c.group.Wait()
}

// ask sends a request to a control socket and waits for the answer until ctx
// ends. Nobody there, or an end without an answer, is an error.
func ask(ctx context.Context, path string, r request) (answer, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) }) //nolint:errcheck // it is closed next
	defer stop()
	line, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return answer{}, err
	}
	reply, err := bufio.NewReader(io.LimitReader(conn, requestSize)).ReadBytes('\n')
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := json.Unmarshal(reply, &a); err != nil {
		return answer{}, fmt.Errorf("control socket: %w", err)
	}
	return a, nil
}

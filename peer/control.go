package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
)

const (
	// pokeWithin bounds one poke, on either side.
	pokeWithin = time.Second
	// pokeSize is the size of the largest poke in bytes.
	pokeSize = 4 << 10
	// controlNames is how many names a process tries for its socket.
	controlNames = 64
)

// poke is what one process of a profile tells another: look into state.db.
type poke struct {
	Session keys.SessionID `json:"session"` // which of the process's sessions
	What    what           `json:"what"`
}

// what names what changed.
type what string

const (
	pokeInbox what = "inbox" // a message waits for the session
	pokeSent  what = "sent"  // the state of a message that it sent changed
	pokeCard  what = "card"  // the peer's status or summary was set
)

// control is the process's local socket. Other processes of the profile dial it,
// write one line of JSON and hang up.
type control struct {
	path     string
	listener net.Listener
	group    sync.WaitGroup // accept, and one a connection

	mu       sync.Mutex // guards the rest; a leaf lock
	sessions map[keys.SessionID]func(what)
	conns    map[net.Conn]struct{}
	closed   bool
}

// openControl listens on a socket in the profile's folder. The name gets a number
// where it is in use: several peers of one process, opened apart.
func openControl(path string, listen func(network, address string) (net.Listener, error), dial dialFunc) (*control, error) {
	base := strings.TrimSuffix(path, ".sock")
	for n := 1; ; n++ {
		name := path
		if n > 1 {
			name = fmt.Sprintf("%s-%d.sock", base, n)
		}
		l, err := listen("unix", name)
		if errors.Is(err, syscall.EADDRINUSE) && n < controlNames {
			if !answers(name, dial) && os.Remove(name) == nil {
				n-- // a dead process's: the pid came again
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		c := &control{path: name, listener: l, sessions: make(map[keys.SessionID]func(what)), conns: make(map[net.Conn]struct{})}
		c.group.Go(c.accept)
		return c, nil
	}
}

// answers tells whether somebody listens on a socket.
func answers(path string, dial dialFunc) bool {
	ctx, cancel := context.WithTimeout(context.Background(), pokeWithin)
	defer cancel()
	conn, err := dial(ctx, "unix", path)
	if err != nil {
		return !errors.Is(err, syscall.ECONNREFUSED)
	}
	conn.Close()
	return true
}

// register lets pokes of a session reach it.
func (c *control) register(id keys.SessionID, f func(what)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions[id] = f
}

func (c *control) unregister(id keys.SessionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, id)
}

// accept serves until the listener is closed.
func (c *control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		if c.closed {
			c.mu.Unlock()
			conn.Close()
			return
		}
		c.conns[conn] = struct{}{}
		c.mu.Unlock()
		c.group.Go(func() { c.serve(conn) })
	}
}

// serve reads one poke.
func (c *control) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.conns, conn)
	}()
	if conn.SetDeadline(time.Now().Add(pokeWithin)) != nil {
		return
	}
	line, err := bufio.NewReader(io.LimitReader(conn, pokeSize)).ReadBytes('\n')
	var p poke
	if err != nil || json.Unmarshal(line, &p) != nil {
		return
	}
	c.mu.Lock()
	f := c.sessions[p.Session]
	c.mu.Unlock()
	if f != nil {
		f(p.What)
	}
}

// close stops listening and waits for what is served.
func (c *control) close() {
	c.mu.Lock()
	c.closed = true
	for conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.listener.Close()
	c.group.Wait()
}

// sendPoke pokes another process. That it is gone is no error to anybody: what it
// was to look at stands in state.db.
func sendPoke(ctx context.Context, dial dialFunc, path string, p poke) error {
	ctx, cancel := context.WithTimeout(ctx, pokeWithin)
	defer cancel()
	conn, err := dial(ctx, "unix", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	line, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = conn.Write(append(line, '\n'))
	return err
}

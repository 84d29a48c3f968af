package meshtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// Network is a network in memory: listeners by address, connections with a
// buffer in each direction as a kernel has, no system calls. It works inside a
// testing/synctest bubble when it was made there.
type Network struct {
	mu        sync.Mutex // guards the rest
	listeners map[string]*listener
	conns     map[*conn]struct{}
	killed    map[*Process]struct{}
	dials     int
}

// NewNetwork makes a network with nobody on it.
func NewNetwork() *Network {
	return &Network{listeners: make(map[string]*listener), conns: make(map[*conn]struct{}), killed: make(map[*Process]struct{})}
}

// Listen opens a listener. The network's name is not looked at; address is
// "host:port" or a path.
func (n *Network) Listen(network, address string) (net.Listener, error) {
	return n.listen(network, address, nil)
}

// listen opens a listener of a process, nil for none that can be killed.
func (n *Network) listen(network, address string, of *Process) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isKilledLocked(of) {
		return nil, &net.OpError{Op: "listen", Net: network, Err: os.NewSyscallError("socket", syscall.ENETDOWN)}
	}
	if n.listeners[address] != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{network: n, of: of, text: address, address: addrOf(network, address), accept: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[address] = l
	return l, nil
}

// Dial connects to a listener, as net.Dialer.DialContext does. Nobody there is
// "connection refused".
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dial(ctx, network, address, nil)
}

// dial connects a process, nil for none that can be killed, to a listener.
func (n *Network) dial(ctx context.Context, network, address string, of *Process) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[address]
	n.dials++
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	if l == nil {
		return nil, refused
	}
	ours, theirs := n.pair(l, of)
	if ours == nil {
		return nil, refused
	}
	select {
	case l.accept <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// isKilledLocked tells whether a process was killed; what has none never is.
func (n *Network) isKilledLocked(p *Process) bool {
	_, killed := n.killed[p]
	return killed
}

// pair makes both ends of a connection of a process to a listener, unless one of them
// was killed.
func (n *Network) pair(l *listener, of *Process) (ours, theirs *conn) {
	to := l.address
	up, down := newPipe(), newPipe()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.isKilledLocked(of) || n.isKilledLocked(l.of) {
		return nil, nil
	}
	from := addrOf(to.Network(), fmt.Sprintf("127.0.0.1:%d", 40000+n.dials%20000))
	ours = &conn{network: n, of: of, dialled: n.dials, in: down, out: up, local: from, remote: to}
	theirs = &conn{network: n, of: l.of, in: up, out: down, local: to, remote: from}
	n.conns[ours], n.conns[theirs] = struct{}{}, struct{}{}
	return ours, theirs
}

// Break breaks every connection there is, as a router does that lost power:
// both ends get "connection reset". Listeners stay.
func (n *Network) Break() {
	n.mu.Lock()
	broken := make([]*conn, 0, len(n.conns))
	for c := range n.conns {
		broken = append(broken, c)
	}
	n.mu.Unlock()
	for _, c := range broken {
		c.in.fail(syscall.ECONNRESET)
		c.out.fail(syscall.ECONNRESET)
	}
}

// BreakAfter breaks one connection, the nth of those there are in the order of their
// dials, once so many more bytes went through it in one direction: up, from whoever
// dialled, or down. The other end reads them, and then gets "connection reset" too. It
// reports false where there is no connection.
func (n *Network) BreakAfter(nth, bytes int, up bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	var dialled []*conn
	for c := range n.conns {
		if c.dialled > 0 {
			dialled = append(dialled, c)
		}
	}
	if len(dialled) == 0 {
		return false
	}
	slices.SortFunc(dialled, func(a, b *conn) int { return a.dialled - b.dialled })
	c := dialled[nth%len(dialled)]
	if up {
		c.out.cutAfter(bytes, c.in)
	} else {
		c.in.cutAfter(bytes, c.out)
	}
	return true
}

// kill ends all that a process has on the network, as a kernel does: nobody listens
// any more, and the other ends read what was sent.
func (n *Network) kill(p *Process) {
	n.mu.Lock()
	n.killed[p] = struct{}{}
	var listening []*listener
	for _, l := range n.listeners {
		if l.of == p {
			listening = append(listening, l)
		}
	}
	var open []*conn
	for c := range n.conns {
		if c.of == p {
			open = append(open, c)
		}
	}
	n.mu.Unlock()
	for _, l := range listening {
		l.Close()
	}
	for _, c := range open {
		c.Close()
	}
}

// Dials is how many times somebody dialled.
func (n *Network) Dials() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dials
}

// listener is a net.Listener of a Network.
type listener struct {
	network *Network
	of      *Process
	text    string
	address net.Addr
	accept  chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close frees the address.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		if l.network.listeners[l.text] == l {
			delete(l.network.listeners, l.text)
		}
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

// Addr is the address as it was asked for.
func (l *listener) Addr() net.Addr { return l.address }

// addrOf is the address of a listener as the real ones have it: what a broker lets
// in depends on it.
func addrOf(network, text string) net.Addr {
	if network == "unix" {
		return &net.UnixAddr{Net: network, Name: text}
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return &net.TCPAddr{}
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return &net.TCPAddr{}
	}
	ip := net.ParseIP(host)
	if ip == nil {
		ip = net.IPv4(127, 0, 0, 1)
	}
	return &net.TCPAddr{IP: ip, Port: n}
}

package broker

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// listener is one bound address.
type listener struct {
	net.Listener                 // counts and wraps what it accepts; TLS on top where it is served
	scheme       string          // "http", "https" or "unix"
	local        bool            // nobody but this machine reaches it
	proxies      []netip.Prefix  // not nil: only these may connect
	port         string          // "" where there is none
	origins      map[string]bool // by which it is reached, in normal form
	urls         []string        // those to show, the best first
}

// listen binds what o asks for. After an error nothing stays bound.
func (b *Broker) listen() (err error) {
	defer func() {
		if err != nil {
			b.closeListeners()
		}
	}()
	for _, l := range b.opts.Listen {
		bound, err := b.bind(l)
		if err != nil {
			return err
		}
		b.listeners = append(b.listeners, bound)
	}
	return nil
}

func (b *Broker) closeListeners() {
	for _, l := range b.listeners {
		l.Close()
	}
}

// bind opens one listener, decides how it is served and by which origins it is
// reached.
func (b *Broker) bind(l Listen) (*listener, error) {
	raw, err := open(l)
	if err != nil {
		return nil, err
	}
	out := &listener{scheme: "http", local: true, origins: make(map[string]bool)}
	host := ""
	switch addr := raw.Addr().(type) {
	case *net.UnixAddr:
		out.scheme = "unix"
		out.urls = []string{"unix:" + addr.Name}
		out.origins[unixOrigin] = true
	case *net.TCPAddr:
		out.local = addr.IP.IsLoopback()
		out.port = fmt.Sprint(addr.Port)
		host = addr.IP.String()
	}
	if l.TLS || (!out.local && !l.Plain) {
		out.scheme = "https"
	}
	if !out.local && l.Plain {
		if len(b.opts.BehindProxy) == 0 {
			raw.Close()
			return nil, fmt.Errorf("%s: plain HTTP beyond this machine is for proxies only: name them by --behind-proxy", raw.Addr())
		}
		out.proxies = b.opts.BehindProxy
	}
	hosts := reachedBy(host, l.Hosts)
	for _, h := range hosts {
		name, port := h, out.port
		if h2, p2, err := net.SplitHostPort(h); err == nil {
			name, port = h2, p2
		}
		if o := joinOrigin(out.scheme, name, port); o != "" {
			out.origins[o] = true
			if (out.local == isLocalHost(name) || l.Net != nil) && out.proxies == nil {
				out.urls = append(out.urls, o)
			}
		}
	}
	out.Listener = &gate{Listener: raw, broker: b, via: out}
	if out.scheme == "https" {
		config, err := b.tlsFor(hosts)
		if err != nil {
			raw.Close()
			return nil, err
		}
		out.Listener = tls.NewListener(out.Listener, config)
	}
	return out, nil
}

func (b *Broker) tlsFor(hosts []string) (*tls.Config, error) {
	if b.opts.CertFile != "" {
		files := &certFiles{cert: b.opts.CertFile, key: b.opts.KeyFile, now: time.Now}
		if _, err := files.get(); err != nil {
			return nil, err
		}
		return tlsConfig(files.get), nil
	}
	own, err := ownCertificate(b.key.Ed25519(), hosts)
	if err != nil {
		return nil, err
	}
	return tlsConfig(func() (*tls.Certificate, error) { return own, nil }), nil
}

// open binds an address, or takes the listener that was given.
func open(l Listen) (net.Listener, error) {
	if l.Net != nil {
		return l.Net, nil
	}
	path, ok := strings.CutPrefix(l.Addr, "unix:")
	if !ok {
		raw, err := net.Listen("tcp", l.Addr)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", l.Addr, err)
		}
		return raw, nil
	}
	raw, err := openUnix(path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", l.Addr, err)
	}
	return raw, nil
}

// openUnix binds a socket that its owner alone can use. A socket left behind
// by a process that was killed is taken away first; one that answers is not.
func openUnix(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err == nil {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return nil, &net.OpError{Op: "listen", Net: "unix", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		}
	}
	raw, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		raw.Close()
		return nil, err
	}
	return raw, nil
}

// reachedBy lists the hosts of a listener bound to ip, the best to show
// first: of one bound to every address, all addresses by which this machine is
// reached on its networks, and HOST.local.
func reachedBy(ip string, further []string) []string {
	var out []string
	parsed := net.ParseIP(ip)
	switch {
	case parsed == nil:
	case parsed.IsLoopback():
		out = append(out, ip, "localhost", "127.0.0.1", "::1")
	case !parsed.IsUnspecified():
		out = append(out, ip)
	default:
		out = append(out, machineAddresses()...)
		if name, err := os.Hostname(); err == nil && name != "" {
			short, _, _ := strings.Cut(strings.ToLower(name), ".")
			out = append(out, short+".local")
		}
		out = append(out, "127.0.0.1", "localhost", "::1")
	}
	// What the operator names goes first: he knows by what he is reached.
	out = append(slices.Clone(further), out...)
	var unique []string
	for _, h := range out {
		if !slices.Contains(unique, h) {
			unique = append(unique, h)
		}
	}
	return unique
}

// isLocalHost says whether a host is this very machine for whoever dials it.
func isLocalHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// machineAddresses lists this machine's addresses that others can dial: no
// loopback, no link-local ones; IPv4 first, as people expect them.
func machineAddresses() []string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var four, six []string
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok || !ipnet.IP.IsGlobalUnicast() {
			continue
		}
		if ipnet.IP.To4() != nil {
			four = append(four, ipnet.IP.String())
		} else {
			six = append(six, ipnet.IP.String())
		}
	}
	return append(four, six...)
}

// gate is the listener beneath TLS: it lets in what may connect, and counts
// each connection as half open until its hello was accepted.
type gate struct {
	net.Listener
	broker *Broker
	via    *listener
}

// Accept waits for the next connection that may come in.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.broker.half.wait()
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := clientAddr(c.RemoteAddr())
		if g.via.proxies != nil && !contains(g.via.proxies, addr) && !addr.IsLoopback() {
			c.Close()
			continue
		}
		conn := &gateConn{Conn: c, broker: g.broker, via: g.via, addr: addr}
		conn.release = g.broker.half.enter(addr, g.broker.uncounted(addr), func() { c.Close() })
		if conn.release == nil {
			c.Close()
			continue
		}
		conn.touch()
		return conn, nil
	}
}

// gateConn is a connection as the gate let it in.
type gateConn struct {
	net.Conn
	broker *Broker
	via    *listener
	addr   netip.Addr

	once    sync.Once
	release func()
	read    atomic.Int64 // when a byte last came, by the steady clock: half-dead links are found by it
}

func (c *gateConn) touch() { c.read.Store(c.broker.steady()) }

// Read notes that the other side lives.
func (c *gateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.touch()
	}
	return n, err
}

// greeted ends the connection's time as half open.
func (c *gateConn) greeted() { c.once.Do(c.release) }

// Close closes the connection and ends its time as half open.
func (c *gateConn) Close() error {
	c.greeted()
	return c.Conn.Close()
}

// gated finds the gate's connection beneath TLS; nil if there is none, which
// is so where the broker is served as a handler.
func gated(c net.Conn) *gateConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	g, _ := c.(*gateConn)
	return g
}

// clientAddr is a remote address without its port; zero for what has none.
func clientAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		if ip, ok := netip.AddrFromSlice(tcp.IP); ok {
			return ip.Unmap().WithZone("")
		}
	}
	return netip.Addr{}
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// uncounted says whether connections from a are not counted against a: those of
// this machine, and those of proxies, which bring everybody's.
func (b *Broker) uncounted(a netip.Addr) bool {
	return !a.IsValid() || a.IsLoopback() || contains(b.opts.BehindProxy, a)
}

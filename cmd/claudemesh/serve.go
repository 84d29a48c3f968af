package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

// What up and broker have in common: both serve meshes on this machine.

// defaultPort is where a broker listens unless it is told otherwise.
const defaultPort = "7900"

// serving is a broker that runs, and what it ended with.
type serving struct {
	*broker.Broker
	lock  *profile.Lock // of its data folder
	ended chan error    // closed after Run returned and its error was sent
}

// serve makes a broker and runs it until ctx ends. Its folder is locked: two
// brokers over one database would order one chain twice. The one that holds the lock
// may listen on the socket, and is asked to go there; "": nobody is asked.
func serve(ctx context.Context, o broker.Options, command, socket string) (*serving, error) {
	lock, err := lockData(ctx, o.Dir, socket)
	if errors.Is(err, profile.ErrHeld) {
		return nil, &failure{class: peer.ClassFailed, err: err,
			sentence: fmt.Sprintf("a broker runs already over the data in %s", home(o.Dir)),
			hint:     "Stop it where it runs with Ctrl-C, or see: claudemesh doctor"}
	}
	if err != nil {
		return nil, fmt.Errorf("the broker's folder: %w", err)
	}
	b, err := broker.New(o)
	if err != nil {
		return nil, errors.Join(explainListen(err, o, command), lock.Release())
	}
	s := &serving{b, lock, make(chan error, 1)}
	go func() {
		defer close(s.ended)
		s.ended <- b.Run(ctx)
	}()
	return s, nil
}

// stop ends the broker and waits for it.
func (s *serving) stop() error {
	closing := s.Close()
	return errors.Join(<-s.ended, closing, s.lock.Release())
}

// boundAt is where a broker listens: the port that the system chose where it was
// left to it.
func (s *serving) boundAt(listen string) string {
	if host, port, err := net.SplitHostPort(listen); err != nil || port != "0" || !loopback(listen) || host == "" {
		return listen
	}
	for _, text := range s.URLs() {
		if u, err := url.Parse(text); err == nil && loopback(u.Host) {
			return u.Host
		}
	}
	return listen
}

// explainListen says in one sentence why a broker did not start.
func explainListen(err error, o broker.Options, command string) error {
	addr := ""
	if len(o.Listen) > 0 {
		addr = o.Listen[0].Addr
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return &failure{class: peer.ClassFailed, err: err,
			sentence: fmt.Sprintf("%s is busy: another program, or another broker, listens there", addr),
			hint:     fmt.Sprintf("Choose another port: claudemesh %s --listen %s", command, nextPort(addr))}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return &failure{class: peer.ClassFailed, err: err, sentence: fmt.Sprintf("%s is no address of this machine", addr)}
	case errors.Is(err, syscall.EACCES) && addr != "":
		return &failure{class: peer.ClassFailed, err: err, sentence: fmt.Sprintf("may not listen on %s: ports below 1024 want more rights", addr)}
	case errors.As(err, &dns):
		return &failure{class: peer.ClassUsage, err: err, sentence: fmt.Sprintf("%s is no address to listen on", addr)}
	}
	return err
}

// nextPort is an address with the port after the one that is busy.
func nextPort(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	var n int
	if _, scanErr := fmt.Sscan(port, &n); err != nil || scanErr != nil || n >= 65535 {
		return "127.0.0.1:0"
	}
	return net.JoinHostPort(host, fmt.Sprint(n+1))
}

// checkListen refuses what is no address before anything is opened.
func checkListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--listen: %q is no address, write HOST:PORT, as in 127.0.0.1:%s", addr, defaultPort)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return usagef("--listen: %q is no port", port)
	}
	if strings.ContainsAny(host, "/ ") {
		return usagef("--listen: %q is no host", host)
	}
	return nil
}

// loopback tells whether only this machine reaches an address to listen on.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	return loopbackHost(host)
}

// loopbackHost tells whether a host is this very machine for whoever dials it.
func loopbackHost(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// checkURLs refuses what is no broker's URL.
func checkURLs(urls []string) error {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") || (u.Path != "" && u.Path != "/") {
			return usagef("--url: %q is no broker's URL, write https://HOST or https://HOST:PORT", text)
		}
	}
	return nil
}

// prefixes parses the networks that a flag names.
func prefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil {
			list = append(list, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, usagef("--%s: %q is no network, write 10.0.0.0/8 or one address", flag, text)
		}
		list = append(list, p)
	}
	return list, nil
}

// operatorLog writes the log of a broker, or of a session, to standard error: all of
// it, or what goes wrong only.
func (a *app) operatorLog(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(lockedErr{a.ui}, &slog.HandlerOptions{Level: level}))
}

// lockedErr is standard error as other goroutines may write to it.
type lockedErr struct{ ui *ui }

// Write writes whole lines.
func (w lockedErr) Write(p []byte) (int, error) {
	w.ui.mu.Lock()
	defer w.ui.mu.Unlock()
	return w.ui.err.Write(p)
}

// shownURLs are the URLs of a broker by which others can reach it; where there
// are none, those by which this machine does. Sockets are nobody's business.
func shownURLs(urls []string) (shown []string, public bool) {
	var local []string
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			continue
		}
		if loopbackHost(u.Hostname()) {
			local = append(local, text)
		} else {
			shown = append(shown, text)
		}
	}
	if len(shown) > 0 {
		return shown, true
	}
	if len(local) > 1 {
		local = local[:1]
	}
	return local, false
}

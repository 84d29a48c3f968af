package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// unixOrigin is what a peer says it dialled where it used a unix socket: no
// path, since a path is nobody else's business.
const unixOrigin = "unix:"

var errOrigin = errors.New("an origin is unix: or http(s)://host[:port]")

// normalOrigin brings an origin into the one form in which origins are
// compared: scheme and host in lower case, no default port, nothing behind
// them. "unix:/path" becomes "unix:".
func normalOrigin(text string) (string, error) {
	if strings.HasPrefix(text, unixOrigin) {
		return unixOrigin, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Path != "" && u.Path != "/") || u.Hostname() == "" {
		return "", fmt.Errorf("%.80q: %w", text, errOrigin)
	}
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := u.Port()
	switch u.Scheme {
	case "https":
		if port == "443" {
			port = ""
		}
	case "http":
		if port == "80" {
			port = ""
		}
	default:
		return "", fmt.Errorf("%.80q: %w", text, errOrigin)
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// joinOrigin makes a normal origin of its parts.
func joinOrigin(scheme, host, port string) string {
	if port == "" || port == "0" {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	} else {
		host = net.JoinHostPort(host, port)
	}
	o, err := normalOrigin(scheme + "://" + host)
	if err != nil {
		return ""
	}
	return o
}

// knowsOrigin says whether origin, in normal form, leads to this broker: to
// one of its URLs, or to the listener by which the connection came in. A
// handshake that was relayed by another host names that host and dies here
// [CM-7].
func (b *Broker) knowsOrigin(via *listener, local net.Addr, origin string) bool {
	return b.origins[origin] || via != nil && via.knowsOrigin(local, origin)
}

// knowsHost says whether a request's Host header names this broker. A web page
// whose name was rebound to a loopback address sends its own name, and gets no
// further.
func (b *Broker) knowsHost(via *listener, local net.Addr, host string) bool {
	if via != nil && via.scheme == "unix" {
		return true
	}
	for _, scheme := range []string{"https", "http"} {
		if o, err := normalOrigin(scheme + "://" + host); err == nil && b.knowsOrigin(via, local, o) {
			return true
		}
	}
	return false
}

// knowsOrigin is Broker.knowsOrigin for one listener: its names, its bound
// address, and the very address to which this connection came.
func (l *listener) knowsOrigin(local net.Addr, origin string) bool {
	if l.origins[origin] {
		return true
	}
	tcp, ok := local.(*net.TCPAddr)
	if !ok { // a unix socket's
		return false
	}
	ip, ok := netip.AddrFromSlice(tcp.IP)
	if !ok {
		return false
	}
	return origin == joinOrigin(l.scheme, ip.Unmap().WithZone("").String(), l.port)
}

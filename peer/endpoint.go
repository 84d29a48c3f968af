package peer

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
)

// unixScheme starts the URL of a local socket: "unix:/path".
const unixScheme = chain.URLUnix

// endpoint is where to dial.
type endpoint struct {
	url     string // as in the chain: "https://mesh.example.org", "unix:/path"
	origin  string // what a hello says: normal form, "unix:" without the path [CM-7]
	scheme  string // "https", "http", "unix"
	host    string // without port, for certificates; "" for unix
	network string // "tcp", "unix"
	address string // host:port, or the socket's path
}

// errPlain refuses plain HTTP to another machine. [CM-7]
var errPlain = errors.New("plain http to another machine: anybody in between could read who talks to whom")

// parseEndpoint reads a broker's URL. Plain http is taken for loopback only,
// unless plain allows it.
func parseEndpoint(text string, plain bool) (endpoint, error) {
	if path, found := strings.CutPrefix(text, unixScheme); found {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return endpoint{}, fmt.Errorf("%q names no socket", text)
		}
		return endpoint{url: unixScheme + path, origin: unixScheme, scheme: "unix", network: "unix", address: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return endpoint{}, fmt.Errorf("%.80q is no broker's URL: https://HOST[:PORT], http://127.0.0.1:PORT or unix:/PATH", text)
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	standard := map[string]string{"https": "443", "http": "80"}[u.Scheme]
	if standard == "" {
		return endpoint{}, fmt.Errorf("%.80q is no broker's URL: neither https nor http nor unix", text)
	}
	if u.Scheme == "http" && !plain && !chain.IsLoopback("http://"+strings.ToLower(u.Host)) {
		return endpoint{}, errPlain
	}
	e := endpoint{scheme: u.Scheme, host: host, network: "tcp", address: net.JoinHostPort(host, port)}
	shown := host
	if strings.Contains(host, ":") {
		shown = "[" + host + "]"
	}
	if port == "" || port == standard {
		e.address = net.JoinHostPort(host, standard)
	} else {
		shown += ":" + port
	}
	e.origin = u.Scheme + "://" + shown
	e.url = e.origin
	return e, nil
}

// local tells whether only this machine reaches the endpoint.
func (e endpoint) local() bool { return e.scheme == "unix" || chain.IsLoopback(e.origin) }

// shown is the endpoint for people: the host, and the port where it is not the
// scheme's own.
func (e endpoint) shown() string {
	if e.scheme == "unix" {
		return "the broker of this machine"
	}
	return strings.TrimPrefix(strings.TrimPrefix(e.origin, "https://"), "http://")
}

// hostOf is the host of a list of URLs for people: the first one that other
// machines reach, else the first.
func hostOf(urls []string) string {
	first := ""
	for _, text := range urls {
		if text == chain.URLUnix { // the path is this machine's business
			text += "/"
		}
		e, err := parseEndpoint(text, true)
		if err != nil {
			continue
		}
		if !e.local() {
			return e.shown()
		}
		if first == "" {
			first = e.shown()
		}
	}
	return first
}

package broker

import (
	"context"
	_ "embed"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// invitePage is what a browser shows of an invite link. It has no script: the
// secret stands in the fragment, which never leaves the browser and which
// nothing here reads.
//
//go:embed invite.html
var invitePage []byte

// request is what the broker knows of a request before it looks at its content.
type request struct {
	via   *listener  // nil: served as a handler
	conn  *gateConn  // nil as well, then
	local net.Addr   // to which address it came, nil if unknown
	addr  netip.Addr // whose it is, seen through trusted proxies; zero if unknown
	// proxied: a trusted proxy brings it. One that sets no X-Forwarded-For makes
	// everybody look like itself.
	proxied bool
}

// connKey is the context key under which a server keeps a connection's
// gateConn.
type connKey struct{}

// server makes the HTTP server of one listener. Its limits are those of
// requests; a WebSocket has left it.
func (b *Broker) server() *http.Server {
	return &http.Server{
		Handler:           b,
		ReadHeaderTimeout: b.limits.HelloWithin,
		ReadTimeout:       2 * b.limits.HelloWithin,
		IdleTimeout:       b.limits.HelloWithin,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if g := gated(c); g != nil {
				return context.WithValue(ctx, connKey{}, g)
			}
			return ctx
		},
	}
}

// requestOf looks at the connection and, where a trusted proxy brings it, at
// what that says of its client.
func (b *Broker) requestOf(r *http.Request) request {
	var q request
	if g, ok := r.Context().Value(connKey{}).(*gateConn); ok {
		q.conn, q.via, q.local, q.addr = g, g.via, g.LocalAddr(), g.addr
	} else {
		q.local, _ = r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if a, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			q.addr = a.Addr().Unmap().WithZone("")
		}
	}
	if contains(b.opts.BehindProxy, q.addr) {
		q.proxied, q.addr = true, b.forwardedFor(r, q.addr)
	}
	return q
}

// forwardedFor is the last address in X-Forwarded-For that no trusted proxy
// has: what stands before it is the client's own claim.
func (b *Broker) forwardedFor(r *http.Request, proxy netip.Addr) netip.Addr {
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return proxy
		}
		if a = a.Unmap().WithZone(""); !contains(b.opts.BehindProxy, a) {
			return a
		}
	}
	return proxy
}

// ServeHTTP answers the broker's HTTP side. Between New and Run, and after
// Close, it answers 503. Served as a handler, not by a listener of its own, it
// takes requests for the hosts of Options.URLs only.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	q := b.requestOf(r)
	// A web page must not reach a broker on its reader's own machine: its
	// requests carry its name as Host (if it rebound its name) or as Origin.
	if !b.knowsHost(q.via, q.local, r.Host) {
		b.refuse(w, wire.CodeOrigin, "this broker is not reached by that host name")
		return
	}
	if o := r.Header.Get("Origin"); o != "" {
		if n, err := normalOrigin(o); err != nil || !b.knowsOrigin(q.via, q.local, n) {
			b.refuse(w, wire.CodeOrigin, "web pages of other hosts have no access")
			return
		}
	}
	switch r.URL.Path {
	case wire.PathHealth:
		b.serveHealth(w, r)
	case wire.PathInvite:
		b.serveInvite(w, r)
	case wire.PathMeshes:
		b.serveCreate(w, r, q)
	case wire.PathSocket:
		b.serveSocket(w, r, q)
	case pathReady:
		b.serveReady(w, r)
	case pathMetrics:
		b.serveMetrics(w, r, q)
	case pathYield:
		b.serveYield(w, r, q)
	default:
		http.NotFound(w, r)
	}
}

// Health is the answer of /healthz.
type Health struct {
	Status  string      `json:"status"` // "ok"; "draining" and 503 on the way out
	Broker  keys.Public `json:"broker"` // the broker's key, to be compared with a pin, never believed
	Version string      `json:"version"`
	Time    int64       `json:"time"` // the broker's clock, Unix ms
}

func (b *Broker) serveHealth(w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) {
		return
	}
	answer := Health{Status: "ok", Broker: b.Key(), Version: b.opts.Version, Time: b.now()}
	status := http.StatusOK
	if !b.serving() {
		answer.Status, status = "draining", http.StatusServiceUnavailable
	}
	b.answer(w, status, answer)
}

func (b *Broker) serveInvite(w http.ResponseWriter, r *http.Request) {
	if !reads(w, r) {
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Length", strconv.Itoa(len(invitePage)))
	if r.Method == http.MethodGet {
		w.Write(invitePage)
	}
}

// reads answers 405 to anything but GET and HEAD.
func reads(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// answer writes v as the JSON answer.
func (b *Broker) answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		b.log.Error("encode an answer", "err", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n'))
}

// refuse answers with an error frame's fields, so that a client has one form
// of errors on both roads; with the code's own status, and without a message
// its sentence.
func (b *Broker) refuse(w http.ResponseWriter, code wire.Code, message string) {
	info := code.Info()
	if message == "" {
		message = info.Sentence
	}
	b.answer(w, info.HTTP, &wire.Error{Code: code, Message: message})
}

package broker

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Options says how a broker runs. The zero value of every field but Dir works;
// contradictions are refused by [New].
type Options struct {
	// Dir is the data folder: broker.key (0600) and the embedded database. It
	// is made, 0700, if it is not there. It may be empty only where Key and
	// Store are both given.
	Dir string

	// Key is the broker's identity. Zero reads broker.key from Dir, and makes
	// it at the first start.
	Key keys.BrokerPrivate

	// Store keeps what waits. Nil opens the embedded database in Dir and
	// closes it with the broker; a given one is the caller's to close, after
	// Close.
	Store store.Store

	// Listen names where to listen. Empty: nowhere, the broker is only a
	// handler, and creating a mesh by POST wants a token.
	Listen []Listen

	// URLs are the further origins by which peers reach this broker
	// ("https://mesh.example.org"): a tunnel's, a proxy's, a name's. A hello
	// that was dialled to none of them and to none of the listeners' is
	// refused. Scheme, host and, where it is not the scheme's own, port.
	URLs []string

	// BehindProxy lists the networks from which requests are taken whose
	// X-Forwarded-For is believed, and to which plain HTTP beyond loopback is
	// answered. Empty: none.
	BehindProxy []netip.Prefix

	// MetricsFrom lists the networks that may read /metrics, besides unix sockets
	// and loopback; but loopback does not count where BehindProxy names it. Empty:
	// none.
	MetricsFrom []netip.Prefix

	// CertFile and KeyFile are a PEM certificate chain and key for the TLS
	// listeners, both or none. Empty: a self-signed TLS 1.3 certificate of the
	// broker's own key, which peers accept through the pin alone.
	CertFile, KeyFile string

	// OpenCreate lets anyone create meshes by POST without a token. False:
	// only on unix sockets, and on loopback while there is no other listener,
	// URL or proxy.
	OpenCreate bool

	// GoOn orders entries although the broker was restored from a backup and
	// has not heard all members since: what those hold that it lost is lost.
	GoOn bool

	// Idle ends the broker in good order once there was no connection for this
	// long; what waits stays. Zero: it never ends by itself.
	Idle time.Duration

	// Yields lets whoever reaches a unix socket of this broker end it in good
	// order by [Yield], to serve its data in its place.
	Yields bool

	// Limits bounds what one peer, one address and all of them may take. Zero
	// fields take their documented values.
	Limits Limits

	// Logger takes the operator's log: metadata only, never payload, names of
	// sessions at most. Nil discards it.
	Logger *slog.Logger

	// Clock tells the time of day, which may be set while the broker runs. Nil:
	// time.Now.
	Clock func() time.Time

	// Version stands in /healthz. Empty: "devel".
	Version string
}

// Listen is one place to listen.
type Listen struct {
	// Addr is "host:port" (port 0 lets the system choose, an empty host means
	// every address) or "unix:/path". Ignored where Net is given.
	Addr string

	// Net is a listener already open, such as one in memory; the broker closes
	// it. Nil binds Addr.
	Net net.Listener

	// Plain serves without TLS beyond loopback, to proxies of
	// Options.BehindProxy only. Loopback and unix sockets are always plain
	// unless TLS is set.
	Plain bool

	// TLS serves TLS also on loopback.
	TLS bool

	// Hosts are further names and addresses by which peers dial this listener:
	// they stand in the certificate and are accepted as origins. The bound
	// address and, where every address is bound, all private addresses of this
	// machine and HOST.local are there by themselves.
	Hosts []string
}

// Limits bounds memory and work. Every zero field takes the value that is
// documented with it.
type Limits struct {
	// HelloWithin is how long a connection may take to say hello. Zero: 5 s.
	HelloWithin time.Duration
	// Heartbeat is the interval of pings on a silent connection; two and a
	// half of it without a byte end the connection. Zero: 10 s.
	Heartbeat time.Duration
	// WriteWithin is how long one write may take before the connection ends.
	// Zero: 10 s.
	WriteWithin time.Duration
	// HalfOpen is how many connections before hello there may be in all. Zero:
	// 1,024.
	HalfOpen int
	// HalfOpenAddr is how many of them one address may have (an IPv6 /64
	// counts as one). Zero: 32.
	HalfOpenAddr int
	// Connections is how many connections one peer may have. Zero: 64.
	Connections int
	// InFlight is how many unacknowledged messages of one connection are taken
	// before the broker stops reading from it. Zero: 1,024.
	InFlight int
	// Buffer is how many bytes wait in memory for one connection before
	// further messages stay in the queue. Zero: 256 KiB.
	Buffer int
	// Waiting is how many messages may wait for one recipient. Zero: 10,000.
	Waiting int
	// Appends is how many entries one peer may append in a minute. Zero: 60.
	Appends int
	// Messages is how many messages a second are taken of one peer, over all its
	// connections: a message counts for each recipient, a receipt as one. As
	// many may come at once. Zero: 25,000, a quarter of what a process is made
	// for.
	Messages int
	// MessagesAddr is how many are taken of one address beyond this machine (an
	// IPv6 /64 counts as one). Zero: 50,000.
	MessagesAddr int
	// Drain is how long Close lets peers take what is promised. Zero: 5 s.
	Drain time.Duration
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		at    *time.Duration
		value time.Duration
	}{
		{&l.HelloWithin, wire.HelloWithin * time.Millisecond},
		{&l.Heartbeat, wire.Heartbeat * time.Millisecond},
		{&l.WriteWithin, wire.WriteWithin * time.Millisecond},
		{&l.Drain, 5 * time.Second},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	for _, d := range []struct {
		at    *int
		value int
	}{
		{&l.HalfOpen, 1024},
		{&l.HalfOpenAddr, 32},
		{&l.Connections, 64},
		{&l.InFlight, wire.InFlight},
		{&l.Buffer, wire.SlowConsumer},
		{&l.Waiting, wire.MaxWaiting},
		{&l.Appends, 60},
		{&l.Messages, 25_000},
		{&l.MessagesAddr, 50_000},
	} {
		if *d.at <= 0 {
			*d.at = d.value
		}
	}
	return l
}

// check refuses options that contradict each other.
func (o *Options) check() error {
	switch {
	case o.Dir == "" && (o.Key.IsZero() || o.Store == nil):
		return errors.New("a broker needs a data folder, or a key and a store")
	case o.Idle < 0:
		return errors.New("a broker cannot be idle for less than no time")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("a certificate needs its key, and a key its certificate")
	}
	return nil
}

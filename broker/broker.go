package broker

import (
	"context"
	"net/http"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// Broker serves meshes. Make it by [New]; all methods may be called from any
// goroutine.
type Broker struct {
	opts      Options
	key       keys.BrokerPrivate
	origins   map[string]bool // of Options.URLs, in normal form
	listeners []*listener
	half      halfOpen
}

// New checks the options, reads or makes the broker's key, opens the store and
// binds the listeners: after it the addresses are known, and a busy port has
// been reported (errors.Is with syscall.EADDRINUSE). Nothing is served before
// [Broker.Run]. After an error nothing stays open.
func New(o Options) (*Broker, error) { return &Broker{opts: o}, nil }

// Run serves until ctx ends or [Broker.Close] is called, then drains: reads no
// more, commits, acknowledges, tells the peers, closes. It returns nil after
// such an end, else what failed, and waits for everything it started.
func (b *Broker) Run(ctx context.Context) error { return nil }

// Close ends Run as the end of its context does and waits for it, or, where
// Run was never called, closes listeners and store.
func (b *Broker) Close() error { return nil }

// ServeHTTP answers the broker's HTTP side. Between New and Run, and after
// Close, it answers 503.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Key is the broker's identity, which chains and links pin.
func (b *Broker) Key() keys.Public { return keys.Public{} }

// URLs are the origins by which this broker is reached, the most public
// first: Options.URLs, then those of the listeners ("https://192.168.1.20:7900",
// "http://127.0.0.1:7900", "unix:/path").
func (b *Broker) URLs() []string { return nil }

// Token is the one-time token for creating the first mesh over the network, of
// the form "ct-…", made by this start and good for one hour. It is empty where
// none is needed, or where there is a mesh already.
func (b *Broker) Token() string { return "" }

// NewToken makes a further one-time token for creating a mesh, good for one
// hour, and forgets those made before.
func (b *Broker) NewToken(ctx context.Context) (string, error) { return "", nil }

// CreateMesh takes a new mesh from within the process: genesis, invite and
// join, in this order, further entries behind them allowed. It answers the
// broker's head over them. Sent again with the same entries it answers the
// present head.
func (b *Broker) CreateMesh(ctx context.Context, entries []signed.Object) (signed.Object, error) {
	return signed.Object{}, nil
}

// Events starts a feed of what happens from now on.
func (b *Broker) Events() *Feed { return nil }

package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Broker serves meshes. Make it by [New]; all methods may be called from any
// goroutine.
type Broker struct {
	opts      Options
	began     time.Time // when it was made, by both clocks
	at        int64
	limits    Limits
	log       *slog.Logger
	key       keys.BrokerPrivate
	origins   map[string]bool // of Options.URLs, in normal form
	listeners []*listener
	half      halfOpen
	store     store.Store
	recorder  recorder
	fetcher   fetcher
	feeds     feeds
	appends   rates[keys.Public] // entries
	byPeer    rates[keys.Public] // messages
	byAddr    rates[netip.Addr]  // messages, of each customer's address
	sockets   sockets
	metrics   *metrics
	readiness readiness
	conns     atomic.Uint64 // numbers connections
	lostUntil atomic.Int64  // what became of messages made before may be lost; see loseUntil

	living   context.Context // for the store: ends when all is done
	die      context.CancelFunc
	ending   context.Context // ends when draining begins
	endNow   context.CancelFunc
	draining atomic.Bool
	settled  chan struct{}  // closed when nothing more will be recorded
	tasks    sync.WaitGroup // connections, timers, fetches

	mu     sync.Mutex // guards the following
	phase  phase
	ran    bool          // Run was called
	ended  chan struct{} // closed when Run or Close has let go of everything
	end    error         // what closing came to; read after ended
	meshes map[keys.MeshID]*loading
	token  string // clear text of the token made by this start
}

// phase is where a broker is in its life.
type phase int

const (
	phaseNew     phase = iota // between New and Run
	phaseServing              // between Run and its end
	phaseEnding
	phaseEnded
)

// New checks the options, reads or makes the broker's key, opens the store and
// binds the listeners: after it the addresses are known, and a busy port has
// been reported (errors.Is with syscall.EADDRINUSE). Nothing is served before
// [Broker.Run]. After an error nothing stays open.
func New(o Options) (*Broker, error) {
	b := &Broker{opts: o, began: time.Now(), limits: o.Limits.withDefaults(), log: o.Logger, ended: make(chan struct{}),
		settled: make(chan struct{}), origins: make(map[string]bool), meshes: make(map[keys.MeshID]*loading)}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.opts.Clock == nil {
		b.opts.Clock = time.Now
	}
	b.at = b.now()
	if b.opts.Version == "" {
		b.opts.Version = "devel"
	}
	b.half.all, b.half.each = b.limits.HalfOpen, b.limits.HalfOpenAddr
	b.half.left = make(chan struct{}, 1)
	b.recorder.b, b.fetcher.b = b, b
	b.metrics = newMetrics(b)
	b.appends.limit, b.appends.per = b.limits.Appends, minute
	b.byPeer.limit, b.byPeer.per = b.limits.Messages, second
	b.byAddr.limit, b.byAddr.per = b.limits.MessagesAddr, second
	b.living, b.die = context.WithCancel(context.Background())
	b.ending, b.endNow = context.WithCancel(b.living)
	if err := b.open(); err != nil {
		b.endNow()
		b.die()
		b.closeListeners()
		return nil, errors.Join(err, b.closeStore())
	}
	return b, nil
}

// open takes hold of everything that the options name.
func (b *Broker) open() error {
	if err := b.opts.check(); err != nil {
		return err
	}
	for _, u := range b.opts.URLs {
		n, err := normalOrigin(u)
		if err != nil {
			return fmt.Errorf("URL: %w", err)
		}
		b.origins[n] = true
	}
	if b.opts.Dir != "" {
		if err := os.MkdirAll(b.opts.Dir, 0o700); err != nil {
			return fmt.Errorf("the data folder: %w", err)
		}
	}
	var err error
	if b.key = b.opts.Key; b.key.IsZero() {
		if b.key, err = loadKey(b.opts.Dir); err != nil {
			return err
		}
	}
	if err := b.listen(); err != nil {
		return err
	}
	if b.store = b.opts.Store; b.store == nil {
		if b.store, err = store.OpenSQLite(b.living, b.opts.Dir); err != nil {
			return fmt.Errorf("open the store: %w", err)
		}
	}
	return b.start()
}

// start reads what is needed before anything can be served.
func (b *Broker) start() error {
	if err := b.store.ClearPresence(b.living); err != nil {
		return fmt.Errorf("clear presence: %w", err)
	}
	list, err := b.store.Meshes(b.living)
	if err != nil {
		return fmt.Errorf("list the meshes: %w", err)
	}
	for _, m := range list {
		b.meshes[m.ID] = &loading{}
	}
	lost, err := loadLost(b.living, b.store)
	if err != nil {
		return fmt.Errorf("when the store was restored: %w", err)
	}
	b.lostUntil.Store(lost)
	if len(list) == 0 && !b.createIsOpen() {
		if b.token, err = b.NewToken(b.living); err != nil {
			return err
		}
	}
	return nil
}

func (b *Broker) closeStore() error {
	if b.store == nil || b.opts.Store != nil {
		return nil
	}
	return b.store.Close()
}

// Run serves until ctx ends or [Broker.Close] is called, then drains: reads no
// more, commits, acknowledges, tells the peers, closes. It returns nil after
// such an end, also where that came before it, else what failed, and waits for
// everything it started.
func (b *Broker) Run(ctx context.Context) error {
	b.mu.Lock()
	if b.phase != phaseNew {
		ran := b.ran
		b.mu.Unlock()
		if ran {
			return errors.New("broker: Run was called before")
		}
		return nil
	}
	b.ran = true
	b.phase = phaseServing
	b.mu.Unlock()

	var serving, recording sync.WaitGroup
	recording.Go(func() { b.recorder.run(b.living) })
	serving.Go(b.sweep)
	servers := make([]*http.Server, len(b.listeners))
	failed := make(chan error, len(b.listeners))
	for i, l := range b.listeners {
		servers[i] = b.server()
		serving.Go(func() {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case <-b.ending.Done():
	case err = <-failed:
	}
	b.drain()
	for _, s := range servers {
		s.Close() // of plain requests; upgraded connections have left it
	}
	serving.Wait()
	close(b.settled)
	recording.Wait()
	b.finish(errors.Join(err, b.closeStore()))
	return b.end
}

// finish lets everyone know that all is let go.
func (b *Broker) finish(err error) {
	b.feeds.end()
	b.die()
	b.mu.Lock()
	b.phase, b.end = phaseEnded, err
	b.mu.Unlock()
	close(b.ended)
}

// Close ends Run as the end of its context does and waits for it, or, where
// Run was never called, closes listeners and store.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.phase == phaseNew {
		b.phase = phaseEnding
		b.mu.Unlock()
		b.endNow()
		b.closeMeshes()
		b.tasks.Wait()
		b.closeListeners()
		b.finish(b.closeStore())
		return b.end
	}
	b.mu.Unlock()
	b.endNow()
	<-b.ended
	return b.end
}

// serving says whether requests are taken.
func (b *Broker) serving() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.phase == phaseServing
}

// enter counts a task that the end waits for, unless the end has begun or, but
// for what comes from within the process, serving has not.
func (b *Broker) enter(within bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase != phaseServing && !(within && b.phase == phaseNew) {
		return false
	}
	b.tasks.Add(1)
	return true
}

// drain ends serving: not ready, read no more, commit, acknowledge, say drain,
// close.
func (b *Broker) drain() {
	b.mu.Lock()
	b.phase = phaseEnding
	b.mu.Unlock()
	b.draining.Store(true)
	b.endNow()
	b.closeListeners()
	meshes := b.loaded()
	b.sockets.abort(false) // of strangers nothing is taken any more
	for _, m := range meshes {
		m.stopReading()
	}
	late := time.NewTimer(b.limits.Drain)
	defer late.Stop()
	for _, m := range meshes {
		select {
		case <-m.quiet:
		case <-late.C:
			late.Reset(0)
		}
	}
	b.closeMeshes()
	// Who does not read holds nobody up.
	force := time.AfterFunc(b.limits.Drain, func() { b.sockets.abort(true) })
	b.tasks.Wait()
	force.Stop()
}

// closeMeshes sends everyone away.
func (b *Broker) closeMeshes() {
	for _, m := range b.loaded() {
		m.close()
	}
}

// Key is the broker's identity, which chains and links pin.
func (b *Broker) Key() keys.Public { return b.key.Public() }

// URLs are the origins by which this broker is reached, the most public
// first: Options.URLs, then those of the listeners ("https://192.168.1.20:7900",
// "http://127.0.0.1:7900", "unix:/path").
func (b *Broker) URLs() []string {
	var out []string
	for _, u := range b.opts.URLs {
		if n, err := normalOrigin(u); err == nil {
			out = append(out, n)
		}
	}
	for _, local := range []bool{false, true} {
		for _, l := range b.listeners {
			if l.local == local {
				out = append(out, l.urls...)
			}
		}
	}
	return out
}

// Events starts a feed of what happens from now on.
func (b *Broker) Events() *Feed { return b.feeds.join() }

// now is the broker's clock, Unix ms: what is written down, and what expires. It may be
// set at any time, forwards and back.
func (b *Broker) now() int64 { return b.opts.Clock().UnixMilli() }

// steady is a clock that nobody sets, in milliseconds, which said what the broker's said
// when it was made: how long ago something was.
func (b *Broker) steady() int64 { return b.at + time.Since(b.began).Milliseconds() }

// after is time.AfterFunc, counted: the end waits for f.
func (b *Broker) after(d time.Duration, f func()) *time.Timer {
	b.tasks.Add(1)
	return time.AfterFunc(d, func() {
		defer b.tasks.Done()
		f()
	})
}

// stop stops a timer of after.
func (b *Broker) stop(t *time.Timer) {
	if t != nil && t.Stop() {
		b.tasks.Done()
	}
}

// sweep looks after deadlines, heartbeats and whether anybody is there, once a
// second.
func (b *Broker) sweep() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	begun := time.Now()
	for {
		select {
		case <-tick.C:
			if b.opts.Idle > 0 && b.sockets.quiet(begun) >= b.opts.Idle {
				b.endNow()
				return
			}
			now := b.steady()
			for _, m := range b.loaded() {
				m.sweep(now)
			}
			b.appends.forget(now)
			b.byPeer.forget(now)
			b.byAddr.forget(now)
		case <-b.ending.Done():
			return
		}
	}
}

// presenceEvery is how often the store is told when sessions were last heard,
// in milliseconds: so much is lost of it by a kill.
const presenceEvery = 60_000

// sweep asks silent sessions for a sign of life, and ends those that gave none
// for two and a half heartbeats. now is steady.
func (m *mesh) sweep(now int64) {
	m.mu.Lock()
	list := make([]*session, 0, len(m.conns))
	note := now-m.presence.noted >= presenceEvery
	if note {
		m.presence.noted = now
	}
	for _, s := range m.conns {
		list = append(list, s)
		if note && s.present {
			m.b.recorder.presence(m.presenceRow(s, m.b.now()-(now-s.heard())))
		}
	}
	m.mu.Unlock()
	beat := m.b.limits.Heartbeat.Milliseconds()
	for _, s := range list {
		if s.paused.Load() {
			continue // nobody reads it, so its silence says nothing
		}
		heard := s.heard()
		switch silent := now - heard; {
		case silent > beat*5/2:
			s.end(wire.CloseSilent)
			m.detach(s)
		case silent >= beat && now-max(s.pinged, heard) >= beat:
			s.pinged = now
			s.out.pingNow()
		}
	}
}

// heard is when the session last gave a sign of life, by the steady clock.
func (s *session) heard() int64 {
	return max(s.starts.Load(), s.sock.raw.read.Load())
}

package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

var errUnknownMesh = errors.New("no such mesh here")

// loading is a mesh of the store, read when it is first asked for.
type loading struct {
	mu sync.Mutex // held while it is read
	m  atomic.Pointer[mesh]
}

// mesh finds a mesh, and reads it where that was not done yet.
func (b *Broker) mesh(id keys.MeshID) (*mesh, error) {
	b.mu.Lock()
	l := b.meshes[id]
	b.mu.Unlock()
	if l == nil {
		return nil, errUnknownMesh
	}
	if m := l.m.Load(); m != nil {
		return m, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.m.Load(); m != nil {
		return m, nil
	}
	m, err := b.load(b.living, id)
	if err != nil {
		return nil, err
	}
	l.m.Store(m)
	b.mu.Lock()
	late := b.phase >= phaseEnding
	b.mu.Unlock()
	if late { // whoever closes all meshes may have missed it
		m.close()
	}
	return m, nil
}

// loaded lists the meshes that were read.
func (b *Broker) loaded() []*mesh {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*mesh
	for _, l := range b.meshes {
		if m := l.m.Load(); m != nil {
			out = append(out, m)
		}
	}
	return out
}

// load reads a mesh: its chain, what waits, cards.
func (b *Broker) load(ctx context.Context, id keys.MeshID) (*mesh, error) {
	kept, err := b.store.Mesh(ctx, id)
	if err != nil {
		return nil, err
	}
	head := signed.Object{Bytes: kept.Head.Signed, Sig: kept.Head.Sig}
	entries, err := b.loadEntries(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := roster.Load(id, keys.Public{}, entries, head)
	if err != nil {
		return nil, err
	}
	decoded, err := chain.DecodeHead(head)
	if err != nil {
		return nil, err
	}
	if decoded.Head.Hash != r.Chain().Tip() {
		return nil, fmt.Errorf("mesh %v: the head is not over the last entry", id)
	}
	m := &mesh{
		b: b, id: id, name: r.State().Name(), roster: r, head: decoded, life: nextLife(decoded.Head.Life, b.now()),
		sessions: make(map[sessionKey]*session), conns: make(map[delivery.Conn]*session),
		peers: make(map[keys.Public]*peer), quiet: make(chan struct{}),
	}
	if err := m.loadPeers(ctx); err != nil {
		return nil, err
	}
	if err := m.loadRestored(ctx); err != nil {
		return nil, err
	}
	backlog, err := b.store.Backlog(ctx, id)
	if err != nil {
		return nil, err
	}
	now := b.now()
	m.delivery = delivery.NewBroker(now, delivery.BrokerOptions{
		Limits: wire.Limits{InFlight: b.limits.InFlight, Waiting: b.limits.Waiting}, Backlog: backlog.Queues, Outcomes: backlog.Outcomes,
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	// A kill may have come between a revocation and the end of what waited.
	for _, key := range revokedKeys(r) {
		m.delivery.Revoke(now, key)
		m.run(now)
	}
	m.run(now)
	return m, nil
}

// nextLife is the life of the heads that a broker signs which starts with a chain
// from its store: one that it never had. It cannot know whether the store is a
// backup, whose chain went on elsewhere in lives up to now. [CM-5.18]
func nextLife(last uint64, now int64) uint64 {
	return max(last+1, uint64(now))
}

func (b *Broker) loadEntries(ctx context.Context, id keys.MeshID) ([]signed.Object, error) {
	var out []signed.Object
	for {
		page, err := b.store.Entries(ctx, id, store.Roster, uint64(len(out)), wire.MaxEntries, wire.MaxPage)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return out, nil
		}
		for _, e := range page {
			out = append(out, signed.Object{Bytes: e.Signed, Sig: e.Sig})
		}
	}
}

// loadPeers reads the peers' cards and when they were last here.
func (m *mesh) loadPeers(ctx context.Context) error {
	cards, err := m.b.store.Cards(ctx, m.id)
	if err != nil {
		return err
	}
	for _, c := range cards {
		if c.Session.IsZero() {
			m.peerOf(c.Peer).card = &card{object: signed.Object{Bytes: c.Signed, Sig: c.Sig}, counter: c.Counter}
		}
	}
	seen, err := m.b.store.LastSeen(ctx, m.id)
	if err != nil {
		return err
	}
	for _, s := range seen {
		m.peerOf(s.Peer).since = s.Time
	}
	return nil
}

// revokedKeys lists all keys that were put out.
func revokedKeys(r *roster.Roster) []keys.Public {
	var out []keys.Public
	state := r.State()
	for _, e := range r.Chain().From(0, int(r.Chain().Len())) {
		if b, ok := e.Entry.Body.(chain.Revoke); ok {
			for _, k := range b.Keys {
				if _, gone := state.Revoked(k); gone {
					out = append(out, k)
				}
			}
		}
	}
	return out
}

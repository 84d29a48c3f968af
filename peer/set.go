package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Set is a peer in each mesh of a profile.
type Set struct {
	home   *home
	o      Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu      sync.Mutex // guards the following; held while peers open and close
	peers   map[keys.MeshID]*Peer
	order   []*Peer // the default mesh first, the others by alias
	changed chan struct{}
	closed  bool
}

// followEvery is how often a set looks whether the config changed.
const followEvery = 2 * time.Second

// OpenAll opens every mesh of the profile, and follows the config: a mesh that
// is joined or left while the set is open comes and goes. A profile with no
// mesh gives an empty set. Options.Mesh is not used.
func OpenAll(ctx context.Context, o Options) (*Set, error) {
	h, err := openHome(ctx, o)
	if err != nil {
		return nil, err
	}
	s := &Set{home: h, o: o, peers: make(map[keys.MeshID]*Peer), changed: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.follow(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.group.Go(s.watch)
	return s, nil
}

// watch follows the config until the set is closed.
func (s *Set) watch() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	said := "" // what went wrong last, said once
	for {
		select {
		case <-tick.C:
			err := s.follow(s.ctx)
			switch {
			case err == nil:
				said = ""
			case s.ctx.Err() == nil && err.Error() != said:
				said = err.Error()
				s.home.log.Warn("following the config", "err", err)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// follow opens the meshes that came and closes those that went: it costs one look at
// the file where there are none. One that cannot be opened does not keep the others
// away.
func (s *Set) follow(ctx context.Context) error {
	settings, err := s.home.Config()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	var failed error
	there := map[keys.MeshID]*config.Mesh{}
	for i := range settings.Meshes {
		if m := &settings.Meshes[i]; !m.Draft {
			there[m.ID] = m
		}
	}
	before := slices.Clone(s.order)
	for id, p := range s.peers {
		m := there[id]
		if m == nil || m.PeerKey.Public() != p.self || m.Alias != p.alias {
			failed = errors.Join(failed, p.Close())
			delete(s.peers, id)
		}
	}
	for id, m := range there {
		if s.peers[id] != nil {
			continue
		}
		o := s.o
		o.Mesh = id.String()
		p, err := s.home.hold().openPeer(ctx, o)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", m.Alias, err), s.home.release())
			continue
		}
		s.peers[id] = p
	}
	s.sortLocked(settings)
	if !slices.Equal(before, s.order) {
		close(s.changed)
		s.changed = make(chan struct{})
	}
	return failed
}

// sortLocked puts the default mesh first, the others by alias.
func (s *Set) sortLocked(settings *config.Config) {
	preferred := keys.MeshID{}
	if m := settings.DefaultMesh(); m != nil {
		preferred = m.ID
	}
	s.order = s.order[:0:0]
	for _, p := range s.peers {
		s.order = append(s.order, p)
	}
	slices.SortFunc(s.order, func(a, b *Peer) int {
		if first := a.mesh == preferred; first != (b.mesh == preferred) {
			return -compareBool(first, !first)
		}
		return strings.Compare(a.alias, b.alias)
	})
}

// Peers returns the open peers, the default mesh first, the others by alias.
func (s *Set) Peers() []*Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Find returns the peer for an address and the address without its mesh
// part. An address without one is looked up in every mesh: AmbiguousError
// where several know it, UnknownNameError where none does.
func (s *Set) Find(ctx context.Context, address string) (*Peer, string, error) {
	a, err := wire.ParseAddress(address)
	if err != nil {
		return nil, "", &UsageError{Sentence: err.Error()}
	}
	all := s.Peers()
	if len(all) == 0 {
		return nil, "", ErrNoMesh
	}
	mesh := a.Mesh
	a.Mesh = ""
	if mesh != "" {
		var aliases []string
		for _, p := range all {
			if p.alias == mesh {
				return p, a.String(), nil
			}
			aliases = append(aliases, p.alias)
		}
		return nil, "", &UnknownNameError{Name: mesh + ":", Mesh: "this profile", Candidates: aliases, Suggestion: suggest(mesh, aliases)}
	}
	if len(all) == 1 {
		return all[0], a.String(), nil
	}
	return s.findAmong(ctx, all, a.String())
}

// findAmong looks an address up in several meshes.
func (s *Set) findAmong(ctx context.Context, all []*Peer, address string) (*Peer, string, error) {
	var found []*Peer
	var failed error
	unknown := &UnknownNameError{Name: address, Mesh: "any of your meshes"}
	for _, p := range all {
		_, err := p.resolve(ctx, address, false)
		var nobody *UnknownNameError
		switch {
		case err == nil:
			found = append(found, p)
		case errors.As(err, &nobody):
			for _, c := range nobody.Candidates {
				unknown.Candidates = append(unknown.Candidates, p.alias+":"+c)
			}
			unknown.Tag = unknown.Tag || nobody.Tag
			if unknown.Suggestion == "" && nobody.Suggestion != "" {
				unknown.Suggestion = p.alias + ":" + nobody.Suggestion
			}
		case failed == nil:
			failed = err
		}
	}
	switch {
	case len(found) == 1:
		return found[0], address, nil
	case len(found) == 0 && failed != nil:
		return nil, "", failed
	case len(found) == 0:
		return nil, "", unknown
	}
	ambiguous := &AmbiguousError{Name: address}
	for _, p := range found {
		ambiguous.Candidates = append(ambiguous.Candidates, p.alias+":"+address)
	}
	return nil, "", ambiguous
}

// SetEvent is an event and the peer that it came from. Peer is nil when the
// set itself changed.
type SetEvent struct {
	Event
	Peer *Peer
}

// Events returns a channel of the events of all peers; as [Peer.Events].
func (s *Set) Events(ctx context.Context) <-chan SetEvent {
	out := make(chan SetEvent)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		close(out)
		return out
	}
	s.group.Go(func() {
		defer close(out)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(s.ctx, cancel)
		defer stop()
		var sources sync.WaitGroup
		defer sources.Wait()
		s.gather(ctx, out, &sources)
	})
	return out
}

// gather hands over the events of all peers, and of those that come later.
func (s *Set) gather(ctx context.Context, out chan<- SetEvent, sources *sync.WaitGroup) {
	hand := func(e SetEvent) bool {
		select {
		case out <- e:
			return true
		case <-ctx.Done():
			return false
		}
	}
	seen := map[*Peer]bool{}
	for first := true; ; first = false {
		s.mu.Lock()
		changed, peers := s.changed, slices.Clone(s.order)
		s.mu.Unlock()
		for _, p := range peers {
			if seen[p] {
				continue
			}
			seen[p] = true
			events := p.Events(ctx)
			sources.Go(func() {
				for e := range events {
					if !hand(SetEvent{Event: e, Peer: p}) {
						return
					}
				}
			})
		}
		if !first && !hand(SetEvent{Event: Event{Kind: EventState}}) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// Close closes all peers and waits for them.
func (s *Set) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	peers := slices.Clone(s.order)
	s.mu.Unlock()
	s.cancel()
	var failed error
	var closing sync.WaitGroup
	errs := make(chan error, len(peers))
	for _, p := range peers {
		closing.Go(func() { errs <- p.Close() })
	}
	closing.Wait()
	close(errs)
	for err := range errs {
		failed = errors.Join(failed, err)
	}
	s.group.Wait()
	return errors.Join(failed, s.home.release())
}

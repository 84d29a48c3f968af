package peer

import "context"

// Set is a peer in each mesh of a profile.
type Set struct{ setState }

// OpenAll opens every mesh of the profile, and follows the config: a mesh that
// is joined or left while the set is open comes and goes. A profile with no
// mesh gives an empty set. Options.Mesh is not used.
func OpenAll(ctx context.Context, o Options) (*Set, error) { return nil, errSkeleton }

// Peers returns the open peers, the default mesh first, the others by alias.
func (s *Set) Peers() []*Peer { return nil }

// Find returns the peer for an address and the address without its mesh
// part. An address without one is looked up in every mesh: AmbiguousError
// where several know it, UnknownNameError where none does.
func (s *Set) Find(ctx context.Context, address string) (*Peer, string, error) {
	return nil, "", errSkeleton
}

// Events returns a channel of the events of all peers; as [Peer.Events].
func (s *Set) Events(ctx context.Context) <-chan SetEvent { return nil }

// SetEvent is an event and the peer that it came from. Peer is nil when the
// set itself changed.
type SetEvent struct {
	Event
	Peer *Peer
}

// Close closes all peers and waits for them.
func (s *Set) Close() error { return errSkeleton }

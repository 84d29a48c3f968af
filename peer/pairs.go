package peer

import (
	"sync"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
)

// maxPairs is how many shared keys are kept: making one costs as much as two
// hundred boxes.
const maxPairs = 4096

// pairs keeps the shared keys with others. Set key before use.
type pairs struct {
	key keys.PeerPrivate

	using sync.RWMutex // held for reading while pairs are used, for writing to wipe them
	wiped bool         // guarded by using

	mu  sync.Mutex // guards all; a leaf lock
	all map[keys.Public]*seal.Pair
}

// with calls f with the pair of one's own and another key, which may be one's own.
func (p *pairs) with(other keys.Public, f func(*seal.Pair) error) error {
	p.using.RLock()
	defer p.using.RUnlock()
	pair, err := p.pair(other)
	if err != nil {
		return err
	}
	return f(pair)
}

// withAll calls f with the pairs of several keys, in their order.
func (p *pairs) withAll(others []keys.Public, f func([]*seal.Pair) error) error {
	p.using.RLock()
	defer p.using.RUnlock()
	all := make([]*seal.Pair, len(others))
	for i, other := range others {
		var err error
		if all[i], err = p.pair(other); err != nil {
			return err
		}
	}
	return f(all)
}

// pair finds or makes a pair. using is held for reading.
func (p *pairs) pair(other keys.Public) (*seal.Pair, error) {
	if p.wiped {
		return nil, ErrClosed
	}
	p.mu.Lock()
	pair := p.all[other]
	p.mu.Unlock()
	if pair != nil {
		return pair, nil
	}
	pair, err := seal.NewPair(p.key, other)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = make(map[keys.Public]*seal.Pair)
	}
	if len(p.all) >= maxPairs {
		for key := range p.all { // any one: a map's order is random
			delete(p.all, key)
			break
		}
	}
	p.all[other] = pair
	return pair, nil
}

// wipe overwrites all shared keys, once nobody uses one.
func (p *pairs) wipe() {
	p.using.Lock()
	defer p.using.Unlock()
	p.wiped = true
	for _, pair := range p.all {
		pair.Wipe()
	}
	p.all = nil
}

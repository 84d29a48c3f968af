package keys

import "sync"

// checkedMax is how many keys are remembered: 2 MiB and a little.
const checkedMax = 1 << 16

// checked are the keys that [Public.Check] found good. Whether a key is good hangs on
// its bytes alone, and one key signs many things: the check costs as much as the
// verification of a signature, and is needed once.
var checked checkedKeys

// checkedKeys remembers up to checkedMax keys, and begins anew when it is full.
type checkedKeys struct {
	mu   sync.RWMutex // guards good; a leaf
	good map[Public]struct{}
}

func (c *checkedKeys) has(key Public) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, found := c.good[key]
	return found
}

func (c *checkedKeys) add(key Public) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good == nil || len(c.good) >= checkedMax {
		c.good = make(map[Public]struct{})
	}
	c.good[key] = struct{}{}
}

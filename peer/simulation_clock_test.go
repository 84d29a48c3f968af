package peer_test

import (
	"math/rand/v2"
	"sync"
	"time"
)

// simClock is the clock of a machine: it may be wrong, and is set while processes run.
type simClock struct {
	mu  sync.Mutex // a leaf
	set []simSetting
}

// simSetting is by how much a clock is ahead from a moment on.
type simSetting struct {
	from time.Time
	off  time.Duration
}

// now is what the clock shows.
func (c *simClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offLocked())
}

func (c *simClock) offLocked() time.Duration {
	if len(c.set) == 0 {
		return 0
	}
	return c.set[len(c.set)-1].off
}

// put sets the clock.
func (c *simClock) put(off time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = append(c.set, simSetting{time.Now(), off})
}

// between is what the clock showed at a moment that it no longer knows: since then, and
// when it was behind the most and ahead the most, Unix ms.
func (c *simClock) between(since time.Time) (earliest, latest int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	low, high := c.offLocked(), c.offLocked()
	for i := len(c.set) - 1; i >= 0 && !c.set[i].from.Before(since); i-- {
		before := time.Duration(0)
		if i > 0 {
			before = c.set[i-1].off
		}
		low, high = min(low, before), max(high, before)
	}
	return since.Add(low).UnixMilli(), time.Now().Add(high).UnixMilli()
}

// simClocks are all clocks of a schedule.
type simClocks struct {
	broker    simClock
	low, high time.Duration // they were off by at most
}

// off draws by how much a clock is to be wrong from now on.
func (c *simClocks) off(rng *rand.Rand) time.Duration {
	if rng.IntN(3) == 0 {
		return 0 // it comes right
	}
	longest := []time.Duration{time.Minute, 30 * time.Minute, 4 * time.Hour}[rng.IntN(3)]
	off := time.Duration(rng.Int64N(int64(longest))).Round(time.Millisecond)
	if rng.IntN(2) == 0 {
		off = -off
	}
	c.low, c.high = min(c.low, off), max(c.high, off)
	return off
}

// setClock sets one of the clocks.
func (s *simulation) setClock() {
	name, clock := "the broker", &s.clocks.broker
	if n := s.odd.IntN(len(s.machines) + 1); n < len(s.machines) {
		name, clock = s.machines[n].address, &s.machines[n].clock
	}
	off := s.clocks.off(s.odd)
	s.log.Clocks((s.clocks.high - s.clocks.low).Milliseconds())
	s.fault("the clock of %s is ahead by %v", name, off)
	clock.put(off)
}

// rightClocks sets all clocks right.
func (s *simulation) rightClocks() {
	if s.clocks.high == s.clocks.low {
		return
	}
	s.note("all clocks are right")
	s.clocks.broker.put(0)
	for _, m := range s.machines {
		m.clock.put(0)
	}
}

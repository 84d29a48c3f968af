package broker

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// rates bounds how much each of many may do: each has a bucket of limit, which fills
// up within per milliseconds. Time is handed in, in milliseconds of a steady clock.
type rates[K comparable] struct {
	limit int
	per   int64

	mu   sync.Mutex // guards the following; a leaf
	from map[K]*bucket
}

// bucket is how much somebody may do now, and when that was so.
type bucket struct {
	left float64
	at   int64
}

const (
	second = 1_000  // ms
	minute = 60_000 // ms
)

// take counts n of who. It gives how many milliseconds to wait where there is
// no room for them, and counts nothing then.
func (r *rates[K]) take(who K, n int, now int64) (pause int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		r.from = make(map[K]*bucket)
	}
	b := r.from[who]
	if b == nil {
		b = &bucket{left: float64(r.limit), at: now}
		r.from[who] = b
	}
	rate := float64(r.limit) / float64(r.per)
	b.left = min(float64(r.limit), b.left+float64(max(0, now-b.at))*rate)
	b.at = now
	want := min(float64(n), float64(r.limit))
	if b.left < want {
		return int64((want-b.left)/rate) + 1
	}
	b.left -= want
	return 0
}

// forget lets go of those whose bucket is full again.
func (r *rates[K]) forget(now int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for who, b := range r.from {
		if now-b.at > r.per {
			delete(r.from, who)
		}
	}
}

// atOnce is how many a connection takes out of a bucket ahead, so that not every
// message asks: few enough that another connection does not miss them.
func (r *rates[K]) atOnce() int { return min(max(r.limit/200, 1), 128) }

// halfOpen counts connections before their hello, in all and for each address:
// a stranger costs the broker little, and many of them no more [CM-7]. Where
// too many are open in all the oldest goes: an honest hello takes a moment,
// and who means no hello is soon the oldest.
type halfOpen struct {
	all, each int           // limits
	left      chan struct{} // capacity 1: one was taken out

	mu    sync.Mutex // guards the following; a leaf
	open  list.List  // of *halfOpened, the oldest first
	addr  map[netip.Addr]int
	spent time.Duration // of mostPatience
}

// halfOpened is one of them.
type halfOpened struct {
	addr    netip.Addr
	counted bool   // against its address
	evict   func() // ends it; nil: it cannot be ended
}

// customer is the address under which all of one customer are counted: an IPv6
// customer has a /64, or more.
func customer(a netip.Addr) netip.Addr {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}

// atATime is how many handshakes are under way before the next connection has to wait
// until one of them ends.
const atATime = 256

// How long that may last: in all as long as mostPatience, which is spent by waiting and
// earned again by every hello that is accepted. So who means no hello keeps nobody out.
const (
	mostPatience = 2500 * time.Millisecond
	earned       = 10 * time.Millisecond
)

// wait waits until a connection more does no harm. When thousands come at once, as after
// a restart, each is served a little as long as all are let in, so that all are too late
// for their hello, and come again.
func (h *halfOpen) wait() {
	if !h.many() {
		return
	}
	h.mu.Lock()
	patience := mostPatience - h.spent
	h.mu.Unlock()
	began := time.Now()
	late := time.NewTimer(patience)
	defer late.Stop()
	for more := true; more && h.many(); {
		select {
		case <-h.left:
		case <-late.C:
			more = false
		}
	}
	h.mu.Lock()
	h.spent = min(h.spent+time.Since(began), mostPatience)
	h.mu.Unlock()
}

// accepted notes that a hello was accepted.
func (h *halfOpen) accepted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spent = max(0, h.spent-earned)
}

// many tells whether as many handshakes are under way as do well at a time.
func (h *halfOpen) many() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open.Len() >= atATime
}

// enter counts a connection and gives what ends its time, nil if there are too
// many. evict may be called from then on until that; it must not block.
func (h *halfOpen) enter(a netip.Addr, uncounted bool, evict func()) (release func()) {
	a = customer(a)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !uncounted && h.addr[a] >= h.each {
		return nil
	}
	if h.open.Len() >= h.all && !h.evictOldest() {
		return nil
	}
	e := h.open.PushBack(&halfOpened{addr: a, counted: !uncounted, evict: evict})
	if !uncounted {
		if h.addr == nil {
			h.addr = make(map[netip.Addr]int)
		}
		h.addr[a]++
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.remove(e)
	}
}

// evictOldest ends the oldest that can be ended. mu is held.
func (h *halfOpen) evictOldest() bool {
	for e := h.open.Front(); e != nil; e = e.Next() {
		if o := e.Value.(*halfOpened); o.evict != nil {
			h.remove(e)
			o.evict()
			return true
		}
	}
	return false
}

// remove takes one out, once. mu is held.
func (h *halfOpen) remove(e *list.Element) {
	o := e.Value.(*halfOpened)
	select {
	case h.left <- struct{}{}:
	default:
	}
	if h.open.Remove(e); o.counted {
		o.counted = false
		if h.addr[o.addr]--; h.addr[o.addr] <= 0 {
			delete(h.addr, o.addr)
		}
	}
}

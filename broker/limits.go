package broker

import (
	"container/list"
	"net/netip"
	"sync"

	"github.com/claudemesh/claudemesh-go/keys"
)

// appendLimits bounds how many entries each peer appends in a minute: every
// entry is kept and read by everyone, for ever. Time is handed in, Unix ms.
type appendLimits struct {
	perMinute int

	mu   sync.Mutex // guards the following; a leaf
	from map[keys.Public]*bucket
}

// bucket is how many entries a peer has left, and when that was so.
type bucket struct {
	left float64
	at   int64
}

const minute = 60_000

// take counts n entries. It gives how many milliseconds to wait where there is
// no room for them, and counts nothing then.
func (l *appendLimits) take(peer keys.Public, n int, now int64) (pause int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from == nil {
		l.from = make(map[keys.Public]*bucket)
	}
	b := l.from[peer]
	if b == nil {
		b = &bucket{left: float64(l.perMinute), at: now}
		l.from[peer] = b
	}
	rate := float64(l.perMinute) / minute
	b.left = min(float64(l.perMinute), b.left+float64(max(0, now-b.at))*rate)
	b.at = now
	want := min(float64(n), float64(l.perMinute))
	if b.left < want {
		return int64((want-b.left)/rate) + 1
	}
	b.left -= want
	return 0
}

// forget lets go of those whose bucket is full again.
func (l *appendLimits) forget(now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for peer, b := range l.from {
		if now-b.at > minute {
			delete(l.from, peer)
		}
	}
}

// halfOpen counts connections before their hello, in all and for each address:
// a stranger costs the broker little, and many of them no more [CM-7]. Where
// too many are open in all the oldest goes: an honest hello takes a moment,
// and who means no hello is soon the oldest.
type halfOpen struct {
	all, each int // limits

	mu   sync.Mutex // guards the following; a leaf
	open list.List  // of *halfOpened, the oldest first
	addr map[netip.Addr]int
}

// halfOpened is one of them.
type halfOpened struct {
	addr    netip.Addr
	counted bool   // against its address
	evict   func() // ends it; nil: it cannot be ended
}

// enter counts a connection and gives what ends its time, nil if there are too
// many. evict may be called from then on until that; it must not block.
func (h *halfOpen) enter(a netip.Addr, uncounted bool, evict func()) (release func()) {
	if a.Is6() {
		// One customer's IPv6 is a /64, or more.
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
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
	if h.open.Remove(e); o.counted {
		o.counted = false
		if h.addr[o.addr]--; h.addr[o.addr] <= 0 {
			delete(h.addr, o.addr)
		}
	}
}

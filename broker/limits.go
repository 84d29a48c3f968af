package broker

import (
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

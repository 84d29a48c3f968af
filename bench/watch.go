package main

import (
	"slices"
	"sync"
	"time"
)

// watch takes the time of every message of one pair, by its number. Nil takes none.
type watch struct {
	mu       sync.Mutex // guards the following
	started  map[uint64]time.Time
	delivery []time.Duration // from sending to arrival
	ack      []time.Duration // from sending to acknowledgement
}

func newWatch() *watch { return &watch{started: map[uint64]time.Time{}} }

// sent begins to time a message.
func (w *watch) sent(n uint64) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started[n] = time.Now()
}

// arrived notes that a message is with its recipient.
func (w *watch) arrived(n uint64) { w.note(n, true) }

// acked notes that the sender of a message was told.
func (w *watch) acked(n uint64) { w.note(n, false) }

func (w *watch) note(n uint64, arrived bool) {
	if w == nil {
		return
	}
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	start, ok := w.started[n]
	switch {
	case !ok: // before this watch began
	case arrived:
		w.delivery = append(w.delivery, now.Sub(start))
	default:
		w.ack = append(w.ack, now.Sub(start))
	}
}

// take gives what was noted and begins anew.
func (w *watch) take() (delivery, ack []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delivery, ack = w.delivery, w.ack
	w.delivery, w.ack = nil, nil
	clear(w.started)
	return delivery, ack
}

// quantile gives the time that a share of the times does not exceed, in
// milliseconds; 0 of none.
func quantile(times []time.Duration, share float64) float64 {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return float64(sorted[min(len(sorted)-1, int(share*float64(len(sorted))))].Microseconds()) / 1000
}

package peer

import (
	"context"
	"sync"
)

// eventBacklog is how many events of a slow reader are kept: one of each kind
// matters, since each says "look again"; sentences are kept longer.
const eventBacklog = 64

// feeds hands events to whoever subscribed. The zero value is ready.
type feeds struct {
	mu     sync.Mutex // guards the rest; a leaf lock
	all    map[*feed]struct{}
	closed bool
}

// feed is one subscription.
type feed struct {
	mu      sync.Mutex // guards waiting
	waiting []Event
	wake    chan struct{} // holds a token while something waits
}

// subscribe starts a subscription that ends with ctx or with the feeds. The
// goroutine that serves it is counted in group.
func (f *feeds) subscribe(ctx context.Context, group *sync.WaitGroup, ended <-chan struct{}) <-chan Event {
	out := make(chan Event)
	one := &feed{wake: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(out)
		return out
	}
	if f.all == nil {
		f.all = make(map[*feed]struct{})
	}
	f.all[one] = struct{}{}
	group.Go(func() {
		defer close(out)
		defer f.remove(one)
		one.serve(ctx, ended, out)
	})
	return out
}

func (f *feeds) remove(one *feed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, one)
}

// close refuses further subscriptions.
func (f *feeds) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// tell hands an event to every subscription; it never blocks.
func (f *feeds) tell(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for one := range f.all {
		one.add(e)
	}
}

// add keeps an event for the reader. An equal one that waits already is not
// kept twice; of too many the oldest goes.
func (f *feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, waiting := range f.waiting {
		if waiting == e {
			return
		}
	}
	if len(f.waiting) == eventBacklog {
		f.waiting = append(f.waiting[:0], f.waiting[1:]...)
	}
	f.waiting = append(f.waiting, e)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// next takes the oldest event.
func (f *feed) next() (Event, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return Event{}, false
	}
	e := f.waiting[0]
	f.waiting = append(f.waiting[:0], f.waiting[1:]...)
	return e, true
}

// serve hands events over until ctx or ended is done.
func (f *feed) serve(ctx context.Context, ended <-chan struct{}, out chan<- Event) {
	for {
		e, found := f.next()
		if !found {
			select {
			case <-f.wake:
				continue
			case <-ctx.Done():
				return
			case <-ended:
				return
			}
		}
		select {
		case out <- e:
		case <-ctx.Done():
			return
		case <-ended:
			return
		}
	}
}

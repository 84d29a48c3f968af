package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// load keeps slots of pairs busy and counts what is done.
type load struct {
	pairs    int
	inFlight int
	done     atomic.Int64 // messages whose slot came back
	slots    []chan struct{}
	watch    *watch // of pair 0; nil: nobody takes the time

	failure chan error // the first one of whatever runs in the background
}

func newLoad(cfg config) *load {
	l := &load{pairs: cfg.pairs, inFlight: cfg.inFlight, failure: make(chan error, 1)}
	for range cfg.pairs {
		l.slots = append(l.slots, make(chan struct{}, cfg.inFlight))
	}
	return l
}

// finish gives a slot of a pair back: its message is done.
func (l *load) finish(pair int) {
	l.done.Add(1)
	<-l.slots[pair]
}

// fail ends the run with an error; the first one counts.
func (l *load) fail(err error) {
	select {
	case l.failure <- err:
	default:
	}
}

// result is what one run came to.
type result struct {
	rate float64 // messages a second
	cost float64 // this process's processor time a message, in microseconds
}

// run lets send start one message after the other for every pair, while the
// pair has a free slot, and returns what was finished between warm and
// warm+d. It returns when all slots came back.
func (l *load) run(ctx context.Context, warm, d time.Duration, send func(pair int) error) (result, error) {
	ctx, stop := context.WithCancel(ctx)
	var senders sync.WaitGroup
	for pair := range l.pairs {
		senders.Go(func() {
			for {
				select {
				case l.slots[pair] <- struct{}{}:
				case <-ctx.Done():
					return
				}
				if ctx.Err() != nil {
					<-l.slots[pair]
					return
				}
				if err := send(pair); err != nil {
					l.fail(err)
					return
				}
			}
		})
	}
	got, err := l.measure(ctx, warm, d)
	stop()
	senders.Wait()
	if err != nil {
		return result{}, err
	}
	return got, l.drain()
}

func (l *load) measure(ctx context.Context, warm, d time.Duration) (result, error) {
	if err := l.wait(ctx, warm); err != nil {
		return result{}, err
	}
	from, start, used := l.done.Load(), time.Now(), processorTime()
	if err := l.wait(ctx, d); err != nil {
		return result{}, err
	}
	took, spent := time.Since(start), processorTime()-used
	n := float64(l.done.Load() - from)
	return result{rate: n / took.Seconds(), cost: float64(spent.Microseconds()) / max(n, 1)}, nil
}

func (l *load) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-l.failure:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// drain waits until every message of the run is done: one that never is would
// make the rate a lie.
func (l *load) drain() error {
	patience := time.After(30 * time.Second)
	for pair, slots := range l.slots {
		for taken := 0; taken < l.inFlight; taken++ {
			select {
			case slots <- struct{}{}:
			case err := <-l.failure:
				return err
			case <-patience:
				return fmt.Errorf("pair %d: %d messages never arrived", pair, l.inFlight-taken)
			}
		}
	}
	for _, slots := range l.slots {
		for range l.inFlight {
			<-slots
		}
	}
	return nil
}

// paced lets send start so many messages a second of pair 0, for d, and takes the
// time of each. It returns when all are done.
func (l *load) paced(ctx context.Context, perSecond int, d time.Duration, send func(pair int) error) error {
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-tick.C:
		case err := <-l.failure:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		l.slots[0] <- struct{}{}
		if err := send(0); err != nil {
			return err
		}
	}
	return l.drain()
}

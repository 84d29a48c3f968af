package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// The crowd: everybody sends to random others, all at once.
const (
	crowdPeers = 100
	crowdEach  = 1000
)

// drainRecipients are who were away while messages for them were queued.
const (
	drainRecipients = 10
	drainEach       = wire.MaxWaiting
)

// member is a peer that sends and receives on one connection.
type member struct {
	i        int
	m        *mesh
	client   *client
	pairs    map[keys.Public]*seal.Pair // nil: what arrives is not opened
	slots    chan struct{}              // one element a message without ack
	arrived  *atomic.Int64              // of all members
	receipts chan received
	times    []time.Duration         // from sending to arrival
	seen     map[keys.MessageID]bool // with times and queued the reading goroutine's alone
	queued   map[keys.MessageID]bool // sent, queued and not delivered yet
}

// received is a message to say received for.
type received struct {
	from keys.Public
	id   keys.MessageID
}

func dialMember(ctx context.Context, m *mesh, i, inFlight int, arrived *atomic.Int64) (*member, error) {
	c, err := dialPeer(ctx, m, m.peers[i], wire.ReceivesLive)
	if err != nil {
		return nil, err
	}
	return &member{i: i, m: m, client: c, slots: make(chan struct{}, inFlight), arrived: arrived,
		receipts: make(chan received, wire.WindowMessages), seen: map[keys.MessageID]bool{}, queued: map[keys.MessageID]bool{}}, nil
}

// read takes what comes until the connection ends.
func (p *member) read() error {
	defer close(p.receipts)
	for {
		f, payload, err := p.client.read(context.Background())
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *wire.Deliver:
			if err := p.take(f, payload); err != nil {
				return err
			}
		case *wire.Ack:
			if f.State != wire.StateDelivered && f.State != wire.StateQueued {
				return fmt.Errorf("member %d: %s, %s", p.i, f.State, f.Why)
			}
			for _, id := range f.IDs {
				if p.queued[id] { // this is the second word
					delete(p.queued, id)
					continue
				}
				if f.State == wire.StateQueued {
					p.queued[id] = true
				}
				<-p.slots
			}
		case *wire.Error:
			return fmt.Errorf("member %d: the broker says %s: %s", p.i, f.Code, f.Message)
		}
	}
}

func (p *member) take(f *wire.Deliver, payload []byte) error {
	if !p.seen[f.ID] {
		p.seen[f.ID] = true
		if p.pairs != nil {
			m, err := seal.OpenDirect(p.pairs[f.From], payload, seal.Expect{Mesh: p.m.id, ID: f.ID})
			if err != nil {
				return err
			}
			p.times = append(p.times, time.Since(time.UnixMilli(m.Time)))
		}
		p.arrived.Add(1)
	}
	p.receipts <- received{f.From, f.ID}
	return nil
}

// confirm says received for what came, as much as came from one sender in a row.
func (p *member) confirm() error {
	receipt := wire.Receipt{State: wire.VerdictReceived}
	for r := range p.receipts {
		if len(receipt.IDs) > 0 && (receipt.From != r.from || len(receipt.IDs) == wire.MaxIDs) {
			if err := p.client.receipt(&receipt); err != nil {
				return err
			}
			receipt.IDs = receipt.IDs[:0]
		}
		receipt.From, receipt.IDs = r.from, append(receipt.IDs, r.id)
		if len(p.receipts) > 0 {
			continue
		}
		if err := p.client.receipt(&receipt); err != nil {
			return err
		}
		receipt.IDs = receipt.IDs[:0]
	}
	return nil
}

// members are connected and read.
type members struct {
	all     []*member
	running sync.WaitGroup
	failure chan error
	arrived atomic.Int64
}

func (g *members) add(p *member) {
	g.all = append(g.all, p)
	for _, work := range []func() error{p.read, p.confirm} {
		g.running.Go(func() {
			if err := work(); err != nil {
				select {
				case g.failure <- err:
				default:
				}
			}
		})
	}
}

// until waits until so many messages arrived.
func (g *members) until(ctx context.Context, n int64) error {
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	patience := time.After(5 * time.Minute)
	for g.arrived.Load() < n {
		select {
		case <-look.C:
		case err := <-g.failure:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-patience:
			return fmt.Errorf("%d of %d messages never arrived", n-g.arrived.Load(), n)
		}
	}
	return nil
}

func (g *members) close() {
	for _, p := range g.all {
		p.client.close()
	}
	g.running.Wait()
}

// crowd lets everybody send to random others, and prints how long delivery took and
// the most memory that all of it had.
func crowd(ctx context.Context, cfg config, size int, _ []contender, out, _ io.Writer) (err error) {
	m, err := startMesh(ctx, crowdPeers)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	g := &members{failure: make(chan error, 1)}
	defer g.close()
	for i := range crowdPeers {
		p, err := dialMember(ctx, m, i, cfg.inFlight, &g.arrived)
		if err != nil {
			return err
		}
		p.pairs = map[keys.Public]*seal.Pair{}
		for _, other := range m.peers {
			if p.pairs[other.Public()], err = seal.NewPair(m.peers[i], other.Public()); err != nil {
				return err
			}
		}
		g.add(p)
	}
	start, used := time.Now(), processorTime()
	body := strings.Repeat("x", size)
	for _, p := range g.all {
		g.running.Go(func() {
			for n := range crowdEach {
				to := rand.IntN(crowdPeers)
				if to == p.i {
					to = (to + 1) % crowdPeers
				}
				p.slots <- struct{}{}
				if err := seals(p.client, m, p.pairs[m.peers[to].Public()], uint64(n+1), fmt.Sprintf("user%d", to), body); err != nil {
					return // its reader says why
				}
			}
		})
	}
	total := int64(crowdPeers * crowdEach)
	if err := g.until(ctx, total); err != nil {
		return err
	}
	took, spent := time.Since(start), processorTime()-used
	g.close()
	var times []time.Duration
	for _, p := range g.all {
		times = append(times, p.times...)
	}
	fmt.Fprintf(out, "\n%d B, %d peers send %d messages each: all %d arrived, once, in %.1f s (%.0f/s, %.1f µs of processor time each)\n",
		size, crowdPeers, crowdEach, len(times), took.Seconds(), float64(total)/took.Seconds(), float64(spent.Microseconds())/float64(total))
	_, err = fmt.Fprintf(out, "delivery p50 %.0f ms, p99 %.0f ms, p99.9 %.0f ms; at most %d MB of memory, peers included\n",
		quantile(times, 0.5), quantile(times, 0.99), quantile(times, 0.999), peakMemory()>>20)
	return err
}

// drain queues messages for peers that are away, and prints how fast they get them
// when they come.
func drain(ctx context.Context, cfg config, size int, _ []contender, out, _ io.Writer) (err error) {
	m, err := startMesh(ctx, 1+drainRecipients)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	g := &members{failure: make(chan error, 1)}
	defer g.close()
	sender, err := dialMember(ctx, m, 0, 512, &g.arrived)
	if err != nil {
		return err
	}
	g.add(sender)
	body := strings.Repeat("x", size)
	start := time.Now()
	for i := range drainRecipients {
		pair, err := seal.NewPair(m.peers[0], m.peers[1+i].Public())
		if err != nil {
			return err
		}
		for n := range drainEach {
			select {
			case sender.slots <- struct{}{}:
			case err := <-g.failure:
				return err
			}
			if err := seals(sender.client, m, pair, uint64(i*drainEach+n+1), fmt.Sprintf("user%d", 1+i), body); err != nil {
				return err
			}
		}
	}
	for range cap(sender.slots) { // every one is acknowledged
		select {
		case sender.slots <- struct{}{}:
		case err := <-g.failure:
			return err
		}
	}
	filled := time.Since(start)
	start = time.Now()
	for i := range drainRecipients {
		p, err := dialMember(ctx, m, 1+i, 1, &g.arrived)
		if err != nil {
			return err
		}
		g.add(p)
	}
	total := int64(drainRecipients * drainEach)
	if err := g.until(ctx, total); err != nil {
		return err
	}
	took := time.Since(start)
	_, err = fmt.Fprintf(out, "\n%d B, %d messages for %d peers that were away: queued in %.1f s (%.0f/s by one sender), drained in %.2f s (%.0f/s)\n",
		size, total, drainRecipients, filled.Seconds(), float64(total)/filled.Seconds(), took.Seconds(), float64(total)/took.Seconds())
	return err
}

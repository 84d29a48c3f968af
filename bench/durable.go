package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

// durableRig is the whole product: peers of package peer, each with its profile on
// disk. A message is in the sender's outbox before it is sent, in the recipient's
// inbox before it is received, and in both ones' history.
type durableRig struct {
	*load
	mesh     *mesh
	peers    []*peer.Peer // sender and recipient of each pair in turn
	body     string
	sent     []uint64       // by pair; of its sender alone
	handled  []atomic.Int64 // by pair
	stop     context.CancelFunc
	handlers sync.WaitGroup
	sends    sync.WaitGroup
}

func startDurable(ctx context.Context, cfg config, size int) (rig, error) {
	m, err := startBroker(ctx, 2*cfg.pairs)
	if err != nil {
		return nil, err
	}
	handling, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &durableRig{load: newLoad(cfg), mesh: m, body: strings.Repeat("x", size-8), sent: make([]uint64, cfg.pairs),
		handled: make([]atomic.Int64, cfg.pairs), stop: stop}
	if err := r.open(ctx, 2*cfg.pairs); err != nil {
		return nil, errors.Join(err, r.close())
	}
	for pair := range cfg.pairs {
		r.handlers.Go(func() {
			if err := r.peers[2*pair+1].Handle(handling, func(_ context.Context, m peer.Message) error {
				return r.arrived(pair, m.Body)
			}); handling.Err() == nil {
				r.fail(fmt.Errorf("recipient %d: %w", pair, err))
			}
		})
	}
	return r, nil
}

// open makes n profiles and opens a live session of each.
func (r *durableRig) open(ctx context.Context, n int) error {
	var link string
	for i := range n {
		dir := filepath.Join(r.mesh.dir, fmt.Sprintf("profile%d", i))
		user := fmt.Sprintf("user%d", i)
		var err error
		if i == 0 {
			_, err = peer.CreateMesh(ctx, peer.CreateOptions{Dir: dir, Name: "bench", User: user, Device: "bench",
				Broker: r.mesh.url, BrokerKey: r.mesh.broker.Key()})
		} else {
			_, err = peer.Join(ctx, link, peer.JoinOptions{Dir: dir, User: user, Device: "bench"})
		}
		if err != nil {
			return err
		}
		p, err := peer.Open(ctx, peer.Options{Dir: dir, Label: "bench", Receives: peer.Live})
		if err != nil {
			return err
		}
		r.peers = append(r.peers, p)
		if err := p.Connected(ctx, true); err != nil {
			return err
		}
		if i == 0 {
			invite, err := p.Invite(ctx, peer.InviteOptions{Uses: n})
			if err != nil {
				return err
			}
			link = invite.Link
		}
	}
	return nil
}

// arrived checks what a recipient was shown.
func (r *durableRig) arrived(pair int, body string) error {
	var n uint64
	if _, err := fmt.Sscanf(body[len(body)-8:], "%d", &n); err != nil || len(body) != len(r.body)+8 {
		err = fmt.Errorf("recipient %d: a message of %d B that nobody sent", pair, len(body))
		r.fail(err)
		return err
	}
	r.handled[pair].Add(1)
	r.watch.arrived(n)
	return nil
}

func (r *durableRig) run(ctx context.Context, warm, d time.Duration) (result, error) {
	got, err := r.load.run(ctx, warm, d, r.send)
	r.sends.Wait()
	return got, errors.Join(err, r.settled(ctx))
}

// send lets a goroutine of its own send the next message: Send returns once it is
// acknowledged.
func (r *durableRig) send(pair int) error {
	r.sent[pair]++
	n := r.sent[pair]
	r.sends.Go(func() {
		r.watch.sent(n)
		if _, err := r.peers[2*pair].Send(context.Background(), fmt.Sprintf("user%d", 2*pair+1),
			r.body+fmt.Sprintf("%08d", n%1e8), peer.SendOptions{SeenWait: -1}); err != nil {
			r.fail(fmt.Errorf("sender %d: %w", pair, err))
		}
		r.watch.acked(n)
		r.finish(pair)
	})
	return nil
}

// settled waits until everything that was acknowledged was shown.
func (r *durableRig) settled(ctx context.Context) error {
	patience := time.Now().Add(30 * time.Second)
	for pair := range r.pairs {
		for r.handled[pair].Load() < int64(r.sent[pair]) {
			if time.Now().After(patience) {
				return fmt.Errorf("pair %d: %d messages were acknowledged and never shown", pair, int64(r.sent[pair])-r.handled[pair].Load())
			}
			if err := r.wait(ctx, time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *durableRig) close() error {
	r.stop()
	r.handlers.Wait()
	var err error
	for _, p := range r.peers {
		err = errors.Join(err, p.Close())
	}
	return errors.Join(err, r.mesh.close(), os.RemoveAll(r.mesh.dir))
}

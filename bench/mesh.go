package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// mesh is a broker on loopback with its store in a folder of its own, and one
// mesh on it.
type mesh struct {
	dir    string
	url    string // "http://127.0.0.1:PORT"
	broker *broker.Broker
	stop   context.CancelFunc
	ended  chan error

	key    keys.Public // the broker's
	id     keys.MeshID
	invite keys.InvitePrivate
	last   chain.Signed // newest entry
	at     signed.At    // of last
	life   uint64
	peers  []keys.PeerPrivate // joined, in order
}

// startBroker starts a broker on which one key may append n entries.
func startBroker(ctx context.Context, n int) (*mesh, error) {
	dir, err := os.MkdirTemp("", "claudemesh-bench-")
	if err != nil {
		return nil, err
	}
	m := &mesh{dir: dir, ended: make(chan error, 1), stop: func() {}}
	if err := m.listen(ctx, "127.0.0.1:0", n); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// startMesh starts a broker and creates a mesh with n peers.
func startMesh(ctx context.Context, n int) (*mesh, error) {
	m, err := startBroker(ctx, n) // one invite key lets all of them in
	if err != nil {
		return nil, err
	}
	if err := m.populate(ctx, n); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

// listen starts the broker over its folder.
func (m *mesh) listen(ctx context.Context, addr string, n int) error {
	b, err := broker.New(broker.Options{Dir: m.dir, Listen: []broker.Listen{{Addr: addr}},
		// All connections of a benchmark come from one address, and on a large machine
		// one peer may send more than a broker takes of one.
		Limits: broker.Limits{Appends: max(n, 60), HalfOpen: 4096, HalfOpenAddr: 4096, Messages: math.MaxInt32}})
	if err != nil {
		return err
	}
	m.broker, m.key = b, b.Key()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	m.stop = stop
	go func() { m.ended <- b.Run(running) }() // close waits for it
	urls := b.URLs()
	if len(urls) == 0 {
		return errors.New("the broker listens nowhere")
	}
	m.url = urls[0]
	return nil
}

// populate creates a mesh with n peers.
func (m *mesh) populate(ctx context.Context, n int) error {
	if err := m.create(ctx); err != nil {
		return fmt.Errorf("create a mesh: %w", err)
	}
	for i := 1; i < n; i++ {
		if err := m.join(ctx, i); err != nil {
			return fmt.Errorf("join peer %d: %w", i, err)
		}
	}
	return nil
}

// create makes the mesh: genesis, invite and the first peer's join.
func (m *mesh) create(ctx context.Context) error {
	owner, err := keys.NewOwnerPrivate(rand.Reader)
	if err != nil {
		return err
	}
	recovery, err := keys.NewOwnerPrivate(rand.Reader)
	if err != nil {
		return err
	}
	if m.invite, err = keys.NewInvitePrivate(rand.Reader); err != nil {
		return err
	}
	random, err := chain.NewRandom(rand.Reader)
	if err != nil {
		return err
	}
	genesis, err := chain.NewGenesis(now(), owner, chain.Genesis{Name: "bench", Recovery: recovery.Public(),
		Broker: m.broker.Key(), URLs: []string{m.url}, Random: random}, rand.Reader)
	if err != nil {
		return err
	}
	m.id = chain.MeshIDOf(genesis)
	invite, err := chain.Make(m.next(genesis, owner.Public(), chain.Invite{Key: m.invite.Public(), Rank: chain.RankMember,
		Expires: now() + 24*3_600_000, Uses: 10_000, Kinds: []chain.Kind{chain.KindAgent}}), owner)
	if err != nil {
		return err
	}
	m.last = invite
	join, err := m.makeJoin(0)
	if err != nil {
		return err
	}
	head, err := m.broker.CreateMesh(ctx, []signed.Object{genesis.Object, invite.Object, join.Object})
	if err != nil {
		return err
	}
	return m.took(join, head)
}

// took keeps what the broker ordered.
func (m *mesh) took(last chain.Signed, head signed.Object) error {
	decoded, err := chain.DecodeHead(head)
	m.last, m.at, m.life = last, last.At(), decoded.Head.Life
	return err
}

// next is the entry after prev.
func (m *mesh) next(prev chain.Signed, by keys.Public, body chain.Body) chain.Entry {
	return chain.Entry{Mesh: m.id, N: prev.Entry.N + 1, Prev: prev.Hash, By: by,
		Time: max(now(), prev.Entry.Time), Body: body}
}

// makeJoin makes a peer and its join.
func (m *mesh) makeJoin(i int) (chain.Signed, error) {
	peer, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		return chain.Signed{}, err
	}
	m.peers = append(m.peers, peer)
	return chain.Make(m.next(m.last, m.invite.Public(), chain.Join{User: fmt.Sprintf("user%d", i), Device: "bench",
		Peer: peer.Public(), Kind: chain.KindAgent}), m.invite, peer)
}

// join appends one more peer, as a joiner does: by a hello with the invite key.
func (m *mesh) join(ctx context.Context, i int) error {
	join, err := m.makeJoin(i)
	if err != nil {
		return err
	}
	c, err := dialPeer(ctx, m, m.invite, wire.ReceivesNone)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.write(ctx, &wire.Append{ID: 1, Entries: []signed.Object{join.Object}}, nil); err != nil {
		return err
	}
	for {
		f, _, err := c.read(ctx)
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case *wire.Error:
			return fmt.Errorf("the broker says %s: %s", f.Code, f.Message)
		case *wire.Entries:
			if f.Re != 1 {
				continue // pushed
			}
			if !f.Appended {
				return errors.New("the broker did not append")
			}
			return m.took(join, f.Head)
		}
	}
}

// end ends the broker; its folder stays.
func (m *mesh) end() error {
	if m.broker == nil {
		return nil
	}
	err := m.broker.Close()
	m.stop()
	m.broker = nil
	if ended := <-m.ended; ended != nil && !errors.Is(ended, context.Canceled) {
		err = errors.Join(err, ended)
	}
	return err
}

func (m *mesh) close() error { return errors.Join(m.end(), os.RemoveAll(m.dir)) }

// now is the time in Unix milliseconds.
func now() int64 { return time.Now().UnixMilli() }

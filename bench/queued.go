package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// queuedPeers is how many absent recipients there are: 10,000 messages may wait for
// each.
const queuedPeers = 64

// queuedRig is senders to recipients who are away: each message is sealed, and
// acknowledged once it is in the broker's queue, on disk.
type queuedRig struct {
	*load
	mesh    *mesh
	senders []*queuedSender
	readers sync.WaitGroup
}

// queuedSender writes to all recipients in turn.
type queuedSender struct {
	pair   int
	client *client
	pairs  []*seal.Pair
	next   uint64
	body   string
}

func startQueued(ctx context.Context, cfg config, size int) (rig, error) {
	m, err := startMesh(ctx, cfg.pairs+queuedPeers)
	if err != nil {
		return nil, err
	}
	r := &queuedRig{load: newLoad(cfg), mesh: m}
	for pair := range cfg.pairs {
		s := &queuedSender{pair: pair, body: strings.Repeat("x", size)}
		for _, to := range m.peers[cfg.pairs:] {
			p, err := seal.NewPair(m.peers[pair], to.Public())
			if err != nil {
				return nil, errors.Join(err, r.close())
			}
			s.pairs = append(s.pairs, p)
		}
		if s.client, err = dialPeer(ctx, m, m.peers[pair], wire.ReceivesReplies); err != nil {
			return nil, errors.Join(err, r.close())
		}
		r.senders = append(r.senders, s)
		r.readers.Go(func() { r.fail(s.readAcks(r.finish)) })
	}
	return r, nil
}

func (r *queuedRig) run(ctx context.Context, warm, d time.Duration) (result, error) {
	return r.load.run(ctx, warm, d, func(pair int) error { return r.senders[pair].send(r.mesh) })
}

func (s *queuedSender) send(m *mesh) error {
	s.next++
	to := (int(s.next) + s.pair*queuedPeers/8) % queuedPeers
	return seals(s.client, m, s.pairs[to], s.next, "user"+strconv.Itoa(to), s.body)
}

// seals makes, seals and sends one message.
func seals(c *client, m *mesh, pair *seal.Pair, seq uint64, address, body string) error {
	at := now()
	id, err := keys.NewMessageID(at, rand.Reader)
	if err != nil {
		return err
	}
	return sealAs(c, m, pair, id, at, seq, address, body)
}

// sealAs is seals for a message whose id and time are known.
func sealAs(c *client, m *mesh, pair *seal.Pair, id keys.MessageID, at int64, seq uint64, address, body string) error {
	message := seal.Message{
		ID: id, Mesh: m.id, From: pair.Own(), Session: c.session, Label: "bench",
		Audience: seal.Audience{Address: address, Keys: []keys.Public{pair.Other()}},
		Seq:      seq, Kind: seal.KindMessage, Priority: seal.PriorityNext,
		Time: at, Expires: at + wire.DefaultExpiry, At: m.at, Body: body,
	}
	box, err := seal.SealDirect(rand.Reader, pair, &message)
	if err != nil {
		return err
	}
	return c.send(&wire.Send{ID: id, To: pair.Other(), Expires: message.Expires}, box)
}

func (s *queuedSender) readAcks(finish func(pair int)) error {
	for {
		f, _, err := s.client.read(context.Background())
		if err != nil {
			return fmt.Errorf("sender %d: %w", s.pair, err)
		}
		switch f := f.(type) {
		case *wire.Ack:
			if f.State != wire.StateQueued {
				return fmt.Errorf("sender %d: %s, %s", s.pair, f.State, f.Why)
			}
			for range f.IDs {
				finish(s.pair)
			}
		case *wire.Error:
			return fmt.Errorf("sender %d: the broker says %s: %s", s.pair, f.Code, f.Message)
		}
	}
}

func (r *queuedRig) close() error {
	for _, s := range r.senders {
		s.client.close()
	}
	r.readers.Wait()
	return r.mesh.close()
}

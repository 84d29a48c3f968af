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

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// sealedRig is the product's broker and protocol with peers whose outbox is a map in
// memory, and their inbox too, or else what a profile has: what crosses the socket,
// without the rest of the profile.
type sealedRig struct {
	*load
	mesh    *mesh
	links   []*link
	readers sync.WaitGroup
}

// link is one pair: a sender and a recipient, connected.
type link struct {
	pair    int
	address string // of the recipient
	body    string // of every message: their numbers are sealed beside it

	sender   *client
	sealing  *seal.Pair
	sequence uint64 // of the sender's goroutine alone

	mu  sync.Mutex                // guards out
	out map[keys.MessageID]uint64 // the numbers of what is not acknowledged

	recipient *client
	opening   *seal.Pair
	inbox     map[keys.MessageID]struct{} // of the recipient's goroutine alone
	disk      *diskInbox                  // nil: inbox is all there is
	receipts  chan arrived
}

// arrived is a message of which its sender is to be told.
type arrived struct {
	id  keys.MessageID
	row *delivery.InboxRow // where it is on disk
}

// inboxKeeps is how many ids an inbox in memory remembers before it begins
// anew: enough to find a repetition, little enough to be no load of its own.
const inboxKeeps = 1 << 10

// startSealed starts pairs whose recipients' inboxes are on disk, or in memory.
func startSealed(onDisk bool) func(ctx context.Context, cfg config, size int) (rig, error) {
	return func(ctx context.Context, cfg config, size int) (rig, error) {
		m, err := startMesh(ctx, 2*cfg.pairs)
		if err != nil {
			return nil, err
		}
		r := &sealedRig{load: newLoad(cfg), mesh: m}
		for pair := range cfg.pairs {
			l, err := newLink(ctx, m, pair, size, cfg.inFlight)
			if l != nil {
				r.links = append(r.links, l)
			}
			if err == nil && onDisk {
				l.disk, err = openInbox(ctx, m, fmt.Sprintf("profile%d", pair))
			}
			if err != nil {
				return nil, errors.Join(fmt.Errorf("pair %d: %w", pair, err), r.close())
			}
			r.readers.Go(func() { r.fail(l.readAcks(r.load)) })
			r.readers.Go(func() { r.fail(l.readMessages(r.load, m.id)) })
			r.readers.Go(func() { r.fail(l.writeReceipts(r.load)) })
		}
		return r, nil
	}
}

func newLink(ctx context.Context, m *mesh, pair, size, inFlight int) (*link, error) {
	from, to := m.peers[2*pair], m.peers[2*pair+1]
	l := &link{pair: pair, address: "user" + strconv.Itoa(2*pair+1), body: strings.Repeat("x", size), out: map[keys.MessageID]uint64{},
		inbox: map[keys.MessageID]struct{}{}, receipts: make(chan arrived, inFlight)}
	var err error
	if l.sealing, err = seal.NewPair(from, to.Public()); err != nil {
		return nil, err
	}
	if l.opening, err = seal.NewPair(to, from.Public()); err != nil {
		return nil, err
	}
	if l.recipient, err = dialPeer(ctx, m, to, wire.ReceivesLive); err != nil {
		return nil, err
	}
	if l.sender, err = dialPeer(ctx, m, from, wire.ReceivesReplies); err != nil {
		l.recipient.close()
		return nil, err
	}
	return l, nil
}

func (r *sealedRig) run(ctx context.Context, warm, d time.Duration) (result, error) {
	return r.load.run(ctx, warm, d, r.send)
}

func (r *sealedRig) send(pair int) error { return r.links[pair].send(r.mesh, r.watch) }

// send makes, seals and sends one message.
func (l *link) send(m *mesh, w *watch) error {
	l.sequence++
	w.sent(l.sequence)
	at := now()
	id, err := keys.NewMessageID(at, rand.Reader)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.out[id] = l.sequence
	l.mu.Unlock()
	return sealAs(l.sender, m, l.sealing, id, at, l.sequence, l.address, l.body)
}

// readAcks finishes what is acknowledged.
func (l *link) readAcks(all *load) error {
	for {
		f, _, err := l.sender.read(context.Background())
		if err != nil {
			return fmt.Errorf("sender %d: %w", l.pair, err)
		}
		switch f := f.(type) {
		case *wire.Ack:
			if f.State != wire.StateDelivered && f.State != wire.StateQueued {
				return fmt.Errorf("sender %d: %s, %s", l.pair, f.State, f.Why)
			}
			for _, id := range f.IDs {
				l.mu.Lock()
				n, waits := l.out[id]
				delete(l.out, id)
				l.mu.Unlock()
				if waits { // else delivered after queued
					all.watch.acked(n)
					all.finish(l.pair)
				}
			}
		case *wire.Error:
			return fmt.Errorf("sender %d: the broker says %s: %s", l.pair, f.Code, f.Message)
		}
	}
}

// readMessages opens what arrives, checks its order and keeps its id, on disk all of it.
func (l *link) readMessages(all *load, mesh keys.MeshID) error {
	defer close(l.receipts)
	if l.disk != nil {
		defer l.disk.writing.Wait() // before that
	}
	for next := uint64(1); ; {
		f, payload, err := l.recipient.read(context.Background())
		if err != nil {
			return fmt.Errorf("recipient %d: %w", l.pair, err)
		}
		d, ok := f.(*wire.Deliver)
		if !ok {
			continue
		}
		if _, again := l.inbox[d.ID]; !again {
			m, err := seal.OpenDirect(l.opening, payload, seal.Expect{Mesh: mesh, ID: d.ID})
			if err != nil {
				return fmt.Errorf("recipient %d: %w", l.pair, err)
			}
			if m.Seq != next || m.Body != l.body {
				return fmt.Errorf("recipient %d: message %d of %d B, not %d", l.pair, m.Seq, len(m.Body), next)
			}
			all.watch.arrived(next)
			next++
			if len(l.inbox) == inboxKeeps {
				clear(l.inbox)
			}
			l.inbox[d.ID] = struct{}{}
			if l.disk != nil {
				l.disk.put(&m, payload, func(row *delivery.InboxRow, err error) {
					if err != nil {
						all.fail(fmt.Errorf("recipient %d: %w", l.pair, err))
						return
					}
					l.receipts <- arrived{row.ID, row}
				})
				continue
			}
		}
		l.receipts <- arrived{id: d.ID}
	}
}

// writeReceipts says received for all that came meanwhile. Where that is on disk it
// counts as shown then.
func (l *link) writeReceipts(all *load) error {
	defer func() {
		for range l.receipts { // nobody waits for room
		}
	}()
	receipt := wire.Receipt{State: wire.VerdictReceived, From: l.sealing.Own()}
	for a := range l.receipts {
		receipt.IDs = receipt.IDs[:0]
		var rows []*delivery.InboxRow
		for more := true; more; {
			receipt.IDs = append(receipt.IDs, a.id)
			if a.row != nil {
				rows = append(rows, a.row)
			}
			if len(receipt.IDs) == wire.MaxIDs {
				break
			}
			select {
			case a, more = <-l.receipts:
			default:
				more = false
			}
		}
		if err := l.recipient.receipt(&receipt); err != nil {
			return fmt.Errorf("recipient %d: %w", l.pair, err)
		}
		if len(rows) > 0 {
			l.disk.shown(rows, func(err error) {
				if err != nil {
					all.fail(fmt.Errorf("recipient %d: %w", l.pair, err))
				}
			})
		}
	}
	return nil
}

func (r *sealedRig) close() error {
	for _, l := range r.links {
		l.sender.close()
		l.recipient.close()
	}
	r.readers.Wait()
	var err error
	for _, l := range r.links {
		err = errors.Join(err, l.disk.close())
	}
	return errors.Join(err, r.mesh.close())
}

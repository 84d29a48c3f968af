package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// diskInbox is a recipient's inbox in the state.db of a profile, written as a peer
// writes it.
type diskInbox struct {
	mesh    keys.MeshID
	state   *profile.State
	writing sync.WaitGroup // rows that are not on the disk yet
}

func openInbox(ctx context.Context, m *mesh, name string) (*diskInbox, error) {
	p, err := profile.Open(filepath.Join(m.dir, name))
	if err != nil {
		return nil, err
	}
	state, err := p.OpenState(ctx)
	return &diskInbox{mesh: m.id, state: state}, err
}

// put remembers the id of a message and keeps its row, unless it came before. done is
// called when that is on the disk.
func (b *diskInbox) put(m *seal.Message, sealed []byte, done func(*delivery.InboxRow, error)) {
	row := &delivery.InboxRow{From: m.From, ID: m.ID, Arrived: now(), N: m.Seq, Sent: m.Time, Expires: m.Expires, Sealed: bytes.Clone(sealed),
		StreamKey: delivery.StreamKey{Sender: m.From, Session: m.Session, Audience: delivery.Audience{1}, Priority: wire.PriorityNext}}
	b.writing.Add(1)
	b.state.Submit(b.mesh, func(tx *profile.Tx) error {
		before, err := tx.Take(row.From, row.ID, delivery.RememberUntil(row.Expires))
		if before || err != nil {
			return err
		}
		return tx.PutInbox(row)
	}, func(err error) {
		done(row, err)
		b.writing.Done()
	})
}

// shown moves the order of messages on and lets go of their rows.
func (b *diskInbox) shown(rows []*delivery.InboxRow, done func(error)) {
	b.state.Submit(b.mesh, func(tx *profile.Tx) error {
		var places []int64
		for _, row := range rows {
			places = append(places, row.Place)
		}
		last := rows[len(rows)-1]
		stream, err := tx.Stream(last.StreamKey)
		if err != nil {
			return err
		}
		stream.Show(last.N, last.Expires)
		return errors.Join(tx.SetStream(stream), tx.DropInbox(places...))
	}, done)
}

func (b *diskInbox) close() error {
	if b == nil {
		return nil
	}
	return b.state.Close()
}

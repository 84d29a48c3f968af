//go:build unix

package profile

import (
	"crypto/rand"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// path is the way of messages from one state.db to another: what peers write for each,
// pathTogether of them by a transaction. One goroutine does it all, so that what it
// takes of a processor says more than that of peers and their broker.
type path struct {
	b        *testing.B
	from, to *State
	body     string
	sealed   []byte
	now      int64
	ids      []keys.MessageID // of the messages under way
	out      []int64          // their places in the outbox
	in       []int64          // and in the inbox
	stream   delivery.Stream
	unseen   []keys.MessageID // whose senders do not know yet that they were seen
}

// pathTogether is as many as share a commit when 64 are in flight, pathUnseen how far
// behind receipts are.
const (
	pathTogether = 12
	pathUnseen   = 600
)

// do runs fn n times in one transaction.
func (p *path) do(s *State, n int, fn func(tx *Tx, i int) error) {
	err := s.Update(p.b.Context(), mesh, func(tx *Tx) error {
		for i := range n {
			if err := fn(tx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.b.Fatal(err)
	}
}

// send numbers and keeps messages.
func (p *path) send() {
	p.now += pathTogether
	p.ids, p.out = make([]keys.MessageID, pathTogether), make([]int64, pathTogether)
	for i := range p.ids {
		id, err := keys.NewMessageID(p.now, rand.Reader)
		if err != nil {
			p.b.Fatal(err)
		}
		p.ids[i] = id
	}
	expires := p.now + wire.DefaultExpiry
	p.do(p.from, pathTogether, func(tx *Tx, i int) error {
		if _, err := tx.ShortName(p.ids[i]); err != nil {
			return err
		}
		if _, err := tx.NextNumber(session(1), p.stream.Audience, p.stream.Priority); err != nil {
			return err
		}
		row := &delivery.OutboxRow{Session: session(1), ID: p.ids[i], Priority: p.stream.Priority, Expires: expires, Sealed: p.sealed,
			To: []delivery.Target{{Key: bob, State: wire.StatePending}}}
		if err := tx.PutOutbox(row); err != nil {
			return err
		}
		p.out[i] = row.Place
		err := tx.PutSent(&Sent{ID: p.ids[i], Session: session(1), Address: "bob@desk", Kind: "message", Size: len(p.body), Time: p.now, Expires: expires,
			To: []SentTo{{Key: bob, State: wire.StatePending, Steps: []Step{{wire.StatePending, p.now, WordSelf, ""}}}}}, true)
		if err != nil {
			return err
		}
		return tx.PutHistory(&Message{ID: p.ids[i], Outgoing: true, From: alice, Address: "bob@desk", Session: session(1), Label: "a", Audience: "bob",
			Kind: "message", Sent: p.now, Time: p.now, Shower: session(1), Body: p.body})
	})
}

// receive takes messages in, then has them shown, then seen.
func (p *path) receive() {
	expires := p.now + wire.DefaultExpiry
	p.do(p.to, pathTogether, func(tx *Tx, i int) error {
		if _, err := tx.Take(alice, p.ids[i], delivery.RememberUntil(expires)); err != nil {
			return err
		}
		p.stream.Show(p.stream.Shown+1, expires)
		return tx.PutInbox(&delivery.InboxRow{From: alice, ID: p.ids[i], Arrived: p.now, StreamKey: p.stream.StreamKey, N: p.stream.Shown,
			Sent: p.now, Expires: expires, Sealed: p.sealed})
	})
	p.do(p.to, 1, func(tx *Tx, _ int) error {
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		p.in = nil
		for i := range v.Rows {
			if _, err := tx.ShortNameIn(v.Rows, v.Rows[i].ID); err != nil {
				return err
			}
			p.in = append(p.in, v.Rows[i].Place)
		}
		return tx.ShowInbox(session(2), p.in...)
	})
	p.do(p.to, 1, func(tx *Tx, _ int) error {
		told := &delivery.ReceiptRow{Session: session(2), To: alice, State: wire.StateSeen, Time: p.now, Expires: expires}
		for _, id := range p.ids {
			told.Of = append(told.Of, delivery.Receipted{ID: id})
			if err := tx.PutHistory(&Message{ID: id, From: alice, Address: "alice@laptop/a", Session: session(1), Label: "a", Audience: "bob",
				Kind: "message", Sent: p.now, Time: p.now, Shower: session(2), Body: p.body}); err != nil {
				return err
			}
		}
		if err := tx.SetStream(p.stream); err != nil {
			return err
		}
		if err := tx.PutReceipt(told); err != nil {
			return err
		}
		if err := tx.DropReceipts(told.Place); err != nil {
			return err
		}
		return tx.DropInbox(p.in...)
	})
}

// hear notes what the broker and the recipient say.
func (p *path) hear() {
	say := func(tx *Tx, id keys.MessageID, state wire.State, by Word, label string) error {
		_, _, err := tx.Advance(Said{ID: id, To: bob, State: state, Time: p.now, Word: by, Label: label})
		return err
	}
	p.do(p.from, pathTogether, func(tx *Tx, i int) error {
		tx.DropOutbox(p.out[i])
		return say(tx, p.ids[i], wire.StateDelivered, WordBroker, "")
	})
	p.unseen = append(p.unseen, p.ids...)
	if len(p.unseen) < pathUnseen {
		return
	}
	p.do(p.from, pathTogether, func(tx *Tx, i int) error { return say(tx, p.unseen[i], wire.StateSeen, WordRecipient, "b") })
	p.unseen = p.unseen[pathTogether:]
}

func BenchmarkPath(b *testing.B) {
	p := &path{b: b, from: newState(b), to: newState(b), body: strings.Repeat("x", 256), sealed: make([]byte, 700), now: time.Now().UnixMilli()}
	p.stream.StreamKey = delivery.StreamKey{Sender: alice, Session: session(1), Audience: delivery.Audience{3}, Priority: wire.PriorityNext}
	step := func() {
		p.send()
		p.receive()
		p.hear()
	}
	for range 3000 / pathTogether {
		step()
	}
	processorTime := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	b.ReportAllocs()
	b.ResetTimer()
	used := processorTime()
	for range (b.N + pathTogether - 1) / pathTogether {
		step()
	}
	b.StopTimer()
	b.ReportMetric(float64((processorTime()-used).Microseconds())/float64(b.N), "cpu-µs/op")
}

package peer

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Entries of the chain that do not come from the broker: members bring each other what
// it withholds, and bring a broker what it lost.

const (
	// rosterWithin is how long a roster message waits for its recipient, in
	// milliseconds.
	rosterWithin = 24 * 3_600_000
	// rosterBytes bounds the entries of one roster message; seal's limit is for its
	// JSON, in which they are base64.
	rosterBytes = seal.MaxRoster * 5 / 8
	// maxSupplied is how many entries one answer to a member brings, over all its
	// messages.
	maxSupplied = 4096
	// suppliedBytes bounds what is kept of one member's answer until its last message.
	suppliedBytes = 4 << 20
)

// sendRoster sends a roster message. [CM-5]
func (p *Peer) sendRoster(to keys.Public, r *seal.Roster) {
	t := p.now()
	m := p.newMessage(t, seal.KindRoster)
	m.Audience = seal.Audience{Keys: []keys.Public{to}}
	m.Priority, m.Expires, m.Roster = seal.PriorityNow, t+rosterWithin, r
	id, err := keys.NewMessageID(t, rand.Reader)
	if err == nil {
		m.ID = id
		row := &delivery.OutboxRow{Session: p.session, ID: id, Class: wire.ClassMessage, Priority: wire.PriorityNow, Expires: m.Expires,
			To: []delivery.Target{{Key: to, State: wire.StatePending}}}
		err = p.commitRow(p.ctx, row, func(tx *profile.Tx) error {
			if err := p.sealInto(row, m); err != nil {
				return err
			}
			return tx.PutOutbox(row)
		})
	}
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Info("a roster message", "mesh", p.alias, "err", err)
	}
}

// rosterMessage takes a message that asks for entries of the chain or brings them.
// It comes from strangers too, is never shown and never receipted. [CM-5]
func (p *Peer) rosterMessage(a *arrival, f fit) {
	p.answer(a.line, wire.VerdictReceived, wire.WhyNone, a.from, a.id)
	from, r := a.from, a.message.Roster
	if r == nil || a.message.Expires <= p.now() {
		return
	}
	p.desk.add(func() {
		if r.Ask {
			p.answerRoster(from, r.From)
		} else {
			p.takeRoster(from, r)
		}
	})
}

// answerRoster brings a member what it asked for: the entries from a place on, in as
// many messages as they need, each with the head over the last of all. Where there are
// none, or more than an answer brings, the head comes alone. [CM-4.39]
func (p *Peer) answerRoster(to keys.Public, from uint64) {
	p.mu.Lock()
	t := p.steady()
	if p.unsure.answered == nil {
		p.unsure.answered = make(map[keys.Public]int64)
	}
	again := t-p.unsure.answered[to] < askAgain
	if !again {
		p.unsure.answered[to] = t
	}
	p.mu.Unlock()
	if again || !isMember(p.members(), to) {
		return
	}
	p.ledgerMu.Lock()
	c := p.ledger.Chain()
	entries, head := c.From(from, maxSupplied+1), c.Head()
	p.ledgerMu.Unlock()
	if head.IsZero() {
		return
	}
	if len(entries) > maxSupplied {
		entries = nil
	}
	for first := true; first || len(entries) > 0; first = false {
		page := firstOf(entries, rosterBytes)
		r := &seal.Roster{From: from, Entries: page, Heads: []signed.Object{head.Object}}
		p.sendRoster(to, r)
		entries, from = entries[len(page):], from+uint64(len(page))
	}
}

// firstOf gives as many entries as have together at most so many bytes, one at least.
func firstOf(entries []chain.Signed, bytes int) (page []signed.Object) {
	for _, e := range entries {
		if bytes -= len(e.Bytes) + len(e.Sig); bytes < 0 && len(page) > 0 {
			break
		}
		page = append(page, e.Object)
	}
	return page
}

// brought is an answer of a member that came in part.
type brought struct {
	from    uint64
	entries []signed.Object
	bytes   int
}

// gather puts a message of an answer behind those that came before, and gives all of
// them; nil where they are too many.
func (p *Peer) gather(from keys.Public, r *seal.Roster) *brought {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsure.brought == nil {
		p.unsure.brought = make(map[keys.Public]*brought)
	}
	b := p.unsure.brought[from]
	if b == nil || b.from+uint64(len(b.entries)) != r.From {
		b = &brought{from: r.From}
		p.unsure.brought[from] = b
	}
	for _, e := range r.Entries {
		b.bytes += len(e.Bytes) + len(e.Sig)
	}
	if b.entries = append(b.entries, r.Entries...); b.bytes > suppliedBytes {
		delete(p.unsure.brought, from)
		return nil
	}
	return b
}

// takeRoster takes what a sender brought. Entries under a head count, whoever brings
// them; who answered with nothing under a head is refused by name. [CM-4.40]
func (p *Peer) takeRoster(from keys.Public, r *seal.Roster) {
	p.mu.Lock()
	asked := p.unsure.asked[from] != 0
	p.mu.Unlock()
	if !asked {
		return
	}
	b := p.gather(from, r)
	if b == nil {
		b = &brought{from: r.From}
	}
	next := b.from + uint64(len(b.entries))
	err := errNothingUnderHead
	for _, o := range r.Heads {
		if head, e := chain.DecodeHead(o); e == nil && head.Head.N >= next &&
			(len(r.Entries) > 0 || head.Verify(p.members().BrokerKey()) == nil) {
			// The rest comes with the next message; or it is too much to bring, and
			// the head proves that the broker withholds it.
			return
		}
		_, e := p.takePage(p.ctx, chain.Page{From: b.from, Entries: b.entries, Head: o})
		switch {
		case e != nil:
			err = e
		case len(b.entries) > 0:
			err = nil // what was held is looked at again by rosterChanged
		}
	}
	p.mu.Lock()
	delete(p.unsure.brought, from)
	p.mu.Unlock()
	if err == nil {
		return
	}
	name := p.addressOf(from)
	p.home.log.Warn("entries from a member", "mesh", p.alias, "from", name, "err", err)
	var fork *chain.ForkError
	var conflict *chain.ConflictError
	switch {
	case errors.As(err, &fork), errors.As(err, &conflict):
		p.warn(p.explainChain(p.host(), err))
	default:
		p.warn(fmt.Sprintf("%s's messages refer to a membership change that nobody can show, not %s either; they are refused", userIn(name), name))
		p.refuseUnopened(from)
	}
}

// errNothingUnderHead is an answer with no entries that a broker's head covers.
var errNothingUnderHead = errors.New("nothing under a head")

// bring offers a broker that was restored what it lost, under its own head. What does
// not fit into one frame it asks for, each time from a later place. [CM-7.36]
func (p *Peer) bring(l *line, from uint64) error {
	p.ledgerMu.Lock()
	c := p.ledger.Chain()
	lost, head := c.From(from, wire.MaxEntries), c.Head()
	p.ledgerMu.Unlock()
	offer := &wire.Entries{From: from, Entries: firstOf(lost, wire.MaxPage*3/4), Head: head.Object}
	l.offered = from + uint64(len(offer.Entries))
	return l.send(offer, nil)
}

// askedBack is a broker that asks for the rest of what it was offered.
func (p *Peer) askedBack(l *line, f *wire.Sync) error {
	if l.offered == 0 || f.From != l.offered {
		return nil // it was offered nothing, or asks for the same again
	}
	return p.bring(l, f.From)
}

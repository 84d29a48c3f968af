package peer

import (
	"context"
	"crypto/rand"
	"maps"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// What is gathered fits one receipt, and fills it: a negative constant is no uint.
const (
	_ uint = seal.MaxReceipts - delivery.ReceiptsTogether
	_ uint = delivery.ReceiptsTogether - seal.MaxReceipts
)

// noteReceipt notes, in the transaction that makes it true, what a sender is to be
// told of its message.
func (p *Peer) noteReceipt(tx *profile.Tx, row *delivery.InboxRow, state wire.State, why wire.Why) error {
	return tx.PutReceipt(&delivery.ReceiptRow{Session: p.session, To: row.From, State: state, Why: why, Time: p.now(), Expires: row.Expires,
		Of: []delivery.Receipted{{ID: row.ID, Hash: seal.HashSealed(row.Sealed)}}})
}

// seenReceipts notes that senders are to be told that their messages were seen.
func (p *Peer) seenReceipts(tx *profile.Tx, t int64, seen []*Message) error {
	bySender := map[keys.Public]*delivery.ReceiptRow{}
	for _, m := range seen {
		r := bySender[m.From.Key]
		if r == nil {
			r = &delivery.ReceiptRow{Session: p.session, To: m.From.Key, State: wire.StateSeen, Time: t}
			bySender[m.From.Key] = r
		}
		r.Of, r.Expires = append(r.Of, delivery.Receipted{ID: m.ID, Hash: m.shown.hash}), max(r.Expires, m.shown.expires)
		if len(r.Of) < delivery.ReceiptsTogether {
			continue
		}
		if err := tx.PutReceipt(r); err != nil {
			return err
		}
		delete(bySender, m.From.Key)
	}
	for _, r := range bySender {
		if err := tx.PutReceipt(r); err != nil {
			return err
		}
	}
	return nil
}

// receiptsDue has the desk look at what is to be told.
func (p *Peer) receiptsDue() {
	p.mu.Lock()
	p.receiptsAt = 1
	p.mu.Unlock()
	p.desk.kick()
}

// tellReceipts puts the receipts that are due into the outbox, sealed, and says when
// the next are. Without a line they wait: what they tell may change.
func (p *Peer) tellReceipts(t int64) int64 {
	p.mu.Lock()
	at, ready := p.receiptsAt, p.ready
	due := at > 0 && at <= t && ready
	if due {
		p.receiptsAt = 0 // what comes from here on sets it anew
	}
	p.mu.Unlock()
	switch {
	case !ready:
		return 0 // the next welcome has the desk look
	case !due:
		return at
	}
	next, err := p.gatherReceipts(p.ctx, t, false)
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Warn("receipts", "mesh", p.alias, "err", err)
		next = t + lookAgain.Milliseconds()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.receiptsAt == 0 || next > 0 && next < p.receiptsAt {
		p.receiptsAt = next
	}
	return p.receiptsAt
}

// gatherReceipts seals what is due, everything with flush.
func (p *Peer) gatherReceipts(ctx context.Context, t int64, flush bool) (next int64, err error) {
	var rows []delivery.ReceiptRow
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		rows, err = tx.Receipts(p.session)
		return err
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	byPlace := make(map[int64]*delivery.ReceiptRow, len(rows))
	for i := range rows {
		byPlace[rows[i].Place] = &rows[i]
	}
	// Whoever was told nothing lately is told at once: a lone sender waits for
	// its "seen". What follows within a second goes together.
	fresh, lately := p.toldLately(t, rows)
	groups, expired, _ := delivery.Gather(t, fresh, true)
	more, old, next := delivery.Gather(t, lately, flush)
	groups, expired = append(groups, more...), append(expired, old...)
	if len(expired) > 0 {
		err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return tx.DropReceipts(expired...) })
		if err != nil {
			return 0, err
		}
	}
	for _, group := range groups {
		if err := p.sealReceipt(ctx, t, group, byPlace); err != nil {
			return 0, err
		}
	}
	return next, nil
}

// toldLately sorts rows by whether their sender got a receipt within the last
// second, and notes that those who did not get one now.
func (p *Peer) toldLately(t int64, rows []delivery.ReceiptRow) (fresh, lately []delivery.ReceiptRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.told, func(_ keys.Public, at int64) bool { return at > t || t-at >= wire.ReceiptsWithin })
	for _, r := range rows {
		if _, ok := p.told[r.To]; ok {
			lately = append(lately, r)
		} else {
			fresh = append(fresh, r)
		}
	}
	for _, r := range fresh {
		p.told[r.To] = t
	}
	return fresh, lately
}

// sealReceipt makes one receipt of some rows, which are for one peer.
func (p *Peer) sealReceipt(ctx context.Context, t int64, places []int64, rows map[int64]*delivery.ReceiptRow) error {
	to := rows[places[0]].To
	if !isMember(p.members(), to) {
		return p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return tx.DropReceipts(places...) })
	}
	m := p.newMessage(t, seal.KindReceipt)
	m.Audience = seal.Audience{Keys: []keys.Public{to}}
	for _, place := range places {
		r := rows[place]
		for _, of := range r.Of {
			m.Receipts = append(m.Receipts, seal.Receipt{ID: of.ID, Hash: of.Hash, State: seal.State(r.State.String()), Why: string(r.Why)})
		}
		m.Expires = max(m.Expires, r.Expires)
	}
	// A message dated ahead by a clock that is wrong may outlive what a receipt
	// made now can.
	m.Expires = min(m.Expires, t+seal.MaxLife)
	var err error
	if m.ID, err = keys.NewMessageID(t, rand.Reader); err != nil {
		return err
	}
	row := &delivery.OutboxRow{Session: p.session, ID: m.ID, Class: wire.ClassReceipt, Expires: m.Expires,
		To: []delivery.Target{{Key: to, State: wire.StatePending}}}
	return p.commitRow(ctx, row, func(tx *profile.Tx) error {
		if err := p.sealInto(row, m); err != nil {
			return err
		}
		if err := tx.PutOutbox(row); err != nil {
			return err
		}
		return tx.DropReceipts(places...)
	})
}

// flushReceipts sends what is due and waits, until ctx ends, for the broker to have
// it.
func (p *Peer) flushReceipts(ctx context.Context) {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if !ready {
		return
	}
	if _, err := p.gatherReceipts(ctx, p.now(), true); err != nil {
		p.home.log.Info("receipts at the end", "mesh", p.alias, "err", err)
		return
	}
	err := p.until(ctx, func() (bool, error) { return p.outbox.Empty() || !p.ready, nil })
	if err != nil {
		p.home.log.Debug("not all was acknowledged", "mesh", p.alias, "err", err)
	}
}

// receipt takes a receipt that another peer sealed for this one: what became of
// messages that were sent from here.
func (p *Peer) receipt(a *arrival, f fit) {
	switch {
	case !isMember(p.members(), a.from): // also one who stands where this peer does not
		p.answer(a.line, wire.VerdictRefused, whyStranger(p.members(), a.from, p.now()), a.from, a.id)
		return
	case f == other:
		p.unsureOf(a.from, a.message.At, f)
		p.answer(a.line, wire.VerdictRefused, wire.WhyFork, a.from, a.id)
		return
	case f == ahead:
		p.unsureOf(a.from, a.message.At, f)
	default:
		p.confirmedBy(a.from, a.message.At, a.message.Time)
	}
	m := &a.message
	var all []profile.Said
	for _, r := range m.Receipts {
		said := profile.Said{ID: r.ID, To: a.from, Why: wire.Why(r.Why), Time: m.Time, Word: profile.WordRecipient,
			Label: m.Label, Hash: r.Hash}
		if err := said.State.UnmarshalText([]byte(r.State)); err == nil { // else of a later version
			all = append(all, said)
		}
	}
	var n news
	p.home.state.Submit(p.mesh, func(tx *profile.Tx) error {
		n = news{}
		return p.advance(tx, &n, all...)
	}, func(err error) {
		if err != nil {
			a.line.end(errNotStored)
			return
		}
		p.answer(a.line, wire.VerdictReceived, wire.WhyNone, a.from, a.id)
		p.tell(&n)
	})
}

// news is what was newly said of messages, and the other sessions of the profile that
// sent them.
type news struct {
	said    []profile.Said
	senders map[keys.SessionID]bool
}

// advance writes what is said of messages, and notes what of it is new.
func (p *Peer) advance(tx *profile.Tx, n *news, all ...profile.Said) error {
	for _, said := range all {
		changed, by, err := tx.Advance(said)
		if err != nil {
			return err
		}
		if !changed {
			continue
		}
		n.said = append(n.said, said)
		n.of(p, by)
	}
	return nil
}

// of notes that something is new of a session's message.
func (n *news) of(p *Peer, by keys.SessionID) {
	if by == p.session {
		return
	}
	if n.senders == nil {
		n.senders = map[keys.SessionID]bool{}
	}
	n.senders[by] = true
}

// tell tells those who wait what is new, once it is in state.db.
func (p *Peer) tell(n *news) {
	p.progressed(n.said...)
	if len(n.senders) > 0 {
		p.desk.add(func() { p.pokeSenders(n.senders) })
	}
}

// pokeSenders wakes the sessions whose messages a receipt speaks of.
func (p *Peer) pokeSenders(senders map[keys.SessionID]bool) {
	var live []profile.SessionInfo
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		live, err = liveAmong(tx, senders)
		return err
	})
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Info("poke", "err", err)
	}
	for _, s := range live {
		p.pokeSession(s, pokeSent)
	}
}

package peer

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// inboxLimit is how many messages the inbox holds before it takes no more; they
// are counted every inboxCount arrivals.
const (
	inboxLimit = 50_000
	inboxCount = 256
)

// arrival is a message on its way from the wire into the inbox.
type arrival struct {
	parcel
	line     *line
	claim    bool  // any one of several may show it: never what is sealed to one alone
	expires  int64 // the frame's
	sent     int64 // the broker's clock when it took the message
	priority wire.Priority

	opened  bool
	message seal.Message
	judged  delivery.Judged
	row     delivery.InboxRow
	full    bool // the inbox has too many rows
}

// arrive takes a deliver frame. It runs on the reader's goroutine; what it notes is
// on the disk before the broker is told that it was received. [CM-8]
func (p *Peer) arrive(l *line, f *wire.Deliver, payload []byte) {
	a := &arrival{
		parcel: parcel{from: f.From, id: f.ID, receipt: f.Class == wire.ClassReceipt,
			box: bytes.Clone(f.Box), sealed: bytes.Clone(payload)},
		line: l, claim: f.Claim && f.Box != nil, expires: f.Expires, sent: f.Sent, priority: f.Priority,
	}
	m, err := p.openParcel(&a.parcel)
	if err != nil {
		p.unopenable(a, err)
		return
	}
	a.message = m
	fit := p.fitOf(a.from, m.At)
	switch {
	case m.Kind == seal.KindRoster:
		p.rosterMessage(a, fit)
		return
	case m.Kind == seal.KindReceipt:
		p.receipt(a, fit)
		return
	case fit == stranger:
		p.answer(a.line, wire.VerdictRefused, whyStranger(p.members(), a.from, p.now()), a.from, a.id)
		return
	case fit == fits:
		a.opened = true
		p.confirmedBy(a.from, m.At, m.Time)
	default:
		p.unsureOf(a.from, m.At, fit)
	}
	p.store(a)
}

// unopenable refuses what can never be opened. The user is told where that is no
// accident.
func (p *Peer) unopenable(a *arrival, err error) {
	if errors.Is(err, ErrClosed) {
		return
	}
	p.home.log.Info("a message does not open", "mesh", p.alias, "from", p.addressOf(a.from), "id", a.id, "err", err)
	if sentence := p.suspicion(&a.parcel, err); sentence != "" {
		p.warn(sentence)
	}
	p.answer(a.line, wire.VerdictRefused, wire.WhyMalformed, a.from, a.id)
}

// answer tells the broker what was done with a message.
func (p *Peer) answer(l *line, v wire.Verdict, why wire.Why, from keys.Public, ids ...keys.MessageID) {
	f := wire.Receipt{State: v, Why: why, From: from, IDs: ids}
	l.post(outgoing{data: wire.AppendReceipt(nil, &f)})
}

// store puts a message into the inbox, in one transaction with its judgement.
func (p *Peer) store(a *arrival) {
	p.mu.Lock()
	p.arrivals.count++
	look := p.arrivals.count%inboxCount == 1
	a.full = p.arrivals.full
	p.mu.Unlock()
	sender := ""
	if m, ok := p.members().Member(a.from); ok {
		sender = m.Address()
	}
	p.home.state.Submit(p.mesh, func(tx *profile.Tx) error {
		if look {
			rows, err := tx.CountInbox()
			if err != nil {
				return err
			}
			a.full = rows >= inboxLimit
		}
		return p.judge(tx, a, sender)
	}, func(err error) {
		if look {
			p.mu.Lock()
			p.arrivals.full = a.full
			p.mu.Unlock()
		}
		p.stored(a, err)
	})
}

// judge decides about an arrival and writes what was decided.
func (p *Peer) judge(tx *profile.Tx, a *arrival, sender string) error {
	judged := delivery.Arrival{Opened: a.opened, Sent: a.sent, Expires: a.expires, Copy: a.claim}
	if a.full {
		judged.Rows, judged.Limit = inboxLimit, inboxLimit
	}
	if a.opened {
		judged.Sent, judged.Expires = a.message.Time, a.message.Expires
	}
	var err error
	if judged.Known, err = tx.Take(a.from, a.id, delivery.RememberUntil(judged.Expires)); err != nil {
		return err
	}
	var there *delivery.InboxRow
	if a.box != nil { // only what is sealed to several comes as copies
		there, err = tx.FindInbox(a.from, a.id)
		if err != nil && !errors.Is(err, profile.ErrNotFound) {
			return err
		}
		judged.KnownCopy = err == nil && there.Copy
	}
	judged.Ended = a.line.life.Err() != nil
	if a.opened {
		judged.Policy, err = p.policyFor(tx, sender, &a.message)
	} else {
		judged.Policy, err = policyOf(tx, sender)
	}
	if err != nil {
		return err
	}
	t := p.now()
	a.judged = delivery.Judge(t, judged)
	switch a.judged.Do {
	case delivery.TakeIt, delivery.Retake:
	default:
		if judged.Known {
			return nil
		}
		return tx.Forget(a.from, a.id)
	}
	if a.row, err = p.rowOf(tx, a, t); err != nil {
		return err
	}
	if a.judged.Held {
		if err := p.noteReceipt(tx, &a.row, wire.StateHeld, wire.WhyNone); err != nil {
			return err
		}
	}
	if judged.KnownCopy {
		if err := tx.DropInbox(there.Place); err != nil {
			return err
		}
		for _, id := range there.Takers { // as a copy it stays theirs too
			if a.judged.Do == delivery.Retake && id != p.session {
				a.row.Takers = append(a.row.Takers, id)
			}
		}
	}
	if err := tx.PutInbox(&a.row); err != nil {
		return err
	}
	if a.opened { // not opened again, also not by who shows it in this very transaction
		p.unsealed.keep(a.row.Place, &unsealed{message: a.message, hash: seal.HashSealed(a.sealed)})
	}
	if !a.claim {
		return nil
	}
	return tx.Forget(a.from, a.id) // of a copy the id is remembered when it is granted
}

// policyOf reads what the user decided about a sender: about the device, else about
// the user.
func policyOf(tx *profile.Tx, address string) (delivery.Policy, error) {
	if address == "" {
		return delivery.PolicyAccept, nil
	}
	device, user, err := tx.Policies(address, userIn(address))
	if device != delivery.PolicyAccept {
		return device, err
	}
	return user, err
}

// rowOf makes the inbox's row of an arrival.
func (p *Peer) rowOf(tx *profile.Tx, a *arrival, t int64) (delivery.InboxRow, error) {
	row := delivery.InboxRow{
		From: a.from, ID: a.id, State: a.judged.State, Arrived: t,
		StreamKey: delivery.StreamKey{Sender: a.from, Priority: a.priority},
		Sent:      a.sent, Expires: a.expires, Copy: a.claim, Sealed: a.sealed, Box: a.box,
	}
	if a.claim {
		row.Takers = []keys.SessionID{p.session}
	}
	if !a.opened {
		return row, nil
	}
	return row, p.fillRow(tx, &row, &a.message)
}

// fillRow writes what is inside a message into its row.
func (p *Peer) fillRow(tx *profile.Tx, row *delivery.InboxRow, m *seal.Message) error {
	audience, err := audienceOf(m.Audience)
	if err != nil {
		return err
	}
	row.StreamKey = delivery.StreamKey{Sender: row.From, Session: m.Session, Audience: audience, Priority: priorityOf(m.Priority)}
	row.N, row.Sent, row.Expires = m.Seq, m.Time, m.Expires
	row.For, row.ForLabel = m.Audience.Session, labelIn(m.Audience.Address)
	if m.ReplyTo.IsZero() || row.For.IsZero() {
		return nil
	}
	original, err := tx.Sent(m.ReplyTo)
	if errors.Is(err, profile.ErrNotFound) {
		return nil
	}
	row.Reply = err == nil && original.Session == row.For
	return err
}

// stored goes on after the commit: only now is the broker told. It runs where it
// must not block.
func (p *Peer) stored(a *arrival, err error) {
	if err != nil {
		if !errors.Is(err, profile.ErrClosed) {
			p.home.log.Error("a message could not be stored", "mesh", p.alias, "err", err)
		}
		a.line.end(errNotStored) // it comes again
		return
	}
	switch a.judged.Do {
	case delivery.SayReceived:
		p.answer(a.line, wire.VerdictReceived, wire.WhyNone, a.from, a.id)
	case delivery.RefuseIt:
		p.answer(a.line, wire.VerdictRefused, a.judged.Why, a.from, a.id)
	case delivery.Retake:
		p.keepCopy(a)
	case delivery.TakeIt:
		if a.claim {
			p.keepCopy(a)
		} else {
			p.answer(a.line, wire.VerdictReceived, wire.WhyNone, a.from, a.id)
		}
		if a.judged.Clock {
			// Not here: ledgerMu may be held by somebody who waits for a commit.
			p.desk.add(func() {
				p.warn(fmt.Sprintf("a message from %s is dated more than ten minutes ahead: its clock or this one is wrong; it is shown when its time comes", p.addressOf(a.from)))
			})
		}
		if a.judged.Held {
			p.receiptsDue()
		}
		if a.judged.State == delivery.InboxUnopened {
			p.desk.add(p.reviewInbox) // what it lacks may have come meanwhile
		}
	}
	p.mu.Lock()
	p.arrivals.taken++
	p.arrivals.last = time.Now()
	p.arrivals.look = true
	p.changedLocked()
	p.mu.Unlock()
	p.desk.kick()
}

// copied is a copy that came by this session's line. Once it is granted to another
// session of the profile, or refused, this line says so.
type copied struct {
	line    *line
	expires int64
	refused wire.Why // why it is, if it is: by policy, unless this session knows better
}

// keepCopy notes a copy that came by this session's line.
func (p *Peer) keepCopy(a *arrival) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.copies == nil {
		p.copies = make(map[claimKey]*copied)
	}
	p.copies[claimKey{a.from, a.id}] = &copied{line: a.line, expires: a.row.Expires, refused: wire.WhyPolicy}
}

// errNotStored ends a line whose messages cannot be stored.
var errNotStored = errors.New("what came could not be stored")

// granted takes the broker's answer to claims, and its word that a copy which this
// session's connection brought has gone.
func (p *Peer) granted(f *wire.Grant) {
	p.mu.Lock()
	var taken []keys.MessageID
	for _, id := range f.IDs {
		if !f.Granted {
			delete(p.copies, claimKey{f.From, id}) // of another device's the broker is told nothing
		}
		if ch := p.claims[claimKey{f.From, id}]; ch != nil {
			select {
			case ch <- f.Granted:
			default: // said already
			}
		} else if !f.Granted {
			taken = append(taken, id)
		}
	}
	p.mu.Unlock()
	if len(taken) == 0 {
		return
	}
	from := f.From
	p.home.state.Submit(p.mesh, func(tx *profile.Tx) error {
		for _, id := range taken {
			row, err := tx.FindInbox(from, id)
			if errors.Is(err, profile.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			// What this session's connection brought has gone; another may have
			// brought it too.
			live, err := tx.LiveRows()
			if err != nil {
				return err
			}
			gone := delivery.GoneCopies([]delivery.InboxRow{*row}, live, p.session)
			if err := leaveCopies(tx, map[int64]*delivery.InboxRow{row.Place: row}, gone); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) {
		if err == nil {
			p.lookSoon()
		}
	})
}

// claimKey names a message that is claimed.
type claimKey struct {
	from keys.Public
	id   keys.MessageID
}

package peer

import (
	"errors"
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// rosterChanged does what a change of the membership asks for. What may take long is
// left to the desk.
func (p *Peer) rosterChanged(change roster.Change) {
	if change.Outcome == roster.Same || change.Outcome == roster.Behind {
		return
	}
	p.mu.Lock()
	p.own.dirty = p.own.dirty || p.own.extras // who joined cannot read what is sealed beside the card
	waited := p.condition.State == Waiting
	l := p.line
	p.changedLocked()
	p.mu.Unlock()
	if l != nil && waited && isMember(p.members(), p.self) {
		p.hurryUp()
		l.end(errAdmitted) // and back at once, as a member
	}
	p.desk.add(func() {
		p.tellChange(change)
		p.reviewTrust()
		p.reviewInbox()
	})
}

// errAdmitted ends a line on which this peer waited for a yes.
var errAdmitted = errors.New("admitted: saying hello again")

// tellChange tells the program in sentences what changed.
func (p *Peer) tellChange(change roster.Change) {
	view := p.members()
	for i, e := range change.Entries {
		if i < len(change.Voids) && change.Voids[i] != nil {
			p.tellVoid(change.Voids[i])
			continue
		}
		switch body := e.Entry.Body.(type) {
		case chain.Join:
			p.tellJoin(view, body)
		case chain.Admit:
			p.feeds.tell(Event{Kind: EventRoster, Text: fmt.Sprintf("%s let %s in", p.userOf(e.Entry.By), p.addressOf(body.Peer))})
		case chain.Revoke:
			p.tellRevoke(e.Entry.By, body.Keys)
		default:
			p.feeds.tell(Event{Kind: EventRoster})
		}
	}
}

// tellVoid tells of an entry that does not count: an honest broker orders none, but
// those of a later version. [CM-5.59]
func (p *Peer) tellVoid(why error) {
	if errors.Is(why, chain.ErrUnknown) {
		return
	}
	p.home.log.Warn("an entry does not count", "mesh", p.alias, "why", why)
	p.warn(fmt.Sprintf("%s took a change into the list of members of %s that whoever signed it had no right to; it changes nothing. An honest broker refuses it; details: claudemesh doctor --mesh %s",
		p.host(), p.alias, p.alias))
}

func (p *Peer) tellJoin(view *roster.View, body chain.Join) {
	address := body.User + "@" + body.Device
	pending, waits := view.Waiting(body.Peer, p.brokerNow())
	if !waits {
		p.feeds.tell(Event{Kind: EventRoster, Text: address + " joined"})
		return
	}
	r := p.requestOf(view, pending)
	if r.CanAdmit && r.Yours {
		p.feeds.tell(Event{Kind: EventRequest, Text: fmt.Sprintf("%s wants in as your device. Its number: %s. If that is on its screen: claudemesh admit %s", address, r.Number, address)})
		return
	}
	if r.CanAdmit {
		p.feeds.tell(Event{Kind: EventRequest, Text: fmt.Sprintf("%s wants in. Its number: %s. If that is on its screen: claudemesh admit %s", address, r.Number, address)})
		return
	}
	p.feeds.tell(Event{Kind: EventRoster, Text: address + " waits to be let in"})
}

func (p *Peer) tellRevoke(by keys.Public, revoked []keys.Public) {
	for _, key := range revoked {
		if name := p.addressIfKnown(key); name != "" {
			p.feeds.tell(Event{Kind: EventRoster, Text: fmt.Sprintf("%s was revoked by %s", name, p.userOf(by))})
		}
	}
}

// addressIfKnown is user@device of a peer's key, "" for other keys.
func (p *Peer) addressIfKnown(key keys.Public) string {
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	return p.names.address(key)
}

// reviewInbox looks again at what waits: what could not be opened may now be, and
// what comes from somebody who is out is kept back.
func (p *Peer) reviewInbox() {
	var again []*reopened
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) error {
		again = nil
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		for _, r := range v.Rows {
			quarantine := r.State == delivery.InboxWaiting && !isMember(p.members(), r.From)
			if r.State != delivery.InboxUnopened && !quarantine {
				continue
			}
			row, err := tx.Inbox(r.Place)
			if err != nil {
				return err
			}
			again = append(again, &reopened{row: row, quarantine: quarantine})
		}
		return nil
	})
	// Opening and comparing take locks that no transaction may wait for.
	for _, r := range again {
		r.message, r.err = p.openParcel(&parcel{from: r.row.From, id: r.row.ID, box: r.row.Box, sealed: r.row.Sealed})
		if r.err == nil {
			if r.fit = p.fitOf(r.row.From, r.message.At); r.fit == ahead || r.fit == other {
				p.unsureOf(r.row.From, r.message.At, r.fit)
			}
		}
	}
	if err == nil && len(again) > 0 {
		err = p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
			for _, r := range again {
				if err := p.settleReopened(tx, r); err != nil && !errors.Is(err, profile.ErrNotFound) {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		if p.ctx.Err() == nil {
			p.home.log.Warn("looking again at what waits", "mesh", p.alias, "err", err)
		}
		return
	}
	if len(again) > 0 {
		p.receiptsDue()
		p.lookSoon()
	}
}

// reopened is a row that is looked at again.
type reopened struct {
	row        *delivery.InboxRow
	quarantine bool
	message    seal.Message
	err        error
	fit        fit
}

// settleReopened writes what came of looking again.
func (p *Peer) settleReopened(tx *profile.Tx, r *reopened) error {
	row, err := tx.Inbox(r.row.Place)
	if err != nil || row.State != r.row.State {
		return err // another process was faster
	}
	view := p.members()
	switch {
	case r.quarantine && r.fit != stranger:
		return nil // another process of the profile took it, and knows more than this one yet
	case r.quarantine:
		row.State = delivery.InboxHeld
		return tx.SetInbox(row)
	case r.err != nil:
		return p.refuseRow(tx, row.Place, wire.WhyMalformed)
	case r.fit == stranger:
		return p.refuseRow(tx, row.Place, whyStranger(view, row.From, p.now()))
	case r.fit != fits:
		return nil
	}
	member, _ := view.Member(row.From)
	m := &r.message
	policy, err := p.policyFor(tx, member.Address(), m)
	if err != nil {
		return err
	}
	judged := delivery.Judge(p.now(), delivery.Arrival{Opened: true, Sent: m.Time, Expires: m.Expires, Copy: row.Copy, Policy: policy})
	if judged.Do == delivery.RefuseIt {
		return p.refuseRow(tx, row.Place, judged.Why)
	}
	if err := p.fillRow(tx, row, m); err != nil {
		return err
	}
	row.State = judged.State
	if judged.Held {
		if err := p.noteReceipt(tx, row, wire.StateHeld, wire.WhyNone); err != nil {
			return err
		}
	}
	if !row.Copy { // of a copy the id is remembered when it is granted
		if err := tx.Remember(row.From, row.ID, delivery.RememberUntil(m.Expires)); err != nil {
			return err
		}
	}
	return tx.SetInbox(row)
}

// reviewTrust looks again at whom the user compared safety numbers with: a device
// let in by a verified one keeps the mark, any other change clears it, aloud.
func (p *Peer) reviewTrust() {
	view := p.members()
	var all []profile.Trust
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		all, err = tx.Trusts()
		return err
	})
	var changed []profile.Trust
	var cleared []string
	for _, t := range all {
		held := keysOf(view.User(t.Who))
		if t.Verified == 0 || slices.Equal(held, t.Keys) {
			continue
		}
		if p.letInByVerified(t.Keys, held) {
			t.Keys = held
		} else {
			t.Verified, t.Keys = 0, nil
			cleared = append(cleared, t.Who)
		}
		changed = append(changed, t)
	}
	if err == nil && len(changed) > 0 {
		err = p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
			for _, t := range changed {
				if err := tx.SetTrust(t); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		if p.ctx.Err() == nil {
			p.home.log.Warn("looking again at who is verified", "mesh", p.alias, "err", err)
		}
		return
	}
	for _, user := range cleared {
		p.warn(fmt.Sprintf("the devices of %s changed: one that you verified is gone, or one came that none of them let in. So %s is not verified any more. Compare again: claudemesh verify %s", user, user, user))
	}
}

// letInByVerified tells whether all verified keys are still there and each new one
// was let in by one of them, or by one that was.
func (p *Peer) letInByVerified(verified, held []keys.Public) bool {
	good := map[keys.Public]bool{}
	for _, key := range verified {
		if !slices.Contains(held, key) {
			return false
		}
		good[key] = true
	}
	for grown := true; grown; {
		grown = false
		for _, key := range held {
			if good[key] {
				continue
			}
			for _, by := range p.whoLetIn(key) {
				if good[by] && !good[key] {
					good[key], grown = true, true
				}
			}
		}
	}
	for _, key := range held {
		if !good[key] {
			return false
		}
	}
	return true
}

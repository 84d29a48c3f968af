package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Policy is what the user decided about a sender.
type Policy string

// The policies.
const (
	Accept Policy = "accept" // shown; what counts where nothing was decided
	Hold   Policy = "hold"   // kept back until it is accepted; the sender is told "held"
	Refuse Policy = "refuse" // not taken; the sender is told "refused"
)

// SenderPolicy is what counts for a user, or for one device of a user.
type SenderPolicy struct {
	Who      string // "bob", or "bob@phone" where that is decided for itself
	Policy   Policy
	Verified bool
	// New: the user has not seen this name yet, and what it sends is held until then.
	New bool
	// Held is how many messages of it are kept back.
	Held int
}

// delivered translates a policy; UsageError.
func (o Policy) delivered() (delivery.Policy, error) {
	switch o {
	case Accept:
		return delivery.PolicyAccept, nil
	case Hold:
		return delivery.PolicyHold, nil
	case Refuse:
		return delivery.PolicyRefuse, nil
	}
	return 0, &UsageError{Sentence: fmt.Sprintf("%q is no policy: accept, hold or refuse", string(o))}
}

// policyWord translates back.
func policyWord(o delivery.Policy) Policy {
	switch o {
	case delivery.PolicyHold:
		return Hold
	case delivery.PolicyRefuse, delivery.PolicyMute:
		return Refuse
	}
	return Accept
}

// SetPolicy decides about a user, or about one device of a user (user@device), which
// goes before. It counts for what waits too: accepted, it is shown; held or refused,
// it goes back and its senders are told. UnknownNameError, UsageError.
func (p *Peer) SetPolicy(ctx context.Context, who string, policy Policy) error {
	decided, err := policy.delivered()
	if err != nil {
		return err
	}
	a, err := wire.ParseAddress(who)
	if err != nil || a.Kind != wire.AddressUser || a.Label != "" || a.Mesh != "" {
		return &UsageError{Sentence: fmt.Sprintf("%q is no sender: a name, or name@device", who)}
	}
	devices := p.members().User(a.User)
	switch {
	case len(devices) == 0:
		return p.unknownUser(a)
	case a.Device != "" && !slices.ContainsFunc(devices, func(m roster.Member) bool { return m.Device == a.Device }):
		return p.unknownDevice(a, devices)
	}
	return p.decide(ctx, func(tx *profile.Tx) error {
		t, err := tx.Trust(a.String())
		if err != nil {
			return err
		}
		t.Policy = decided
		return tx.SetTrust(t)
	})
}

// SeenNames says that the user has seen the names of all members: nobody is new any
// more, and what was held for that is shown.
func (p *Peer) SeenNames(ctx context.Context) error {
	members := p.members().Members()
	return p.decide(ctx, func(tx *profile.Tx) error {
		for _, m := range members {
			known, err := tx.Decided(m.User)
			if err != nil {
				return err
			}
			if known {
				continue
			}
			if err := tx.SetTrust(profile.Trust{Who: m.User}); err != nil {
				return err
			}
		}
		return nil
	})
}

// decide writes decisions and judges what waits anew, in one transaction.
func (p *Peer) decide(ctx context.Context, write func(*profile.Tx) error) error {
	err := p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		if err := write(tx); err != nil {
			return err
		}
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		for i := range v.Rows {
			if err := p.judgeAgain(tx, &v.Rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.receiptsDue()
	p.lookSoon()
	p.pokeAll(ctx, pokeInbox)
	return nil
}

// judgeAgain applies the policies that count now to a message that waits or is held.
func (p *Peer) judgeAgain(tx *profile.Tx, r *delivery.InboxRow) error {
	member, ok := p.members().Member(r.From)
	if !ok || r.State != delivery.InboxWaiting && r.State != delivery.InboxHeld {
		return nil
	}
	row, err := tx.Inbox(r.Place)
	if err != nil {
		return err
	}
	m, err := p.openParcel(&parcel{from: row.From, id: row.ID, box: row.Box, sealed: row.Sealed})
	if err != nil {
		return nil // dealt with when it is to be shown
	}
	policy, err := p.policyFor(tx, member.Address(), &m)
	if err != nil {
		return err
	}
	switch {
	case policy == delivery.PolicyRefuse:
		return p.refuseRow(tx, row.Place, wire.WhyPolicy)
	case policy == delivery.PolicyMute:
		return p.refuseRow(tx, row.Place, wire.WhyMuted)
	case policy == delivery.PolicyHold && row.State == delivery.InboxWaiting:
		row.State = delivery.InboxHeld
		if !row.Copy {
			if err := p.noteReceipt(tx, row, wire.StateHeld, wire.WhyNone); err != nil {
				return err
			}
		}
		return tx.SetInbox(row)
	case policy == delivery.PolicyAccept && row.State == delivery.InboxHeld:
		row.State = delivery.InboxWaiting
		return tx.SetInbox(row)
	}
	return nil
}

// policyFor is what counts for a message of a member: what the user decided about the
// device, else about the user, else whether it is new here. An answer to one's own
// message is of nobody new.
func (p *Peer) policyFor(tx *profile.Tx, address string, m *seal.Message) (delivery.Policy, error) {
	policy, err := policyOf(tx, address)
	if err != nil || policy != delivery.PolicyAccept || address == "" {
		return policy, err
	}
	isNew, err := p.isNew(tx, address)
	if err != nil || !isNew {
		return policy, err
	}
	if !m.ReplyTo.IsZero() {
		sent, err := tx.Sent(m.ReplyTo)
		switch {
		case errors.Is(err, profile.ErrNotFound):
		case err != nil:
			return policy, err
		case slices.ContainsFunc(sent.To, func(t profile.SentTo) bool { return t.Key == m.From }):
			return policy, nil
		}
	}
	return delivery.PolicyHold, nil
}

// isNew tells whether the user has not seen a member's name yet, where that matters.
func (p *Peer) isNew(tx *profile.Tx, address string) (bool, error) {
	settings, err := p.home.Config()
	if err != nil || settings.NewMembers != config.Hold || userIn(address) == p.user {
		return false, err
	}
	for _, who := range []string{address, userIn(address)} {
		if known, err := tx.Decided(who); err != nil || known {
			return false, err
		}
	}
	return true, nil
}

// Policies lists what counts for each user of the mesh, and for each device that
// something else was decided about, by name; not for this user.
func (p *Peer) Policies(ctx context.Context) ([]SenderPolicy, error) {
	var all []SenderPolicy
	members := p.members().Members()
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		all = nil
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		held := map[keys.Public]int{}
		for _, r := range v.Rows {
			if r.State == delivery.InboxHeld {
				held[r.From]++
			}
		}
		at := map[string]int{}
		add := func(who string) (*SenderPolicy, error) {
			if i, ok := at[who]; ok {
				return &all[i], nil
			}
			t, err := tx.Trust(who)
			if err != nil {
				return nil, err
			}
			isNew, err := p.isNew(tx, who)
			at[who] = len(all)
			all = append(all, SenderPolicy{Who: who, Policy: policyWord(t.Policy), Verified: t.Verified != 0, New: isNew})
			return &all[len(all)-1], err
		}
		for _, m := range members {
			if m.User == p.user {
				continue
			}
			user, err := add(m.User)
			if err != nil {
				return err
			}
			user.Held += held[m.Key]
			own, err := tx.Trust(m.Address())
			if err != nil {
				return err
			}
			if own.Policy != delivery.PolicyAccept {
				device, err := add(m.Address())
				if err != nil {
					return err
				}
				device.Held = held[m.Key]
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b SenderPolicy) int { return cmp.Compare(a.Who, b.Who) })
	return all, err
}

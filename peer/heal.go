package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Healing is what a heal does: the list of members as the broker shows it to the owner
// counts from then on, for everybody.
type Healing struct {
	Host    string
	Members []string // who belongs by that list: user@device
	// Lost are the changes that are held here and not in that list; they are void
	// afterwards. Who came by one of them joins again.
	Lost []string
}

// HealOptions says how to heal.
type HealOptions struct {
	// Checked is called before anything is signed; an error of it ends the heal. Nil:
	// nobody is asked.
	Checked func(Healing) error
}

// Heal ends a fork: it signs, with the owner's or the recovery key on this machine, that
// the chain counts which this mesh's broker shows to that key, and takes it over. It
// works also where the broker shows this peer another one. [CM-5.40]
func (p *Peer) Heal(ctx context.Context, o HealOptions) (Healing, error) {
	owner, err := p.ownerKey()
	if err != nil {
		return Healing{}, err
	}
	conn, err := p.dialBroker()
	if err != nil {
		return Healing{}, p.explain(err)
	}
	at := conn.endpoint
	v, err := conn.visit(ctx, p.mesh, owner, p.client)
	if err != nil {
		return Healing{}, p.explain(&dialError{at: at, err: err})
	}
	defer v.socket.close(wire.CloseNormal)
	if err := v.readAll(ctx); err != nil {
		return Healing{}, p.explain(&dialError{at: at, err: err})
	}
	stop := context.AfterFunc(ctx, v.socket.abort)
	defer stop()
	h := p.healing(v)
	h.Host = at.shown()
	if o.Checked != nil {
		if err := o.Checked(h); err != nil {
			return h, err
		}
	}
	if err := p.heal(ctx, v, owner); err != nil {
		return h, p.explainHeal(at, forbidden("heal the mesh", err))
	}
	p.hurryUp()
	return h, nil
}

// healing compares what the broker shows with what is held.
func (p *Peer) healing(v *visit) Healing {
	var h Healing
	for _, m := range v.ledger.State().Members() {
		h.Members = append(h.Members, m.Address())
	}
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	ours, theirs := p.ledger.Chain(), v.ledger.Chain()
	n := min(ours.Len(), theirs.Len())
	for ; n > 0; n-- {
		a, _ := ours.Entry(n - 1)
		b, _ := theirs.Entry(n - 1)
		if a.Hash == b.Hash {
			break
		}
	}
	for _, e := range ours.From(n, int(ours.Len())) {
		if p.ledger.Void(e.Entry.N) == nil {
			h.Lost = append(h.Lost, p.changeText(e.Entry))
		}
	}
	return h
}

// changeText says in a few words what an entry changes. ledgerMu is held.
func (p *Peer) changeText(e chain.Entry) string {
	name := func(key keys.Public) string {
		if address := p.names.address(key); address != "" {
			return address
		}
		return shortKey(key)
	}
	switch body := e.Body.(type) {
	case chain.Join:
		return body.User + "@" + body.Device + " joined"
	case chain.Admit:
		return name(body.Peer) + " was let in"
	case chain.Revoke:
		if len(body.Keys) > 0 {
			return name(body.Keys[0]) + " was revoked"
		}
	case chain.Role:
		return fmt.Sprintf("%s got rank %d", name(body.Key), body.Rank)
	case chain.Invite:
		return "an invite"
	}
	return "an entry of type " + string(e.Type())
}

// heal signs the heal until it is ordered, and takes the chain under it over.
func (p *Peer) heal(ctx context.Context, v *visit, owner keys.OwnerPrivate) error {
	for range appendTries {
		state := v.ledger.State()
		e, err := state.Sign(v.brokerNow(), chain.Heal{Broker: state.BrokerKey(), URLs: state.URLs()}, owner)
		if err != nil {
			return err
		}
		appended, err := v.append(e)
		var refused *RefusedError
		switch {
		case errors.As(err, &refused) && refused.RetryAfter > 0:
			// A broker that just heard of the other list orders nothing for a moment.
			if err := pause(ctx, refused.RetryAfter); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case !appended:
			continue
		}
		c := v.ledger.Chain()
		page := chain.Page{Head: c.Head().Object}
		for _, e := range c.From(0, int(c.Len())) {
			page.Entries = append(page.Entries, e.Object)
		}
		_, err = p.takePage(ctx, page)
		return err
	}
	return errors.New("the mesh changes too fast at the moment; try again")
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explainHeal makes of what a heal met an error for people.
func (p *Peer) explainHeal(at endpoint, err error) error {
	var known interface{ Class() Class }
	if errors.As(err, &known) {
		return err
	}
	return p.explain(&dialError{at: at, err: err})
}

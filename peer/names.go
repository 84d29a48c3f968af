package peer

import (
	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
)

// register names every key that the chain ever brought, also of those who are gone:
// the roster knows only who belongs.
type register struct {
	tip   signed.Hash                   // of the last entry that was read
	read  uint64                        // how many entries were
	order []keys.Public                 // of peers, as they came
	peers map[keys.Public]chain.Join    // by peer key
	maker map[keys.Public]keys.Public   // of invites
	owner map[keys.Public]keys.Public   // the first peer that came by an owner's invite
	letIn map[keys.Public][]keys.Public // who made a peer's invite, or said yes to it
}

// follow reads the entries that are new in r.
func (g *register) follow(r *roster.Roster) {
	c := r.Chain()
	if last, ok := c.Entry(g.read - 1); g.read > 0 && (!ok || last.Hash != g.tip) {
		*g = register{} // a heal put another branch in place
	}
	if g.peers == nil {
		g.peers, g.letIn = map[keys.Public]chain.Join{}, map[keys.Public][]keys.Public{}
		g.maker, g.owner = map[keys.Public]keys.Public{}, map[keys.Public]keys.Public{}
	}
	for _, e := range c.From(g.read, int(c.Len())) {
		g.read, g.tip = e.Entry.N+1, e.Hash
		if r.Void(e.Entry.N) != nil {
			continue
		}
		switch body := e.Entry.Body.(type) {
		case chain.Invite:
			g.maker[body.Key] = e.Entry.By
		case chain.Join:
			g.peers[body.Peer] = body
			g.order = append(g.order, body.Peer)
			by := g.maker[e.Entry.By]
			g.letIn[body.Peer] = append(g.letIn[body.Peer], by)
			if _, isPeer := g.peers[by]; !isPeer {
				if _, known := g.owner[by]; !known {
					g.owner[by] = body.Peer
				}
			}
		case chain.Admit:
			g.letIn[body.Peer] = append(g.letIn[body.Peer], e.Entry.By)
		}
	}
}

// user is the name of whose key it is: of an owner's key that of the first who came
// by its invite; "" where nothing is known.
func (g *register) user(key keys.Public) string {
	if first, found := g.owner[key]; found {
		key = first
	}
	return g.peers[key].User
}

// address is user@device of a peer's key, "" where it is none.
func (g *register) address(key keys.Public) string {
	join, found := g.peers[key]
	if !found {
		return ""
	}
	return join.User + "@" + join.Device
}

// userOf names a key for people.
func (p *Peer) userOf(key keys.Public) string {
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	if name := p.names.user(key); name != "" {
		return name
	}
	return shortKey(key)
}

// addressOf names a peer for people, also one that is gone.
func (p *Peer) addressOf(key keys.Public) string {
	if m, ok := p.members().Member(key); ok {
		return m.Address()
	}
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	if name := p.names.address(key); name != "" {
		return name
	}
	return shortKey(key)
}

// ownerName names the owner of the mesh for people.
func (p *Peer) ownerName() string {
	owners := p.members().Owners()
	if len(owners) == 0 {
		return "another member"
	}
	return p.userOf(owners[0])
}

// whoLetIn lists who made a peer's invite or said yes to it.
func (p *Peer) whoLetIn(key keys.Public) []keys.Public {
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	return p.names.letIn[key]
}

// formerKeys lists the peers that ever had a name, the last first.
func (p *Peer) formerKeys(user, device string) []keys.Public {
	p.ledgerMu.Lock()
	defer p.ledgerMu.Unlock()
	p.names.follow(p.ledger)
	var all []keys.Public
	for i := len(p.names.order) - 1; i >= 0; i-- {
		join := p.names.peers[p.names.order[i]]
		if join.User == user && (device == "" || join.Device == device) {
			all = append(all, join.Peer)
		}
	}
	return all
}

// shortKey is a key where there is no name.
func shortKey(key keys.Public) string { return key.String()[:len("key-")+8] }

// isMember tells whether a key belongs, and is not banned here.
func isMember(view *roster.View, key keys.Public) bool {
	_, ok := view.Member(key)
	return ok
}

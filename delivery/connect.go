package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Connection is a peer's session that said hello.
type Connection struct {
	Conn     Conn
	Peer     keys.Public
	User     string // the peer's user, whose devices share messages with One
	Session  keys.SessionID
	Receives wire.Receives
}

// Connect is a hello that was accepted. An older connection of the same
// session has to be disconnected before.
func (b *Broker) Connect(now int64, c Connection) {
	b.event(now)
	p := b.peer(c.Peer)
	if p.revoked {
		b.emit(Effect{Kind: EffectClose, Conn: c.Conn, Code: wire.CloseRevoked})
		return
	}
	b.userOf(c.User, p)
	p.epoch++
	p.old = p.outMsgs
	s := &connState{Connection: c, peer: p, active: b.now, fresh: p.outMsgs > 0}
	b.conns[c.Conn] = s
	p.conns = append(p.conns, s)
	if p.outcomes {
		b.fetchOutcomes(p)
	}
	switch c.Receives {
	case wire.ReceivesReplies:
		b.openReplies(s)
		b.pumpPeer(p)
		return
	case wire.ReceivesNone:
		return
	case wire.ReceivesLive:
		p.active = max(p.active, b.now)
	case wire.ReceivesDrain: // somebody asks here: what is for any device comes here
		p.active = max(p.active, b.now)
		for _, g := range p.user.groups {
			if g.current != p {
				b.turnTo(g, p)
			}
		}
	}
	b.rescan(p)
	b.pumpPeer(p)
}

// openReplies makes the queues of a session that takes its replies only.
func (b *Broker) openReplies(c *connState) {
	p := c.peer
	c.replies = make([]queue, LaneLow+1)
	for lane := range c.replies {
		own, all := &c.replies[lane], &p.queues[lane]
		*own = newQueue(p, Lane(lane), c)
		own.from = all.from
		for it := all.first; it != nil; {
			next := it.next
			if it.hint == c.Session {
				all.take(it)
				own.put(nil, it)
			}
			it = next
		}
	}
}

// Disconnect is the end of a connection, of whatever side.
func (b *Broker) Disconnect(now int64, c Conn) {
	b.event(now)
	if s := b.conns[c]; s != nil {
		b.disconnect(s)
	}
}

// close ends a connection from this side.
func (b *Broker) close(c *connState, code wire.CloseCode) {
	if c.closed {
		return
	}
	b.emit(Effect{Kind: EffectClose, Conn: c.Conn, Code: code})
	b.disconnect(c)
}

func (b *Broker) disconnect(c *connState) {
	p := c.peer
	c.closed = true
	delete(b.conns, c.Conn)
	p.conns = slices.DeleteFunc(p.conns, func(o *connState) bool { return o == c })
	if p.main == c {
		p.main = nil
	}
	b.untold(c)
	for lane := range c.replies {
		q := &c.replies[lane]
		q.dead = true
		for q.first != nil {
			it := q.first
			q.take(it)
			b.back(it)
		}
		if q.from != noNumber { // what it had not fetched yet is the lane's again
			p.queues[lane].leave(q.from)
		}
	}
	for c.out.first != nil {
		it := c.out.first
		b.comeIn(it)
		b.back(it)
	}
	if p.graceLast != nil { // nobody may be there to say received
		b.save(p, p.graceLast)
	}
	for lane := range p.queues {
		b.letGo(&p.queues[lane])
	}
	b.pumpPeer(p)
	if p.user != nil {
		b.kick(p.user)
	}
}

// comeIn takes an item off its connection.
func (b *Broker) comeIn(it *item) {
	it.out.out.remove(it)
	it.out = nil
	p := it.to
	switch {
	case it.lane == LaneReceipt:
	case it.m.one:
		b.uncount(it)
	default:
		p.outMsgs--
		p.outBytes -= it.size
		if it.epoch != p.epoch && p.old > 0 {
			p.old--
			if p.old == 0 {
				for _, c := range p.conns {
					c.fresh = false
				}
			}
		}
	}
}

// back puts an item that was out, or in a queue that ended, into its queue again.
func (b *Broker) back(it *item) {
	q := it.to.queueOf(it)
	switch {
	case it.m.from.revoked: // while it was out
		it.place = placeWaiting // in no queue
		b.lose(it)
	case it.disk == diskSaved:
		b.evict(q, it)
	case it.disk == diskFailed:
		b.vanish(it)
	default:
		q.put(nil, it)
	}
}

// queueOf gives the queue that an item waits in: that of the session which takes
// only its replies, where it is for that, else the lane's.
func (p *peerState) queueOf(it *item) *queue {
	if it.lane <= LaneLow {
		if c := p.session(it.hint); c != nil && c.replies != nil {
			return &c.replies[it.lane]
		}
	}
	return &p.queues[it.lane]
}

// Active says that the session of a connection is in use (it turned to
// working); a message that was sent says so too. What is for any session or
// any device goes to the last active one.
func (b *Broker) Active(now int64, c Conn) {
	b.event(now)
	if s := b.conns[c]; s != nil {
		b.active(s)
	}
}

func (b *Broker) active(c *connState) {
	c.active = b.now
	c.peer.active = b.now
}

// userOf notes whose device a peer is.
func (b *Broker) userOf(name string, p *peerState) *userState {
	if p.user != nil {
		return p.user
	}
	u := b.users[name]
	if u == nil {
		u = &userState{groups: map[*peerState]*group{}}
		b.users[name] = u
	}
	p.user = u
	u.devices = append(u.devices, p)
	return u
}

// taking tells whether a connection of the peer is handed everything.
func (p *peerState) taking() bool {
	for _, c := range p.conns {
		if c.takes() {
			return true
		}
	}
	return false
}

// session gives the connection of a session that is handed what carries it as
// hint, or nil.
func (p *peerState) session(id keys.SessionID) *connState {
	if id.IsZero() {
		return nil
	}
	for _, c := range p.conns {
		if c.Session == id && c.Receives != wire.ReceivesNone {
			return c
		}
	}
	return nil
}

// pick gives the connection for what has no hint: the same one while something
// is out on it, so that two do not overtake one another, else the last active
// live one, else one that drains.
func (p *peerState) pick() *connState {
	if p.main != nil && p.main.out.first != nil {
		return p.main
	}
	var best *connState
	for _, c := range p.conns {
		switch {
		case !c.takes():
		case best == nil,
			c.Receives > best.Receives,
			c.Receives == best.Receives && c.active >= best.active:
			best = c
		}
	}
	p.main = best
	return best
}

// choose gives the connection that an item of a lane without claims is to be
// handed to, nil for none. A session that has just connected is passed over
// while something handed over before is out, since it could overtake that.
func (p *peerState) choose(it *item) *connState {
	c := p.session(it.hint)
	if c == nil || !c.takes() {
		return p.pick()
	}
	it.displaced = c.fresh
	if c.fresh {
		return p.pick()
	}
	return c
}

// anyConn gives a connection for a receipt: the hint's, else the one that takes
// everything, else any that takes receipts.
func (p *peerState) anyConn(it *item) *connState {
	if c := p.session(it.hint); c != nil {
		return c
	}
	if c := p.pick(); c != nil {
		return c
	}
	for _, c := range p.conns {
		if c.Receives != wire.ReceivesNone {
			return c
		}
	}
	return nil
}

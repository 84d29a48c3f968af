package delivery

import "github.com/claudemesh/claudemesh-go/wire"

// What became of a message after its sender was answered is an outcome. It is
// kept in the store until a connection that it was told on has lived on for
// twice as long as a silent one may: then it was read, since frames keep their
// order and heartbeats were answered behind it, and written down. Before that it
// is told again on the next connection. Only delivered, said to a sender that is
// there, is not kept: what the store has neither a row nor an outcome of was delivered,
// and a sender that may have missed it asks.

// told is an outcome that was told on a connection, and when.
type told struct {
	outcome *Outcome
	at      int64
}

// keepOutcome has an outcome stored; it is told once that is answered.
func (b *Broker) keepOutcome(o *Outcome) {
	b.peer(o.To).outcomes = true
	b.seq++
	b.saving = append(b.saving, saving{seq: b.seq, outcome: o})
	b.emit(Effect{Kind: EffectSaveOutcome, Seq: b.seq, Outcome: o})
}

// outcomeAnswered is an outcome that the store has kept, or not.
func (b *Broker) outcomeAnswered(o *Outcome, kept bool) {
	p := b.peer(o.To)
	if len(p.conns) > 0 {
		b.tellOutcome(p.conns[len(p.conns)-1], o)
	} else {
		p.outcomes = true
	}
	if !kept {
		b.keepOutcome(o)
	}
}

func (b *Broker) tellOutcome(c *connState, o *Outcome) {
	b.emit(Effect{Kind: EffectAck, Conn: c.Conn, Peer: o.Recipient, ID: o.ID, State: o.State, Why: o.Why, Outcome: o})
	if len(c.told) == 0 {
		b.telling = append(b.telling, c)
	}
	c.told = append(c.told, told{o, b.now})
}

// fetchOutcomes asks for what a sender may not have heard yet.
func (b *Broker) fetchOutcomes(p *peerState) {
	p.outcomes = false
	b.emit(Effect{Kind: EffectFetch, Fetch: &Fetch{Kind: FetchOutcomes, To: p.key, Limit: 8 * b.page}})
}

// FetchedOutcomes brings the outcomes of a fetch.
func (b *Broker) FetchedOutcomes(now int64, f *Fetch, outcomes []Outcome, more bool) {
	b.event(now)
	p := b.peer(f.To)
	if len(p.conns) == 0 {
		p.outcomes = true // next time
		return
	}
	c := p.conns[len(p.conns)-1]
	for i := range outcomes {
		b.tellOutcome(c, &outcomes[i])
	}
	p.outcomes = p.outcomes || more // when these have gone
}

// tickTold lets go of the outcomes that were read.
func (b *Broker) tickTold() {
	kept := b.telling[:0]
	for _, c := range b.telling {
		if c.closed {
			continue
		}
		n := 0
		for n < len(c.told) && c.told[n].at+2*wire.SilenceWithin <= b.now {
			b.emit(Effect{Kind: EffectDropOutcome, Outcome: c.told[n].outcome})
			n++
		}
		c.told = append(c.told[:0], c.told[n:]...)
		if len(c.told) > 0 {
			kept = append(kept, c)
		} else if c.peer.outcomes {
			b.fetchOutcomes(c.peer)
		}
	}
	clear(b.telling[len(kept):])
	b.telling = kept
}

// untimed is time in which no connection showed that it lives.
func (b *Broker) untimed(ms int64) {
	for _, c := range b.telling {
		for i := range c.told {
			c.told[i].at += ms
		}
	}
}

// untold is a connection that ended before what was told on it was surely read.
func (b *Broker) untold(c *connState) {
	if len(c.told) == 0 {
		return
	}
	c.told = nil
	c.peer.outcomes = true
	if len(c.peer.conns) > 0 {
		b.fetchOutcomes(c.peer)
	}
}

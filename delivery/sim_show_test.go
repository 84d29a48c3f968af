package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/wire"
)

// plan decides what is shown now and marks it so.
func (p *proc) plan() (then func()) {
	d := p.dev
	p.recover()
	if p.w.ending {
		p.open()
	}
	want := Want{Session: p.id, Asked: p.asked || p.w.ending, Max: 4, Offline: !p.welcome}
	if p.asked {
		want.Elsewhere = p.w.chance(30)
	}
	p.asked = false
	if p.w.ending && p.receives == wire.ReceivesLive {
		p.status = StatusIdle
	}
	if len(p.batch) > 0 {
		return nil
	}
	plan := PlanShow(d.now(), View{Rows: d.inbox, Streams: d.streams, Sessions: d.sessions()}, want)
	for _, c := range plan.Missing {
		d.row(c.Place).Missing = c.Missing
	}
	for _, place := range plan.Expired {
		r := d.row(place)
		m := p.w.msgOf(r.ID)
		if d.now() < m.expires {
			p.w.fail("m%d dropped as expired before its time", m.idx)
		}
		if p.w.tracing {
			p.w.trace("%v: m%d expired in the inbox", p, m.idx)
		}
		if rec := m.rec(d); rec.over == 0 && !r.Copy {
			rec.over = wire.StateExpired
		}
		if r.Copy && p.link != nil { // the broker has it still
			p.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictRefused, why: wire.WhyExpired, msg: m})
		}
		d.dropRow(place)
	}
	p.lookAt = plan.Next
	var batch []batched
	for _, s := range plan.Show {
		r := d.row(s.Place)
		r.State, r.Shower = InboxShowing, p.id
		batch = append(batch, batched{Showing: s, msg: p.w.msgOf(r.ID), at: d.now()})
	}
	return func() {
		// Copies that were granted to another process of this profile.
		p.copies = slices.DeleteFunc(p.copies, func(m *simMsg) bool {
			if d.isTaken(m) && p.link != nil {
				p.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictReceived, msg: m})
			}
			return d.isTaken(m)
		})
		if len(batch) == 0 {
			return
		}
		p.batch, p.claimOn, p.openAt = batch, p.link, p.w.now+5000
		if p.link != nil && p.welcome {
			for i := range p.batch {
				if b := &p.batch[i]; b.Claim {
					p.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictClaim, msg: b.msg})
				}
			}
		} else {
			p.openAt = p.w.now
		}
		p.answered()
	}
}

// answered goes on once all claims of the batch were answered.
func (p *proc) answered() {
	for i := range p.batch {
		if b := &p.batch[i]; b.Claim && b.answer == AnswerNone {
			return
		}
	}
	p.do(op{kind: opSettle})
}

// grant is the answer to a claim, or the word that what this connection brought
// has gone.
func (p *proc) grant(o *op) (then func()) {
	d, m := p.dev, o.msg
	i := slices.IndexFunc(p.batch, func(b batched) bool { return b.msg == m && b.Claim && b.answer == AnswerNone })
	if i >= 0 {
		return func() {
			p.batch[i].answer = AnswerTaken
			if o.claim {
				p.batch[i].answer = AnswerGranted
			}
			p.answered()
		}
	}
	if r := d.rowOf(m); r != nil && r.Copy && !o.claim {
		if p.w.tracing {
			p.w.trace("%v: m%d is taken back", p, m.idx)
		}
		d.leaveCopies(GoneCopies([]InboxRow{*r}, d.sessions(), p.id))
	}
	return nil // what is granted and was given up here is claimed anew
}

// settle writes what the broker said about the batch, and shows what is shown.
func (p *proc) settle() (then func()) {
	d := p.dev
	var claimed []Claimed
	for _, b := range p.batch {
		claimed = append(claimed, Claimed{StreamKey: StreamKey{b.msg.from.key, b.msg.session, b.msg.audience, b.msg.priority},
			N: b.msg.n, Claim: b.Claim, Answer: b.answer, Gone: d.row(b.Place) == nil})
	}
	var show []batched
	for i, do := range Settle(claimed) {
		b := p.batch[i]
		r := d.row(b.Place)
		if p.w.tracing {
			p.w.trace("%v: m%d answered %v: %v", p, b.msg.idx, b.answer, do)
		}
		switch do {
		case ShowIt:
			show = append(show, b)
			if b.Claim {
				r.Copy = false
				d.take(b.msg)
			}
		case PutBack:
			r.PutBack()
		case DropIt:
			d.dropRow(b.Place)
		}
	}
	return func() {
		p.batch, p.look = nil, true
		for _, b := range show {
			if b.Claim && p.claimOn.atProc {
				p.claimOn.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictReceived, msg: b.msg})
			}
		}
		for _, b := range show {
			p.w.show(p, b)
			p.inFront = append(p.inFront, b.msg)
		}
	}
}

// unlinked is what goes with a connection: claims that were not answered, and
// copies that it brought.
func (p *proc) unlinked() (then func()) {
	then = p.settle()
	p.dev.leaveCopies(GoneCopies(p.dev.inbox, p.dev.sessions(), p.id))
	return then
}

// seen is evidence.
func (p *proc) seen(m *simMsg) {
	d := p.dev
	r := d.rowOf(m)
	if r == nil {
		return
	}
	rec := m.rec(d)
	if rec.shown == 0 {
		p.w.fail("m%d: evidence of what was not shown", m.idx)
	}
	rec.seen = true
	if d.streams == nil {
		d.streams = map[StreamKey]Stream{}
	}
	s := d.streams[r.StreamKey]
	s.StreamKey = r.StreamKey
	s.Show(r.N, r.Expires)
	d.streams[r.StreamKey] = s
	d.dropRow(r.Place)
	p.note(m, wire.StateSeen, wire.WhyNone)
}

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
		batch = append(batch, batched{Showing: s, msg: p.w.msgOf(r.ID)})
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
		p.batch = batch
		for i := range p.batch {
			if b := &p.batch[i]; b.Claim {
				if p.link == nil || !p.welcome {
					p.do(op{kind: opUnlinked})
				} else {
					p.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictClaim, msg: b.msg})
				}
			}
		}
		p.show()
	}
}

// show shows what of the batch can be shown, in its order.
func (p *proc) show() {
	for len(p.batch) > 0 {
		b := p.batch[0]
		switch {
		case b.taken:
		case b.Claim && !b.granted:
			return
		default:
			p.w.show(p, b)
			p.inFront = append(p.inFront, b.msg)
		}
		p.batch = p.batch[1:]
	}
	p.look = true
}

// grant is the answer to a claim, or the word that another device has it.
func (p *proc) grant(o *op) (then func()) {
	d, m := p.dev, o.msg
	i := slices.IndexFunc(p.batch, func(b batched) bool { return b.msg == m && b.Claim && !b.granted && !b.taken })
	var r *InboxRow
	if i >= 0 {
		r = d.row(p.batch[i].Place)
	} else if r = d.rowOf(m); o.claim {
		r = nil // it comes again
	}
	if r == nil || !r.Copy {
		// The copy has gone; if it was granted, it comes again.
		return func() {
			if i >= 0 {
				p.batch[i].taken = true
				p.show()
			}
		}
	}
	if !o.claim {
		if p.w.tracing {
			p.w.trace("%v: m%d is taken", p, m.idx)
		}
		if i < 0 { // unasked: what this connection brought has gone
			d.leaveCopies(GoneCopies([]InboxRow{*r}, d.sessions(), p.id))
			return nil
		}
		d.dropRow(r.Place)
		return func() {
			p.batch[i].taken = true
			p.show()
		}
	}
	r.Copy = false
	d.take(m)
	return func() {
		if o.link.atProc {
			o.link.sendUp(frame{kind: frameReceipt, verdict: wire.VerdictReceived, msg: m})
		}
		p.batch[i].granted = true
		p.show()
	}
}

// unlinked is what goes with a connection: copies that it brought, and claims
// that were not answered.
func (p *proc) unlinked() {
	d := p.dev
	kept := p.batch[:0]
	for _, b := range p.batch {
		r := d.row(b.Place)
		if b.Claim && !b.granted {
			if r != nil {
				r.Recover()
			}
			continue
		}
		kept = append(kept, b)
	}
	p.batch = kept
	d.leaveCopies(GoneCopies(d.inbox, d.sessions(), p.id))
	p.show()
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

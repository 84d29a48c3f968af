package delivery

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// View is what state.db holds for one mesh, read in the transaction that also
// writes what is decided.
type View struct {
	Rows     []InboxRow // by Place; the lowest ones, where there are too many
	Streams  map[StreamKey]Stream
	Sessions []SessionRow // the live ones
}

// Want says what a session would show now.
type Want struct {
	Session keys.SessionID
	// Asked: its agent or user asks; also low is shown, whatever the status.
	Asked bool
	// Offline: there is no connection to claim over, so copies stay.
	Offline bool
	// Elsewhere: also what is for other live sessions of this peer.
	Elsewhere bool
	// Max is the number of messages at most; 0: all.
	Max int
}

// Showing is one message to show.
type Showing struct {
	Place int64
	// Claim: it is a copy, to be claimed first; shown only when granted.
	Claim bool
	// Gap: numbers before it are missing, and were waited for.
	Gap bool
	// Late: a higher number of its stream was shown before it.
	Late bool
	// Again: it may have been shown before.
	Again bool
}

// Elsewhere counts what waits for another live session.
type Elsewhere struct {
	Session keys.SessionID
	Count   int
}

// MissingChange sets InboxRow.Missing of the row Place.
type MissingChange struct {
	Place   int64
	Missing int64
}

// Plan is what a session may show, in order, and what stays. Whoever shows
// puts the rows into InboxShowing with itself as Shower, claims what is to be
// claimed, and shows what was granted, in this order.
type Plan struct {
	Show []Showing
	// Missing are changes of InboxRow.Missing, to be written.
	Missing []MissingChange
	// Expired are the places of rows past their expiry, to be dropped; their ids
	// stay remembered. Of a copy the broker is told: refused, wire.WhyExpired.
	Expired []int64
	// Next is when to look again, Unix ms; 0: when something changes.
	Next int64
	// Elsewhere counts what waits for other live sessions, Later what waits for
	// this one until it is idle or to be disturbed, Low what waits until it asks,
	// Held what policy keeps back.
	Elsewhere        []Elsewhere
	Later, Low, Held int
}

// PlanShow decides what a session may show now [CM-8].
func PlanShow(now int64, v View, w Want) Plan {
	p := planner{now: now, view: &v, want: w}
	for i := range v.Sessions {
		if v.Sessions[i].ID == w.Session {
			p.me = v.Sessions[i]
		}
	}
	rows := make([]*InboxRow, 0, len(v.Rows))
	for i := range v.Rows {
		if r := &v.Rows[i]; p.consider(r) {
			rows = append(rows, r)
		}
	}
	// Streams as a whole come in the order of their first messages; inside, by
	// the sender's numbers.
	slices.SortStableFunc(rows, compareStreams)
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[0].N > 0 && rows[n].StreamKey == rows[0].StreamKey {
			n++
		}
		p.stream(rows[:n])
		rows = rows[n:]
	}
	p.order()
	return p.plan
}

type planner struct {
	now   int64
	view  *View
	want  Want
	me    SessionRow
	plan  Plan
	shown []shownRow
}

// shownRow is a message to show, with what orders it.
type shownRow struct {
	Showing
	row *InboxRow
}

// at asks for another look at a time.
func (p *planner) at(t int64) {
	if t > p.now && (p.plan.Next == 0 || t < p.plan.Next) {
		p.plan.Next = t
	}
}

// consider sorts out the rows that no order is looked for in.
func (p *planner) consider(r *InboxRow) bool {
	switch {
	case r.State == InboxShowing:
		return true
	case r.Expires <= p.now:
		p.plan.Expired = append(p.plan.Expired, r.Place)
		return false
	case r.State == InboxUnopened:
		p.at(r.Expires)
		return false
	case r.State == InboxHeld:
		p.plan.Held++
		p.at(r.Expires)
	}
	return true
}

func compareStreams(a, b *InboxRow) int {
	return cmp.Or(
		bytes.Compare(a.Sender[:], b.Sender[:]),
		bytes.Compare(a.StreamKey.Session[:], b.StreamKey.Session[:]),
		bytes.Compare(a.Audience[:], b.Audience[:]),
		cmp.Compare(a.Priority, b.Priority),
		cmp.Compare(a.N, b.N),
		cmp.Compare(a.Place, b.Place),
	)
}

// stream goes through the rows of one stream in the order of their numbers.
// What has to wait keeps back what is behind it, save where the user's policy
// or a wrong clock holds it.
func (p *planner) stream(rows []*InboxRow) {
	last := p.view.Streams[rows[0].StreamKey].Shown // highest number shown
	began := last > 0                               // else the first number seen starts the count
	held := uint64(0)                               // numbers above last that are here, and held
	high := last                                    // highest number that was, or may have been, in front of the user
	undecided := uint64(0)                          // highest number that is claimed, and not answered
	for _, r := range rows {
		switch {
		case r.State == InboxShowing && r.Copy:
			undecided = max(undecided, r.N)
		case r.State == InboxShowing || r.Again:
			high = max(high, r.N)
		}
	}
	blocked := false
	for _, r := range rows {
		numbered := r.N > 0
		switch {
		case r.State == InboxShowing:
			blocked = blocked || r.Shower != p.want.Session
			last, held, began = max(last, r.N), 0, true
			continue
		case r.State == InboxHeld || r.ahead(p.now):
			if r.ahead(p.now) {
				p.at(r.Sent)
			}
			if r.N > last {
				held++
			}
			continue
		}
		if mine := p.mine(r); !mine || numbered && (blocked || r.N < undecided) {
			blocked = true
			continue
		}
		s := shownRow{Showing: Showing{Place: r.Place, Claim: r.Copy, Again: r.Again}, row: r}
		s.Late = numbered && r.N < high
		if began && r.N > last && r.N-last-1 > held && !r.claimed() {
			if wait := r.Arrived + wire.GapWait; r.Arrived <= p.now && p.now < wait { // else the clock went back
				p.at(wait)
				blocked = true
				continue
			}
			s.Gap = true
		}
		last, held, began = max(last, r.N), 0, true
		p.shown = append(p.shown, s)
	}
}

// mine tells whether this session shows a row now, and counts it where not.
func (p *planner) mine(r *InboxRow) bool {
	p.at(r.Expires)
	missing := r.Missing
	chosen, at := chosen(p.now, r, &missing, p.view.Sessions)
	if missing != r.Missing {
		p.plan.Missing = append(p.plan.Missing, MissingChange{Place: r.Place, Missing: missing})
	}
	p.at(at)
	switch {
	case chosen == p.want.Session:
	case p.want.Elsewhere:
	case chosen.IsZero() && p.want.Asked && p.me.Receives >= wire.ReceivesDrain: // nobody else is there to show it
	case chosen.IsZero():
		return false
	default:
		i := slices.IndexFunc(p.plan.Elsewhere, func(e Elsewhere) bool { return e.Session == chosen })
		if i < 0 {
			i = len(p.plan.Elsewhere)
			p.plan.Elsewhere = append(p.plan.Elsewhere, Elsewhere{Session: chosen})
		}
		p.plan.Elsewhere[i].Count++
		return false
	}
	switch {
	case r.Copy && p.want.Offline:
		p.plan.Later++
		return false
	case p.want.Asked:
		return true
	case r.Priority == wire.PriorityLow:
		p.plan.Low++
		return false
	case p.me.Status == StatusDND, p.me.Status == StatusWorking && r.Priority == wire.PriorityNext:
		p.plan.Later++
		return false
	}
	return true
}

// order puts what is to be shown into its order: what may interrupt first,
// then as it came, but each stream by its numbers.
func (p *planner) order() {
	byPlace := slices.Clone(p.shown)
	rank := func(a, b shownRow) int {
		return cmp.Or(
			-cmp.Compare(urgency[a.row.Priority], urgency[b.row.Priority]),
			cmp.Compare(a.Place, b.Place),
		)
	}
	slices.SortFunc(byPlace, rank)
	next := map[StreamKey]int{} // where p.shown goes on with a stream
	for i := range p.shown {
		if k := p.shown[i].row.StreamKey; p.shown[i].row.N > 0 {
			if _, ok := next[k]; !ok {
				next[k] = i
			}
		}
	}
	for i := range byPlace {
		s := byPlace[i]
		if s.row.N > 0 { // the stream's next one takes the place that this one has
			k := s.row.StreamKey
			s = p.shown[next[k]]
			next[k]++
		}
		if p.want.Max > 0 && len(p.plan.Show) == p.want.Max {
			return
		}
		p.plan.Show = append(p.plan.Show, s.Showing)
	}
}

var urgency = [...]int{wire.PriorityNow: 2, wire.PriorityNext: 1, wire.PriorityLow: 0}

// Chosen gives the session among the live ones that is to show a row, so that
// it can be poked; zero: none yet. At is when the answer changes by time
// alone, 0: never.
func Chosen(now int64, row *InboxRow, live []SessionRow) (session keys.SessionID, at int64) {
	missing := row.Missing
	return chosen(now, row, &missing, live)
}

// chosen is Chosen, and keeps since when the session that a row is for is not
// there. A message for a session goes to it, then to the next of its label,
// after a minute to any; a reply goes to the session that wrote the original,
// else to any; any is the last active.
func chosen(now int64, r *InboxRow, missing *int64, live []SessionRow) (keys.SessionID, int64) {
	if r.For.IsZero() && r.ForLabel == "" {
		return anySession(live, ""), 0
	}
	for i := range live {
		if s := &live[i]; s.ID == r.For && s.Receives != wire.ReceivesNone {
			*missing = 0
			return s.ID, 0
		}
	}
	if r.Reply {
		return anySession(live, ""), 0
	}
	if r.ForLabel != "" {
		if id := anySession(live, r.ForLabel); !id.IsZero() {
			*missing = 0
			return id, 0
		}
	}
	if *missing == 0 || *missing > now { // or the clock went back
		*missing = now
	}
	if until := *missing + wire.SessionWait; now < until {
		return keys.SessionID{}, until
	}
	return anySession(live, ""), 0
}

// anySession gives the last active live session, with a label where one is
// given, else the last active one that drains; zero for none.
func anySession(live []SessionRow, label string) keys.SessionID {
	var best *SessionRow
	for i := range live {
		s := &live[i]
		if s.Receives < wire.ReceivesDrain || label != "" && s.Label != label {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(s.Receives, best.Receives), cmp.Compare(s.Active, best.Active),
			bytes.Compare(s.ID[:], best.ID[:])) > 0 {
			best = s
		}
	}
	if best == nil {
		return keys.SessionID{}
	}
	return best.ID
}

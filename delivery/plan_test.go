package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

const planNow = 1_000_000

// inRow is a message at a place, with number n of the stream of p1's session.
func inRow(place int64, n uint64) InboxRow {
	return InboxRow{Place: place, From: peerKey(1), ID: messageID(int(place)), Arrived: planNow - 10, Sent: planNow - 20,
		Expires: planNow + 1e6, N: n,
		StreamKey: StreamKey{Sender: peerKey(1), Session: session(9), Priority: wire.PriorityNext}}
}

// with changes a row.
func (r InboxRow) with(change func(*InboxRow)) InboxRow {
	change(&r)
	return r
}

func liveSession(n byte, label string, active int64) SessionRow {
	return SessionRow{ID: session(n), Label: label, Receives: wire.ReceivesLive, Active: active}
}

// words writes a plan down.
func (p Plan) words() string {
	var words []string
	for _, s := range p.Show {
		w := fmt.Sprint(s.Place)
		for _, mark := range []struct {
			on   bool
			word string
		}{{s.Claim, "claim"}, {s.Gap, "gap"}, {s.Late, "late"}, {s.Again, "again"}} {
			if mark.on {
				w += " " + mark.word
			}
		}
		words = append(words, w)
	}
	if p.Next > 0 {
		words = append(words, fmt.Sprintf("next %+d", p.Next-planNow))
	}
	return strings.Join(words, ", ")
}

func checkPlan(t *testing.T, name string, v View, w Want, want string) Plan {
	t.Helper()
	if w.Session.IsZero() {
		w.Session = session(1)
	}
	if v.Sessions == nil {
		v.Sessions = []SessionRow{liveSession(1, "web", 10)}
	}
	plan := PlanShow(planNow, v, w)
	if got := plan.words(); got != want {
		t.Errorf("%s:\n got %s\nwant %s", name, got, want)
	}
	return plan
}

func TestPlanOrder(t *testing.T) {
	key := inRow(1, 1).StreamKey
	now := func(r *InboxRow) { r.Priority = wire.PriorityNow }
	for _, c := range []struct {
		name  string
		rows  []InboxRow
		shown uint64
		want  string
	}{
		{"as they came", []InboxRow{inRow(1, 1), inRow(2, 2)}, 0, "1, 2, next +1000000"},
		{"by the sender's numbers", []InboxRow{inRow(1, 2), inRow(2, 1)}, 0, "2, 1, next +1000000"},
		{"what may interrupt first", []InboxRow{inRow(1, 1), inRow(2, 1).with(now)}, 0, "2, 1, next +1000000"},
		{"the first number seen starts the count", []InboxRow{inRow(1, 7), inRow(2, 8)}, 0, "1, 2, next +1000000"},
		{"a gap is waited for", []InboxRow{inRow(1, 5)}, 3, "next +1990"},
		{"and what is behind it too", []InboxRow{inRow(1, 4), inRow(2, 6), inRow(3, 7)}, 3, "1, next +1990"},
		{"then marked", []InboxRow{inRow(1, 5).with(func(r *InboxRow) { r.Arrived -= wire.GapWait })}, 3, "1 gap, next +1000000"},
		{"not by a clock that went back", []InboxRow{inRow(1, 5).with(func(r *InboxRow) { r.Arrived = planNow + 9 })}, 3, "1 gap, next +1000000"},
		{"what comes after a higher number is late", []InboxRow{inRow(1, 3)}, 5, "1 late, next +1000000"},
		{"without number there is no order", []InboxRow{inRow(1, 0), inRow(2, 0)}, 5, "1, 2, next +1000000"},
		{"no gap is looked for in what is claimed", []InboxRow{inRow(1, 9).with(func(r *InboxRow) { r.Copy = true })}, 3, "1 claim, next +1000000"},
		{"nor in what was", []InboxRow{inRow(1, 9).with(func(r *InboxRow) { r.Takers = []keys.SessionID{session(1)} })}, 3, "1, next +1000000"},
		{"what is held is no gap", []InboxRow{inRow(1, 4).with(func(r *InboxRow) { r.State = InboxHeld }), inRow(2, 5)}, 3, "2, next +1000000"},
		{"but does not hide one", []InboxRow{inRow(1, 5).with(func(r *InboxRow) { r.State = InboxHeld }), inRow(2, 6)}, 3, "next +1990"},
		{"shown by another, the rest waits", []InboxRow{inRow(1, 4).with(func(r *InboxRow) { r.State, r.Shower = InboxShowing, session(2) }), inRow(2, 5)}, 3, "next +1000000"},
		{"shown by oneself, it goes on", []InboxRow{inRow(1, 4).with(func(r *InboxRow) { r.State, r.Shower = InboxShowing, session(1) }), inRow(2, 5)}, 3, "2, next +1000000"},
		{"before what another claims it waits for the answer", []InboxRow{inRow(1, 2).with(func(r *InboxRow) { r.State, r.Shower, r.Copy = InboxShowing, session(2), true }), inRow(2, 1)}, 0, "next +1000000"},
		{"perhaps shown before", []InboxRow{inRow(1, 2).with(func(r *InboxRow) { r.Again = true }), inRow(2, 1)}, 0, "2 late, 1 again, next +1000000"},
		{"unopened is passed over", []InboxRow{inRow(1, 0).with(func(r *InboxRow) { r.State = InboxUnopened }), inRow(2, 1)}, 0, "2, next +1000000"},
		{"ahead of its time", []InboxRow{inRow(1, 1).with(func(r *InboxRow) { r.Sent = planNow + wire.ClockAhead + 5 }), inRow(2, 2)}, 0, "2, next +600005"},
	} {
		v := View{Rows: c.rows, Streams: map[StreamKey]Stream{}}
		if c.shown > 0 {
			v.Streams[key] = Stream{StreamKey: key, Shown: c.shown}
		}
		checkPlan(t, c.name, v, Want{}, c.want)
	}
}

func TestPlanAttention(t *testing.T) {
	rows := []InboxRow{
		inRow(1, 0).with(func(r *InboxRow) { r.Priority = wire.PriorityNow }),
		inRow(2, 0).with(func(r *InboxRow) { r.Priority = wire.PriorityNext }),
		inRow(3, 0).with(func(r *InboxRow) { r.Priority = wire.PriorityLow }),
	}
	for _, c := range []struct {
		status     Status
		asked      bool
		want       string
		later, low int
	}{
		{StatusIdle, false, "1, 2, next +1000000", 0, 1},
		{StatusWorking, false, "1, next +1000000", 1, 1},
		{StatusDND, false, "next +1000000", 2, 1},
		{StatusDND, true, "1, 2, 3, next +1000000", 0, 0},
		{StatusWorking, true, "1, 2, 3, next +1000000", 0, 0},
	} {
		s := liveSession(1, "web", 10)
		s.Status = c.status
		plan := checkPlan(t, fmt.Sprint(c.status, c.asked), View{Rows: rows, Sessions: []SessionRow{s}}, Want{Asked: c.asked}, c.want)
		if plan.Later != c.later || plan.Low != c.low {
			t.Errorf("status %v: later %d, low %d", c.status, plan.Later, plan.Low)
		}
	}
	plan := checkPlan(t, "as many as asked for", View{Rows: rows}, Want{Asked: true, Max: 2}, "1, 2, next +1000000")
	if len(plan.Show) != 2 {
		t.Errorf("%d shown", len(plan.Show))
	}
	copied := []InboxRow{inRow(1, 1).with(func(r *InboxRow) { r.Copy = true })}
	checkPlan(t, "no claim without connection", View{Rows: copied}, Want{Offline: true}, "next +1000000")
}

func TestPlanDropsWhatExpired(t *testing.T) {
	old := func(r *InboxRow) { r.Expires = planNow }
	v := View{Rows: []InboxRow{inRow(1, 1).with(old), inRow(2, 2), inRow(3, 3).with(old).with(func(r *InboxRow) { r.State, r.Shower = InboxShowing, session(1) })}}
	plan := checkPlan(t, "expired", v, Want{}, "2 late, next +1000000")
	if !slices.Equal(plan.Expired, []int64{1}) {
		t.Errorf("dropped: %v; what is in front of somebody stays", plan.Expired)
	}
}

func TestChosenSession(t *testing.T) {
	live := []SessionRow{
		liveSession(1, "web", 30), liveSession(2, "web", 20), liveSession(3, "api", 50),
		{ID: session(4), Label: "api", Receives: wire.ReceivesReplies, Active: 90},
		{ID: session(5), Label: "web", Receives: wire.ReceivesDrain, Active: 95},
	}
	to := func(n byte, label string) func(*InboxRow) {
		return func(r *InboxRow) { r.For, r.ForLabel = session(n), label }
	}
	for _, c := range []struct {
		name string
		row  InboxRow
		live []SessionRow
		want byte
		at   int64
	}{
		{"for the peer: the last active live one", inRow(1, 1), live, 3, 0},
		{"for a session", inRow(1, 1).with(to(2, "web")), live, 2, 0},
		{"a command waits for its replies", inRow(1, 1).with(to(4, "api")), live, 4, 0},
		{"gone: the next of its label", inRow(1, 1).with(to(77, "web")), live, 1, 0},
		{"none of its label: for a minute nobody", inRow(1, 1).with(to(77, "db")), live, 0, planNow + wire.SessionWait},
		{"then any", inRow(1, 1).with(to(77, "db")).with(func(r *InboxRow) { r.Missing = planNow - wire.SessionWait }), live, 3, 0},
		{"a reply whose session is gone: any", inRow(1, 1).with(to(77, "")).with(func(r *InboxRow) { r.Reply = true }), live, 3, 0},
		{"a label alone", inRow(1, 1).with(to(0, "web")), live, 1, 0},
		{"only one that drains", inRow(1, 1), live[3:], 5, 0},
		{"nobody", inRow(1, 1), live[3:4], 0, 0},
	} {
		got, at := Chosen(planNow, &c.row, c.live)
		want := session(c.want)
		if got != want || at != c.at {
			t.Errorf("%s: session %d at %d, want %d at %d", c.name, got[0], at, c.want, c.at)
		}
	}
}

func TestPlanElsewhere(t *testing.T) {
	sessions := []SessionRow{liveSession(1, "web", 10), liveSession(2, "api", 20),
		{ID: session(3), Label: "inbox", Receives: wire.ReceivesDrain}}
	missing := inRow(2, 1).with(func(r *InboxRow) { r.For, r.ForLabel = session(77), "db" })
	v := View{Rows: []InboxRow{inRow(1, 0), missing}, Sessions: sessions}
	plan := checkPlan(t, "the other session's", v, Want{}, "next +60000")
	if len(plan.Elsewhere) != 1 || plan.Elsewhere[0] != (Elsewhere{session(2), 1}) {
		t.Errorf("elsewhere: %v", plan.Elsewhere)
	}
	if len(plan.Missing) != 1 || plan.Missing[0] != (MissingChange{2, planNow}) {
		t.Errorf("missing: %v", plan.Missing)
	}
	checkPlan(t, "taken nevertheless", v, Want{Asked: true, Elsewhere: true}, "1, 2, next +60000")
	checkPlan(t, "a command that asks gets what is nobody's", v, Want{Session: session(3), Asked: true}, "2, next +60000")
}

func TestCrashedAndCopies(t *testing.T) {
	live := []SessionRow{liveSession(1, "web", 1)}
	rows := []InboxRow{
		inRow(1, 1).with(func(r *InboxRow) { r.State, r.Shower = InboxShowing, session(1) }),
		inRow(2, 2).with(func(r *InboxRow) { r.State, r.Shower = InboxShowing, session(2) }),
		inRow(3, 3).with(func(r *InboxRow) { r.Copy, r.Takers = true, []keys.SessionID{session(1), session(2)} }),
		inRow(4, 4).with(func(r *InboxRow) { r.Copy, r.Takers = true, []keys.SessionID{session(2)} }),
		inRow(5, 5).with(func(r *InboxRow) { r.Takers = []keys.SessionID{session(2)} }),
	}
	if got := Crashed(rows, live); !slices.Equal(got, []int64{2}) {
		t.Errorf("crashed: %v", got)
	}
	left := GoneCopies(rows, live, keys.SessionID{})
	if len(left) != 2 || left[0].Place != 3 || len(left[0].Takers) != 1 || left[1].Place != 4 || len(left[1].Takers) != 0 {
		t.Errorf("copies: %+v", left)
	}
	if left = GoneCopies(rows, live, session(1)); len(left) != 2 || len(left[0].Takers) != 0 {
		t.Errorf("copies of a connection that ended: %+v", left)
	}
	rows[1].Recover()
	rows[2].State = InboxShowing
	rows[2].Recover()
	if !rows[1].Again || rows[1].State != InboxWaiting || rows[2].Again || rows[2].State != InboxWaiting {
		t.Errorf("recovered: %+v, %+v", rows[1], rows[2])
	}
}

func TestJudge(t *testing.T) {
	ok := Arrival{Opened: true, Sent: planNow - 5, Expires: planNow + 5}
	for _, c := range []struct {
		name   string
		change func(*Arrival)
		want   Judged
	}{
		{"new", func(*Arrival) {}, Judged{Do: TakeIt}},
		{"known", func(a *Arrival) { a.Known = true }, Judged{Do: SayReceived}},
		{"known, and expired since", func(a *Arrival) { a.Known, a.Expires = true, planNow }, Judged{Do: SayReceived}},
		{"expired", func(a *Arrival) { a.Expires = planNow }, Judged{Do: RefuseIt, Why: wire.WhyExpired}},
		{"held", func(a *Arrival) { a.Policy = PolicyHold }, Judged{Do: TakeIt, State: InboxHeld, Held: true}},
		{"a copy, held: another device may show it", func(a *Arrival) { a.Policy, a.Copy = PolicyHold, true }, Judged{Do: TakeIt, State: InboxHeld}},
		{"refused", func(a *Arrival) { a.Policy = PolicyRefuse }, Judged{Do: RefuseIt, Why: wire.WhyPolicy}},
		{"muted", func(a *Arrival) { a.Policy = PolicyMute }, Judged{Do: RefuseIt, Why: wire.WhyMuted}},
		{"full", func(a *Arrival) { a.Rows, a.Limit = 3, 3 }, Judged{Do: RefuseIt, Why: wire.WhyInboxFull}},
		{"full, but known", func(a *Arrival) { a.Rows, a.Limit, a.Known = 3, 3, true }, Judged{Do: SayReceived}},
		{"cannot be opened yet", func(a *Arrival) { a.Opened = false }, Judged{Do: TakeIt, State: InboxUnopened}},
		{"ahead of its time", func(a *Arrival) { a.Sent = planNow + wire.ClockAhead + 1; a.Expires = a.Sent + 9 }, Judged{Do: TakeIt, Clock: true}},
		{"a copy again", func(a *Arrival) { a.Copy, a.KnownCopy = true, true }, Judged{Do: Retake}},
		{"a copy, now meant alone", func(a *Arrival) { a.KnownCopy = true }, Judged{Do: TakeIt}},
		{"a copy that is here, and expired since", func(a *Arrival) { a.KnownCopy, a.Expires = true, planNow }, Judged{Do: PassOver}},
		{"a copy of a connection that has ended", func(a *Arrival) { a.Copy, a.Ended = true, true }, Judged{Do: PassOver}},
	} {
		a := ok
		c.change(&a)
		if got := Judge(planNow, a); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestGather(t *testing.T) {
	row := func(place int64, to byte, at int64) ReceiptRow {
		return ReceiptRow{Place: place, To: peerKey(to), Of: make([]Receipted, 1), Time: planNow + at, Expires: planNow + 1e6}
	}
	rows := []ReceiptRow{row(1, 1, -wire.ReceiptsWithin), row(2, 2, -400), row(3, 1, -10), row(4, 2, 0)}
	groups, expired, next := Gather(planNow, rows, false)
	if fmt.Sprint(groups, expired) != "[[1 3]] []" || next != planNow-400+wire.ReceiptsWithin {
		t.Errorf("due: %v, expired %v, next %+d", groups, expired, next-planNow)
	}
	groups, _, next = Gather(planNow, rows, true)
	if fmt.Sprint(groups, next) != "[[1 3] [2 4]] 0" {
		t.Errorf("flushed: %v, next %d", groups, next)
	}
	rows[1].Expires = planNow
	if _, expired, _ = Gather(planNow, rows, true); !slices.Equal(expired, []int64{2}) {
		t.Errorf("expired: %v", expired)
	}
	var many []ReceiptRow
	for i := range int64(2*ReceiptsTogether + 1) {
		many = append(many, row(i, 1, 0))
	}
	if groups, _, next = Gather(planNow, many, false); len(groups) != 2 || len(groups[0]) != ReceiptsTogether || next != planNow+wire.ReceiptsWithin {
		t.Errorf("many: %d groups, next %+d", len(groups), next-planNow)
	}
	// What does not fit the receipt of those before it begins the next.
	many = []ReceiptRow{row(1, 1, 0), row(2, 1, 0), row(3, 1, 0)}
	many[1].Of = make([]Receipted, ReceiptsTogether)
	if groups, _, _ = Gather(planNow, many, true); fmt.Sprint(groups) != "[[1] [2] [3]]" {
		t.Errorf("rows of several: %v", groups)
	}
	if groups, _, _ = Gather(planNow-5000, rows[:1], false); len(groups) != 1 {
		t.Error("a clock that went back keeps receipts")
	}
}

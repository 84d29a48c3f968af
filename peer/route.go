package peer

import (
	"context"
	"errors"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// liveReceives is what a live session receives.
const liveReceives = wire.ReceivesLive

// inboxPage is how many rows of the inbox are looked at together, the oldest first.
const inboxPage = 512

// arrivals is what is known of the inbox between two looks into state.db. Guarded by
// Peer.mu.
type arrivals struct {
	count    int       // messages that came, to count the inbox now and then
	full     bool      // it has too many rows
	expected int       // messages that waited at the broker when the line was welcomed
	taken    int       // messages stored since
	last     time.Time // when the last one was

	look   bool           // look into the inbox soon
	looked int64          // when it was looked at last, Unix ms
	next   int64          // when to look at the latest, Unix ms; 0: no time is known
	routed int64          // places up to this one were told to whom they are for
	shown  map[int64]Kind // what this session could show at the last look, by place
	over   map[int64]bool // those of them that are beyond their senders' rate
	plan   delivery.Plan
}

// begin starts a line.
func (a *arrivals) begin(expected int) { a.expected, a.taken, a.last = expected, 0, time.Now() }

// wake is a poke by another process of the profile.
func (p *Peer) wake(w what) {
	switch w {
	case pokeInbox:
		p.lookSoon()
	case pokeSent:
		p.desk.add(p.reloadTracked)
	case pokeCard:
		p.desk.add(p.reloadCard)
	}
}

// lookSoon has the desk look into the inbox.
func (p *Peer) lookSoon() {
	p.mu.Lock()
	p.arrivals.look = true
	p.mu.Unlock()
	p.desk.kick()
}

// routeArrivals looks into the inbox when it is time to: what this session may show
// is told to its program, what is for others to them.
func (p *Peer) routeArrivals(t int64) int64 {
	p.mu.Lock()
	due := p.arrivals.look || p.arrivals.next > 0 && p.arrivals.next <= t || t >= p.arrivals.looked+lookAgain.Milliseconds()
	next := p.arrivals.next
	p.mu.Unlock()
	if !due {
		return next
	}
	err := p.lookInbox(t)
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Warn("looking into the inbox", "mesh", p.alias, "err", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.arrivals.next = t + lookAgain.Milliseconds()
	}
	return p.arrivals.next
}

// look is what one look into the inbox finds.
type look struct {
	plan  delivery.Plan
	shown map[int64]Kind // what this session can show, by place
	over  map[int64]bool // those beyond their senders' rate
	last  int64          // the highest place that is there, or was

	answers map[int64]*asking // that somebody waits for
	pokes   []profile.SessionInfo
	left    bool // something was left half done by a process that ended
	gone    bool // a session that ended left something to send
}

// lookInbox plans what this session would show, and pokes the others for which
// something new is there.
func (p *Peer) lookInbox(t int64) error {
	p.mu.Lock()
	p.arrivals.look, p.arrivals.looked = false, t
	routed, known := p.arrivals.routed, p.arrivals.shown
	p.mu.Unlock()
	var found look
	// By the writer, which remembers the inbox.
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) (err error) {
		found, err = p.look(tx, t, routed, known)
		return err
	})
	if err != nil {
		return err
	}
	p.keepLook(&found, known)
	handAnswers(found.answers)
	for _, s := range found.pokes {
		p.pokeSession(s, pokeInbox)
	}
	p.settleCopies()
	plan := &found.plan
	if len(plan.Missing)+len(plan.Expired) > 0 {
		if err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error { return settlePlan(tx, plan) }); err != nil {
			return err
		}
	}
	if found.left {
		if err := p.recoverInbox(p.ctx); err != nil {
			return err
		}
		p.lookSoon()
	}
	if !found.gone {
		return nil
	}
	return p.takeOver()
}

// look looks. Places up to routed were told to whom they are for, and of what kind
// those in known are is known.
func (p *Peer) look(tx *profile.Tx, t, routed int64, known map[int64]Kind) (l look, err error) {
	v, err := tx.InboxView(inboxPage)
	if err != nil {
		return l, err
	}
	owners, err := tx.OutboxOwners(p.session)
	if err != nil {
		return l, err
	}
	l.gone = len(delivery.Orphans(owners, v.Sessions)) > 0
	l.left = len(delivery.Crashed(v.Rows, v.Sessions)) > 0 || len(delivery.GoneCopies(v.Rows, v.Sessions, keys.SessionID{})) > 0
	l.plan = delivery.PlanShow(t, v, p.want(TakeOptions{}))
	rows := rowsByPlace(v.Rows)
	l.shown, l.last = map[int64]Kind{}, routed
	for _, s := range l.plan.Show {
		kind, found := known[s.Place]
		if !found {
			if kind, err = p.kindOf(tx, rows[s.Place]); err != nil {
				return l, err
			}
		}
		l.shown[s.Place] = kind
	}
	l.over = p.rates.over(p.steady(), l.plan.Show, rows)
	if l.answers, err = p.answersAmong(tx, v.Rows); err != nil {
		return l, err
	}
	for place := range l.answers {
		delete(l.shown, place)
	}
	others := map[keys.SessionID]bool{}
	for i := range v.Rows {
		row := &v.Rows[i]
		if !isMember(p.members(), row.From) {
			delete(l.shown, row.Place) // not shown here before this process knows who it is
		}
		if row.Place > routed && row.State == delivery.InboxWaiting {
			if to, _ := delivery.Chosen(t, row, v.Sessions); to != p.session && !to.IsZero() {
				others[to] = true
			}
		}
		l.last = max(l.last, row.Place)
	}
	if len(others) > 0 {
		l.pokes, err = liveAmong(tx, others)
	}
	return l, err
}

// settlePlan writes what a plan says of rows that are not shown: since when nobody is
// there for them, and that their time is over.
func settlePlan(tx *profile.Tx, plan *delivery.Plan) error {
	for _, m := range plan.Missing {
		row, err := tx.Inbox(m.Place)
		if errors.Is(err, profile.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		row.Missing = m.Missing
		if err := tx.SetInbox(row); err != nil {
			return err
		}
	}
	return tx.DropInbox(plan.Expired...)
}

// settleCopies tells the broker what became of copies that came by this line: that they
// were received, once they were granted to another session of the profile, and that
// they are refused, once they were put away or their time is over. [CM-8.30]
func (p *Peer) settleCopies() {
	p.mu.Lock()
	copies := make(map[claimKey]*copied, len(p.copies))
	for key, c := range p.copies {
		if p.claims[key] == nil {
			copies[key] = c
		}
	}
	p.mu.Unlock()
	if len(copies) == 0 {
		return
	}
	var settled map[claimKey]bool // whether they were received
	err := p.home.state.View(p.ctx, p.mesh, func(tx *profile.Tx) error {
		settled = map[claimKey]bool{}
		v, err := tx.InboxView(0)
		if err != nil {
			return err
		}
		there := make(map[claimKey]bool, len(v.Rows))
		for i := range v.Rows {
			there[claimKey{v.Rows[i].From, v.Rows[i].ID}] = true
		}
		for key := range copies {
			taken, err := tx.Taken(key.from, key.id)
			if err != nil {
				return err
			}
			if taken || !there[key] {
				settled[key] = taken
			}
		}
		return nil
	})
	if err != nil {
		return // with the next look
	}
	t := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, received := range settled {
		c := copies[key]
		verdict, why := wire.VerdictRefused, c.refused
		switch {
		case received:
			verdict, why = wire.VerdictReceived, wire.WhyNone
		case t >= c.expires:
			why = wire.WhyExpired
		}
		p.answer(c.line, verdict, why, key.from, key.id)
		if p.copies[key] == c {
			delete(p.copies, key)
		}
	}
}

// keepLook notes what a look found, and tells the program where there is more.
func (p *Peer) keepLook(l *look, before map[int64]Kind) {
	more := false
	for place := range l.shown {
		if _, known := before[place]; !known {
			more = true
		}
	}
	p.mu.Lock()
	for place := range p.arrivals.over {
		if _, there := l.shown[place]; there && !l.over[place] {
			more = true // its turn has come
		}
	}
	p.arrivals.over = l.over
	p.arrivals.plan, p.arrivals.shown, p.arrivals.routed, p.arrivals.next = l.plan, l.shown, l.last, l.plan.Next
	p.changedLocked()
	p.mu.Unlock()
	if more {
		p.feeds.tell(Event{Kind: EventMessage})
	}
}

// kindOf opens a row to see of what kind it is; what does not open is a plain
// message to be dealt with when it is shown.
func (p *Peer) kindOf(tx *profile.Tx, at *delivery.InboxRow) (Kind, error) {
	row, failed, err := p.openRow(tx, at)
	if err != nil {
		return "", err
	}
	if failed != nil {
		return Note, nil
	}
	m := &row.message
	if Kind(m.Kind) == Notice {
		settings, err := p.home.Config()
		if err != nil {
			return "", err
		}
		bound, _ := settings.LoopGuard.Bounds()
		p.loop.noticed(m.Depth, bound)
	}
	return Kind(m.Kind), nil
}

// liveAmong gives the live sessions among some.
func liveAmong(tx *profile.Tx, ids map[keys.SessionID]bool) ([]profile.SessionInfo, error) {
	live, err := tx.Live()
	if err != nil {
		return nil, err
	}
	var among []profile.SessionInfo
	for _, s := range live {
		if ids[s.ID] {
			among = append(among, s)
		}
	}
	return among, nil
}

// pokeSession wakes another session of this profile.
func (p *Peer) pokeSession(s profile.SessionInfo, w what) {
	if s.ID == p.session || s.Socket == "" {
		return
	}
	if err := sendPoke(p.ctx, p.home.dial, s.Socket, poke{Session: s.ID, What: w}); err != nil {
		p.home.log.Debug("poke", "session", s.Label, "err", err)
	}
}

// pokeAll wakes all other live sessions of this peer.
func (p *Peer) pokeAll(ctx context.Context, w what) {
	var live []profile.SessionInfo
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		live, err = tx.Live()
		return err
	})
	if err != nil && !errors.Is(err, profile.ErrClosed) {
		p.home.log.Info("poke", "err", err)
	}
	for _, s := range live {
		if s.ID != p.session && s.Socket != "" {
			if err := sendPoke(ctx, p.home.dial, s.Socket, poke{Session: s.ID, What: w}); err != nil {
				p.home.log.Debug("poke", "session", s.Label, "err", err)
			}
		}
	}
}

// recoverInbox puts right what processes left that ended without a word: messages
// that were being shown may be shown again, saying so; copies have gone with their
// connections.
func (p *Peer) recoverInbox(ctx context.Context) error {
	return p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		v, err := tx.InboxView(0)
		if err != nil || len(v.Rows) == 0 {
			return err
		}
		rows := rowsByPlace(v.Rows)
		for _, place := range delivery.Crashed(v.Rows, v.Sessions) {
			rows[place].Recover()
			if err := tx.SetInbox(rows[place]); err != nil {
				return err
			}
		}
		return leaveCopies(tx, rows, delivery.GoneCopies(v.Rows, v.Sessions, keys.SessionID{}))
	})
}

// dropCopies lets go of the copies that came by the connection that has just ended:
// the broker hands them over again, here or elsewhere.
func (p *Peer) dropCopies() {
	p.mu.Lock()
	clear(p.copies)
	p.mu.Unlock()
	err := p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
		v, err := tx.InboxView(0)
		if err != nil || len(v.Rows) == 0 {
			return err
		}
		return leaveCopies(tx, rowsByPlace(v.Rows), delivery.GoneCopies(v.Rows, v.Sessions, p.session))
	})
	if err != nil && p.ctx.Err() == nil {
		p.home.log.Warn("dropping copies", "mesh", p.alias, "err", err)
	}
}

// rowsByPlace finds rows by their places.
func rowsByPlace(all []delivery.InboxRow) map[int64]*delivery.InboxRow {
	rows := make(map[int64]*delivery.InboxRow, len(all))
	for i := range all {
		rows[all[i].Place] = &all[i]
	}
	return rows
}

// leaveCopies writes what is left of copies some of whose takers have gone.
func leaveCopies(tx *profile.Tx, rows map[int64]*delivery.InboxRow, changes []delivery.TakersLeft) error {
	for _, c := range changes {
		if len(c.Takers) == 0 {
			if err := tx.DropInbox(c.Place); err != nil {
				return err
			}
			continue
		}
		rows[c.Place].Takers = c.Takers
		if err := tx.SetInbox(rows[c.Place]); err != nil {
			return err
		}
	}
	return nil
}

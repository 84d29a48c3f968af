package peer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// claimWithin is how long the broker may take to say who shows a message.
const claimWithin = 5 * time.Second

// showing is a message on its way out of the inbox.
type showing struct {
	delivery.Showing
	row      delivery.InboxRow // without what is sealed
	unsealed *unsealed
	short    string
	grant    chan bool       // of a copy: the broker's answer to the claim, as it comes
	answer   delivery.Answer // the same, once it is settled
	missing  int             // messages before it that did not come
}

// shown is what is known of a message that is being shown, until it was seen.
type shown struct {
	place int64
	delivery.StreamKey
	n       uint64
	expires int64
	hash    signed.Hash
}

// taken is what was taken out of the inbox, and what stays.
type taken struct {
	show     []*showing
	plan     delivery.Plan
	floods   []Flood
	verified map[string]bool // users
}

// takeRows plans what to show and marks it as being shown, in one transaction. Rows
// that cannot be shown any more are dropped on the way.
func (p *Peer) takeRows(ctx context.Context, o TakeOptions) (*taken, error) {
	w := p.want(o)
	if o.Rate > 0 {
		w.Max = 0 // counted after what is beyond the rate
	}
	var t *taken
	err := p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		t = &taken{}
		v, err := tx.InboxView(inboxPage)
		if err != nil {
			return err
		}
		if t.verified, err = p.verifiedIn(tx); err != nil {
			return err
		}
		t.plan = delivery.PlanShow(p.now(), v, w)
		t.plan.Show, t.floods = p.rates.limit(p.steady(), t.plan.Show, v.Rows, o.Rate, o.Max)
		if err := settlePlan(tx, &t.plan); err != nil {
			return err
		}
		rows := rowsByPlace(v.Rows)
		var places []int64
		for _, s := range t.plan.Show {
			one := &showing{Showing: s, row: *rows[s.Place]}
			ok, err := p.canShow(tx, &v, one)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			if s.Gap {
				one.missing = missingBefore(&v, &one.row)
			}
			t.show, places = append(t.show, one), append(places, s.Place)
		}
		return tx.ShowInbox(p.session, places...)
	})
	return t, err
}

// canShow opens and names what is to be shown, and tells whether it still is: its
// sender may not belong any more, or it may not open.
func (p *Peer) canShow(tx *profile.Tx, v *delivery.View, one *showing) (bool, error) {
	var failed, err error
	if one.unsealed, failed, err = p.openRow(tx, &one.row); err != nil {
		return false, err
	}
	if failed != nil {
		p.home.log.Error("a stored message does not open", "mesh", p.alias, "id", one.row.ID, "err", failed)
		return false, tx.DropInbox(one.Place)
	}
	if p.asks.of(&one.unsealed.message) != nil {
		return false, nil // whoever asked gets it
	}
	if view := p.members(); !isMember(view, one.row.From) {
		if one.unsealed.message.At.N > view.At().N {
			return false, nil // another process of the profile took it, and knows more than this one yet
		}
		one.row.State = delivery.InboxHeld // quarantined: it was revoked since
		return false, tx.SetInbox(&one.row)
	}
	one.short, err = tx.ShortNameIn(v.Rows, one.row.ID)
	return true, err
}

// missingBefore counts the numbers that a stream misses before a row, by what was
// shown or is being shown.
func missingBefore(v *delivery.View, row *delivery.InboxRow) int {
	before := v.Streams[row.StreamKey].Shown
	for i := range v.Rows {
		r := &v.Rows[i]
		if r.StreamKey == row.StreamKey && r.N < row.N && r.State != delivery.InboxUnopened {
			before = max(before, r.N)
		}
	}
	return max(int(row.N)-int(before)-1, 0)
}

// claim asks the broker for the copies among what is to be shown, waits for its
// answers, and gives what is shown, in order.
func (p *Peer) claim(ctx context.Context, show []*showing) ([]*showing, error) {
	p.mu.Lock()
	l := p.line
	claimed := false
	for _, s := range show {
		if s.Claim {
			claimed = true
			s.grant = make(chan bool, 1)
			p.claims[claimKey{s.row.From, s.row.ID}] = s.grant
		}
	}
	p.mu.Unlock()
	if !claimed {
		return show, nil
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, s := range show {
			if s.Claim {
				delete(p.claims, claimKey{s.row.From, s.row.ID})
			}
		}
	}()
	if l != nil {
		p.awaitGrants(ctx, l, show)
	}
	return p.settleClaims(l, show)
}

// awaitGrants claims over a line, and notes what the broker says before that ends,
// or waiting does.
func (p *Peer) awaitGrants(ctx context.Context, l *line, show []*showing) {
	ctx, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	for _, s := range show {
		if s.Claim {
			p.answer(l, wire.VerdictClaim, wire.WhyNone, s.row.From, s.row.ID)
		}
	}
	for _, s := range show {
		if !s.Claim {
			continue
		}
		select {
		case yes := <-s.grant:
			s.answer = delivery.AnswerTaken
			if yes {
				s.answer = delivery.AnswerGranted
			}
		case <-l.life.Done():
		case <-ctx.Done():
		}
	}
}

// settleClaims writes what becomes of a plan whose claims were answered, and tells
// the broker that what was granted is on the disk here. It gives what is shown.
func (p *Peer) settleClaims(l *line, plan []*showing) (show []*showing, err error) {
	err = p.home.state.Update(p.ctx, p.mesh, func(tx *profile.Tx) error {
		show = nil
		claimed := make([]delivery.Claimed, len(plan))
		rows := make([]*delivery.InboxRow, len(plan))
		for i, s := range plan {
			row, err := tx.Inbox(s.row.Place)
			if err != nil && !errors.Is(err, profile.ErrNotFound) {
				return err
			}
			rows[i] = row
			claimed[i] = delivery.Claimed{StreamKey: s.row.StreamKey, N: s.row.N, Claim: s.Claim, Answer: s.answer, Gone: err != nil}
		}
		for i, do := range delivery.Settle(claimed) {
			if do == delivery.ShowIt {
				show = append(show, plan[i])
			}
			if err := settleRow(tx, rows[i], do); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range show {
		if s.Claim {
			p.answer(l, wire.VerdictReceived, wire.WhyNone, s.row.From, s.row.ID)
			delete(p.copies, claimKey{s.row.From, s.row.ID})
		}
	}
	return show, nil
}

// settleRow writes what becomes of one row of a plan.
func settleRow(tx *profile.Tx, row *delivery.InboxRow, do delivery.Settlement) error {
	switch do {
	case delivery.DropIt:
		return tx.DropInbox(row.Place)
	case delivery.PutBack:
		row.PutBack()
		return tx.SetInbox(row)
	case delivery.ShowIt:
		if !row.Copy {
			return nil
		}
		row.Copy = false
		if err := tx.SetInbox(row); err != nil {
			return err
		}
		return tx.Remember(row.From, row.ID, delivery.RememberUntil(row.Expires))
	}
	return nil // delivery.LetGo: it has no row
}

// seenRows moves messages to the history and notes their receipts, in one
// transaction.
func (p *Peer) seenRows(tx *profile.Tx, settings *config.Config, t int64, messages []Message) error {
	var places []int64
	for i := range messages {
		if s := messages[i].shown; s != nil {
			places = append(places, s.place)
		}
	}
	left, err := tx.InInbox(places...)
	if err != nil {
		return err
	}
	var seen []*Message
	streams := map[delivery.StreamKey]*delivery.Stream{}
	for i := range messages {
		m := &messages[i]
		if m.shown == nil || !left[m.shown.place] {
			continue // seen already
		}
		delete(left, m.shown.place) // perhaps it stands there twice
		if err := showStream(tx, streams, m.shown); err != nil {
			return err
		}
		seen = append(seen, m)
		if settings.History != config.Off {
			if err := tx.PutHistory(p.historyOf(m, t)); err != nil {
				return err
			}
		}
	}
	for _, s := range streams {
		if err := tx.SetStream(*s); err != nil {
			return err
		}
	}
	if settings.Receipts != config.Off {
		if err := p.seenReceipts(tx, t, seen); err != nil {
			return err
		}
	}
	return tx.DropInbox(places...)
}

// showStream moves the stream of a message that was shown on; streams are those that
// were read.
func showStream(tx *profile.Tx, streams map[delivery.StreamKey]*delivery.Stream, m *shown) error {
	if m.n == 0 {
		return nil
	}
	if streams[m.StreamKey] == nil {
		stream, err := tx.Stream(m.StreamKey)
		if err != nil {
			return err
		}
		streams[m.StreamKey] = &stream
	}
	streams[m.StreamKey].Show(m.n, m.expires)
	return nil
}

// historyOf is a message that was shown, for the history.
func (p *Peer) historyOf(m *Message, t int64) *profile.Message {
	return &profile.Message{ID: m.ID, From: m.From.Key, Address: m.From.Address, Session: m.From.Session, Label: m.From.Label,
		Audience: m.To, Kind: string(m.Kind), Priority: wirePriority(m.Priority), ReplyTo: m.ReplyTo, Thread: m.Thread,
		Depth: m.Depth, Sent: m.Sent.UnixMilli(), Time: t, Shower: p.session, Again: m.Again, Via: m.Via, Body: m.Body}
}

// messageOf makes of an opened message what programs get.
func (p *Peer) messageOf(s *showing, verified map[string]bool) Message {
	m := &s.unsealed.message
	return Message{
		ID: m.ID, Short: s.short, Mesh: p.mesh, MeshName: p.alias, From: p.senderOf(m, verified), To: m.Audience.Address,
		Kind: Kind(m.Kind), Body: m.Body, ReplyTo: m.ReplyTo, Thread: m.Thread, Priority: Priority(m.Priority),
		Depth: m.Depth, Via: strings.Join(m.Via, ", "), Sent: timeOf(m.Time), Received: timeOf(s.row.Arrived), Expires: timeOf(m.Expires),
		Again: s.Again, Missing: s.missing, Late: s.Late, Early: m.Time > s.row.Arrived+wire.ClockAhead,
		shown: &shown{place: s.row.Place, StreamKey: s.row.StreamKey, n: s.row.N, expires: s.row.Expires, hash: s.unsealed.hash},
	}
}

// senderOf names who wrote a message, by the chain.
func (p *Peer) senderOf(m *seal.Message, verified map[string]bool) Sender {
	s := Sender{Key: m.From, Session: m.Session, Label: m.Label, Self: m.From == p.self}
	if member, ok := p.members().Member(m.From); ok {
		s.User, s.Device = member.User, member.Device
		s.Address, s.Verified = member.Address(), verified[member.User]
	} else {
		s.Address = p.addressOf(m.From)
	}
	if m.Label != "" {
		s.Address += "/" + m.Label
	}
	return s
}

// timeOf is a time in Unix milliseconds.
func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

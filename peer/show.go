package peer

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// claimWithin is how long the broker may take to say who shows a message.
const claimWithin = 5 * time.Second

// showing is a message on its way out of the inbox.
type showing struct {
	delivery.Showing
	row     delivery.InboxRow
	message seal.Message
	grant   chan bool       // of a copy: the broker's answer to the claim, as it comes
	answer  delivery.Answer // the same, once it is settled
	missing int             // messages before it that did not come
}

// takeRows plans what to show and marks it as being shown, in one transaction. Rows
// that cannot be shown any more are dropped on the way.
func (p *Peer) takeRows(ctx context.Context, o TakeOptions) (show []*showing, plan delivery.Plan, floods []Flood, err error) {
	w := p.want(o)
	if o.Rate > 0 {
		w.Max = 0 // counted after what is beyond the rate
	}
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		show = nil
		v, err := tx.InboxView(inboxPage)
		if err != nil {
			return err
		}
		plan = delivery.PlanShow(now(), v, w)
		plan.Show, floods = p.rates.limit(now(), plan.Show, v.Rows, o.Rate, o.Max)
		if err := settlePlan(tx, &plan); err != nil {
			return err
		}
		for _, s := range plan.Show {
			one, err := p.takeRow(tx, s)
			if err != nil {
				return err
			}
			if one == nil {
				continue
			}
			if s.Gap {
				one.missing = missingBefore(&v, &one.row)
			}
			show = append(show, one)
		}
		return nil
	})
	return show, plan, floods, err
}

// takeRow marks one row as being shown here; nil where it is not to be shown any
// more: its sender does not belong now, or it does not open.
func (p *Peer) takeRow(tx *profile.Tx, s delivery.Showing) (*showing, error) {
	row, err := tx.Inbox(s.Place)
	if err != nil {
		return nil, err
	}
	one := &showing{Showing: s, row: *row}
	if one.message, err = p.openParcel(&parcel{from: row.From, id: row.ID, box: row.Box, sealed: row.Sealed}); err != nil {
		p.home.log.Error("a stored message does not open", "mesh", p.alias, "id", row.ID, "err", err)
		return nil, tx.DropInbox(s.Place)
	}
	if p.asks.of(&one.message) != nil {
		return nil, nil // whoever asked gets it
	}
	if view := p.members(); !isMember(view, row.From) {
		if one.message.At.N > view.At().N {
			return nil, nil // another process of the profile took it, and knows more than this one yet
		}
		row.State = delivery.InboxHeld // quarantined: it was revoked since
		return nil, tx.SetInbox(row)
	}
	one.row.State, one.row.Shower = delivery.InboxShowing, p.session
	row.State, row.Shower = delivery.InboxShowing, p.session
	return one, tx.SetInbox(row)
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
	for _, s := range show {
		if s.Claim {
			p.answer(l, wire.VerdictReceived, wire.WhyNone, s.row.From, s.row.ID)
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
func (p *Peer) seenRows(tx *profile.Tx, settings *profile.Config, t int64, messages []Message) error {
	for i := range messages {
		m := &messages[i]
		row, err := tx.Inbox(m.place)
		if errors.Is(err, profile.ErrNotFound) || err == nil && row.ID != m.ID {
			continue // seen already
		}
		if err != nil {
			return err
		}
		stream, err := tx.Stream(row.StreamKey)
		if err != nil {
			return err
		}
		if stream.Show(row.N, row.Expires); row.N > 0 {
			if err := tx.SetStream(stream); err != nil {
				return err
			}
		}
		if settings.Receipts != profile.Off {
			if err := p.noteReceipt(tx, row, wire.StateSeen, wire.WhyNone); err != nil {
				return err
			}
		}
		if settings.History != profile.Off {
			if err := tx.PutHistory(p.historyOf(m, t)); err != nil {
				return err
			}
		}
		if err := tx.DropInbox(row.Place); err != nil {
			return err
		}
	}
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
	m := &s.message
	out := Message{
		ID: m.ID, Mesh: p.mesh, MeshName: p.alias, From: p.senderOf(m, verified), To: m.Audience.Address,
		Kind: Kind(m.Kind), Body: m.Body, ReplyTo: m.ReplyTo, Thread: m.Thread, Priority: Priority(m.Priority),
		Depth: m.Depth, Via: strings.Join(m.Via, ", "), Sent: timeOf(m.Time), Received: timeOf(s.row.Arrived), Expires: timeOf(m.Expires),
		Again: s.Again, Missing: s.missing, Late: s.Late, Early: m.Time > s.row.Arrived+wire.ClockAhead,
		place: s.row.Place,
	}
	return out
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

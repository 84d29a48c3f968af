package peer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// TakeOptions says what to take out of the inbox.
type TakeOptions struct {
	// Max is the number of messages at most. 0: all.
	Max int
	// Rate is how many messages of one sender are taken within a minute by this
	// session, at most; the others stay, see [Inbox.Floods]. 0: all.
	Rate int
	// Asked: the agent or the user asks: also low, and whatever the session's
	// status is. Else what may be shown unasked: now and next while idle, now
	// while working, nothing while not to be disturbed.
	Asked bool
	// Elsewhere: also what is meant for other live sessions of this peer.
	Elsewhere bool
}

// Inbox is what was taken, and what stays.
type Inbox struct {
	Messages []Message
	// Elsewhere counts what waits for other sessions.
	Elsewhere []Elsewhere
	// Low counts what waits until it is asked for, Later what waits until this
	// session is idle, or to be disturbed.
	Low, Later int
	// Held counts what a policy keeps back, by no session.
	Held int
	// More: Max was reached.
	More bool
	// Floods are the senders of whom more waits than Rate allows now.
	Floods []Flood
}

// Elsewhere is what waits for another session of this peer.
type Elsewhere struct {
	Label  string
	Status Status
	Count  int
}

// drainQuiet is how long nothing has to come before all is taken to have come: the
// broker may hand something of what waited to another session. Slow disks and lines
// are waited for.
const drainQuiet = 3 * time.Second

// Drained waits until the broker has handed over all that waited when the peer
// connected. For sessions that receive Drain or Live.
func (p *Peer) Drained(ctx context.Context) error {
	if err := p.Connected(ctx, false); err != nil {
		return err
	}
	for {
		var wait time.Duration
		p.mu.Lock()
		a, changed := &p.arrivals, p.changed
		if a.taken < a.expected {
			wait = drainQuiet - time.Since(a.last)
		}
		p.mu.Unlock()
		if wait <= 0 {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-p.ctx.Done():
			timer.Stop()
			return ErrClosed
		}
		timer.Stop()
	}
}

// Peek returns what Take would, and changes nothing. Messages that another device
// may show first are among them.
func (p *Peer) Peek(ctx context.Context, o TakeOptions) (Inbox, error) {
	var show []*showing
	var plan delivery.Plan
	var verified map[string]bool
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		show = nil
		v, err := tx.InboxView(inboxPage)
		if err != nil {
			return err
		}
		if verified, err = p.verifiedIn(tx); err != nil {
			return err
		}
		for i := range v.Sessions {
			// Whoever only looks sees what it would get if it took.
			if s := &v.Sessions[i]; s.ID == p.session {
				s.Receives = max(s.Receives, wire.ReceivesDrain)
			}
		}
		plan = delivery.PlanShow(p.now(), v, p.want(o))
		rows := rowsByPlace(v.Rows)
		for _, s := range plan.Show {
			one := &showing{Showing: s, row: *rows[s.Place]}
			if one.unsealed, _, err = p.openRow(tx, &one.row); err != nil {
				return err
			}
			if one.unsealed == nil || !isMember(p.members(), one.row.From) {
				continue
			}
			if one.short, err = tx.ShortNameIn(v.Rows, one.row.ID); err != nil {
				return err
			}
			show = append(show, one)
		}
		return nil
	})
	if err != nil {
		return Inbox{}, err
	}
	return p.inboxOf(ctx, &taken{show: show, plan: plan, verified: verified}, o)
}

// Take takes messages for this session out of the inbox to be shown now. The
// profile remembers that they are being shown; call Seen when they were, or
// Release when they were not. Of messages that any one of several devices may
// show, the claim is granted before they are returned.
func (p *Peer) Take(ctx context.Context, o TakeOptions) (Inbox, error) {
	t, err := p.takeRows(ctx, o)
	if err != nil {
		return Inbox{}, err
	}
	if t.show, err = p.claim(ctx, t.show); err != nil {
		return Inbox{}, err
	}
	p.lookSoon()
	in, err := p.inboxOf(ctx, t, o)
	if err != nil {
		return Inbox{}, err
	}
	at := p.steady()
	p.noteShown(in.Messages...)
	for i := range in.Messages {
		p.rates.add(at, in.Messages[i].From.Key)
	}
	in.Floods, err = p.nameFloods(ctx, t.floods)
	return in, err
}

func (p *Peer) want(o TakeOptions) delivery.Want {
	p.mu.Lock()
	defer p.mu.Unlock()
	return delivery.Want{Session: p.session, Asked: o.Asked, Offline: !p.ready, Elsewhere: o.Elsewhere, Max: o.Max}
}

// inboxOf makes the answer of Take and Peek.
func (p *Peer) inboxOf(ctx context.Context, t *taken, o TakeOptions) (Inbox, error) {
	plan := &t.plan
	in := Inbox{Low: plan.Low, Later: plan.Later, Held: plan.Held, More: o.Max > 0 && len(plan.Show) == o.Max}
	for _, s := range t.show {
		in.Messages = append(in.Messages, p.messageOf(s, t.verified))
	}
	if len(plan.Elsewhere) == 0 {
		return in, nil
	}
	var live []profile.SessionInfo
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		live, err = tx.Live()
		return err
	})
	for _, e := range plan.Elsewhere {
		for _, s := range live {
			if s.ID == e.Session {
				in.Elsewhere = append(in.Elsewhere, Elsewhere{Label: s.Label, Status: statusOf(s.Status), Count: e.Count})
			}
		}
	}
	return in, err
}

// Next waits for the next message for this session and takes it. What is sent before
// the next one counts as caused by this one (see [Peer.HumanTurn]).
func (p *Peer) Next(ctx context.Context) (Message, error) {
	batch, err := p.nextBatch(ctx, 1)
	if err != nil {
		return Message{}, err
	}
	p.turn(&batch[0])
	return batch[0], nil
}

// nextBatch waits until something can be shown, and takes up to max of it.
func (p *Peer) nextBatch(ctx context.Context, max int) ([]Message, error) {
	p.lookSoon()
	for {
		err := p.until(ctx, func() (bool, error) { return len(p.arrivals.shown) > 0, nil })
		if err != nil {
			return nil, err
		}
		in, err := p.Take(ctx, TakeOptions{Max: max})
		if err != nil || len(in.Messages) > 0 {
			return in.Messages, err
		}
		// Another process was faster, or another device: wait for the next look.
		p.mu.Lock()
		p.arrivals.shown = nil // not emptied: a look may be reading it
		p.mu.Unlock()
	}
}

// Seen says that messages were in front of the agent: they move to the
// history, and their senders get a receipt.
func (p *Peer) Seen(ctx context.Context, messages ...Message) error {
	settings, err := p.home.Config()
	if err != nil {
		return err
	}
	t := p.now()
	err = p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error { return p.seenRows(tx, settings, t, messages) })
	if err == nil {
		for _, m := range messages {
			if m.shown != nil {
				p.unsealed.drop(m.shown.place)
			}
		}
		p.receiptsDue()
		p.lookSoon()
	}
	return err
}

// Release puts messages that were taken but not shown back.
func (p *Peer) Release(ctx context.Context, messages ...Message) error {
	return p.putBack(ctx, (*delivery.InboxRow).PutBack, messages)
}

// putBack puts messages that this session took back, each in a way.
func (p *Peer) putBack(ctx context.Context, put func(*delivery.InboxRow), messages []Message) error {
	if len(messages) == 0 {
		return nil
	}
	err := p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		for _, m := range messages {
			if m.shown == nil {
				continue
			}
			row, err := tx.Inbox(m.shown.place)
			if errors.Is(err, profile.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if row.ID != m.ID || row.State != delivery.InboxShowing || row.Shower != p.session {
				continue
			}
			put(row)
			if err := tx.SetInbox(row); err != nil {
				return err
			}
		}
		return nil
	})
	p.lookSoon()
	return err
}

// handleBatch is how many messages Handle takes at a time. Those of them that were
// not handled when the process is killed say afterwards that they may have been
// shown before.
const handleBatch = 32

// Handle calls f for each message for this session, one after the other, until
// ctx ends or the peer is closed. A message counts as seen when f returned
// nil; that is said behind f, which may have the next one meanwhile, and all of it
// before Handle returns. An error of f releases the message and ends Handle with it.
// Where it cannot be said, that ends Handle, and what f had comes again, with
// [Message.Again].
func (p *Peer) Handle(ctx context.Context, f func(context.Context, Message) error) error {
	saying := p.saySeen(ctx)
	rest, err := p.handle(ctx, saying, f)
	unsaid, failed := saying.end()
	if failed != nil {
		err = failed // the other is its consequence
	}
	// The caller's context may have ended; what is not seen goes back all the same.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
	defer cancel()
	return errors.Join(err, p.putBack(back, (*delivery.InboxRow).Recover, unsaid), p.Release(back, rest...))
}

// handle calls f with one message after the other until something fails, and gives
// back what f did not take.
func (p *Peer) handle(ctx context.Context, saying *saying, f func(context.Context, Message) error) ([]Message, error) {
	for {
		batch, err := p.nextBatch(saying.ctx, handleBatch)
		if err != nil {
			return nil, err
		}
		for i, m := range batch {
			if err = saying.ctx.Err(); err == nil {
				p.turn(&m)
				err = f(ctx, m)
			}
			if err != nil {
				return batch[i:], err
			}
			saying.seen(m)
		}
	}
}

// Get returns a message of this profile's history by its id (m-… or a unique
// tail), so that it can be answered. One that waits in the inbox is found too.
func (p *Peer) Get(ctx context.Context, id string) (Message, error) {
	found, err := p.named(ctx, id, func(n profile.Named) bool { return !n.Sent })
	if err != nil {
		return Message{}, err
	}
	var m Message
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		all, err := tx.FindHistory(found)
		if err != nil {
			return err
		}
		for _, h := range all {
			if !h.Outgoing {
				m = p.fromHistory(&h)
				return nil
			}
		}
		return profile.ErrNotFound
	})
	if err = noMessage(err); err == nil {
		m.Short, err = p.home.state.ShortName(ctx, m.ID)
	}
	return m, err
}

// noMessage makes ErrNoSuchMessage of what the profile does not have.
func noMessage(err error) error {
	if errors.Is(err, profile.ErrNotFound) {
		return ErrNoSuchMessage
	}
	return err
}

// fromHistory makes a message of the history what programs get.
func (p *Peer) fromHistory(h *profile.Message) Message {
	m := Message{ID: h.ID, Mesh: p.mesh, MeshName: p.alias, To: h.Audience, Kind: Kind(h.Kind), Body: h.Body,
		ReplyTo: h.ReplyTo, Thread: h.Thread, Priority: Priority(h.Priority.String()), Depth: h.Depth, Via: h.Via,
		Sent: timeOf(h.Sent), Received: timeOf(h.Time), Again: h.Again}
	m.From = p.senderOf(&seal.Message{From: h.From, Session: h.Session, Label: h.Label}, nil)
	return m
}

// named finds the one message of this mesh that a name means.
func (p *Peer) named(ctx context.Context, name string, want func(profile.Named) bool) (keys.MessageID, error) {
	all, err := p.home.state.FindMessages(ctx, name)
	if err != nil {
		return keys.MessageID{}, err
	}
	found := map[keys.MessageID]bool{}
	for _, n := range all {
		if n.Mesh == p.mesh && want(n) {
			found[n.ID] = true
		}
	}
	if len(found) == 0 {
		return keys.MessageID{}, ErrNoSuchMessage
	}
	if len(found) > 1 {
		ambiguous := &AmbiguousError{Name: name}
		for id := range found {
			ambiguous.Candidates = append(ambiguous.Candidates, id.Tail(12))
		}
		return keys.MessageID{}, ambiguous
	}
	for id := range found {
		return id, nil
	}
	return keys.MessageID{}, ErrNoSuchMessage
}

// Counts is what a status line shows.
type Counts struct {
	Online  int // peers of others connected (the broker's word)
	Waiting int // messages that this session could show now
	Rings   int // those of them that are worth a bell: no notices, none beyond its sender's rate
	Asks    int // questions among them
	Later   int // messages that wait until it is idle, or asks
	Held    int // messages kept back by the user's policy
	Unsent  int // in the outbox
	// Requests are joins that this peer can admit.
	Requests int
	// Stopped: a loop guard, this session's or that of a peer that says so, stopped a
	// conversation since the last human's turn.
	Stopped bool
}

// Counts returns the counts; no broker is asked.
func (p *Peer) Counts(ctx context.Context) (Counts, error) {
	var c Counts
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		c.Unsent, err = tx.CountOutbox()
		return err
	})
	for _, r := range p.requests() {
		if r.CanAdmit {
			c.Requests++
		}
	}
	c.Stopped = p.loop.isStopped()
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Online = p.onlineLocked()
	for place, kind := range p.arrivals.shown {
		c.Waiting++
		if kind != Notice && !p.arrivals.over[place] {
			c.Rings++
		}
		if kind == Ask {
			c.Asks++
		}
	}
	c.Later = p.arrivals.plan.Later + p.arrivals.plan.Low
	c.Held = p.arrivals.plan.Held
	return c, err
}

// statusOf translates a status of package delivery.
func statusOf(s delivery.Status) Status {
	switch s {
	case delivery.StatusWorking:
		return Working
	case delivery.StatusDND:
		return DoNotDisturb
	}
	return Idle
}

// deliveryStatus translates back.
func deliveryStatus(s Status) (delivery.Status, error) {
	switch s {
	case Idle, "":
		return delivery.StatusIdle, nil
	case Working:
		return delivery.StatusWorking, nil
	case DoNotDisturb:
		return delivery.StatusDND, nil
	}
	return 0, &UsageError{Sentence: fmt.Sprintf("%q is no status: idle, working or dnd", s)}
}

// wirePriority translates a priority that was checked.
func wirePriority(p Priority) wire.Priority { return priorityOf(seal.Priority(p)) }

// userIn is the user of user@device.
func userIn(address string) string {
	user, _, _ := strings.Cut(address, "@")
	return user
}

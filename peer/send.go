package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// SendOptions says how to send. The zero value sends a plain message with
// priority next that expires after seven days.
type SendOptions struct {
	Priority Priority // empty: Next
	Kind     Kind     // empty: Note
	ReplyTo  MessageID
	Thread   MessageID
	// Expires is how long it may wait. 0: 7 days; at most 30.
	Expires time.Duration
	// AllDevices sends to every device of a user instead of any one of them.
	AllDevices bool
	// Depth is how many automatic replies led here, where the caller knows better than
	// the loop guard, which counts what was shown since the last [Peer.HumanTurn].
	Depth int
	// Human: a human wrote this, in a chat system for one. The loop guard lets it pass.
	Human bool
	// Via says on whose behalf a gateway writes: "telegram: Ann".
	Via string
	// NoWait returns as soon as the message is in the outbox on disk.
	NoWait bool
	// SeenWait is how long to wait for Seen after the acknowledgement. 0: one
	// second; negative: not at all.
	SeenWait time.Duration

	before func(keys.MessageID) // called when the message has its id, before it is sent
}

// ackWithin is how long Send waits for the broker's acknowledgement.
const ackWithin = 15 * time.Second

// seenWithin is how long Send waits for Seen, where the options do not say.
const seenWithin = time.Second

// Send seals body to whom the address names, stores it in the outbox and sends
// it. It returns when every recipient's state is known and, up to SeenWait
// later, seen. The address is resolved against the verified roster:
// UnknownNameError, AmbiguousError, RevokedError, WaitingError. LoopError: agents
// answer each other, and no human has spoken. When the broker is not
// reachable the message stays in the outbox, Sent says pending, and the error
// is NotReachableError with Kept. Recipients that refused are no error: see
// Sent.
func (p *Peer) Send(ctx context.Context, to, body string, o SendOptions) (Sent, error) {
	failed := p.readyToSend(ctx, o)
	if failed != nil && !isUnreachable(failed) {
		return Sent{}, failed
	}
	t, err := p.resolve(ctx, to, o.AllDevices)
	var unknown *UnknownNameError
	if errors.As(err, &unknown) && failed == nil {
		// Perhaps it joined this very moment.
		p.fetch()
		t, err = p.resolve(ctx, to, o.AllDevices)
	}
	if err != nil {
		return Sent{}, err
	}
	return p.sendTo(ctx, t, body, o, failed)
}

// readyToSend waits for the first try to connect, so that an answer can be told at
// once and the roster is up to date, and refuses whoever may not speak.
func (p *Peer) readyToSend(ctx context.Context, o SendOptions) error {
	if o.NoWait {
		if condition := p.Condition(); condition.State == Ended && condition.Err != nil {
			return condition.Err
		}
	} else if err := p.Connected(ctx, false); err != nil {
		return err
	}
	if !isMember(p.members(), p.self) {
		return p.outsideError()
	}
	return nil
}

// outsideError says why this peer, which is no member, is none: it was revoked (the
// entry may come before the broker hangs up), or its join still waits for a yes.
func (p *Peer) outsideError() error {
	view := p.members()
	if r, revoked := view.Revoked(p.self); revoked {
		return p.revokedError(view, p.self, r)
	}
	return p.waitingError()
}

// sendTo sends to a target. failed is why there is no connection, nil if there is.
func (p *Peer) sendTo(ctx context.Context, t *target, body string, o SendOptions, failed error) (Sent, error) {
	settings, err := p.home.Config()
	if err != nil {
		return Sent{}, err
	}
	if err := p.guard(t, &o, settings); err != nil {
		return Sent{}, err
	}
	m, err := p.messageTo(t, body, o)
	if err != nil {
		return Sent{}, err
	}
	if o.before != nil {
		o.before(m.ID)
	}
	tracked, err := p.enqueue(ctx, t, m, settings)
	defer p.untrack(m.ID)
	if err != nil {
		return Sent{}, err
	}
	if failed == nil && !o.NoWait {
		failed = p.awaitStates(ctx, tracked, o)
	}
	trace := p.traced(tracked)
	p.addPresence(ctx, &trace.Sent)
	return trace.Sent, kept(failed)
}

// kept marks an error as one after which the message waits in the outbox.
func kept(err error) error {
	var away *NotReachableError
	if errors.As(err, &away) {
		copied := *away
		copied.Kept = true
		return &copied
	}
	return err
}

// messageTo makes the message, still without its number.
func (p *Peer) messageTo(t *target, body string, o SendOptions) (*seal.Message, error) {
	ms := p.now()
	kind := seal.Kind(o.Kind)
	if o.Kind == "" {
		kind = seal.KindMessage
	}
	if !kind.Known() || !kind.Shown() {
		return nil, &UsageError{Sentence: fmt.Sprintf("%q is no kind of message", o.Kind)}
	}
	m := p.newMessage(ms, kind)
	if o.Priority != "" {
		m.Priority = seal.Priority(o.Priority)
	}
	switch {
	case !m.Priority.Known():
		return nil, &UsageError{Sentence: fmt.Sprintf("%q is no priority: now, next or low", o.Priority)}
	case body == "" && kind != seal.KindDecline:
		return nil, &UsageError{Sentence: "there is nothing to send"}
	case len(body) > seal.MaxBody:
		return nil, &UsageError{Sentence: fmt.Sprintf("a message has 1 MiB at most, this one has %d bytes", len(body))}
	case !utf8.ValidString(body):
		return nil, &UsageError{Sentence: "a message is UTF-8 text; this is not"}
	case len(t.to) > seal.MaxRecipients:
		return nil, &UsageError{Sentence: fmt.Sprintf("a message goes to %d peers at most, these are %d", seal.MaxRecipients, len(t.to))}
	case o.Expires < 0 || o.Expires.Milliseconds() > wire.MaxExpiry:
		return nil, &UsageError{Sentence: "a message waits 30 days at most"}
	}
	m.Body, m.ReplyTo, m.Thread, m.Depth = body, o.ReplyTo, o.Thread, o.Depth
	m.Expires = ms + wire.DefaultExpiry
	if o.Expires > 0 {
		m.Expires = ms + max(o.Expires.Milliseconds(), 1)
	}
	if o.Via != "" {
		m.Via = []string{o.Via}
	}
	m.Audience = seal.Audience{Address: t.address, Session: t.session, One: t.one}
	if len(t.to) > seal.MaxListed {
		m.Audience.Count = len(t.to)
	} else {
		for _, r := range t.to {
			m.Audience.Keys = append(m.Audience.Keys, r.Key)
		}
	}
	var err error
	if m.ID, err = keys.NewMessageID(ms, rand.Reader); err != nil {
		return nil, err
	}
	m.Seq = 1 // given anew in the transaction; so the rest can be checked before
	if err := m.Check(); err != nil {
		return nil, &UsageError{Sentence: fmt.Sprintf("this cannot be sent: %v", err)}
	}
	return m, nil
}

// enqueue numbers, seals and keeps a message, in one transaction, and in the history where
// the settings want one. It is tracked from then on.
func (p *Peer) enqueue(ctx context.Context, t *target, m *seal.Message, settings *config.Config) (*tracking, error) {
	audience, err := audienceOf(m.Audience)
	if err != nil {
		return nil, err
	}
	row := &delivery.OutboxRow{Session: p.session, ID: m.ID, Class: wire.ClassMessage, Priority: priorityOf(m.Priority),
		One: t.one, Expires: m.Expires}
	sent := &profile.Sent{ID: m.ID, Session: p.session, Address: t.address, Kind: string(m.Kind), Priority: row.Priority,
		One: t.one, Size: len(m.Body), Time: m.Time, Expires: m.Expires, ReplyTo: m.ReplyTo, Thread: m.Thread}
	for _, r := range t.to {
		row.To = append(row.To, delivery.Target{Key: r.Key, Session: t.session, State: wire.StatePending})
		sent.To = append(sent.To, profile.SentTo{Key: r.Key, Session: t.session, Label: t.label, State: wire.StatePending,
			Steps: []profile.Step{{State: wire.StatePending, Time: m.Time, Word: profile.WordSelf}}})
	}
	tracked := p.track(sent)
	return tracked, p.commitRow(ctx, row, func(tx *profile.Tx) (err error) {
		if tracked.short, err = tx.ShortName(m.ID); err != nil {
			return err
		}
		if m.Seq, err = tx.NextNumber(p.session, audience, row.Priority); err != nil {
			return err
		}
		if err := p.sealInto(row, m); err != nil {
			return err
		}
		if err := tx.PutOutbox(row); err != nil {
			return err
		}
		sent.Hash = seal.HashSealed(row.Sealed)
		kept := settings.History != config.Off
		if err := tx.PutSent(sent, kept); err != nil {
			return err
		}
		status, _ := p.ownStatus()
		if err := tx.SetActive(p.session, status, m.Time); err != nil {
			return err
		}
		if !kept {
			return nil
		}
		return tx.PutHistory(&profile.Message{ID: m.ID, Outgoing: true, From: p.self, Address: t.address, Session: p.session,
			Label: p.label, Audience: t.address, Kind: string(m.Kind), Priority: row.Priority, ReplyTo: m.ReplyTo,
			Thread: m.Thread, Depth: m.Depth, Via: first(m.Via), Sent: m.Time, Time: m.Time, Shower: p.session, Body: m.Body})
	})
}

// first is the first of some texts, "" of none.
func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// awaitStates waits for the broker's word about every recipient, and a little more
// for their receipts.
func (p *Peer) awaitStates(ctx context.Context, t *tracking, o SendOptions) error {
	acked, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	if err := p.awaitSent(acked, t, isAcked, true); err != nil {
		if ctx.Err() == nil && acked.Err() != nil {
			if p.pausedUntil() > 0 {
				return &NotReachableError{Host: p.host(), Reason: wire.CodeRate.Info().Sentence, Busy: true, Err: err}
			}
			return &NotReachableError{Host: p.host(), Reason: "it does not acknowledge", Err: err}
		}
		return err
	}
	wait := o.SeenWait
	if wait == 0 {
		wait = seenWithin
	}
	if wait < 0 {
		return nil
	}
	seen, cancelSeen := context.WithTimeout(ctx, wait)
	defer cancelSeen()
	err := p.awaitSent(seen, t, isSettled, false)
	if err == nil && p.isWithPresent(seen, t) {
		err = p.awaitSent(seen, t, isSeen, false)
	}
	if seen.Err() != nil && ctx.Err() == nil || isUnreachable(err) {
		return nil // the acknowledgement is what was promised
	}
	return err
}

// isAcked tells whether the broker has said something for every recipient: of a
// message for any one device, for one.
func isAcked(s *profile.Sent) bool {
	return allOf(s, func(state wire.State) bool { return state != wire.StatePending })
}

// isSettled tells whether nothing more can be heard soon. What is for any one device
// is queued until one claims it, also while they are there.
func isSettled(s *profile.Sent) bool {
	return allOf(s, func(state wire.State) bool { return ended(state) || state == wire.StateQueued && !s.One })
}

// isSeen tells whether nothing more can be heard at all.
func isSeen(s *profile.Sent) bool { return allOf(s, ended) }

// ended tells whether a state is followed by no other that a sender waits for.
func ended(state wire.State) bool {
	switch state {
	case wire.StateSeen, wire.StateHeld, wire.StateRefused, wire.StateExpired:
		return true
	}
	return false
}

// isWithPresent tells whether the message is with, or queued for, somebody who is there:
// the broker does not wait for a disk that takes a few milliseconds, and more is
// heard at once. Only for a queued message it is worth asking who is there; one
// that was delivered meanwhile is with somebody who is.
func (p *Peer) isWithPresent(ctx context.Context, t *tracking) bool {
	asking, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	for _, r := range p.traced(t).To {
		switch r.State {
		case Delivered:
			return true
		case Queued:
		default:
			continue
		}
		if p.subscribe(asking) != nil {
			return false
		}
		p.mu.Lock()
		who := p.people.peers[r.Key]
		present := who != nil && who.connected
		p.mu.Unlock()
		if present {
			return true
		}
	}
	return false
}

// allOf tells whether a condition holds of every recipient; of a message for any one
// device, of the one that is furthest.
func allOf(s *profile.Sent, holds func(wire.State) bool) bool {
	if s.One {
		return holds(furthest(s).State)
	}
	for i := range s.To {
		if !holds(s.To[i].State) {
			return false
		}
	}
	return true
}

// furthest is the recipient of a message for any one device that has it, or of which
// most is known. That one refused it, or that its time ran out, is said of the last
// that could have taken it, and so of all.
func furthest(s *profile.Sent) *profile.SentTo {
	best := &s.To[0]
	for i := range s.To {
		if slices.Index(nearness, s.To[i].State) > slices.Index(nearness, best.State) {
			best = &s.To[i]
		}
	}
	return best
}

// nearness orders the states of a message for any one device.
var nearness = []wire.State{wire.StatePending, wire.StateQueued, wire.StateExpired, wire.StateRefused,
	wire.StateDelivered, wire.StateHeld, wire.StateSeen}

// Reply answers m: to the session that wrote it while that lives, else to its
// peer. Kind: Answer where m was a question, unless o says otherwise.
func (p *Peer) Reply(ctx context.Context, m Message, body string, o SendOptions) (Sent, error) {
	failed := p.readyToSend(ctx, o)
	if failed != nil && !isUnreachable(failed) {
		return Sent{}, failed
	}
	view := p.members()
	member, ok := view.Member(m.From.Key)
	if !ok {
		if r, revoked := view.Revoked(m.From.Key); revoked {
			return Sent{}, p.revokedError(view, m.From.Key, r)
		}
		return Sent{}, &UnknownNameError{Name: m.From.Address, Mesh: p.alias}
	}
	t := &target{address: member.Address(), to: []roster.Member{member}, session: m.From.Session, label: m.From.Label}
	if t.label != "" {
		t.address += "/" + t.label
	}
	if o.Kind == "" && m.Kind == Ask {
		o.Kind = Answer
	}
	if o.ReplyTo.IsZero() {
		o.ReplyTo = m.ID
	}
	if o.Thread.IsZero() {
		o.Thread = m.Thread
		if o.Thread.IsZero() {
			o.Thread = m.ID
		}
	}
	if o.Depth == 0 {
		o.Depth = p.loop.after(&m)
	}
	if o.Priority == "" {
		o.Priority = m.Priority
	}
	return p.sendTo(ctx, t, body, o, failed)
}

// ownStatus is the status that this session has.
func (p *Peer) ownStatus() (delivery.Status, error) {
	p.mu.Lock()
	status, _ := p.own.effective()
	p.mu.Unlock()
	return deliveryStatus(status)
}

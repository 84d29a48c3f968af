package peer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/wire"
)

// answerWithin is how long Ask waits where the options do not say.
const answerWithin = 2 * time.Minute

// AskOptions says how to ask. The zero value asks with priority next and waits two
// minutes for the answer.
type AskOptions struct {
	Priority Priority // empty: Next
	// Timeout is how long to wait for the answer. 0: two minutes. Later answers come
	// as messages.
	Timeout time.Duration
	// Thread goes on with a thread; zero begins one.
	Thread MessageID
	// Told is called when the question is on its way, and again when more is known of
	// it (that it was seen), always by the goroutine that called Ask. Nil: nobody is
	// told.
	Told func(Sent)
}

// Answered is what came of a question.
type Answered struct {
	// Question is what is known of the question. Its ID is set as soon as the question
	// is kept, whatever the error.
	Question Sent
	// Message is the answer, or the decline: its Kind tells. It was taken as by
	// [Peer.Take]: say Seen once it was shown, or Release. Zero with an error.
	Message Message
}

// Declined tells whether the peer said that it will not answer.
func (a *Answered) Declined() bool { return a.Message.Kind == Decline }

// Ask sends a question to one peer (or any one device of a user) and waits for the
// answer or the decline of that very peer. TimeoutError: none came in time; it will
// come as a message, under the question's ID. NotReachableError: the question is kept
// and goes out later, and its answer comes as a message too. NotAnsweredError: the
// question was refused, or expired. Else as [Peer.Send]. [CM-8.35]
func (p *Peer) Ask(ctx context.Context, to, body string, o AskOptions) (Answered, error) {
	began := time.Now()
	if o.Timeout <= 0 {
		o.Timeout = answerWithin
	}
	failed := p.readyToSend(ctx, SendOptions{})
	if failed != nil && !isUnreachable(failed) {
		return Answered{}, failed
	}
	t, err := p.resolve(ctx, to, false)
	if err != nil {
		return Answered{}, err
	}
	if len(t.to) > 1 && !t.one {
		return Answered{}, &UsageError{Sentence: fmt.Sprintf("one peer can be asked at a time; %s means %d", t.address, len(t.to))}
	}
	asked := &asking{from: make(map[keys.Public]bool), found: make(chan int64, 1)}
	for _, member := range t.to {
		asked.from[member.Key] = true
	}
	defer p.asks.end(asked)
	listening, stop := context.WithCancel(ctx)
	defer stop()
	events := p.Events(listening)
	sent, err := p.sendTo(ctx, t, body, SendOptions{Kind: Ask, Priority: o.Priority, Thread: o.Thread, SeenWait: -1,
		before: func(id keys.MessageID) { p.asks.begin(id, asked) }}, failed)
	answer := Answered{Question: sent}
	if err != nil {
		return answer, err
	}
	limited, cancel := context.WithDeadline(ctx, began.Add(o.Timeout))
	defer cancel()
	answer.Message, err = p.awaitAnswer(limited, asked, &answer.Question, events, o.Told)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = &TimeoutError{For: "answer from " + t.address, After: o.Timeout}
	}
	return answer, err
}

// awaitAnswer waits for the answer to a question that is on its way.
func (p *Peer) awaitAnswer(ctx context.Context, asked *asking, question *Sent, events <-chan Event, told func(Sent)) (Message, error) {
	if told != nil {
		told(*question)
	}
	p.lookSoon()
	for {
		if err := noAnswer(question); err != nil {
			return Message{}, err
		}
		select {
		case place := <-asked.found:
			m, err := p.takeAnswer(ctx, asked, place)
			if err == nil || !errors.Is(err, profile.ErrNotFound) {
				return m, err
			}
		case e, ok := <-events:
			if !ok {
				if ctx.Err() != nil {
					return Message{}, ctx.Err()
				}
				return Message{}, ErrClosed
			}
			if c := p.Condition(); c.State == Ended {
				return Message{}, c.Err
			}
			if e.Kind != EventProgress {
				continue
			}
			trace, err := p.traceOf(ctx, question.ID)
			if err != nil {
				return Message{}, err
			}
			if *question = trace.Sent; told != nil {
				told(*question)
			}
		case <-ctx.Done():
			return Message{}, ctx.Err()
		}
	}
}

// noAnswer says why a question can get no answer any more; nil while it can.
func noAnswer(question *Sent) error {
	for _, r := range question.To {
		switch r.State {
		case Refused, Expired:
			return &NotAnsweredError{Address: r.Address, State: r.State, Why: r.Why}
		}
	}
	return nil
}

// NotAnsweredError: a question was refused or expired, so that no answer comes.
type NotAnsweredError struct {
	Address string // of the peer asked
	State   State  // Refused or Expired
	Why     string // one of wire's why codes, with Refused
}

// Error is the sentence.
func (e *NotAnsweredError) Error() string {
	if e.State == Expired {
		return "the question expired before " + e.Address + " could take it"
	}
	return "refused by " + e.Address + ": " + wire.Why(e.Why).Info().Sentence
}

// Class is ClassRefused.
func (e *NotAnsweredError) Class() Class { return ClassRefused }

// Decline says that a question will not be answered, and why; why may be empty.
func (p *Peer) Decline(ctx context.Context, m Message, why string, o SendOptions) (Sent, error) {
	if m.Kind != Ask {
		return Sent{}, &UsageError{Sentence: fmt.Sprintf("%s is no question: there is nothing to decline", m.Short)}
	}
	o.Kind = Decline
	return p.Reply(ctx, m, why, o)
}

// asking is a question whose asker waits.
type asking struct {
	from  map[keys.Public]bool // who may answer
	found chan int64           // place of the answer in the inbox
}

// askings are the questions whose askers wait: their answers are theirs, ring no bell
// and are handed to nobody else. The lock is a leaf.
type askings struct {
	mu      sync.Mutex
	open    map[keys.MessageID]*asking
	checked map[int64]bool // places that answer none of them
}

func (a *askings) begin(id keys.MessageID, w *asking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		a.open, a.checked = make(map[keys.MessageID]*asking), make(map[int64]bool)
	}
	a.open[id] = w
}

func (a *askings) end(w *asking) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, open := range a.open {
		if open == w {
			delete(a.open, id)
		}
	}
	if len(a.open) == 0 {
		a.open, a.checked = nil, nil
	}
}

// of gives who waits for a message; nil: nobody.
func (a *askings) of(m *seal.Message) *asking {
	if m.Kind != seal.KindAnswer && m.Kind != seal.KindDecline {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.open[m.ReplyTo]; w != nil && w.from[m.From] {
		return w
	}
	return nil
}

// unchecked tells whether a row may hold an answer that somebody waits for.
func (a *askings) unchecked(row *delivery.InboxRow) bool {
	if row.State != delivery.InboxWaiting || row.Copy {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.checked[row.Place] {
		return false
	}
	for _, w := range a.open {
		if w.from[row.From] {
			return true
		}
	}
	return false
}

func (a *askings) check(place int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.checked != nil {
		a.checked[place] = true
	}
}

// answersAmong finds the answers that askers wait for. They are handed over whatever
// the session does: it asked.
func (p *Peer) answersAmong(tx *profile.Tx, rows []delivery.InboxRow) (map[int64]*asking, error) {
	var found map[int64]*asking
	for i := range rows {
		if !p.asks.unchecked(&rows[i]) {
			continue
		}
		place := rows[i].Place
		row, failed, err := p.openRow(tx, &rows[i])
		if err != nil {
			return nil, err
		}
		w := (*asking)(nil)
		if failed == nil {
			w = p.asks.of(&row.message)
		}
		if w == nil {
			p.asks.check(place)
			continue
		}
		if found == nil {
			found = make(map[int64]*asking)
		}
		found[place] = w
	}
	return found, nil
}

// handAnswers tells the askers where their answers are.
func handAnswers(found map[int64]*asking) {
	for place, w := range found {
		select {
		case w.found <- place:
		default: // told already
		}
	}
}

// takeAnswer takes an answer out of the inbox for its asker. profile.ErrNotFound: it
// is not there any more.
func (p *Peer) takeAnswer(ctx context.Context, asked *asking, place int64) (Message, error) {
	one := &showing{Showing: delivery.Showing{Place: place}}
	var verified map[string]bool
	err := p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		row, err := tx.Inbox(place)
		if err != nil {
			return err
		}
		if row.State != delivery.InboxWaiting || !isMember(p.members(), row.From) {
			return profile.ErrNotFound
		}
		one.row, one.Again = *row, row.Again
		if one.unsealed, _, err = p.openRow(tx, row); err != nil {
			return err
		}
		if one.unsealed == nil || p.asks.of(&one.unsealed.message) != asked {
			return profile.ErrNotFound
		}
		if one.short, err = tx.ShortName(row.ID); err != nil {
			return err
		}
		if verified, err = p.verifiedIn(tx); err != nil {
			return err
		}
		return tx.ShowInbox(p.session, place)
	})
	if err != nil {
		return Message{}, err
	}
	m := p.messageOf(one, verified)
	p.noteShown(m)
	return m, nil
}

// noteShown has the loop guard count messages that are shown now.
func (p *Peer) noteShown(messages ...Message) {
	if len(messages) == 0 {
		return
	}
	bound := 0
	if settings, err := p.home.Config(); err == nil {
		bound, _ = settings.LoopGuard.Bounds()
	}
	for i := range messages {
		p.loop.shown(&messages[i], bound)
	}
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/quote"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	// askWithin is how long ask_peer waits for the answer, so that it returns within
	// the 50 seconds after which some clients give a call up.
	askWithin = 45 * time.Second
	// progressEvery is how often it says that it still waits.
	progressEvery = 5 * time.Second
	// latelyShown is how many messages can be answered though the history is not kept.
	latelyShown = 128
)

type sendInput struct {
	To       string `json:"to" jsonschema:"user, user@device, user@device/session, /session of your own user, or * for everybody; mesh:user where there are several"`
	Body     string `json:"body"`
	Priority string `json:"priority,omitempty" jsonschema:"now interrupts; next (default) waits until the peer is idle; low until it asks"`
}

func (s *server) sendMessage(ctx context.Context, _ *mcp.CallToolRequest, in sendInput) (*mcp.CallToolResult, any, error) {
	_, set, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	priority := peer.Priority(in.Priority)
	switch priority {
	case "", peer.Now, peer.Next, peer.Low:
	default:
		return nil, nil, fmt.Errorf("priority is now, next or low, not %s", quote.Line(in.Priority, 20))
	}
	p, address, err := set.Find(ctx, in.To)
	if err != nil {
		return nil, nil, err
	}
	sent, err := p.Send(ctx, address, in.Body, peer.SendOptions{Priority: priority})
	return s.sent(ctx, sent, err)
}

// sent says what became of a message.
func (s *server) sent(ctx context.Context, sent peer.Sent, err error) (*mcp.CallToolResult, any, error) {
	var away *peer.NotReachableError
	kept := errors.As(err, &away) && away.Kept
	if err != nil && !kept {
		return nil, nil, err
	}
	var b strings.Builder
	for _, r := range sent.To {
		fmt.Fprintf(&b, "%s\n", outcome(r))
	}
	if kept {
		fmt.Fprintf(&b, "%s\n", away.Error())
	}
	fmt.Fprintf(&b, "id %s", sent.Short)
	return s.text(ctx, b.String()), nil, nil
}

// outcome says in one line what became of a message for one recipient.
func outcome(r peer.Recipient) string {
	switch r.State {
	case peer.Seen:
		return "seen by " + r.Address
	case peer.Delivered:
		return "delivered to " + r.Address + ", not shown yet"
	case peer.Queued:
		return "queued: " + r.Address + " is away; kept, encrypted, until it is back"
	case peer.Held:
		return "held by " + r.Address + " until its user looks"
	case peer.Refused:
		return "refused for " + r.Address + ": " + peer.WhySentence(r.Why)
	case peer.Expired:
		return "expired before " + r.Address + " got it"
	case peer.Pending:
		if !r.RetryAt.IsZero() {
			return fmt.Sprintf("pending: %s; the broker takes no more messages from here until %s, then it goes out by itself", r.Address, r.RetryAt.Local().Format(clock))
		}
		return "pending: " + r.Address
	default:
		return string(r.State) + ": " + r.Address
	}
}

type askInput struct {
	To       string `json:"to" jsonschema:"as in send_message; one peer"`
	Question string `json:"question"`
}

func (s *server) askPeer(ctx context.Context, r *mcp.CallToolRequest, in askInput) (*mcp.CallToolResult, any, error) {
	_, set, err := s.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	p, address, err := set.Find(ctx, in.To)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	tell := startProgress(asking, r, began)
	defer tell.stop()
	answer, err := p.Ask(asking, address, in.Question, peer.AskOptions{Timeout: askWithin, Told: func(sent peer.Sent) {
		tell.say(states(sent))
		if isAway(sent) {
			giveUp() // nobody is there: the answer will come as a message
		}
	}})
	var late *peer.TimeoutError
	var away *peer.NotReachableError
	question := answer.Question
	switch {
	case err == nil:
		s.hand(p, []peer.Message{answer.Message})
		took := fmt.Sprintf("after %d s", int(time.Since(began).Seconds()))
		return s.text(ctx, s.inThread(ctx, p, answer.Message)+"\n("+took+")"), nil, nil
	case ctx.Err() != nil:
		return nil, nil, ctx.Err() // the client gave it up
	case errors.As(err, &away) && away.Kept:
		return s.later(ctx, question, away.Error()), nil, nil
	case errors.As(err, &late):
		return s.later(ctx, question, "no answer yet"), nil, nil
	case asking.Err() != nil && !question.ID.IsZero():
		return s.later(ctx, question, "no answer now"), nil, nil
	}
	return nil, nil, err
}

// later says that an answer will come as a message.
func (s *server) later(ctx context.Context, question peer.Sent, why string) *mcp.CallToolResult {
	return s.text(ctx, fmt.Sprintf("%s; %s. Go on with other work: the answer comes as a message that answers %s.", why, states(question), question.Short))
}

// states says what is known of a message, on one line.
func states(sent peer.Sent) string {
	var all []string
	for _, r := range sent.To {
		all = append(all, outcome(r))
	}
	return strings.Join(all, "; ")
}

// isAway tells whether nobody who could answer is connected.
func isAway(sent peer.Sent) bool {
	for _, r := range sent.To {
		if r.State != peer.Queued || r.Away.IsZero() {
			return false
		}
	}
	return len(sent.To) > 0
}

// progress tells a client that a call goes on.
type progress struct {
	said chan string
	stop func()
}

// startProgress tells the client every few seconds how a call stands, where it wants
// to know.
func startProgress(ctx context.Context, r *mcp.CallToolRequest, began time.Time) progress {
	token := r.Params.GetProgressToken()
	if token == nil {
		return progress{said: make(chan string, 1), stop: func() {}}
	}
	ctx, cancel := context.WithCancel(ctx)
	said, done := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		word := "asking"
		for {
			select {
			case word = <-said:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			// A client that does not take it is no reason to stop waiting.
			_ = r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Message: word,
				Progress: time.Since(began).Seconds(), Total: askWithin.Seconds()})
		}
	}()
	return progress{said: said, stop: func() { cancel(); <-done }}
}

// say changes what the client is told.
func (p progress) say(word string) {
	for {
		select {
		case p.said <- word:
			return
		default:
		}
		select {
		case <-p.said: // it was not told yet
		default:
		}
	}
}

type replyInput struct {
	ID   string `json:"id" jsonschema:"the message that this answers, m-…"`
	Body string `json:"body"`
}

func (s *server) reply(ctx context.Context, _ *mcp.CallToolRequest, in replyInput) (*mcp.CallToolResult, any, error) {
	p, original, err := s.original(ctx, in.ID)
	if err != nil {
		return nil, nil, err
	}
	sent, err := p.Reply(ctx, original, in.Body, peer.SendOptions{})
	return s.sent(ctx, sent, err)
}

type declineInput struct {
	ID  string `json:"id" jsonschema:"the question, m-…"`
	Why string `json:"why,omitempty"`
}

func (s *server) decline(ctx context.Context, _ *mcp.CallToolRequest, in declineInput) (*mcp.CallToolResult, any, error) {
	p, original, err := s.original(ctx, in.ID)
	if err != nil {
		return nil, nil, err
	}
	sent, err := p.Decline(ctx, original, in.Why, peer.SendOptions{})
	return s.sent(ctx, sent, err)
}

// original finds a message that was shown, to be answered.
func (s *server) original(ctx context.Context, id string) (*peer.Peer, peer.Message, error) {
	_, set, err := s.open(ctx)
	if err != nil {
		return nil, peer.Message{}, err
	}
	return s.find(ctx, set, id)
}

// find looks a received message up among what was shown lately, then in the history
// of all meshes.
func (s *server) find(ctx context.Context, set *peer.Set, id string) (*peer.Peer, peer.Message, error) {
	err := error(peer.ErrNoSuchMessage)
	for _, p := range set.Peers() {
		m, e := p.Get(ctx, id)
		if e == nil {
			return p, m, nil
		}
		if !errors.Is(e, peer.ErrNoSuchMessage) {
			err = e
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.lately {
		if strings.EqualFold(id, l.message.Short) || strings.EqualFold(id, l.message.ID.String()) {
			return l.peer, l.message, nil
		}
	}
	return nil, peer.Message{}, fmt.Errorf("message %s: %w", quote.Line(id, 40), err)
}

// lately is a message that was shown.
type lately struct {
	peer    *peer.Peer
	message peer.Message
}

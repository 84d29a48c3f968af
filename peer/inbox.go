package peer

import "context"

// TakeOptions says what to take out of the inbox.
type TakeOptions struct {
	// Max is the number of messages at most. 0: all.
	Max int
	// Low: also what waits until it is asked for.
	Low bool
	// Busy: only what may interrupt (priority now).
	Busy bool
	// Elsewhere: also what is meant for other live sessions of this peer.
	Elsewhere bool
}

// Inbox is what was taken, and what stays.
type Inbox struct {
	Messages []Message
	// Elsewhere counts what waits for other sessions.
	Elsewhere []Elsewhere
	// Low counts what waits until it is asked for.
	Low int
	// Held counts what a policy keeps back, by no session.
	Held int
	// More: Max was reached.
	More bool
}

// Elsewhere is what waits for another session of this peer.
type Elsewhere struct {
	Label  string
	Status Status
	Count  int
}

// Drained waits until the broker has handed over all that waited when the peer
// connected. For sessions that receive Drain.
func (p *Peer) Drained(ctx context.Context) error { return errSkeleton }

// Peek returns what Take would, and changes nothing.
func (p *Peer) Peek(ctx context.Context, o TakeOptions) (Inbox, error) {
	return Inbox{}, errSkeleton
}

// Take takes messages for this session out of the inbox to be shown now. The
// profile remembers that they are being shown; call Seen when they were, or
// Release when they were not. Of messages that any one of several devices may
// show, the claim is granted before they are returned.
func (p *Peer) Take(ctx context.Context, o TakeOptions) (Inbox, error) {
	return Inbox{}, errSkeleton
}

// Next waits for the next message for this session and takes it.
func (p *Peer) Next(ctx context.Context) (Message, error) { return Message{}, errSkeleton }

// Seen says that messages were in front of the agent: they move to the
// history, and their senders get a receipt.
func (p *Peer) Seen(ctx context.Context, messages ...Message) error { return errSkeleton }

// Release puts messages that were taken but not shown back.
func (p *Peer) Release(ctx context.Context, messages ...Message) error { return errSkeleton }

// Handle calls f for each message for this session, one after the other, until
// ctx ends or the peer is closed. A message counts as seen when f returned
// nil. An error of f releases the message and ends Handle with that error.
func (p *Peer) Handle(ctx context.Context, f func(context.Context, Message) error) error {
	return errSkeleton
}

// Get returns a message of this profile's history by its id (m-… or a unique
// tail), so that it can be answered.
func (p *Peer) Get(ctx context.Context, id string) (Message, error) {
	return Message{}, errSkeleton
}

// Counts is what a status line shows.
type Counts struct {
	Online  int // peers of others connected (the broker's word)
	Waiting int // messages that wait for this session
	Asks    int // questions among them
	Unsent  int // in the outbox
	// Requests are joins that this peer can admit.
	Requests int
}

// Counts returns the counts; no broker is asked.
func (p *Peer) Counts(ctx context.Context) (Counts, error) { return Counts{}, errSkeleton }

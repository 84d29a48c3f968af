package peer

import "context"

// saying says of messages that they were seen, behind the handler that saw them: what
// it sees during one commit shares the next. A crash in between leaves them as they
// are while the handler has them: shown, perhaps.
type saying struct {
	p     *Peer
	ctx   context.Context // ends when saying fails
	stop  context.CancelFunc
	queue chan Message
	ended chan struct{}

	unsaid []Message // the following are the goroutine's until ended is closed
	err    error
}

// saySeen starts the goroutine that says so; end waits for it.
func (p *Peer) saySeen(ctx context.Context) *saying {
	s := &saying{p: p, queue: make(chan Message, handleBatch), ended: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(ctx)
	go s.run(context.WithoutCancel(ctx))
	return s
}

// seen queues a message that was seen. It waits for nothing but room: run takes all
// there is, also what it cannot say any more.
func (s *saying) seen(m Message) { s.queue <- m }

// end waits until all is said, and gives back what could not be.
func (s *saying) end() ([]Message, error) {
	close(s.queue)
	<-s.ended
	s.stop()
	return s.unsaid, s.err
}

// run says what is queued, as much as there is at a time.
func (s *saying) run(ctx context.Context) {
	defer close(s.ended)
	for m := range s.queue {
		batch := []Message{m}
		for more := true; more && len(batch) < handleBatch; {
			select {
			case m, ok := <-s.queue:
				if more = ok; ok {
					batch = append(batch, m)
				}
			default:
				more = false
			}
		}
		if s.err == nil {
			if s.err = s.p.Seen(ctx, batch...); s.err == nil {
				continue
			}
			s.stop()
		}
		s.unsaid = append(s.unsaid, batch...)
	}
}

package peer

import (
	"context"
	"sync"

	"github.com/claudemesh/claudemesh-go/wire"
)

// line is a welcomed connection: its owner reads, a goroutine of its own writes,
// and requests find their answers by number.
type line struct {
	*socket
	*welcome
	at endpoint
	// offered is the place behind the entries that a restored broker was offered; 0:
	// none. The reader's own.
	offered uint64

	mu      sync.Mutex // guards the rest; a leaf lock
	queue   []outgoing
	wake    chan struct{} // holds a token while something is queued
	closing bool          // nothing more is queued; the writer ends when it is empty
	gone    error         // why the line is down; nil while it is up
	count   uint64        // of requests
	answers map[uint64]chan answer
}

// outgoing is a message to write.
type outgoing struct {
	data   []byte
	binary bool
}

// answer is what came back to a request.
type answer struct {
	frame wire.Frame
	err   error
}

func newLine(s *socket, w *welcome, e endpoint) *line {
	return &line{socket: s, welcome: w, at: e, wake: make(chan struct{}, 1), answers: make(map[uint64]chan answer)}
}

// send queues a frame. It never blocks; a line that is down drops it, since what
// must arrive is sent again by whoever keeps it.
func (l *line) send(f wire.Frame, payload []byte) error {
	data, err := wire.AppendFrame(nil, f, payload)
	if err != nil {
		return err
	}
	l.post(outgoing{data, payload != nil})
	return nil
}

func (l *line) post(o outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing || l.gone != nil {
		return
	}
	l.queue = append(l.queue, o)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// write is the writer's goroutine. It ends when the line is down, or when it is
// closing and all was written: then it says goodbye, which ends the reader too.
func (l *line) write() {
	var batch []outgoing
	for {
		l.mu.Lock()
		batch, l.queue = l.queue, batch[:0]
		last := l.closing && len(batch) == 0
		l.mu.Unlock()
		if last {
			l.socket.close(wire.CloseNormal)
			return
		}
		for i := range batch {
			if err := l.socket.write(batch[i].data, batch[i].binary); err != nil {
				l.socket.end(err)
				return
			}
			batch[i] = outgoing{}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-l.wake:
		case <-l.life.Done():
			return
		}
	}
}

// finish lets the writer write what is queued and end.
func (l *line) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closing = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// down fails all requests that wait, and those to come.
func (l *line) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = err
	for id, ch := range l.answers {
		ch <- answer{err: err}
		delete(l.answers, id)
	}
}

// request sends the frame that build makes with the request's number, and waits
// for the answer. A broker's error frame comes back as *RefusedError.
func (l *line) request(ctx context.Context, build func(id uint64) wire.Frame) (wire.Frame, error) {
	ch := make(chan answer, 1) // one answer, or one failure
	l.mu.Lock()
	if l.gone != nil {
		defer l.mu.Unlock()
		return nil, l.gone
	}
	l.count++
	id := l.count
	l.answers[id] = ch
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.answers, id)
	}()
	if err := l.send(build(id), nil); err != nil {
		return nil, err
	}
	select {
	case a := <-ch:
		return a.frame, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// answered hands a frame that answers request re to whoever waits, and tells
// whether somebody did.
func (l *line) answered(re uint64, f wire.Frame) bool {
	if re == 0 {
		return false
	}
	a := answer{frame: f}
	if e, refused := f.(*wire.Error); refused {
		a = answer{err: refusal(e)}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	ch, found := l.answers[re]
	if found {
		delete(l.answers, re)
		ch <- a
	}
	return found
}

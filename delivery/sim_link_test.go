package delivery

import (
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

type frameKind uint8

const (
	frameHello frameKind = iota
	frameSend
	frameReceipt
	frameActive
	frameWelcome
	frameAck
	frameDeliver
	frameGrant
)

// frame is what crosses a link.
type frame struct {
	kind    frameKind
	verdict wire.Verdict
	state   wire.State
	claim   bool
	granted bool
	at      int64 // when it was sent
	targets uint8 // frameSend: indexes of devices
	why     wire.Why
	msg     *simMsg
	dev     *simDevice
}

// link is a connection: two queues, which lose their tails when it breaks. Each
// end hears of that after what is left in its queue.
type link struct {
	w        *world
	conn     Conn
	proc     *proc
	session  keys.SessionID
	up, down []frame
	broken   bool
	brokenAt int64
	lost     bool  // the broker does not hear of the break by itself
	lostAt   int64 // but by silence
	atBroker bool  // this end is open
	atProc   bool
}

func (w *world) dial(p *proc) *link {
	w.conns++
	l := &link{w: w, conn: w.conns, proc: p, session: p.id, atBroker: true, atProc: true}
	w.links = append(w.links, l)
	l.up = append(l.up, frame{kind: frameHello})
	if w.tracing {
		w.trace("%v dials, conn %d", p, l.conn)
	}
	return l
}

// send puts a frame on its way down.
func (l *link) send(f frame) {
	if !l.broken && l.atProc {
		f.at = l.w.now
		l.down = append(l.down, f)
	}
}

// sendUp puts a frame on its way up.
func (l *link) sendUp(f frame) {
	if !l.broken && l.atBroker {
		l.up = append(l.up, f)
	}
}

// breakIt breaks the link somewhere in what is under way.
func (l *link) breakIt() {
	if l.broken {
		return
	}
	if l.w.tracing {
		l.w.trace("conn %d of %v breaks", l.conn, l.proc)
	}
	l.broken, l.brokenAt = true, l.w.now
	l.up = l.up[:l.w.rng.IntN(len(l.up)+1)]
	l.down = l.down[:l.w.rng.IntN(len(l.down)+1)]
	if l.w.chance(20) {
		l.lost, l.lostAt = true, l.w.now+wire.SilenceWithin
	}
}

// silent tells whether the broker has to give the connection up.
func (l *link) silent() bool {
	return l.broken && l.w.now >= l.brokenAt+wire.SilenceWithin ||
		len(l.down) > 0 && l.w.now >= l.down[0].at+wire.SilenceWithin
}

// repeat has a frame under way arrive twice.
func (l *link) repeat() {
	if n := len(l.up); n > 1 && l.w.chance(50) {
		l.up = slices.Insert(l.up, n-1, l.up[n-1])
	} else if n := len(l.down); n > 1 {
		l.down = slices.Insert(l.down, n-1, l.down[n-1])
	}
}

// brokerGone is the end of the broker's end.
func (l *link) brokerGone() {
	l.atBroker = false
	l.up = nil
	if !l.broken {
		l.broken = true
		l.down = l.down[:l.w.rng.IntN(len(l.down)+1)]
	}
	l.drop()
}

// procGone is the end of the process's end.
func (l *link) procGone() {
	l.atProc = false
	l.down = nil
	if !l.broken {
		l.broken, l.brokenAt = true, l.w.now
	}
	l.drop()
}

// drop forgets a link that neither end has any more.
func (l *link) drop() {
	if !l.atBroker && !l.atProc {
		l.w.links = slices.DeleteFunc(l.w.links, func(o *link) bool { return o == l })
	}
}

func (l *link) next() int64 {
	if l.lost && l.atBroker && len(l.up) == 0 {
		return l.lostAt
	}
	return 0
}

// move takes one frame to its end, or the news of the break.
func (l *link) move() bool {
	b := l.w.broker
	down := len(l.up) == 0 || l.w.rng.IntN(2) == 0
	for range 2 {
		if down && l.atProc {
			if len(l.down) > 0 {
				f := l.down[0]
				l.down = l.down[1:]
				l.proc.receive(l, f)
				return true
			}
			if l.broken {
				l.proc.disconnected(l)
				return true
			}
		}
		if !down && l.atBroker && b.machine != nil {
			if len(l.up) > 0 {
				f := l.up[0]
				if f.kind == frameSend && b.machine.InFlight(l.conn) >= 40 {
					return false // the broker stops reading
				}
				l.up = l.up[1:]
				b.receive(l, f)
				return true
			}
			if l.broken && (!l.lost || l.w.now >= l.lostAt) {
				if b.conns[l.conn] == l {
					b.disconnect(l.conn)
				} else {
					l.brokerGone()
				}
				return true
			}
		}
		down = !down
	}
	return false
}

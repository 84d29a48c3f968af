package broker

import (
	"errors"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// mesh is one mesh that this process serves.
//
// Locks, in the order in which they are taken: ordering, mu, and below mu the
// leaves (out.mu, the store's, the recorder's, feeds.mu). mu is never held
// during I/O; what the store answers comes back by a goroutine of the store's,
// which takes mu.
type mesh struct {
	b    *Broker
	id   keys.MeshID
	name string

	ordering sync.Mutex // held while entries are checked, stored and taken in
	life     uint64     // guarded by ordering

	mu        sync.Mutex     // guards the following
	roster    *roster.Roster // changed by who holds ordering too, which suffices to read it
	head      chain.SignedHead
	restoring restoring
	closed    bool
	draining  bool
	quiet     chan struct{} // closed when draining and everything taken is answered
	isQuiet   bool
	sessions  map[sessionKey]*session
	conns     map[delivery.Conn]*session
	delivery  *delivery.Broker
	peers     map[keys.Public]*peer
	presence  presence
	store     storing
	timer     *time.Timer // for delivery's next deadline
	timerAt   int64       // by the steady clock; 0: not armed
	sizes     sizes       // of messages under way, for the events feed
}

// peer is what the mesh knows of one peer besides the roster.
type peer struct {
	sessions map[*session]struct{} // connected ones, of any kind
	visible  int                   // those that others see
	since    int64                 // when visible last changed between none and some; Unix ms
	card     *card                 // its own, not a session's
}

// peerOf finds or makes a peer's record. mu is held.
func (m *mesh) peerOf(key keys.Public) *peer {
	p := m.peers[key]
	if p == nil {
		p = &peer{sessions: make(map[*session]struct{})}
		m.peers[key] = p
	}
	return p
}

var (
	errBusy     = errors.New("the broker is going away")
	errCrowded  = errors.New("too many connections of this peer")
	errStanding = errors.New("the key's standing changed")
	errStranger = errors.New("not a member")
)

// attach takes a session in whose hello was verified, and has the welcome
// written before anything else. sign makes the welcome over a head.
func (m *mesh) attach(s *session, sign func(chain.SignedHead) (*wire.Welcome, error)) error {
	for {
		m.mu.Lock()
		head := m.head
		m.mu.Unlock()
		welcome, err := sign(head)
		if err != nil {
			return err
		}
		m.mu.Lock()
		if m.head.Head != head.Head { // an entry came meanwhile
			m.mu.Unlock()
			continue
		}
		err = m.attachLocked(s, welcome)
		m.mu.Unlock()
		return err
	}
}

func (m *mesh) attachLocked(s *session, welcome *wire.Welcome) error {
	now := m.b.now()
	if m.closed {
		return errBusy
	}
	if s.standing != m.state().Standing(s.peer(), now) {
		return errStanding
	}
	if old := m.sessions[s.key()]; old != nil {
		// The old connection may be half dead; the new one counts.
		m.detachLocked(old, now)
		old.end(wire.CloseReplaced)
	}
	if p := m.peers[s.peer()]; p != nil && len(p.sessions) >= m.b.limits.Connections {
		return errCrowded
	}
	if s.standing == roster.Unknown && !m.bring(s) {
		return errStranger
	}
	p := m.peerOf(s.peer())
	p.sessions[s] = struct{}{}
	s.attached = true
	s.since = now
	m.sessions[s.key()] = s
	m.conns[s.conn] = s
	welcome.Missing = m.missing(s)
	welcome.Queued = m.delivery.Waiting(s.peer())
	welcome.Present = m.presence.peers
	if p.visible == 0 {
		welcome.Present++ // this one
	}
	s.send(welcome)
	m.heed(s)
	m.greetLocked(s, now)
	return nil
}

// receives says whether the session is one that others see.
func (s *session) receives() bool {
	return s.hello.Receives == wire.ReceivesLive || s.hello.Receives == wire.ReceivesDrain
}

// greetLocked lets a member's session take part. mu is held.
func (m *mesh) greetLocked(s *session, now int64) {
	if s.standing != roster.Belongs {
		return
	}
	member, _ := m.state().Member(s.peer())
	m.delivery.Connect(now, delivery.Connection{
		Conn: s.conn, Peer: s.peer(), User: member.User, Session: s.hello.Session, Receives: s.hello.Receives,
	})
	m.run(now)
	m.come(s, now)
}

// missing is how many entries the session lacks. mu is held.
func (m *mesh) missing(s *session) uint64 {
	at, c := s.hello.At, m.roster.Chain()
	if c.Compare(at) != chain.Part || at.IsZero() {
		return c.Len()
	}
	return c.Len() - at.N - 1
}

// detach takes a session out; nothing happens where it is out already.
func (m *mesh) detach(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detachLocked(s, m.b.now())
}

func (m *mesh) detachLocked(s *session, now int64) {
	if !s.attached {
		return
	}
	s.attached = false
	close(s.gone)
	delete(m.sessions, s.key())
	delete(m.conns, s.conn)
	m.unsubscribe(s)
	m.broughtEnd(s)
	delete(m.peerOf(s.peer()).sessions, s)
	if s.standing == roster.Belongs {
		m.delivery.Disconnect(now, s.conn)
		m.run(now)
	}
	m.leave(s, now)
	m.forgetPeer(s.peer())
}

// forgetPeer lets go of what only says nothing. mu is held.
func (m *mesh) forgetPeer(key keys.Public) {
	if p := m.peers[key]; p != nil && len(p.sessions) == 0 && p.card == nil && p.since == 0 {
		delete(m.peers, key)
	}
}

// address names a key for people, with a session's label if there is one. mu
// is held.
func (m *mesh) address(key keys.Public, label string) string {
	name := shortKey(key)
	if user, device, ok := m.state().Named(key); ok {
		name = user + "@" + device
	} else {
		switch m.state().Standing(key, m.b.now()) {
		case roster.Owner:
			name = "the owner"
		case roster.Recovery:
			name = "the recovery key"
		case roster.InviteOpen, roster.InviteShut:
			name = keys.InviteName(key, 4)
		}
	}
	if label != "" {
		name += "/" + label
	}
	return name
}

func shortKey(key keys.Public) string { return key.String()[:12] }

// stopReading begins the mesh's end: nothing more is taken, and what was taken
// is stored and answered.
func (m *mesh) stopReading() {
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.draining = true
	for _, s := range m.conns {
		_ = s.sock.readBy(time.Unix(1, 0)) // wakes its reader
	}
	m.delivery.Drain(now)
	m.run(now)
	m.settle()
}

// settle notes that a draining mesh has answered everything. mu is held.
func (m *mesh) settle() {
	if m.draining && !m.isQuiet && m.delivery.Settled() && !m.store.busy && len(m.store.ops) == 0 {
		m.isQuiet = true
		close(m.quiet)
	}
}

// close sends everyone away, and stops what moves by itself.
func (m *mesh) close() {
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		s.out.frame(&wire.Drain{Within: wire.DrainWithin})
		s.end(wire.CloseDrain)
		m.detachLocked(s, now)
	}
	m.closed = true
	m.disarm()
	for _, t := range []**time.Timer{&m.presence.timer, &m.store.pause, &m.store.await} {
		m.b.stop(*t)
		*t = nil
	}
	m.submit()
}

package broker

import (
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// card is a card as it came, with what is needed of it.
type card struct {
	object  signed.Object
	counter uint64
	status  wire.Status
}

// shown is what a session tells of itself.
type shown struct {
	card   *card
	sealed *wire.Extras                 // without boxes
	boxes  map[keys.Public]signed.Bytes // one a reader
	pid    int64                        // for the operator only, like what follows
	cwd    string
	host   string
	client string
}

// subscription is who wants to know of others.
type subscription struct {
	on     bool
	re     uint64                   // the subscribe whose page is being sent; 0: changes
	behind map[keys.Public]struct{} // whose presence is to be told
}

// presence is a mesh's part that tells peers of one another.
type presence struct {
	peers int                      // those that others see
	dirty map[keys.Public]struct{} // changed in this second
	timer *time.Timer
	noted int64 // when the store was last told of everyone, by the steady clock
}

// come notes a member's session that is there now. mu is held.
func (m *mesh) come(s *session, now int64) {
	if !s.receives() || s.present {
		return
	}
	s.present = true
	p := m.peerOf(s.peer())
	p.visible++
	if p.visible == 1 {
		m.presence.peers++
		p.since = now
	}
	m.changed(s.peer())
	m.b.recorder.presence(m.presenceRow(s, now))
	m.b.recorder.add(audit{mesh: m.id, event: auditConnect, actor: s.peer(), time: now, detail: s.hello.Receives.String()})
	m.emit(Event{Time: now, Kind: EventOnline, Actor: m.address(s.peer(), s.hello.Label)})
}

// leave notes that it is gone, or does not belong any more. mu is held.
func (m *mesh) leave(s *session, now int64) {
	if !s.present {
		return
	}
	s.present = false
	p := m.peerOf(s.peer())
	p.visible--
	if p.visible == 0 {
		m.presence.peers--
		p.since = now
	}
	m.changed(s.peer())
	m.b.recorder.absence(m.id, s.hello.Session, now)
	m.b.recorder.add(audit{mesh: m.id, event: auditDisconnect, actor: s.peer(), time: now})
	m.emit(Event{Time: now, Kind: EventOffline, Actor: m.address(s.peer(), s.hello.Label)})
}

func (m *mesh) presenceRow(s *session, now int64) store.Presence {
	row := store.Presence{
		Session: s.hello.Session, Mesh: m.id, Peer: s.peer(), Label: s.hello.Label,
		Receives: s.hello.Receives.String(), Client: s.hello.Client,
		PID: s.shown.pid, CWD: s.shown.cwd, Host: s.shown.host, Connected: s.since, Seen: now,
	}
	if s.shown.client != "" {
		row.Client = s.shown.client
	}
	if s.shown.card != nil {
		row.Status = string(s.shown.card.status)
	}
	return row
}

// tell takes what a session says of itself. The broker believes a card no more
// than a reader does, but keeps no card that no reader would take [CM-7].
func (m *mesh) tell(s *session, f *wire.Presence) {
	bodies := make([]wire.CardBody, len(f.Cards))
	for i, o := range f.Cards {
		b, err := wire.DecodeCard(o)
		if err != nil || o.Verify(signed.DomainCard, s.peer()) != nil {
			s.refuse(wire.CodeBadSignature, 0, "a card is not signed by its peer")
			return
		}
		if b.Mesh != m.id || b.Peer != s.peer() || (!b.Session.IsZero() && b.Session != s.hello.Session) {
			s.refuse(wire.CodeForbidden, 0, "a card is of another mesh, peer or session")
			return
		}
		bodies[i] = b
	}
	now := m.b.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.attached {
		return
	}
	if s.standing != roster.Belongs {
		s.refuse(wire.CodeForbidden, 0, "")
		return
	}
	news := false
	for i, b := range bodies {
		news = m.takeCard(s, f.Cards[i], b, now) || news
	}
	if f.Extras != nil {
		s.shown.takeExtras(f.Extras)
		news = true
	}
	operator := s.shown.takeOperators(f)
	if news {
		m.changed(s.peer()) // also a command's that others do not see: the peer's own card counts
	}
	if !s.present {
		return
	}
	if news || operator {
		m.b.recorder.presence(m.presenceRow(s, now))
	}
}

// takeCard keeps a card that is newer than the one there is.
func (m *mesh) takeCard(s *session, o signed.Object, b wire.CardBody, now int64) bool {
	fresh := &card{object: o, counter: b.Counter, status: b.Status}
	if b.Session.IsZero() {
		p := m.peerOf(s.peer())
		if p.card != nil && p.card.counter >= b.Counter {
			return false
		}
		p.card = fresh
		m.b.recorder.card(m.id, store.Card{Peer: s.peer(), Counter: b.Counter, Signed: o.Bytes, Sig: o.Sig, Time: now})
		m.changed(s.peer())
		return true
	}
	old := s.shown.card
	if old != nil && old.counter >= b.Counter {
		return false
	}
	s.shown.card = fresh
	if b.Status == wire.StatusWorking && (old == nil || old.status != wire.StatusWorking) {
		m.delivery.Active(now, s.conn)
		m.run(now)
	}
	return true
}

// takeExtras keeps what is sealed beside the session's card, each reader's box
// under its key.
func (n *shown) takeExtras(e *wire.Extras) {
	n.sealed = &wire.Extras{Scheme: e.Scheme, Sealed: e.Sealed}
	n.boxes = make(map[keys.Public]signed.Bytes, len(e.Boxes))
	for _, b := range e.Boxes {
		n.boxes[b.Key] = b.Box
	}
}

// takeOperators keeps the metadata that only the operator sees.
func (n *shown) takeOperators(f *wire.Presence) (news bool) {
	before := *n
	if f.PID != 0 {
		n.pid = f.PID
	}
	for _, t := range []struct {
		to  *string
		say string
	}{{&n.cwd, f.CWD}, {&n.host, f.Host}, {&n.client, f.Client}} {
		if t.say != "" {
			*t.to = t.say
		}
	}
	return n.pid != before.pid || n.cwd != before.cwd || n.host != before.host || n.client != before.client
}

// changed notes whose presence is to be told; changes of one second go
// together. mu is held.
func (m *mesh) changed(key keys.Public) {
	if m.closed {
		return
	}
	if m.presence.dirty == nil {
		m.presence.dirty = make(map[keys.Public]struct{})
	}
	m.presence.dirty[key] = struct{}{}
	m.presenceSoon()
}

func (m *mesh) presenceSoon() {
	if m.presence.timer == nil && !m.closed {
		m.presence.timer = m.b.after(wire.PresenceWithin*time.Millisecond, m.tellAll)
	}
}

// tellAll tells every subscriber what changed.
func (m *mesh) tellAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.presence.timer = nil
	dirty := m.presence.dirty
	m.presence.dirty = nil
	if m.closed || len(dirty) == 0 {
		return
	}
	for _, s := range m.conns {
		if !s.sub.on {
			continue
		}
		for key := range dirty {
			s.sub.behind[key] = struct{}{}
		}
		m.pump(s)
	}
}

// subscribe starts telling a session of the others: pages of everyone first.
func (m *mesh) subscribe(s *session, f *wire.Subscribe) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !s.attached {
		return
	}
	if s.standing != roster.Belongs {
		s.refuse(wire.CodeForbidden, f.ID, "")
		return
	}
	s.sub.on, s.sub.re = true, f.ID
	s.sub.behind = make(map[keys.Public]struct{}, m.state().Count())
	for _, member := range m.state().Members() {
		s.sub.behind[member.Key] = struct{}{}
	}
	m.pump(s)
}

func (m *mesh) unsubscribe(s *session) { s.sub = subscription{} }

// room is called when a session's connection has room again.
func (m *mesh) room(s *session) {
	s.wake()
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.attached && s.sub.on {
		m.pump(s)
	}
}

// pump sends a subscriber what it was not told yet, as far as its connection
// has room: who reads slowly is told the newest only. mu is held.
func (m *mesh) pump(s *session) {
	list := sortedKeys(s.sub.behind)
	for pages := 0; len(list) > 0 || s.sub.re != 0; pages++ {
		if s.out.full() {
			return // room calls again
		}
		if pages == pumpPages { // others want the mesh's lock too
			m.b.tasks.Go(func() { m.room(s) })
			return
		}
		page := wire.Presence{Re: s.sub.re, Peers: []wire.PeerPresence{}}
		size := 0
		for len(list) > 0 && len(page.Peers) < wire.MaxPeersPage {
			one, n := m.presenceOf(list[0], s.peer())
			if size += n; size > wire.MaxPage && len(page.Peers) > 0 {
				break
			}
			delete(s.sub.behind, list[0])
			list = list[1:]
			page.Peers = append(page.Peers, one)
		}
		if page.More = len(list) > 0 && s.sub.re != 0; !page.More {
			s.sub.re = 0
		}
		s.send(&page)
	}
}

// pumpPages is how many pages are made without letting go of the mesh's lock.
const pumpPages = 8

// sortedKeys gives the keys of a set in their order.
func sortedKeys(set map[keys.Public]struct{}) []keys.Public {
	list := make([]keys.Public, 0, len(set))
	for k := range set {
		list = append(list, k)
	}
	slices.SortFunc(list, keys.Public.Compare)
	return list
}

// presenceOf is what one reader is told of a peer, and about how many bytes it
// takes. Nobody is told of a key that does not belong. mu is held.
func (m *mesh) presenceOf(key, reader keys.Public) (wire.PeerPresence, int) {
	out := wire.PeerPresence{Key: key}
	size := 128
	p := m.peers[key]
	if p == nil {
		return out, size
	}
	out.Connected, out.Since = p.visible > 0, p.since
	if _, belongs := m.state().Member(key); !belongs {
		out.Connected = false
		return out, size
	}
	if p.card != nil {
		out.Card = &p.card.object
		size += cardSize(p.card)
	}
	for _, s := range m.bySession(key) {
		one := wire.SessionPresence{ID: s.hello.Session, Since: s.since}
		size += 96
		if c := s.shown.card; c != nil {
			one.Card = &c.object
			size += cardSize(c)
		}
		if box, ok := s.shown.boxes[reader]; ok {
			one.Extras = &wire.Extras{Scheme: s.shown.sealed.Scheme, Sealed: s.shown.sealed.Sealed, Box: box}
			size += (len(box)+len(s.shown.sealed.Sealed))*4/3 + 64
		}
		out.Sessions = append(out.Sessions, one)
	}
	return out, size
}

func cardSize(c *card) int { return (len(c.object.Bytes)+len(c.object.Sig))*4/3 + 64 }

// bySession lists a peer's sessions that others see, by age. mu is held.
func (m *mesh) bySession(key keys.Public) []*session {
	p := m.peers[key]
	if p == nil || p.visible == 0 {
		return nil
	}
	var list []*session
	for s := range p.sessions {
		if s.present {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *session) int {
		if a.conn < b.conn {
			return -1
		}
		return 1
	})
	return list
}

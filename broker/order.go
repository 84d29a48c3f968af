package broker

import (
	"errors"
	"fmt"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// page is a stretch of the chain with the head that stands at its end.
func (m *mesh) page(from uint64, limit int) (*wire.Entries, error) {
	if limit <= 0 || limit > wire.MaxEntries {
		limit = wire.MaxEntries
	}
	m.mu.Lock()
	c := m.roster.Chain()
	from = min(from, c.Len())
	entries := c.From(from, limit)
	head, last := m.head, c.Len()-1
	m.mu.Unlock()

	out := &wire.Entries{From: from, Entries: make([]signed.Object, 0, len(entries))}
	size := 0
	for _, e := range entries {
		size += (len(e.Bytes) + len(e.Sig)) * 4 / 3
		if size > wire.MaxPage && len(out.Entries) > 0 {
			break
		}
		out.Entries = append(out.Entries, e.Object)
	}
	if n := len(out.Entries); n > 0 && entries[n-1].Entry.N != last {
		// Entries count under a head only, so each page brings its own [CM-5].
		end := entries[n-1]
		h, err := chain.MakeHead(chain.Head{
			Mesh: m.id, N: end.Entry.N, Hash: end.Hash, Time: m.b.now(), Life: head.Head.Life,
		}, m.b.key)
		if err != nil {
			return nil, err
		}
		head, out.More = h, true
	}
	out.Head = head.Object
	return out, nil
}

// sync answers with a page of the chain.
func (m *mesh) sync(s *session, f *wire.Sync) {
	if !f.Chain.IsZero() {
		s.refuse(wire.CodeForbidden, f.ID, "there are no channels here")
		return
	}
	m.mu.Lock()
	known := s.standing != roster.Unknown
	m.mu.Unlock()
	if !known {
		s.refuse(wire.CodeNotMember, f.ID, "")
		return
	}
	page, err := m.page(f.From, f.Limit)
	if err != nil {
		m.b.log.Error("sign a head", "mesh", m.id, "err", err)
		s.refuse(wire.CodeInternal, f.ID, "")
		return
	}
	page.Re = f.ID
	s.send(page)
}

// append orders entries: checks that each would count, stores them behind the
// last one, signs the head, and tells everyone [CM-5].
func (m *mesh) append(s *session, f *wire.Append) {
	if !f.Chain.IsZero() {
		s.refuse(wire.CodeForbidden, f.ID, "there are no channels here")
		return
	}
	m.ordering.Lock()
	defer m.ordering.Unlock()
	now := m.b.now()
	m.mu.Lock()
	standing, attached := s.standing, s.attached
	may, pause := m.mayOrder()
	m.mu.Unlock()
	switch {
	case !attached:
		return
	case standing == roster.Waits:
		s.refuse(wire.CodePending, f.ID, "")
		return
	case standing == roster.Unknown:
		s.refuse(wire.CodeNotMember, f.ID, "")
		return
	case !may:
		s.send(&wire.Error{Code: wire.CodeRestored, Message: wire.CodeRestored.Info().Sentence, Re: f.ID, RetryAfter: pause})
		return
	}
	p, err := m.roster.Propose(f.Entries, now, m.b.Key())
	if errors.Is(err, roster.ErrPlace) {
		m.notAppended(s, f)
		return
	}
	if err == nil && standing == roster.InviteOpen && !joinsBy(p, s.peer()) {
		s.refuse(wire.CodeForbidden, f.ID, "an invite's key appends one join by that invite, nothing else")
		return
	}
	if err != nil {
		code, text := refusal(err)
		s.refuse(code, f.ID, text)
		return
	}
	m.order(s, f, p, now)
}

// joinsBy says whether a proposal is one join by an invite, and nothing else.
func joinsBy(p roster.Proposal, invite keys.Public) bool {
	entries := p.Entries()
	if len(entries) == 0 {
		return true // all of it is there already: the answer was lost
	}
	return len(entries) == 1 && entries[0].Entry.By == invite // and nothing but a join by it counts
}

// order stores a proposal and tells everyone. ordering is held.
func (m *mesh) order(s *session, f *wire.Append, p roster.Proposal, now int64) {
	answer := &wire.Entries{Re: f.ID, Appended: true, From: p.From(), Entries: []signed.Object{}}
	entries := p.Entries()
	if len(entries) == 0 {
		m.mu.Lock()
		answer.Head = m.head.Object
		m.mu.Unlock()
		s.send(answer)
		return
	}
	if p.From() != m.roster.Chain().Len() {
		// A heal that ends entries which this broker ordered.
		s.refuse(wire.CodeRefused, f.ID, "this broker does not take its own entries back")
		return
	}
	// An invite's uses bound what its key appends.
	if s.peer() != entries[0].Entry.By || entries[0].Entry.Type() != chain.TypeJoin {
		if pause := m.b.appends.take(s.peer(), len(entries), m.b.steady()); pause > 0 {
			s.send(&wire.Error{Code: wire.CodeRate, Message: wire.CodeRate.Info().Sentence, Re: f.ID, RetryAfter: pause})
			return
		}
	}
	head, err := p.Head(now, m.life, m.b.key)
	if err != nil {
		m.b.log.Error("sign a head", "mesh", m.id, "err", err)
		s.refuse(wire.CodeInternal, f.ID, "")
		return
	}
	err = m.b.store.Append(m.b.living, store.Append{
		Mesh: m.id, Prev: m.roster.Chain().Tip(), Entries: storedEntries(entries), Head: storedHead(head),
	})
	if err != nil {
		m.b.log.Error("store entries", "mesh", m.id, "err", err)
		s.refuse(wire.CodeStorage, f.ID, "")
		return
	}
	answer.Head = head.Object
	m.mu.Lock()
	defer m.mu.Unlock()
	change, err := m.roster.Commit(p, head, now)
	if err != nil { // only ordering's holder changes the chain
		m.b.log.Error("commit entries that are stored", "mesh", m.id, "err", err)
		s.fail(wire.CodeInternal, wire.CloseInternal, f.ID)
		return
	}
	m.head, m.life = head, head.Head.Life
	s.send(answer)
	if s.standing == roster.InviteOpen {
		s.end(wire.CloseJoined) // its work is done
	}
	m.announce(s, change, now)
}

// notAppended answers an append that others were faster than: with what its
// signer did not know.
func (m *mesh) notAppended(s *session, f *wire.Append) {
	from, err := chain.PlaceOf(f.Entries[0])
	if err != nil {
		from = 0
	}
	page, err := m.page(from, 0)
	if err != nil {
		m.b.log.Error("sign a head", "mesh", m.id, "err", err)
		s.refuse(wire.CodeInternal, f.ID, "")
		return
	}
	page.Re = f.ID
	s.send(page)
}

// refusal says by which code, and in which words, an append is refused.
func refusal(err error) (wire.Code, string) {
	code := wire.CodeRefused
	switch {
	case errors.Is(err, keys.ErrSignature), errors.Is(err, keys.ErrKeyForm), errors.Is(err, keys.ErrKeyOrder):
		code = wire.CodeBadSignature
	case errors.Is(err, chain.ErrBroken), errors.Is(err, chain.ErrMalformed):
		code = wire.CodeMalformed
	case errors.Is(err, chain.ErrUnknown):
		code = wire.CodeUnknownType
	case errors.Is(err, roster.ErrClock):
		return wire.CodeClock, wire.CodeClock.Info().Sentence
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "roster: "), "chain: ")
	return code, fmt.Sprintf("not ordered: %.*s", wire.MaxText-32, text)
}

// announce pushes new entries to everyone but the one who was answered, and
// draws their consequences for who is connected. mu is held.
func (m *mesh) announce(by *session, change roster.Change, now int64) {
	objects := make([]signed.Object, len(change.Entries))
	for i, e := range change.Entries {
		objects[i] = e.Object
	}
	// Encoded once: everyone gets the same.
	push, err := wire.AppendFrame(nil, &wire.Entries{From: change.From, Entries: objects, Head: m.head.Object}, nil)
	if err != nil {
		m.b.log.Error("encode entries", "mesh", m.id, "err", err)
		return
	}
	for _, s := range m.conns {
		if s != by && m.state().Standing(s.peer(), now) != roster.Unknown && !s.out.text(push) {
			s.end(wire.CloseSlow)
		}
	}
	for i, e := range change.Entries {
		m.b.recorder.add(audit{mesh: m.id, event: auditAppend, actor: e.Entry.By, target: about(e.Entry),
			time: now, detail: string(e.Entry.Type()), bytes: len(e.Bytes)})
		if change.Voids[i] == nil {
			m.tellEntry(e, now)
			m.concern(e.Entry, now)
		}
	}
	m.restand(now)
}

// tellEntry tells whoever listens of an entry that counts. mu is held.
func (m *mesh) tellEntry(e chain.Signed, now int64) {
	if !m.b.feeds.any() {
		return
	}
	key := about(e.Entry)
	event := Event{Time: now, Kind: EventEntry, Type: string(e.Entry.Type()), Bytes: len(e.Bytes),
		Actor: m.signer(e.Entry), Target: m.addressOrNone(key)}
	if m.state().Standing(key, now) == roster.Waits {
		event.State = StateWaits
	}
	m.emit(event)
}

// about is the key that an entry is about, zero if there is none or several.
func about(e chain.Entry) keys.Public {
	switch b := e.Body.(type) {
	case chain.Role:
		return b.Key
	case chain.Invite:
		return b.Key
	case chain.Join:
		return b.Peer
	case chain.Admit:
		return b.Peer
	case chain.Revoke:
		if len(b.Keys) > 0 {
			return b.Keys[0]
		}
	}
	return keys.Public{}
}

// signer names for people who signed an entry: of a join the peer itself.
func (m *mesh) signer(e chain.Entry) string {
	if j, ok := e.Body.(chain.Join); ok {
		return j.User + "@" + j.Device
	}
	return m.address(e.By, "")
}

func (m *mesh) addressOrNone(key keys.Public) string {
	if key.IsZero() {
		return ""
	}
	return m.address(key, "")
}

// concern tells the other parts of the mesh what an entry that counts means to
// them. mu is held.
func (m *mesh) concern(e chain.Entry, now int64) {
	switch b := e.Body.(type) {
	case chain.Join:
		m.changed(b.Peer)
	case chain.Admit:
		m.changed(b.Peer)
	case chain.Revoke:
		for _, key := range b.Keys {
			// Its queue goes, and what others have waiting from it; the other
			// ends are told [CM-8].
			m.delivery.Revoke(now, key)
			m.run(now)
			if p := m.peers[key]; p != nil {
				p.card = nil
			}
			m.b.recorder.dropCards(m.id, key)
			m.changed(key)
		}
	}
}

// restand looks at everyone who is connected again: who was admitted takes
// part, who was put out goes at once. mu is held.
func (m *mesh) restand(now int64) {
	for _, s := range m.conns {
		was, is := s.standing, m.state().Standing(s.peer(), now)
		if was == is {
			continue
		}
		s.standing = is
		if was == roster.Unknown {
			m.broughtEnd(s)
		}
		if was == roster.Belongs {
			m.delivery.Disconnect(now, s.conn)
			m.run(now)
			m.leave(s, now)
		}
		switch is {
		case roster.Belongs:
			m.greetLocked(s, now)
		case roster.Waits, roster.Owner, roster.Recovery, roster.InviteOpen:
		case roster.Revoked:
			s.fail(wire.CodeRevoked, wire.CloseRevoked, 0)
		default:
			s.fail(wire.CodeNotMember, wire.CloseNotMember, 0)
		}
	}
}

// state is who belongs now. mu or ordering is held.
func (m *mesh) state() roster.State { return m.roster.State() }

func storedEntries(entries []chain.Signed) []store.Entry {
	out := make([]store.Entry, len(entries))
	for i, e := range entries {
		out[i] = store.Entry{N: e.Entry.N, Hash: e.Hash, Signed: e.Bytes, Sig: e.Sig}
	}
	return out
}

func storedHead(h chain.SignedHead) store.Head {
	return store.Head{N: h.Head.N, Hash: h.Head.Hash, Time: h.Head.Time, Life: h.Head.Life, Signed: h.Bytes, Sig: h.Sig}
}

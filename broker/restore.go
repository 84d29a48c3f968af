package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// A broker whose folder was restored from a backup is behind its members. It
// learns so from a hello that names a place it does not have, and it is proved
// by what the member brings then: entries under a head that this broker's own
// key signed, which nobody else can make. It takes them back, counts up its
// life, and orders nothing new until it has heard all members, or its operator
// says to go on [CM-5]. What it orders before it learns so is no fraud either:
// it began a new life when it started.
//
// A place alone proves nothing: any member could name one and stop the mesh. It
// only stops appends for a moment, once an hour for each member, so that the
// proof comes before anything is ordered in its place.

const (
	// suspectFor is how long nothing is ordered after a hello that may come from
	// ahead, in milliseconds.
	suspectFor = 10_000
	// suspectAgain is how long a member's next such hello is not heeded.
	suspectAgain = 3_600_000
	// bringers is how many keys that the chain does not know may be connected at
	// a time to bring the entries that let them in.
	bringers = 4
	// bringWithin is how long such a key has, in milliseconds.
	bringWithin = 10_000
	// maxBrought is how many entries are gathered from one session until its
	// head is reached.
	maxBrought = 4096
)

// restoring is what a mesh knows of having been restored.
type restoring struct {
	proved   bool
	heard    map[keys.Public]bool  // members that said hello since
	until    int64                 // nothing is ordered before, by the steady clock
	heeded   map[keys.Public]int64 // when a member was last believed to come from ahead
	bringers int
}

// brought gathers a session's entries until they reach their head.
type brought struct {
	from    uint64
	entries []signed.Object
}

// settingRestored is the name under which the store remembers that a mesh was
// restored.
func settingRestored(id keys.MeshID) string { return "restored " + id.String() }

// settingLost is the name under which the store remembers until when messages were
// made, Unix ms, of which a restore may have lost what it knew.
const settingLost = "lost until"

// loseUntil notes that the store was restored at a time. A sender's clock may be ahead.
func loseUntil(ctx context.Context, s store.Store, now int64) (until int64, err error) {
	until = now + wire.ClockAhead
	return until, s.SetSetting(ctx, settingLost, strconv.FormatInt(until, 10))
}

// loadLost reads when that was; 0: never.
func loadLost(ctx context.Context, s store.Store) (int64, error) {
	value, err := s.Setting(ctx, settingLost)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(value, 10, 64)
}

// loadRestored reads whether the mesh was restored and not all were heard.
func (m *mesh) loadRestored(ctx context.Context) error {
	value, err := m.b.store.Setting(ctx, settingRestored(m.id))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if value == "" {
		return nil
	}
	if m.b.opts.GoOn {
		return m.forgetRestored(ctx)
	}
	m.restoring.proved, m.restoring.heard = true, make(map[keys.Public]bool)
	return nil
}

// forgetRestored ends it.
func (m *mesh) forgetRestored(ctx context.Context) error {
	return m.b.store.SetSetting(ctx, settingRestored(m.id), "")
}

// fromAhead says whether a hello names what this chain does not have.
func (m *mesh) fromAhead(body wire.HelloBody) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.roster.Chain().Compare(body.At) != chain.Part
}

// heed takes a member's hello into account. mu is held.
func (m *mesh) heed(s *session) {
	r, now := &m.restoring, m.b.steady()
	if m.roster.Chain().Compare(s.hello.At) == chain.Part {
		if r.proved && s.standing == roster.Belongs {
			r.heard[s.peer()] = true
		}
		return
	}
	switch s.standing {
	case roster.Belongs, roster.Owner, roster.Recovery:
	default:
		return // a link or a stranger stops nobody
	}
	if now-r.heeded[s.peer()] < suspectAgain {
		return
	}
	if r.heeded == nil {
		r.heeded = make(map[keys.Public]int64)
	}
	r.heeded[s.peer()] = now
	r.until = now + suspectFor
	m.b.log.Warn("a member holds entries that this broker does not have; was it restored from a backup?",
		"mesh", m.id, "peer", m.address(s.peer(), ""), "at", s.hello.At.N)
}

// mayOrder says whether entries may be ordered, and else after how many
// milliseconds to ask again (0: not known). mu is held.
func (m *mesh) mayOrder() (ok bool, pause int64) {
	r := &m.restoring
	if r.proved {
		for _, member := range m.state().Members() {
			if !r.heard[member.Key] {
				return false, 0
			}
		}
		r.proved, r.heard = false, nil
		m.b.tasks.Go(func() {
			if err := m.forgetRestored(m.b.living); err != nil {
				m.b.log.Error("note that all members were heard", "mesh", m.id, "err", err)
			}
		})
	}
	if now := m.b.steady(); now < r.until {
		return false, r.until - now
	}
	return true, 0
}

// offered takes entries that a member brings, under this broker's own head.
func (m *mesh) offered(s *session, f *wire.Entries) {
	if !f.Chain.IsZero() {
		s.refuse(wire.CodeForbidden, f.Re, "there are no channels here")
		return
	}
	head, err := chain.DecodeHead(f.Head)
	if err == nil {
		err = head.Verify(m.b.Key())
	}
	if err != nil || head.Head.Mesh != m.id {
		s.refuse(wire.CodeForbidden, f.Re, "only what this broker signed itself is taken back")
		return
	}
	b := &s.brought
	if len(b.entries) == 0 || f.From != b.from+uint64(len(b.entries)) {
		b.from, b.entries = f.From, nil
	}
	if len(b.entries)+len(f.Entries) > maxBrought {
		s.refuse(wire.CodeTooLarge, f.Re, "")
		return
	}
	b.entries = append(b.entries, f.Entries...)
	if next := b.from + uint64(len(b.entries)); len(f.Entries) > 0 && next <= head.Head.N {
		s.send(&wire.Sync{ID: next, From: next})
		return
	}
	page := chain.Page{From: b.from, Entries: b.entries, Head: f.Head}
	*b = brought{}
	if err := m.takeBack(s, page, head); err != nil {
		code, text := refusal(err)
		s.refuse(code, f.Re, text)
	}
}

// takeBack takes entries back that this broker had ordered before it was
// restored.
func (m *mesh) takeBack(s *session, page chain.Page, theirs chain.SignedHead) error {
	m.ordering.Lock()
	defer m.ordering.Unlock()
	now := m.b.now()
	// On a copy first: nothing is changed before it is stored.
	c := m.roster.Chain()
	old := c.Tip()
	var held []signed.Object
	for _, e := range c.From(0, int(c.Len())) {
		held = append(held, e.Object)
	}
	trial, err := roster.Load(m.id, keys.Public{}, held, c.Head().Object)
	if err != nil {
		return err
	}
	change, err := trial.Append(page, now)
	if err != nil {
		return err
	}
	if change.Outcome != roster.Grown && theirs.Head.Life <= m.life {
		return nil // nothing that is not known
	}
	if change.Outcome == roster.Switched {
		return fmt.Errorf("roster: %w: this broker does not take its own entries back", roster.ErrPlace)
	}
	state := trial.State()
	head, err := chain.MakeHead(chain.Head{
		Mesh: m.id, N: state.At().N, Hash: state.Tip(), Time: now, Life: max(m.life, theirs.Head.Life) + 1,
	}, m.b.key)
	if err != nil {
		return err
	}
	if _, err := trial.Append(chain.Page{From: state.Next(), Head: head.Object}, now); err != nil {
		return err
	}
	if err := m.b.store.SetSetting(m.b.living, settingRestored(m.id), "yes"); err != nil {
		return err
	}
	lost, err := loseUntil(m.b.living, m.b.store, now)
	if err != nil {
		return err
	}
	m.b.lostUntil.Store(lost)
	err = m.b.store.Append(m.b.living, store.Append{Mesh: m.id, Prev: old, Entries: storedEntries(change.Entries), Head: storedHead(head)})
	if err != nil {
		return err
	}
	m.b.log.Warn("entries taken back from a member: this broker was restored from a backup", "mesh", m.id,
		"entries", len(change.Entries), "life", head.Head.Life)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.roster, m.head, m.life = trial, head, head.Head.Life
	m.restoring.proved = !m.b.opts.GoOn
	m.restoring.heard = map[keys.Public]bool{s.peer(): true}
	for _, other := range m.conns { // who is here and is not ahead was heard
		if trial.Chain().Compare(other.hello.At) == chain.Part {
			m.restoring.heard[other.peer()] = true
		}
	}
	m.announce(nil, change, now)
	return nil
}

// bring lets a key that the chain does not know wait for a moment for the
// entries that let it in. It says false where too many do. mu is held.
func (m *mesh) bring(s *session) bool {
	if m.restoring.bringers >= bringers {
		return false
	}
	m.restoring.bringers++
	s.brings = true
	s.bringing = m.b.after(bringWithin*time.Millisecond, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		s.bringing = nil
		if s.standing == roster.Unknown {
			s.fail(wire.CodeNotMember, wire.CloseNotMember, 0)
		}
	})
	return true
}

// broughtEnd ends that. mu is held.
func (m *mesh) broughtEnd(s *session) {
	if !s.brings {
		return
	}
	s.brings = false
	m.restoring.bringers--
	m.b.stop(s.bringing)
	s.bringing = nil
}

package peer

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Member is a peer of the mesh: a device of a user, from the chain.
type Member struct {
	Key      Key
	User     string
	Device   string
	Address  string // user@device
	Rank     int    // 1 member, 2 admin, 3 owner
	Kind     string // agent, gateway, bridge, web
	You      bool   // this very peer
	Yours    bool   // a device of this peer's user
	Verified bool
	Joined   time.Time
	// Online and Since are the broker's word: connected, since when (or
	// away since when; zero: unknown).
	Online  bool
	Since   time.Time
	Summary string // signed and sealed by the peer
	Display string // free display name, never resolved
	// Tags are what the peer's own signed card carries: @tag means it.
	Tags []string
	// Sessions are the live ones that receive, by their signed cards.
	Sessions []Session
}

// Session is a live session by its signed card.
type Session struct {
	ID      SessionID
	Label   string
	Address string // user@device/label
	Status  Status
	Changed time.Time // of the status
	Summary string
	You     bool
}

// People is who belongs to the mesh and who is there.
type People struct {
	MeshName string
	Host     string
	Members  []Member // this user's first, then by user and device
	// Fresh: the broker was asked; else only the chain speaks.
	Fresh bool
	// Confirmed is who last confirmed the roster that this peer holds, "" for
	// nobody.
	Confirmed   string
	ConfirmedAt time.Time
	// Unconfirmed: for 24 hours nobody did, though others are connected.
	Unconfirmed bool
}

// Peers returns the verified roster, with presence where the broker answers;
// where it does not, the roster alone (Fresh false) and NotReachableError.
func (p *Peer) Peers(ctx context.Context) (People, error) {
	failed := p.subscribe(ctx)
	verified, err := p.verifiedUsers(ctx)
	if err != nil {
		return People{}, err
	}
	view := p.members()
	out := People{MeshName: p.alias, Host: p.host(), Fresh: failed == nil}
	p.mu.Lock()
	for _, m := range view.Members() {
		out.Members = append(out.Members, p.memberLocked(m, verified))
	}
	p.mu.Unlock()
	slices.SortStableFunc(out.Members, func(a, b Member) int {
		return cmp.Or(-compareBool(a.Yours, b.Yours), cmp.Compare(a.User, b.User), cmp.Compare(a.Device, b.Device))
	})
	out.Confirmed, out.ConfirmedAt = p.confirmation()
	p.mu.Lock()
	out.Unconfirmed = p.unconfirmedLocked(p.now())
	p.mu.Unlock()
	return out, failed
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// memberLocked is a member with what is known of its presence.
func (p *Peer) memberLocked(m roster.Member, verified map[string]bool) Member {
	out := Member{Key: m.Key, User: m.User, Device: m.Device, Address: m.Address(), Rank: int(m.Rank), Kind: string(m.Kind),
		You: m.Key == p.self, Yours: m.User == p.user, Verified: verified[m.User], Joined: timeOf(m.Joined)}
	who := p.people.peers[m.Key]
	if who == nil {
		return out
	}
	out.Online, out.Since, out.Tags = who.connected, timeOf(who.since), slices.Clone(who.card.Tags)
	for _, s := range who.sessions {
		one := Session{ID: s.id, Label: s.card.Label, Address: m.Address(), Status: Status(s.card.Status), Changed: timeOf(s.changed),
			Summary: s.extras.Summary, You: s.id == p.session}
		if one.Label != "" {
			one.Address += "/" + one.Label
		}
		if one.Status == "" {
			one.Status = Idle
		}
		if s.extras.Name != "" {
			out.Display = s.extras.Name
		}
		if out.Summary == "" {
			out.Summary = s.extras.Summary
		}
		out.Sessions = append(out.Sessions, one)
	}
	return out
}

// presence is what is known of who is there. Guarded by Peer.mu.
type presence struct {
	on    *line // the line on which presence was asked for; nil: none
	fresh bool  // all of it has come
	peers map[keys.Public]*personal
	// counters are the highest card counters seen: an older card is no news,
	// whoever shows it.
	counters map[cardKey]uint64
}

// cardKey names a card: a session's, or with a zero session the peer's.
type cardKey struct {
	peer    keys.Public
	session keys.SessionID
}

// personal is what is known of one peer's presence.
type personal struct {
	connected bool
	since     int64
	card      wire.CardBody // zero: none seen
	sessions  []sessionCard
}

// sessionCard is a session by its verified card.
type sessionCard struct {
	id      keys.SessionID
	card    wire.CardBody
	changed int64 // since when the status is what it is, as far as seen
	extras  seal.Extras
}

// forgetPresence forgets who was there: the line is down.
func (p *Peer) forgetPresence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people.on, p.people.fresh, p.people.peers = nil, false, nil
}

// subscribe asks for everyone's presence, once a line, and waits for it.
func (p *Peer) subscribe(ctx context.Context) error {
	l, err := p.onlineLine(ctx)
	if err != nil {
		return err
	}
	p.mu.Lock()
	asked := p.people.on == l
	p.people.on = l
	p.mu.Unlock()
	if asked {
		return p.until(ctx, func() (bool, error) {
			if p.people.on != l {
				return false, &NotReachableError{Host: p.condition.Host, Reason: "connection broken"}
			}
			return p.people.fresh, nil
		})
	}
	_, err = l.request(ctx, func(id uint64) wire.Frame { return &wire.Subscribe{ID: id} })
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.people.on != l {
		return &NotReachableError{Host: p.condition.Host, Reason: "connection broken"}
	}
	if err != nil {
		p.people.on = nil
		return err
	}
	p.people.fresh = true
	p.changedLocked()
	return nil
}

// presenceFrame takes what the broker tells of others.
func (p *Peer) presenceFrame(l *line, f *wire.Presence) {
	for i := range f.Peers {
		p.takePresence(&f.Peers[i])
	}
	if f.Re != 0 && !f.More {
		l.answered(f.Re, f)
	}
	if f.Re == 0 {
		p.feeds.tell(Event{Kind: EventPresence})
	}
}

// takePresence replaces what is known of one peer. Of what the broker says only
// connected and since when are taken as they are; cards are verified. [CM-7]
func (p *Peer) takePresence(f *wire.PeerPresence) {
	if !isMember(p.members(), f.Key) {
		return
	}
	who := &personal{connected: f.Connected, since: f.Since}
	if f.Card != nil {
		if body, ok := p.takeCard(f.Key, keys.SessionID{}, *f.Card); ok {
			who.card = body
		}
	}
	for i := range f.Sessions {
		s := &f.Sessions[i]
		if s.Card == nil {
			continue // nothing is shown of a session but what its card says
		}
		body, ok := p.takeCard(f.Key, s.ID, *s.Card)
		if !ok {
			continue
		}
		one := sessionCard{id: s.ID, card: body, changed: body.Time}
		if s.Extras != nil {
			one.extras = p.openExtras(f.Key, s.ID, s.Extras)
		}
		who.sessions = append(who.sessions, one)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.people.peers == nil {
		p.people.peers = make(map[keys.Public]*personal)
	}
	if old := p.people.peers[f.Key]; old != nil {
		who.keepTimes(old)
	}
	p.people.peers[f.Key] = who
	p.changedLocked()
}

// keepTimes keeps since when a status holds: a card is signed anew every hour.
func (who *personal) keepTimes(old *personal) {
	for i := range who.sessions {
		s := &who.sessions[i]
		for _, o := range old.sessions {
			if o.id == s.id && o.card.Status == s.card.Status {
				s.changed = min(s.changed, o.changed)
			}
		}
	}
}

// takeCard verifies a card. One that is older than what was seen is refused: somebody
// shows an old one.
func (p *Peer) takeCard(key keys.Public, session keys.SessionID, o signed.Object) (wire.CardBody, bool) {
	body, err := wire.DecodeCard(o)
	if err == nil {
		err = o.Verify(signed.DomainCard, key)
	}
	if err == nil && (body.Mesh != p.mesh || body.Peer != key || body.Session != session) {
		err = fmt.Errorf("a card of another peer, session or mesh")
	}
	if err != nil {
		p.home.log.Warn("a card is refused", "mesh", p.alias, "peer", p.addressOf(key), "err", err)
		p.warn(fmt.Sprintf("%s shows a card of %s that %s did not sign; it was refused", p.host(), p.addressOf(key), p.addressOf(key)))
		return body, false
	}
	id := cardKey{key, session}
	p.mu.Lock()
	if p.people.counters == nil {
		p.people.counters = make(map[cardKey]uint64)
	}
	old := body.Counter < p.people.counters[id]
	if !old {
		p.people.counters[id] = body.Counter
	}
	p.mu.Unlock()
	if old {
		p.home.log.Warn("an old card is refused", "mesh", p.alias, "peer", p.addressOf(key))
		return body, false
	}
	if key != p.self {
		switch f := p.fitOf(key, body.At); f {
		case fits:
			p.confirmedBy(key, body.At, body.Time)
		case ahead, other:
			p.unsureOf(key, body.At, f)
		}
	}
	return body, true
}

// openExtras opens what is sealed beside a card; nothing where it does not open.
func (p *Peer) openExtras(key keys.Public, session keys.SessionID, e *wire.Extras) (extras seal.Extras) {
	if len(e.Box) == 0 || e.Scheme != extrasScheme {
		return extras // sealed before this peer joined
	}
	err := p.pairs.with(key, func(pair *seal.Pair) (err error) {
		extras, err = seal.OpenExtras(pair, e.Box, e.Sealed, p.mesh)
		return err
	})
	if err != nil || extras.Session != session {
		p.home.log.Warn("a summary does not open", "mesh", p.alias, "peer", p.addressOf(key), "err", err)
		return seal.Extras{}
	}
	return extras
}

// onlineLocked is how many other peers are connected, as the broker says.
func (p *Peer) onlineLocked() int {
	if p.line == nil {
		return 0
	}
	if !p.people.fresh {
		n := p.line.Present
		if p.receives == wire.ReceivesLive || p.receives == wire.ReceivesDrain {
			n--
		}
		return max(n, 0)
	}
	n := 0
	for key, who := range p.people.peers {
		if who.connected && key != p.self {
			n++
		}
	}
	return n
}

// verifiedUsers are the users whose safety number was compared, over the keys that
// they have now.
func (p *Peer) verifiedUsers(ctx context.Context) (verified map[string]bool, err error) {
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		verified, err = p.verifiedIn(tx)
		return err
	})
	return verified, err
}

// verifiedIn is verifiedUsers inside a transaction.
func (p *Peer) verifiedIn(tx *profile.Tx) (map[string]bool, error) {
	verified := map[string]bool{}
	view := p.members()
	all, err := tx.Trusts()
	for _, t := range all {
		if t.Verified != 0 && slices.Equal(t.Keys, keysOf(view.User(t.Who))) {
			verified[t.Who] = true
		}
	}
	return verified, err
}

// keysOf are the sorted keys of devices.
func keysOf(devices []roster.Member) []keys.Public {
	all := make([]keys.Public, 0, len(devices))
	for _, d := range devices {
		all = append(all, d.Key)
	}
	slices.SortFunc(all, func(a, b keys.Public) int { return bytes.Compare(a[:], b[:]) })
	return all
}

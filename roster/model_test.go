package roster_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// model is the rules of design 5 a second time, written for reading and not for
// speed, straight over the entries: what a stranger's peer would do. The adversary's
// invariants compare both after every step.
type model struct {
	time    int64
	owners  map[keys.Public]bool
	rec     keys.Public
	broker  keys.Public
	used    map[keys.Public]bool
	brokers map[keys.Public]bool
	gone    map[keys.Public]bool
	peers   map[keys.Public]*modelPeer
	links   map[keys.Public]*modelLink
	names   map[string]bool
	count   map[string]int
}

type modelPeer struct {
	key          keys.Public
	user, device string
	rank         chain.Rank
	waits        bool
	yes          map[keys.Public]bool
	link         keys.Public
	time         int64
}

type modelLink struct {
	chain.Invite
	by   keys.Public
	used int64
}

// fold runs the model over entries.
func foldModel(entries []chain.Signed) *model {
	first := entries[0]
	body := first.Entry.Body.(chain.Genesis)
	m := &model{
		time: first.Entry.Time, owners: map[keys.Public]bool{first.Entry.By: true}, rec: body.Recovery, broker: body.Broker,
		used:    map[keys.Public]bool{first.Entry.By: true, body.Recovery: true, body.Broker: true},
		brokers: map[keys.Public]bool{body.Broker: true}, gone: map[keys.Public]bool{},
		peers: map[keys.Public]*modelPeer{}, links: map[keys.Public]*modelLink{}, names: map[string]bool{}, count: map[string]int{},
	}
	for _, e := range entries[1:] {
		if e.Void == nil && e.Entry.Time >= m.time && m.next(e.Entry) {
			m.time = e.Entry.Time
		}
	}
	return m
}

func (m *model) rank(key keys.Public) chain.Rank {
	switch p := m.peers[key]; {
	case m.gone[key]:
		return 0
	case m.owners[key]:
		return chain.RankOwner
	case key == m.rec:
		return chain.RankRecovery
	case p != nil && !p.waits:
		return p.rank
	}
	return 0
}

func (m *model) devices(user string) (n int) {
	for _, p := range m.peers {
		if p.user == user && m.rank(p.key) > 0 {
			n++
		}
	}
	return n
}

// next tells whether an entry counts, and does what it says.
func (m *model) next(e chain.Entry) bool {
	rank, p := m.rank(e.By), m.peers[e.By]
	charged := p != nil && rank == chain.RankMember && e.Type() != chain.TypeRevoke
	if charged && m.count[p.user] >= 256 || !m.does(e, rank) {
		return false
	}
	if charged {
		m.count[p.user]++
	}
	return true
}

func (m *model) does(e chain.Entry, rank chain.Rank) bool {
	switch b := e.Body.(type) {
	case chain.Broker:
		return rank == chain.RankAdmin || rank == chain.RankOwner
	case chain.Heal:
		if rank < chain.RankOwner || m.used[b.Broker] && !m.brokers[b.Broker] {
			return false
		}
		m.broker, m.used[b.Broker], m.brokers[b.Broker] = b.Broker, true, true
		return true
	case chain.Role:
		if b.Rank == chain.RankOwner {
			if rank < chain.RankOwner || m.used[b.Key] {
				return false
			}
			m.used[b.Key], m.owners[b.Key] = true, true
			return true
		}
		has := m.rank(b.Key)
		if m.peers[b.Key] == nil || has == 0 || rank <= has || rank <= b.Rank {
			return false
		}
		m.peers[b.Key].rank = b.Rank
		return true
	case chain.Invite:
		if m.used[b.Key] || !m.mayInvite(e.By, b) || m.openBy(e) >= 16 {
			return false
		}
		m.used[b.Key], m.links[b.Key] = true, &modelLink{b, e.By, 0}
		return true
	case chain.Join:
		return m.joins(e, b)
	case chain.Admit:
		return m.admits(e, b, rank)
	case chain.Revoke:
		return m.revokes(e, b)
	}
	return false
}

func (m *model) mayInvite(by keys.Public, i chain.Invite) bool {
	rank := m.rank(by)
	if rank >= chain.RankAdmin {
		return i.Rank < rank
	}
	return rank == chain.RankMember && i.User == m.peers[by].user && i.Rank == chain.RankMember
}

func (m *model) open(key keys.Public, at int64) bool {
	l := m.links[key]
	return l != nil && !m.gone[key] && l.used < l.Uses && at < l.Expires && m.mayInvite(l.by, l.Invite)
}

func (m *model) openBy(e chain.Entry) (n int) {
	p := m.peers[e.By]
	if p == nil {
		return 0
	}
	for key, l := range m.links {
		if maker := m.peers[l.by]; maker != nil && maker.user == p.user && m.open(key, e.Time) {
			n++
		}
	}
	return n
}

// wants says whose yes a join wants.
func (m *model) wants(p *modelPeer) (user, admin bool) {
	l := m.links[p.link]
	admin = l.Approve
	if !m.names[p.user] {
		return false, admin
	}
	if maker := m.peers[l.by]; l.User == p.user && maker != nil && maker.user == p.user && m.rank(l.by) > 0 {
		return false, admin
	}
	if m.devices(p.user) == 0 {
		return false, true
	}
	return true, admin
}

func (m *model) room(p *modelPeer) bool {
	for _, other := range m.peers {
		if other.user == p.user && other.device == p.device && m.rank(other.key) > 0 {
			return false
		}
	}
	return m.devices(p.user) < 16
}

func (m *model) joins(e chain.Entry, b chain.Join) bool {
	if !m.open(e.By, e.Time) || m.used[b.Peer] {
		return false
	}
	l := m.links[e.By]
	if l.User != "" && l.User != b.User || !slices.Contains(l.Kinds, b.Kind) {
		return false
	}
	p := &modelPeer{key: b.Peer, user: b.User, device: b.Device, rank: l.Rank, link: e.By, time: e.Time, yes: map[keys.Public]bool{}}
	if !m.room(p) {
		return false
	}
	user, admin := m.wants(p)
	p.waits = user || admin
	l.used++
	m.used[b.Peer], m.peers[b.Peer] = true, p
	if !p.waits {
		m.names[p.user] = true
	}
	return true
}

func (m *model) admits(e chain.Entry, b chain.Admit, rank chain.Rank) bool {
	p := m.peers[b.Peer]
	if p == nil || !p.waits || m.gone[b.Peer] || e.Time-p.time >= 7*day || rank == 0 {
		return false
	}
	user, admin := m.wants(p)
	isUser := func(key keys.Public) bool {
		return m.rank(key) > 0 && m.peers[key] != nil && m.peers[key].user == p.user
	}
	isAdmin := func(key keys.Public) bool { return m.rank(key) >= chain.RankAdmin }
	if !(user && isUser(e.By)) && !(admin && isAdmin(e.By)) {
		return false
	}
	said := p.yes[e.By]
	p.yes[e.By] = true
	hasUser, hasAdmin := false, false
	for key := range p.yes {
		hasUser, hasAdmin = hasUser || isUser(key), hasAdmin || isAdmin(key)
	}
	if user && !hasUser || admin && !hasAdmin {
		return !said
	}
	if !m.room(p) {
		if !said {
			delete(p.yes, e.By)
		}
		return false
	}
	p.waits, m.names[p.user] = false, true
	return true
}

func (m *model) mayRevoke(by, key keys.Public) bool {
	if m.gone[key] {
		return false
	}
	p, l := m.peers[key], m.links[key]
	if by == key && (p != nil || m.owners[key] || key == m.rec) {
		return true
	}
	actor, target, user := m.rank(by), chain.Rank(0), ""
	switch {
	case m.owners[key]:
		target = chain.RankOwner
	case key == m.rec:
		target = chain.RankRecovery
	case p != nil:
		target, user = p.rank, p.user
	case l != nil:
		target = l.Rank
		if maker := m.peers[l.by]; maker != nil {
			user = maker.user
		}
	default:
		return false
	}
	me := m.peers[by]
	return actor > target || actor > 0 && me != nil && me.user == user && actor >= target
}

func (m *model) revokes(e chain.Entry, b chain.Revoke) bool {
	all := slices.Clone(b.Keys)
	for _, key := range b.Keys {
		if !m.mayRevoke(e.By, key) {
			return false
		}
		if p := m.peers[key]; p != nil && key != e.By && m.mayRevoke(e.By, p.link) {
			all = append(all, p.link)
		}
	}
	for _, key := range all {
		m.gone[key] = true
	}
	return true
}

// describe says all of a model that counts.
func (m *model) describe(now int64) string {
	var lines []string
	for _, p := range m.peers {
		switch {
		case m.rank(p.key) > 0:
			lines = append(lines, fmt.Sprintf("member %s@%s %v %.12s", p.user, p.device, p.rank, p.key))
		case p.waits && !m.gone[p.key] && now-p.time < 7*day:
			lines = append(lines, fmt.Sprintf("waits %s@%s %v %.12s", p.user, p.device, p.rank, p.key))
		}
	}
	for key := range m.owners {
		if !m.gone[key] {
			lines = append(lines, fmt.Sprintf("owner %.12s", key))
		}
	}
	for key := range m.links {
		if m.open(key, now) {
			lines = append(lines, fmt.Sprintf("open %.12s %d", key, m.links[key].Uses-m.links[key].used))
		}
	}
	for key := range m.gone {
		lines = append(lines, fmt.Sprintf("revoked %.12s", key))
	}
	lines = append(lines, fmt.Sprintf("broker %.12s", m.broker), fmt.Sprintf("time %d", m.time))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// describe says the same of a state.
func describe(s roster.State, now int64, all []keys.Public) string {
	var lines []string
	for _, p := range s.Members() {
		lines = append(lines, fmt.Sprintf("member %s %v %.12s", p.Address(), p.Rank, p.Key))
	}
	for _, p := range s.Pending(now) {
		lines = append(lines, fmt.Sprintf("waits %s %v %.12s", p.Address(), p.Rank, p.Key))
	}
	for _, key := range s.Owners() {
		lines = append(lines, fmt.Sprintf("owner %.12s", key))
	}
	for _, i := range s.Invites(now) {
		lines = append(lines, fmt.Sprintf("open %.12s %d", i.Key, i.Left))
	}
	for _, key := range all {
		if _, revoked := s.Revoked(key); revoked {
			lines = append(lines, fmt.Sprintf("revoked %.12s", key))
		}
	}
	lines = append(lines, fmt.Sprintf("broker %.12s", s.BrokerKey()), fmt.Sprintf("time %d", s.Time()))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

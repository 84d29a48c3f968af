package peer

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// target is whom an address means.
type target struct {
	address string // canonical
	to      []roster.Member
	one     bool           // any one of them
	session keys.SessionID // which session of the only one; zero: any
	label   string         // of that session
}

// Target is what an address resolved to.
type Target struct {
	Address    string // canonical: "bob@desk"
	Users      []string
	Recipients []Recipient
	// One: any one of the recipients will do (a user with several devices).
	One bool
}

// Resolve says whom an address means now, without sending. Sessions and tags are
// looked up at the broker, names are not.
func (p *Peer) Resolve(ctx context.Context, address string) (Target, error) {
	t, err := p.resolve(ctx, address, false)
	if err != nil {
		return Target{}, err
	}
	out := Target{Address: t.address, One: t.one}
	for _, m := range t.to {
		if !slices.Contains(out.Users, m.User) {
			out.Users = append(out.Users, m.User)
		}
		r := Recipient{Key: m.Key, User: m.User, Device: m.Device, Label: t.label, Address: m.Address()}
		if t.label != "" {
			r.Address += "/" + t.label
		}
		out.Recipients = append(out.Recipients, r)
	}
	return out, nil
}

// resolve finds whom an address means, against the verified roster and signed
// cards. all means every device of a user instead of any one.
func (p *Peer) resolve(ctx context.Context, text string, all bool) (*target, error) {
	a, err := wire.ParseAddress(text)
	if err != nil {
		return nil, &UsageError{Sentence: err.Error()}
	}
	if a.Mesh != "" && a.Mesh != p.alias {
		return nil, &UnknownNameError{Name: a.Mesh + ":", Mesh: "this profile", Candidates: []string{p.alias}}
	}
	a.Mesh = ""
	t := &target{address: a.String()}
	switch a.Kind {
	case wire.AddressUser:
		err = p.resolveUser(ctx, t, a, all)
	case wire.AddressLabel:
		err = p.resolveOwn(ctx, t, a.Label)
	case wire.AddressTag:
		err = p.resolveTag(ctx, t, a.Name)
	case wire.AddressKey:
		err = p.resolveKey(t, a.Key)
	case wire.AddressAll:
		for _, m := range p.members().Members() {
			if m.Key != p.self {
				t.to = append(t.to, m)
			}
		}
		if len(t.to) == 0 {
			err = &ForbiddenError{Action: "send to *", Why: "nobody else is in " + p.alias + " yet"}
		}
	default:
		err = &UsageError{Sentence: "channels are not there yet; send to names, or to * for everybody"}
	}
	if err != nil {
		return nil, err
	}
	return t, nil
}

// resolveUser is for user[@device][/label].
func (p *Peer) resolveUser(ctx context.Context, t *target, a wire.Address, all bool) error {
	devices := p.members().User(a.User)
	if len(devices) == 0 {
		return p.unknownUser(a)
	}
	if a.Device != "" {
		i := slices.IndexFunc(devices, func(m roster.Member) bool { return m.Device == a.Device })
		if i < 0 {
			return p.unknownDevice(a, devices)
		}
		devices = devices[i : i+1]
	}
	if a.Label != "" {
		return p.resolveLabel(ctx, t, a.Label, devices)
	}
	if len(devices) > 1 {
		// This device need not be told what it says itself.
		devices = slices.DeleteFunc(slices.Clone(devices), func(m roster.Member) bool { return m.Key == p.self })
	}
	t.to, t.one = devices, len(devices) > 1 && !all
	return nil
}

// unknownUser says why nobody has a name, or has it any more.
func (p *Peer) unknownUser(a wire.Address) error {
	if gone := p.goneError(a.User, a.Device); gone != nil {
		return gone
	}
	e := &UnknownNameError{Name: a.User, Mesh: p.alias}
	for _, m := range p.members().Members() {
		if !slices.Contains(e.Candidates, m.User) {
			e.Candidates = append(e.Candidates, m.User)
		}
	}
	slices.Sort(e.Candidates)
	e.Suggestion = suggest(a.User, e.Candidates)
	return e
}

// unknownDevice says why a user has no device of a name, or not any more.
func (p *Peer) unknownDevice(a wire.Address, devices []roster.Member) error {
	if gone := p.goneError(a.User, a.Device); gone != nil {
		return gone
	}
	e := &UnknownNameError{Name: a.User + "@" + a.Device, Mesh: p.alias}
	var names []string
	for _, m := range devices {
		e.Candidates = append(e.Candidates, m.Address())
		names = append(names, m.Device)
	}
	if near := suggest(a.Device, names); near != "" {
		e.Suggestion = a.User + "@" + near
	}
	return e
}

// goneError is for a name that waits to be let in, or was put out; nil for others.
func (p *Peer) goneError(user, device string) error {
	view := p.members()
	for _, w := range view.Pending(p.brokerNow()) {
		if w.User == user && (device == "" || w.Device == device) {
			return &WaitingError{Mesh: p.alias, Address: w.Address(), Number: keys.AdmitNumber(p.mesh, w.Key)}
		}
	}
	for _, key := range p.formerKeys(user, device) {
		if r, revoked := view.Revoked(key); revoked {
			return p.revokedError(view, key, r)
		}
	}
	return nil
}

// revokedError says who put a peer out, and when.
func (p *Peer) revokedError(view *roster.View, key keys.Public, r roster.Revocation) *RevokedError {
	e := &RevokedError{Address: p.addressOf(key), Mesh: p.alias, By: p.userOf(r.By), Self: key == p.self, Time: timeOf(r.Time)}
	e.Left = r.By == key
	return e
}

// resolveKey is for key-… or a unique prefix.
func (p *Peer) resolveKey(t *target, prefix string) error {
	var found []roster.Member
	for _, m := range p.members().Members() {
		if strings.HasPrefix(m.Key.String(), prefix) {
			found = append(found, m)
		}
	}
	switch len(found) {
	case 0:
		return &UnknownNameError{Name: prefix, Mesh: p.alias}
	case 1:
		t.to = found
		return nil
	}
	e := &AmbiguousError{Name: prefix}
	for _, m := range found {
		e.Candidates = append(e.Candidates, m.Key.String()+" ("+m.Address()+")")
	}
	return e
}

// liveSession is a session that can be addressed.
type liveSession struct {
	member roster.Member
	id     keys.SessionID
	label  string
}

// resolveLabel finds the session with a label among the devices of a user.
func (p *Peer) resolveLabel(ctx context.Context, t *target, label string, devices []roster.Member) error {
	var all []liveSession
	for _, m := range devices {
		if m.Key == p.self {
			own, err := p.ownSessions(ctx, m)
			if err != nil {
				return err
			}
			all = append(all, own...)
		}
	}
	if !slices.ContainsFunc(all, func(s liveSession) bool { return s.label == label }) || len(devices) > 1 {
		if err := p.subscribe(ctx); err != nil && len(all) == 0 {
			return err
		}
		all = append(all, p.shownSessions(devices)...)
	}
	return p.pickSession(t, label, all)
}

// resolveOwn is for /label: a session of this user's, on this device first.
func (p *Peer) resolveOwn(ctx context.Context, t *target, label string) error {
	me, ok := p.members().Member(p.self)
	if !ok {
		return p.outsideError()
	}
	own, err := p.ownSessions(ctx, me)
	if err != nil {
		return err
	}
	devices := p.members().User(p.user)
	if !slices.ContainsFunc(own, func(s liveSession) bool { return s.label == label }) && len(devices) > 1 {
		if err := p.subscribe(ctx); err != nil && len(own) == 0 {
			return err
		}
		own = append(own, p.shownSessions(devices)...)
	}
	return p.pickSession(t, label, own)
}

// pickSession takes the one session that has a label.
func (p *Peer) pickSession(t *target, label string, all []liveSession) error {
	var found []liveSession
	var labels []string
	for _, s := range all {
		if s.label != "" && !slices.Contains(labels, s.label) {
			labels = append(labels, s.label)
		}
		if s.label == label && !slices.ContainsFunc(found, func(f liveSession) bool { return f.id == s.id }) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		slices.Sort(labels)
		e := &UnknownNameError{Name: t.address, Mesh: p.alias, Session: true, Suggestion: suggest(label, labels)}
		whose := strings.TrimSuffix(t.address, label) // bob@desk/, or / for one's own
		for _, l := range labels {
			e.Candidates = append(e.Candidates, whose+l)
		}
		if e.Suggestion != "" {
			e.Suggestion = whose + e.Suggestion
		}
		return e
	case 1:
		t.to, t.session, t.label = []roster.Member{found[0].member}, found[0].id, found[0].label
		return nil
	}
	e := &AmbiguousError{Name: t.address}
	for _, s := range found {
		e.Candidates = append(e.Candidates, s.member.Address()+"/"+s.label)
	}
	return e
}

// ownSessions are the live sessions of this profile that receive, but this one.
func (p *Peer) ownSessions(ctx context.Context, me roster.Member) ([]liveSession, error) {
	var live []profile.SessionInfo
	err := p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) (err error) {
		live, err = tx.Live()
		return err
	})
	var own []liveSession
	for _, s := range live {
		if s.ID != p.session && s.Receives >= wire.ReceivesDrain {
			own = append(own, liveSession{member: me, id: s.ID, label: s.Label})
		}
	}
	return own, err
}

// shownSessions are the sessions of devices by their cards, but this one.
func (p *Peer) shownSessions(devices []roster.Member) []liveSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []liveSession
	for _, m := range devices {
		who := p.people.peers[m.Key]
		if who == nil {
			continue
		}
		for _, s := range who.sessions {
			if s.id != p.session {
				all = append(all, liveSession{member: m, id: s.id, label: s.card.Label})
			}
		}
	}
	return all
}

// resolveTag finds the peers whose card carries a tag.
func (p *Peer) resolveTag(ctx context.Context, t *target, tag string) error {
	if err := p.subscribe(ctx); err != nil {
		return err
	}
	var tags []string // of the others
	view := p.members()
	p.mu.Lock()
	for key, who := range p.people.peers {
		for _, carried := range who.card.Tags {
			if key != p.self && !slices.Contains(tags, carried) {
				tags = append(tags, carried)
			}
		}
		if m, ok := view.Member(key); ok && key != p.self && slices.Contains(who.card.Tags, tag) {
			t.to = append(t.to, m)
		}
	}
	p.mu.Unlock()
	if len(t.to) == 0 {
		slices.Sort(tags)
		e := &UnknownNameError{Name: "@" + tag, Mesh: p.alias, Suggestion: suggest(tag, tags), Tag: true}
		for _, c := range tags {
			e.Candidates = append(e.Candidates, "@"+c)
		}
		if e.Suggestion != "" {
			e.Suggestion = "@" + e.Suggestion
		}
		return e
	}
	slices.SortFunc(t.to, func(a, b roster.Member) int { return cmp.Compare(a.Address(), b.Address()) })
	return nil
}

// isUnreachable tells whether an error only says that the broker does not answer.
func isUnreachable(err error) bool {
	var e *NotReachableError
	return errors.As(err, &e)
}

package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// LinkInfo is what an invite link leads to, checked from the genesis to the
// invite.
type LinkInfo struct {
	Mesh    MeshID
	Name    string // of the mesh
	Owner   string // user name of the owner
	Host    string // "mesh.example.org"
	User    string // the invite is for devices of this user; "": for anybody
	Uses    int    // uses left
	Until   time.Time
	Approve bool // an admin's yes is wanted
	// Member: the profile is in this mesh already; Alias is its name there.
	Member bool
	Alias  string
}

// JoinOptions says as whom to join.
type JoinOptions struct {
	Dir    string // as in Options
	Alias  string // in this profile; empty: the mesh's name
	User   string // empty: the invite's user, else the login name as a slug
	Device string // empty: short host name as a slug
	// Kind is agent, gateway, bridge or web; empty: agent. It stands in the roster
	// for everybody to see.
	Kind   string
	Client string // as in Options
	// Checked is called once the chain was verified, before anything is
	// signed. An error ends the join. Nil: go on.
	Checked func(LinkInfo) error
	// Dial as in Options.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Joined is what came of a join.
type Joined struct {
	Mesh MeshInfo
	// Already: the profile was in this mesh before; only where to dial was
	// learned from the link.
	Already bool
	// Pending: the join waits for a yes. See [Peer.WaitAdmitted].
	Pending bool
	// Number is the 16 digits to compare with who says yes ("4711 0815 2342 0163"); with
	// Pending only.
	Number string
	// Admit lists who can say yes: addresses of the user's devices, or of the
	// admins.
	Admit []string
}

// ReadLink dials where the link points to, verifies the chain from the genesis
// to the invite, and says what it is. LinkError, NotReachableError,
// TamperError.
func ReadLink(ctx context.Context, link string, o JoinOptions) (*LinkInfo, error) {
	j, err := openJoin(ctx, link, o)
	if err != nil {
		return nil, err
	}
	defer j.close()
	m, err := j.known(ctx)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return &LinkInfo{Mesh: m.ID, Name: m.Alias, Host: j.at.shown(), Member: true, Alias: m.Alias}, nil
	}
	if err := j.dial(ctx); err != nil {
		return nil, err
	}
	info := j.info()
	return &info, nil
}

// Join makes a keypair and joins by the link. The link may be the https form,
// the claudemesh: form, or any of them with white space in it.
func Join(ctx context.Context, link string, o JoinOptions) (*Joined, error) {
	j, err := openJoin(ctx, link, o)
	if err != nil {
		return nil, err
	}
	defer j.close()
	m, err := j.known(ctx)
	if err != nil {
		return nil, err
	}
	if m != nil {
		return j.learn(ctx, m)
	}
	if err := j.dial(ctx); err != nil {
		return nil, err
	}
	if o.Checked != nil {
		if err := o.Checked(j.info()); err != nil {
			return nil, err
		}
	}
	return j.join(ctx)
}

// joining is a join under way: a link, the profile, and the chain as far as it was
// verified.
type joining struct {
	o      JoinOptions
	link   chain.Link
	at     endpoint
	folder *profile.Profile
	state  *profile.State
	*visit
}

// openJoin reads a link and opens the profile.
func openJoin(ctx context.Context, text string, o JoinOptions) (*joining, error) {
	j := &joining{o: o}
	j.o.Dial = dialOf(o.Dial)
	var err error
	if j.link, err = chain.ParseLink(text); err != nil {
		return nil, linkError(err)
	}
	if j.at, err = parseEndpoint(j.link.URL, false); err != nil {
		return nil, &LinkError{Why: err.Error()}
	}
	if j.folder, err = profile.Open(o.Dir); err != nil {
		return nil, err
	}
	if _, err = j.folder.Config(); err != nil {
		return nil, err
	}
	if j.state, err = j.folder.OpenState(ctx); err != nil {
		return nil, err
	}
	return j, nil
}

// linkError says in words for people what is wrong with a link.
func linkError(err error) error {
	switch {
	case errors.Is(err, chain.ErrLinkVersion):
		return &LinkError{Why: "it is of a newer form: update claudemesh"}
	case errors.Is(err, chain.ErrLinkCut):
		return &LinkError{Why: "a part of it is missing; copy the whole line"}
	case errors.Is(err, chain.ErrLinkPlain):
		return &LinkError{Why: "it dials another machine without encryption"}
	}
	return &LinkError{Why: "it is no claudemesh link"}
}

func (j *joining) close() {
	if j.visit != nil {
		j.socket.close(wire.CloseNormal)
	}
	_ = j.state.Close() // everything that matters was committed
}

// known is the mesh of the link, where this profile is in it already: nil where it is
// not, or was put out.
func (j *joining) known(ctx context.Context) (*config.Mesh, error) {
	settings, err := j.folder.Config()
	if err != nil {
		return nil, err
	}
	m, err := settings.Mesh(j.link.Mesh)
	if err != nil || m.Draft {
		return nil, nil
	}
	ledger, err := loadLedger(ctx, j.state, m.ID, m.PeerKey.Public())
	if err != nil {
		return nil, err
	}
	switch ledger.State().Standing(m.PeerKey.Public(), now()) {
	case roster.Revoked, roster.Lapsed:
		return nil, nil
	}
	return m, nil
}

// learn takes from a link of a mesh that one is in only where to dial: id and key are
// pinned.
func (j *joining) learn(ctx context.Context, m *config.Mesh) (*Joined, error) {
	ledger, err := loadLedger(ctx, j.state, m.ID, m.PeerKey.Public())
	if err != nil {
		return nil, err
	}
	if ledger.State().BrokerKey().Fingerprint() != j.link.Broker {
		return nil, &LinkError{Why: fmt.Sprintf("it names another broker than %s has", m.Alias)}
	}
	out := &Joined{Already: true}
	err = j.folder.Update(ctx, func(c *config.Config) error {
		m, err := c.Mesh(j.link.Mesh)
		if err != nil {
			return err
		}
		if len(m.Brokers) == 0 {
			m.Brokers = []config.Broker{{Key: ledger.State().BrokerKey()}}
		}
		if b := &m.Brokers[0]; !slices.Contains(b.URLs, j.at.url) {
			b.URLs = append([]string{j.at.url}, b.URLs...)
		}
		out.Mesh = infoOf(m, ledger.View())
		return nil
	})
	return out, err
}

// info describes the mesh and the invite.
func (j *joining) info() LinkInfo {
	state := j.ledger.State()
	invite, _ := state.Invite(j.link.Key.Public())
	info := LinkInfo{Mesh: j.link.Mesh, Name: state.Name(), Host: j.at.shown(), User: invite.User, Uses: int(invite.Left),
		Until: timeOf(invite.Expires), Approve: invite.Approve}
	var names register
	names.follow(j.ledger)
	if owners := state.Owners(); len(owners) > 0 {
		if info.Owner = names.user(owners[0]); info.Owner == "" {
			info.Owner = shortKey(owners[0])
		}
	}
	return info
}

// joinTries is how often a join is signed anew because others were faster.
const joinTries = 8

// join signs the join and has it ordered. The key is on the disk before.
func (j *joining) join(ctx context.Context) (*Joined, error) {
	invite, _ := j.ledger.State().Invite(j.link.Key.Public())
	userName := j.o.User
	if userName == "" {
		userName = invite.User
	}
	userName, device, err := personNames(userName, j.o.Device)
	if err != nil {
		return nil, err
	}
	kind := chain.Kind(j.o.Kind)
	if kind == "" {
		kind = chain.KindAgent
	}
	m, err := j.draft(ctx, userName, device)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, j.socket.abort)
	head, err := j.appendJoin(chain.Join{User: userName, Device: device, Peer: m.PeerKey.Public(), Kind: kind}, m.PeerKey)
	if !stop() {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, j.discard(context.WithoutCancel(ctx)))
	}
	return j.finish(ctx, m, head)
}

// draft keeps the new peer's key before it is used. One from a try that got no answer
// is used again.
func (j *joining) draft(ctx context.Context, userName, device string) (m config.Mesh, err error) {
	alias := j.o.Alias
	if alias == "" {
		alias = j.ledger.State().Name()
	}
	typed := alias
	if alias, err = keys.Slug(typed); err != nil {
		return m, &UsageError{Sentence: fmt.Sprintf("%q cannot be a mesh's name here: 1 to 32 of a-z, 0-9, '.', '_' and '-'", typed)}
	}
	private, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		return m, err
	}
	again := false
	err = j.folder.Update(ctx, func(c *config.Config) error {
		if old, err := c.Mesh(j.link.Mesh); err == nil {
			if !old.Draft { // put out, and back by a new key
				old.PeerKey, old.Draft, again = private, true, true
			}
			old.User, old.Device = userName, device
			m = *old
			return nil
		}
		if old, err := c.Find(alias); err == nil && !old.Draft {
			if j.o.Alias != "" {
				return &NameTakenError{What: "mesh", Name: alias}
			}
		}
		m = config.Mesh{ID: j.link.Mesh, Alias: c.FreeAlias(alias), User: userName, Device: device, PeerKey: private, Draft: true,
			Brokers: []config.Broker{{URLs: []string{j.at.url}, Key: j.ledger.State().BrokerKey()}}}
		c.Meshes = append(c.Meshes, m)
		return nil
	})
	if err == nil && again {
		// What was sealed to the old key, or by it, is of no use any more.
		err = j.state.Update(ctx, m.ID, func(tx *profile.Tx) error { return tx.DropMesh() })
	}
	return m, err
}

// discard forgets a draft whose join will never be.
func (j *joining) discard(ctx context.Context) error {
	return j.folder.Update(ctx, func(c *config.Config) error {
		if m, err := c.Mesh(j.link.Mesh); err == nil && m.Draft {
			c.Remove(j.link.Mesh)
		}
		return nil
	})
}

// appendJoin signs the join on what is held until it is ordered.
func (j *joining) appendJoin(body chain.Join, peer keys.PeerPrivate) (signed.Object, error) {
	for range joinTries {
		state := j.ledger.State()
		if standing := state.Standing(body.Peer, j.brokerNow()); standing == roster.Belongs || standing == roster.Waits {
			return j.ledger.Chain().Head().Object, nil // an earlier try was ordered
		}
		e, err := state.Sign(j.brokerNow(), body, j.link.Key, peer)
		if err != nil {
			return signed.Object{}, j.explainJoin(body, err)
		}
		appended, err := j.append(e)
		if err != nil {
			return signed.Object{}, j.explainChain(err)
		}
		if appended {
			return j.ledger.Chain().Head().Object, nil
		}
	}
	return signed.Object{}, errors.New("the mesh changes too fast at the moment; try again")
}

// explainJoin is for a join that would not count.
func (j *joining) explainJoin(body chain.Join, err error) error {
	switch {
	case errors.Is(err, roster.ErrNameTaken):
		return &NameTakenError{What: "device", Name: body.User + "@" + body.Device}
	case errors.Is(err, roster.ErrInviteOther):
		return &ForbiddenError{Action: "join by this link as " + body.User, Why: "it is not for this name or this kind of peer", Err: err}
	case errors.Is(err, roster.ErrCap):
		return &ForbiddenError{Action: "join as " + body.User, Why: "that user has 16 devices already", Err: err}
	case errors.Is(err, roster.ErrInviteClosed):
		return j.checkInvite()
	}
	return err
}

// finish puts the mesh into the profile for good.
func (j *joining) finish(ctx context.Context, m config.Mesh, head signed.Object) (*Joined, error) {
	c := j.ledger.Chain()
	objects := make([]signed.Object, 0, c.Len())
	for _, e := range c.From(0, int(c.Len())) {
		objects = append(objects, e.Object)
	}
	err := j.state.Update(ctx, m.ID, func(tx *profile.Tx) error {
		return tx.AppendChain(profile.Roster, 0, objects, profile.ChainHead{N: c.Head().Head.N, Head: head})
	})
	if err != nil {
		return nil, err
	}
	out := &Joined{}
	view := j.ledger.View()
	var names register
	names.follow(j.ledger)
	err = j.folder.Update(ctx, func(c *config.Config) error {
		m, err := c.Mesh(m.ID)
		if err != nil {
			return err
		}
		// A join that was ordered at an earlier try may have other names.
		by := names.peers[m.PeerKey.Public()]
		m.Draft, m.User, m.Device = false, by.User, by.Device
		if c.Default == "" {
			c.Default = m.Alias
		}
		out.Mesh = infoOf(m, view)
		out.Mesh.Default = c.Default == m.Alias
		return nil
	})
	if err != nil {
		return nil, err
	}
	pending, waits := view.Waiting(m.PeerKey.Public(), j.brokerNow())
	if !waits {
		return out, nil
	}
	out.Mesh.Pending, out.Pending, out.Number = true, true, keys.AdmitNumber(m.ID, m.PeerKey.Public())
	out.Admit = admitters(view, pending)
	return out, nil
}

// admitters lists the addresses of those who can say yes to a join that waits.
func admitters(view roster.View, pending roster.Pending) (addresses []string) {
	for _, other := range view.Members() {
		if pending.NeedsUser && other.User == pending.User || pending.NeedsAdmin && other.Rank >= chain.RankAdmin {
			addresses = append(addresses, other.Address())
		}
	}
	return addresses
}

// Admitters lists the addresses of those who can say yes to this peer's own join; none
// where it does not wait for one.
func (p *Peer) Admitters() []string {
	view := p.members()
	pending, waits := view.Waiting(p.self, p.brokerNow())
	if !waits {
		return nil
	}
	return admitters(*view, pending)
}

// WaitAdmitted waits until this peer's join was admitted; nil at once where it
// is a member. WaitingError when ctx ends, RevokedError when it was refused.
func (p *Peer) WaitAdmitted(ctx context.Context) error {
	err := p.until(ctx, func() (bool, error) {
		// On the line on which it waited nothing else can be asked for: it goes, and
		// the next one is a member's.
		if isMember(p.members(), p.self) && p.condition.State != Waiting {
			return true, nil
		}
		if p.condition.State == Ended {
			return false, p.condition.Err
		}
		return false, nil
	})
	if err != nil && ctx.Err() != nil {
		return p.waitingError()
	}
	return err
}

package peer

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// InviteOptions says what an invite allows.
type InviteOptions struct {
	Uses int // 0: 10
	// For is how long it is open. 0: 24 hours.
	For time.Duration
	// Device: for further devices of this peer's own user, which then need no
	// admit.
	Device bool
	// Admin: who joins by it becomes an admin. Needs the owner key.
	Admin bool
	// Approve: an admin's yes is wanted for each join.
	Approve bool
	// Kinds of peers that may join: agent, gateway, bridge, web. Empty: agent and
	// web, since at gateways and bridges encryption ends.
	Kinds []string
	// URL is where the link dials. Empty: the best one that the chain names.
	URL string
}

// Invite is an invite of the mesh.
type Invite struct {
	ID    string // "i-7kq2": shortest unique name
	Key   Key
	By    string // address of who made it
	User  string // for devices of this user; "": anybody
	Uses  int    // left
	Until time.Time
	// Link and AppLink (claudemesh://join/…) are set where this profile made
	// the invite.
	Link    string
	AppLink string
	// Loopback: the link works on this machine only.
	Loopback bool
	Approve  bool
	Admin    bool
	// Kinds of peers that may join: agent, gateway, bridge, web.
	Kinds []string
}

// Defaults of an invite.
const (
	inviteUses = 10
	inviteFor  = 24 * time.Hour
)

// Invite signs an invite, appends it and returns its link.
func (p *Peer) Invite(ctx context.Context, o InviteOptions) (Invite, error) {
	private, err := keys.NewInvitePrivate(rand.Reader)
	if err != nil {
		return Invite{}, err
	}
	if err := p.Connected(ctx, false); err != nil {
		return Invite{}, err
	}
	body := chain.Invite{Key: private.Public(), Rank: chain.RankMember, Uses: int64(cmp.Or(o.Uses, inviteUses)),
		Expires: p.brokerNow() + cmp.Or(o.For, inviteFor).Milliseconds(), Approve: o.Approve}
	if body.Uses < 1 || body.Uses > chain.MaxUses || o.For < 0 {
		return Invite{}, &UsageError{Sentence: "an invite has at least one use and some time"}
	}
	need := chain.RankAdmin
	if o.Device {
		body.User, need = p.user, chain.RankMember
	}
	if o.Admin {
		body.Rank, need = chain.RankAdmin, chain.RankOwner
	}
	for _, kind := range o.Kinds {
		body.Kinds = append(body.Kinds, chain.Kind(kind))
	}
	if len(body.Kinds) == 0 {
		body.Kinds = []chain.Kind{chain.KindAgent, chain.KindWeb}
	}
	link, err := p.linkFor(private, o.URL)
	if err != nil {
		return Invite{}, err
	}
	// The seed first: a link that is open and lost could only be closed.
	kept := config.Invite{ID: private.Public(), Seed: private.Seed(), Until: body.Expires}
	err = p.home.Update(ctx, func(c *config.Config) error {
		m, err := c.Mesh(p.mesh)
		if err != nil {
			return err
		}
		m.Invites = slices.DeleteFunc(m.Invites, func(i config.Invite) bool { return i.Until < p.now() })
		m.Invites = append(m.Invites, kept)
		return nil
	})
	if err != nil {
		return Invite{}, err
	}
	err = p.appendEntry(ctx, func(roster.View) (chain.Body, error) { return body, nil }, p.signer(need))
	if err != nil {
		return Invite{}, forbidden("invite somebody to "+p.alias, err)
	}
	view := p.members()
	made, found := view.Invite(body.Key)
	if !found {
		return Invite{}, fmt.Errorf("the invite was ordered, and does not count")
	}
	out := p.inviteOf(view, made, p.openInvites(view))
	out.setLink(link)
	return out, nil
}

// linkFor makes the link of an invite. Without a URL it dials the first that other
// machines reach, else this one.
func (p *Peer) linkFor(private keys.InvitePrivate, url string) (chain.Link, error) {
	view := p.members()
	link := chain.Link{URL: url, Mesh: p.mesh, Broker: view.BrokerKey().Fingerprint(), Key: private}
	if url == "" {
		for _, u := range view.URLs() {
			if u == chain.URLUnix {
				continue
			}
			if link.URL == "" || chain.IsLoopback(link.URL) && !chain.IsLoopback(u) {
				link.URL = u
			}
		}
	}
	if link.URL == "" {
		return link, &ForbiddenError{Action: "invite somebody to " + p.alias,
			Why: "its broker listens on this machine's socket only; open it first: claudemesh up --lan"}
	}
	if err := link.Check(); err != nil {
		return link, &UsageError{Sentence: fmt.Sprintf("%s cannot be dialled by a link: it takes https://, or http:// on this machine", link.URL)}
	}
	return link, nil
}

// setLink adds the link to an invite.
func (i *Invite) setLink(l chain.Link) {
	i.Link, i.AppLink, i.Loopback = l.Text(), l.App(), chain.IsLoopback(l.URL)
}

// openInvites are the keys of the open invites.
func (p *Peer) openInvites(view *roster.View) []keys.Public {
	var open []keys.Public
	for _, i := range view.Invites(p.brokerNow()) {
		open = append(open, i.Key)
	}
	return open
}

// inviteOf describes an invite, by the shortest name that no other open one has.
func (p *Peer) inviteOf(view *roster.View, i roster.Invite, open []keys.Public) Invite {
	out := Invite{Key: i.Key, User: i.User, Uses: int(i.Left), Until: timeOf(i.Expires), Approve: i.Approve,
		Admin: i.Rank >= chain.RankAdmin}
	for _, kind := range i.Kinds {
		out.Kinds = append(out.Kinds, string(kind))
	}
	n := 4
	for slices.ContainsFunc(open, func(o keys.Public) bool { return o != i.Key && keys.InviteName(o, n) == keys.InviteName(i.Key, n) }) {
		n++
	}
	out.ID = keys.InviteName(i.Key, n)
	if out.By = p.addressIfKnown(i.By); out.By == "" {
		out.By = p.userOf(i.By)
	}
	return out
}

// Invites returns the open invites of the mesh, the oldest first.
func (p *Peer) Invites(ctx context.Context) ([]Invite, error) {
	if err := p.Connected(ctx, false); err != nil && !isUnreachable(err) {
		return nil, err
	}
	return p.listInvites()
}

func (p *Peer) listInvites() ([]Invite, error) {
	m, err := p.home.find(p.mesh.String())
	if err != nil {
		return nil, err
	}
	view := p.members()
	open := p.openInvites(view)
	var all []Invite
	for _, i := range view.Invites(p.brokerNow()) {
		one := p.inviteOf(view, i, open)
		for _, kept := range m.Invites {
			if kept.ID != i.Key {
				continue
			}
			private, err := keys.InvitePrivateFromSeed(kept.Seed)
			if err != nil {
				continue
			}
			if link, err := p.linkFor(private, ""); err == nil {
				one.setLink(link)
			}
		}
		all = append(all, one)
	}
	return all, nil
}

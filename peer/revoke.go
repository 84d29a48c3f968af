package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Revoked is what a revocation did.
type Revoked struct {
	Peers   []string // addresses that are out
	Invites []Invite // closed
	Stay    []string // the users' devices that stay
	// CameBy are members who joined by invites that the revoked made: offered
	// for revocation too.
	CameBy []string
	// Open are the invites still open.
	Open []Invite
	// Dropped is how many own messages to the revoked had not arrived: they never
	// will.
	Dropped int
}

// Revoke puts out what the names say: user, user@device, key-…, or an
// invite's i-…; all in one entry. ForbiddenError where the rank does not
// suffice.
func (p *Peer) Revoke(ctx context.Context, names ...string) (Revoked, error) {
	if len(names) == 0 {
		return Revoked{}, &UsageError{Sentence: "say whom to revoke: a name, name@device, or an invite's i-…"}
	}
	if err := p.Connected(ctx, false); err != nil {
		return Revoked{}, err
	}
	view := p.members()
	out, revoked, err := p.toRevoke(ctx, view, names)
	if err != nil {
		return Revoked{}, err
	}
	before := p.openInvites(view)
	signer := keys.Signer(p.key)
	for _, key := range revoked {
		if view.MayRevoke(p.self, key) != nil {
			signer = p.signer(chain.RankOwner)
		}
		for _, m := range view.CameBy(key) {
			if !slices.Contains(revoked, m.Key) {
				out.CameBy = append(out.CameBy, m.Address())
			}
		}
	}
	descriptions := map[keys.Public]Invite{}
	for _, i := range view.Invites(p.brokerNow()) {
		descriptions[i.Key] = p.inviteOf(view, i, before)
	}
	if out.Dropped, err = p.droppedBy(ctx, revoked); err != nil {
		return Revoked{}, err
	}
	err = p.appendEntry(ctx, func(roster.View) (chain.Body, error) { return chain.Revoke{Keys: revoked}, nil }, signer)
	if errors.Is(err, roster.ErrNotEntitled) {
		return Revoked{}, &ForbiddenError{Action: "revoke " + strings.Join(names, ", "), Why: "it takes a higher rank, the owner's key, or a device of the same user", Err: err}
	}
	if err != nil {
		return Revoked{}, err
	}
	after := p.openInvites(p.members())
	for _, key := range before {
		if !slices.Contains(after, key) {
			out.Invites = append(out.Invites, descriptions[key])
		}
	}
	if out.Open, err = p.listInvites(); err != nil {
		return Revoked{}, err
	}
	return out, nil
}

// toRevoke finds the keys that names mean, and which devices of the same users stay.
func (p *Peer) toRevoke(ctx context.Context, view *roster.View, names []string) (out Revoked, revoked []keys.Public, err error) {
	add := func(key keys.Public) {
		if !slices.Contains(revoked, key) {
			revoked = append(revoked, key)
		}
	}
	var users []string
	for _, name := range names {
		if strings.HasPrefix(strings.ToLower(name), "i-") {
			key, err := p.inviteNamed(view, strings.ToLower(name))
			if err != nil {
				return out, nil, err
			}
			add(key)
			continue
		}
		a, err := wire.ParseAddress(name)
		if err != nil || a.Label != "" || a.Kind != wire.AddressUser && a.Kind != wire.AddressKey {
			return out, nil, &UsageError{Sentence: fmt.Sprintf("%q cannot be revoked: say a name, name@device, key-… or an invite's i-…", name)}
		}
		if key, waits := p.waitingNamed(view, a); waits {
			add(key)
			out.Peers = append(out.Peers, p.addressOf(key))
			continue
		}
		t, err := p.resolve(ctx, name, true)
		if err != nil {
			return out, nil, err
		}
		devices := t.to
		if a.Kind == wire.AddressUser && a.Device == "" {
			devices = view.User(a.User) // with this very device, if it is one's own name
		}
		for _, m := range devices {
			add(m.Key)
			out.Peers = append(out.Peers, m.Address())
			users = append(users, m.User)
		}
	}
	for _, user := range slices.Compact(slices.Sorted(slices.Values(users))) {
		for _, m := range view.User(user) {
			if !slices.Contains(revoked, m.Key) {
				out.Stay = append(out.Stay, m.Address())
			}
		}
	}
	return out, revoked, nil
}

// waitingNamed finds a join that waits by its full name.
func (p *Peer) waitingNamed(view *roster.View, a wire.Address) (keys.Public, bool) {
	for _, w := range view.Pending(p.brokerNow()) {
		if a.Kind == wire.AddressUser && w.User == a.User && w.Device == a.Device {
			return w.Key, true
		}
	}
	return keys.Public{}, false
}

// inviteNamed finds an open invite by i- and the beginning of its key.
func (p *Peer) inviteNamed(view *roster.View, name string) (keys.Public, error) {
	var found []keys.Public
	open := p.openInvites(view)
	for _, key := range open {
		if strings.HasPrefix(keys.InviteName(key, 52), name) {
			found = append(found, key)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	var names []string
	for _, key := range open {
		names = append(names, keys.InviteName(key, 8))
	}
	if len(found) > 1 {
		return keys.Public{}, &AmbiguousError{Name: name, Candidates: names}
	}
	return keys.Public{}, &UnknownNameError{Name: name, Mesh: p.alias, Candidates: names}
}

// droppedBy counts own messages to revoked peers that had not arrived: the broker
// and the outbox drop them.
func (p *Peer) droppedBy(ctx context.Context, revoked []keys.Public) (n int, err error) {
	err = p.home.state.View(ctx, p.mesh, func(tx *profile.Tx) error {
		n = 0
		for _, key := range revoked {
			some, err := tx.CountUndelivered(key)
			if err != nil {
				return err
			}
			n += some
		}
		return nil
	})
	return n, err
}

// Left is what leaving dropped.
type Left struct {
	MeshName string
	// Dropped are messages that were never sent.
	Dropped []Trace
	// Out says that this peer was no member any more: there was nothing to tell the
	// others.
	Out bool
}

// Leave revokes this very peer, destroys its key and takes the mesh out of the
// profile. The peer is closed. Where the broker is not reachable nothing is
// done (NotReachableError), unless force is true: then the key is destroyed and the
// others do not hear of it. With the owner's key on this machine only force leaves.
func (p *Peer) Leave(ctx context.Context, force bool) (Left, error) {
	if _, err := p.ownerKey(); err == nil && !force {
		return Left{}, &ForbiddenError{Action: "leave " + p.alias,
			Why: "the owner's key is on this machine and would go with it; keep it elsewhere first: claudemesh mesh owner-key export"}
	}
	out := Left{MeshName: p.alias}
	var err error
	if out.Dropped, err = p.Unsent(ctx); err != nil {
		return Left{}, err
	}
	err = p.appendEntry(ctx, func(roster.View) (chain.Body, error) { return chain.Revoke{Keys: []keys.Public{p.self}}, nil }, p.key)
	var revoked *RevokedError
	switch {
	case err == nil:
	case errors.As(err, &revoked), errors.Is(err, roster.ErrRevoked), errors.Is(err, roster.ErrAlready):
		out.Out = true
	case !force:
		return Left{}, err
	}
	h := p.home.hold()
	err = errors.Join(p.Close(), h.forget(context.WithoutCancel(ctx), p.mesh))
	return out, errors.Join(err, h.release())
}

// forget takes a mesh out of the profile, with its key and all that was kept of it.
func (h *home) forget(ctx context.Context, mesh keys.MeshID) error {
	err := h.Update(ctx, func(c *config.Config) error {
		if m, err := c.Mesh(mesh); err == nil && c.Default == m.Alias {
			c.Default = ""
		}
		c.Remove(mesh)
		return nil
	})
	if err != nil {
		return err
	}
	if err := h.state.Update(ctx, mesh, func(tx *profile.Tx) error { return tx.DropMesh() }); err != nil {
		return err
	}
	if err := h.state.Scrub(ctx); err != nil {
		h.log.Warn("scrubbing state.db", "err", err) // other processes read; the next one does it
	}
	return nil
}

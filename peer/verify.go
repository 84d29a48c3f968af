package peer

import (
	"context"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Safety is what two people compare.
type Safety struct {
	User     string
	Number   string // 60 digits in 12 groups of 5
	Devices  []string
	Verified bool

	keys []keys.Public // of the user's devices: what the number was made of
}

// Verify returns the safety number with a user.
func (p *Peer) Verify(ctx context.Context, user string) (Safety, error) {
	if err := p.Connected(ctx, false); err != nil && !isUnreachable(err) {
		return Safety{}, err
	}
	name, theirs, err := p.verifiable(user)
	if err != nil {
		return Safety{}, err
	}
	view := p.members()
	out := Safety{User: name, keys: theirs, Number: keys.SafetyNumber(p.mesh, keysOf(view.User(p.user)), theirs)}
	for _, m := range view.User(name) {
		out.Devices = append(out.Devices, m.Address())
	}
	verified, err := p.verifiedUsers(ctx)
	out.Verified = verified[name]
	return out, err
}

// verifiable finds the keys of a user other than oneself.
func (p *Peer) verifiable(user string) (string, []keys.Public, error) {
	a, err := wire.ParseAddress(user)
	if err != nil || a.Kind != wire.AddressUser || a.Device != "" || a.Label != "" {
		return "", nil, &UsageError{Sentence: "say whom to verify by name: claudemesh verify bob"}
	}
	if a.User == p.user {
		return "", nil, &UsageError{Sentence: "that is you; verify somebody else"}
	}
	theirs := keysOf(p.members().User(a.User))
	if len(theirs) == 0 {
		return "", nil, p.unknownUser(a)
	}
	return a.User, theirs, nil
}

// SetVerified marks a user as compared, or takes the mark away. The mark is of the
// very keys that the number was made of, also where others came meanwhile.
func (p *Peer) SetVerified(ctx context.Context, s Safety, verified bool) error {
	return p.home.state.Update(ctx, p.mesh, func(tx *profile.Tx) error {
		t, err := tx.Trust(s.User)
		if err != nil {
			return err
		}
		t.Verified, t.Keys = 0, nil
		if verified {
			t.Verified, t.Keys = p.now(), s.keys
		}
		return tx.SetTrust(t)
	})
}

package peer

import (
	"context"
	"errors"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
)

// Request is a join that waits for a yes.
type Request struct {
	Address string // "bob@phone"
	User    string
	Device  string
	Key     Key
	Number  string // 16 digits: must be the same on its screen
	Since   time.Time
	// Yours: it wants in as a device of this peer's user.
	Yours bool
	// CanAdmit: this peer's yes is (one of) the yes wanted.
	CanAdmit bool
}

// Requests returns the joins that wait for a yes, as the chain says.
func (p *Peer) Requests(ctx context.Context) ([]Request, error) {
	err := p.Connected(ctx, false)
	if isUnreachable(err) {
		err = nil // what is held is better than nothing
	}
	return p.requests(), err
}

// requests lists them as far as they are known here.
func (p *Peer) requests() []Request {
	view := p.members()
	var all []Request
	for _, w := range view.Pending(p.brokerNow()) {
		all = append(all, p.requestOf(view, w))
	}
	return all
}

// requestOf describes a join that waits.
func (p *Peer) requestOf(view *roster.View, w roster.Pending) Request {
	me, belongs := view.Member(p.self)
	r := Request{Address: w.Address(), User: w.User, Device: w.Device, Key: w.Key, Number: keys.AdmitNumber(p.mesh, w.Key),
		Since: timeOf(w.Joined), Yours: w.User == p.user}
	r.CanAdmit = belongs && w.Key != p.self && (w.NeedsUser && me.User == w.User || w.NeedsAdmin && me.Rank >= chain.RankAdmin)
	return r
}

// Admit says yes to a waiting join. Show its Number and ask first. It returns
// whether the join counts now; false: another yes is wanted too.
func (p *Peer) Admit(ctx context.Context, r Request) (bool, error) {
	signer := keys.Signer(p.key)
	if w, waits := p.members().Waiting(r.Key, p.brokerNow()); waits && !p.requestOf(p.members(), w).CanAdmit && w.NeedsAdmin {
		signer = p.signer(chain.RankOwner)
	}
	err := p.appendEntry(ctx, func(view roster.View) (chain.Body, error) {
		if isMember(&view, r.Key) {
			return nil, errAlreadyIn
		}
		return chain.Admit{Peer: r.Key}, nil
	}, signer)
	switch {
	case errors.Is(err, errAlreadyIn):
		return true, nil
	case errors.Is(err, roster.ErrNotEntitled):
		return false, &ForbiddenError{Action: "admit " + r.Address, Why: "that is for " + r.User + "'s devices, or for an admin where approval is wanted", Err: err}
	case errors.Is(err, roster.ErrUnknownKey), errors.Is(err, roster.ErrLapsed), errors.Is(err, roster.ErrRevoked):
		return false, &UnknownNameError{Name: r.Address, Mesh: p.alias}
	case errors.Is(err, roster.ErrNameTaken):
		return false, &NameTakenError{What: "device", Name: r.Address}
	case err != nil:
		return false, err
	}
	return isMember(p.members(), r.Key), nil
}

// errAlreadyIn says that somebody else was faster with the same.
var errAlreadyIn = errors.New("it belongs already")

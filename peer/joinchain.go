package peer

import (
	"context"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/wire"
)

// dial says hello with the invite key, and verifies the chain from the genesis to
// the invite. [CM-9]
func (j *joining) dial(ctx context.Context) error {
	broker := pin{print: j.link.Broker}
	o, err := open(ctx, j.at, broker, j.o.Dial)
	if err != nil {
		return explainDial(j.at, "the link", err)
	}
	if j.visit, err = o.visit(ctx, j.link.Mesh, j.link.Key, j.client()); err != nil {
		return j.explainHello(err)
	}
	if err := j.readAll(ctx); err != nil {
		return j.explainChain(err)
	}
	if j.ledger.State().BrokerKey() != j.broker {
		return &TamperError{Host: j.at.shown(), Sentence: fmt.Sprintf(
			"%s orders a chain that names another broker's key; nothing was signed", j.at.shown())}
	}
	return j.checkInvite()
}

func (j *joining) client() string {
	if j.o.Client == "" {
		return "peer"
	}
	return j.o.Client
}

// explainHello is for a hello with the invite key that was not accepted.
func (j *joining) explainHello(err error) error {
	var refused *helloError
	if !errors.As(err, &refused) {
		return explainDial(j.at, "the link", err)
	}
	switch refused.frame.Code {
	case wire.CodeForbidden, wire.CodeNotMember, wire.CodeRevoked:
		return &LinkError{Why: "it is closed: used up, expired or revoked. Ask for a new one"}
	case wire.CodeUnknownMesh:
		return &LinkError{Why: fmt.Sprintf("%s does not serve that mesh (any more)", j.at.shown())}
	}
	return explainDial(j.at, "the link", err)
}

// explainChain is for a chain that does not check out.
func (j *joining) explainChain(err error) error {
	var refused *RefusedError
	var fork *chain.ForkError
	var conflict *chain.ConflictError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &refused):
		return err
	case errors.Is(err, chain.ErrStopped):
		return &UpdateError{Mesh: "this mesh", Err: err}
	case errors.Is(err, chain.ErrBroken), errors.Is(err, chain.ErrShort), errors.As(err, &fork), errors.As(err, &conflict):
		return &TamperError{Host: j.at.shown(), Err: err, Sentence: fmt.Sprintf(
			"%s gave a list of members whose signatures do not lead to the mesh that the link names; nothing was signed", j.at.shown())}
	}
	return &NotReachableError{Host: j.at.shown(), Reason: reason(err), Err: err}
}

// checkInvite tells whether the link's invite is open, by the chain.
func (j *joining) checkInvite() error {
	err := j.ledger.State().InviteOpen(j.link.Key.Public(), j.brokerNow())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, roster.ErrInviteUsed):
		return &LinkError{Why: "it was used as often as it may be. Ask for a new one"}
	case errors.Is(err, roster.ErrInviteExpired):
		return &LinkError{Why: "its time is over. Ask for a new one"}
	case errors.Is(err, roster.ErrInviteRevoked):
		return &LinkError{Why: "it was closed. Ask for a new one"}
	case errors.Is(err, roster.ErrInviteMaker):
		return &LinkError{Why: "who made it may not invite any more. Ask for a new one"}
	}
	return &LinkError{Why: "the mesh knows no such invite"}
}

package peer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
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
	session, err := keys.NewSessionID(rand.Reader)
	if err != nil {
		o.abort()
		return err
	}
	w, err := o.greet(ctx, greeting{mesh: j.link.Mesh, as: j.link.Key, session: session, client: j.client()})
	if err != nil {
		return j.explainHello(err)
	}
	j.socket, j.ahead = o.socket, w.ahead
	j.ledger = roster.New(j.link.Mesh, keys.Public{})
	stop := context.AfterFunc(ctx, o.abort)
	err = syncPages(0, j.ask, nil, func(page chain.Page) error {
		_, err := j.ledger.Append(page, now())
		return err
	}, func() uint64 { return j.ledger.Chain().Len() })
	if !stop() {
		return ctx.Err()
	}
	if err != nil {
		return j.explainChain(err)
	}
	if j.ledger.State().BrokerKey() != w.broker {
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

// ask asks for a page of the chain.
func (j *joining) ask(from uint64) (*wire.Entries, error) {
	j.count++
	if err := j.socket.writeFrame(&wire.Sync{ID: j.count, From: from}, nil); err != nil {
		return nil, err
	}
	return j.entries()
}

// entries reads the answer to the last request.
func (j *joining) entries() (*wire.Entries, error) {
	for {
		frame, err := j.socket.readAny()
		if err != nil {
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.Entries:
			if f.Re == j.count {
				return f, nil
			}
		case *wire.Error:
			if f.Re == j.count || f.Re == 0 {
				return nil, refusal(f)
			}
		}
	}
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
	case errors.As(err, &refused):
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

func (j *joining) brokerNow() int64 { return now() - j.ahead }

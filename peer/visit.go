package peer

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/roster"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// visit is a short connection of a key that is no peer's: of an invite's, to join, or
// of an owner's, to heal. It reads the whole chain as the broker shows it, and appends
// to it, one request after the other. [CM-7.28]
type visit struct {
	socket *socket
	broker keys.Public // whose challenge was answered
	ahead  int64       // this clock, ahead of the broker's
	ledger *roster.Roster
	count  uint64 // of requests
}

// visit says hello with a key on a connection. The connection is hung up where it fails.
func (o *opened) visit(ctx context.Context, mesh keys.MeshID, as keys.Signer, client string) (*visit, error) {
	session, err := keys.NewSessionID(rand.Reader)
	if err != nil {
		o.abort()
		return nil, err
	}
	w, err := o.greet(ctx, greeting{mesh: mesh, as: as, session: session, client: client, clock: time.Now})
	if err != nil {
		return nil, err
	}
	return &visit{socket: o.socket, broker: w.broker, ahead: w.ahead, ledger: roster.New(mesh, keys.Public{})}, nil
}

// readAll reads and verifies the chain from the genesis on.
func (v *visit) readAll(ctx context.Context) error {
	stop := context.AfterFunc(ctx, v.socket.abort)
	err := syncPages(0, v.ask, nil, func(page chain.Page) error {
		_, err := v.ledger.Append(page, now())
		return err
	}, func() uint64 { return v.ledger.Chain().Len() })
	if !stop() {
		return ctx.Err()
	}
	return err
}

// ask asks for a page of the chain.
func (v *visit) ask(from uint64) (*wire.Entries, error) {
	v.count++
	if err := v.socket.writeFrame(&wire.Sync{ID: v.count, From: from}, nil); err != nil {
		return nil, err
	}
	return v.entries()
}

// append asks the broker to order an entry, and takes over what it answers: that it did,
// or what others were faster with.
func (v *visit) append(e chain.Signed) (appended bool, err error) {
	v.count++
	if err := v.socket.writeFrame(&wire.Append{ID: v.count, Entries: []signed.Object{e.Object}}, nil); err != nil {
		return false, err
	}
	got, err := v.entries()
	if err != nil {
		return false, err
	}
	page := chain.Page{From: got.From, Entries: got.Entries, Head: got.Head}
	if got.Appended {
		page.From, page.Entries = e.Entry.N, []signed.Object{e.Object}
	}
	_, err = v.ledger.Append(page, now())
	return got.Appended && err == nil, err
}

// entries reads the answer to the last request. The connection is hung up where it
// cannot.
func (v *visit) entries() (*wire.Entries, error) {
	for {
		frame, _, err := v.socket.readAny()
		if err != nil {
			v.socket.hangUp(err)
			return nil, err
		}
		switch f := frame.(type) {
		case *wire.Entries:
			if f.Re == v.count {
				return f, nil
			}
		case *wire.Error:
			if f.Re == v.count || f.Re == 0 {
				return nil, refusal(f)
			}
		}
	}
}

func (v *visit) brokerNow() int64 { return now() - v.ahead }

package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

// patience is how long a command waits for the broker to answer.
const patience = 15 * time.Second

// clientName is what the broker's operator sees of this program.
func clientName() string { return "claudemesh/" + versionText() }

// with opens the mesh that --mesh names as a session that receives what receives
// says, runs f, and closes it. Whatever the user must know meanwhile (a broker
// that tampers, a clock that is wrong, somebody who wants in) goes to standard
// error.
func (a *app) with(ctx context.Context, receives peer.Receives, f func(*peer.Peer) error) error {
	return a.withOptions(ctx, peer.Options{Receives: receives}, f)
}

// withOptions is with for a command that says more.
func (a *app) withOptions(ctx context.Context, o peer.Options, f func(*peer.Peer) error) (err error) {
	o.Dir, o.Client, o.StartBroker = a.dir, clientName(), a.startBroker
	if o.Mesh == "" {
		o.Mesh = a.mesh
	}
	p, err := peer.Open(ctx, o)
	if err != nil {
		return err
	}
	// The channel of events ends with the peer, so the goroutine does too.
	events := p.Events(context.WithoutCancel(ctx))
	var telling sync.WaitGroup
	telling.Go(func() { a.tell(events) })
	defer func() {
		if closing := p.Close(); err == nil && closing != nil && !errors.Is(closing, peer.ErrClosed) {
			err = closing
		}
		telling.Wait()
	}()
	return f(p)
}

// tell writes what the user must know until the events end.
func (a *app) tell(events <-chan peer.Event) {
	for e := range events {
		switch e.Kind {
		case peer.EventWarning:
			a.ui.hint("warning: %s", plainLine(e.Text))
		case peer.EventRequest:
			if !a.admitting {
				a.ui.hint("%s", plainLine(e.Text))
			}
		}
	}
}

// online waits until the broker has said welcome, or says why it does not.
func online(ctx context.Context, p *peer.Peer) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.Connected(ctx, false)
}

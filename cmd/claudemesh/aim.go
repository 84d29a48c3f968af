package main

import (
	"context"
	"errors"

	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/wire"
)

// aim finds the mesh in which an address is meant, sets it as the one to open,
// and returns the address without its mesh. A mesh in the address goes before
// --mesh; without both the default mesh is asked first and the others only
// where it does not know the name.
func (a *app) aim(ctx context.Context, address string) (string, error) {
	parsed, err := wire.ParseAddress(address)
	if err != nil {
		return "", &failure{class: peer.ClassUsage, sentence: err.Error(), err: err, hint: "See: claudemesh send --help"}
	}
	if parsed.Mesh != "" {
		a.mesh = parsed.Mesh
		return address[len(parsed.Mesh)+1:], nil
	}
	if a.mesh != "" {
		return address, nil
	}
	meshes, err := peer.Meshes(a.dir)
	if err != nil || len(meshes) < 2 {
		return address, err
	}
	var knowing []string
	for i, m := range meshes {
		err := a.resolvesIn(ctx, m.Alias, address)
		var unknown *peer.UnknownNameError
		switch {
		case errors.As(err, &unknown):
			continue
		case i == 0:
			// The default mesh comes first. It knows the name, or has more to say
			// about it than that nobody is called so.
			return address, nil
		case err == nil:
			knowing = append(knowing, m.Alias)
		}
	}
	switch len(knowing) {
	case 0: // let the default mesh say so, with its candidates
	case 1:
		a.mesh = knowing[0]
	default:
		ambiguous := &peer.AmbiguousError{Name: address}
		for _, alias := range knowing {
			ambiguous.Candidates = append(ambiguous.Candidates, alias+":"+address)
		}
		return "", ambiguous
	}
	return address, nil
}

// resolvesIn asks a mesh's roster, as it is on this machine, whom an address
// means.
func (a *app) resolvesIn(ctx context.Context, mesh, address string) error {
	p, err := peer.Open(ctx, peer.Options{Dir: a.dir, Mesh: mesh, Client: clientName(), Offline: true})
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = p.Resolve(ctx, address)
	return err
}

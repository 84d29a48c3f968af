// Package peer lets any program be a peer of a mesh: it opens a profile,
// dials the broker, proves who it is, checks every member against signatures
// that lead to the mesh's owner, and sends and receives messages that nobody
// between the two ends can read. It is the only package that seals and opens.
//
// A program that answers questions:
//
//	p, err := peer.Open(ctx, peer.Options{Receives: peer.Live, Label: "bot"})
//	if err != nil {
//		return err
//	}
//	defer p.Close()
//	return p.Handle(ctx, func(ctx context.Context, m peer.Message) error {
//		_, err := p.Reply(ctx, m, "pong: "+m.Body, peer.SendOptions{})
//		return err
//	})
//
// # Profile
//
// Everything that lasts stands in the profile's folder (package profile):
// keys, the chain of each mesh, outbox, inbox, history. Several processes may
// open one profile at a time; each dials for itself, and they share what
// waits. [CreateMesh] and [Join] put a mesh into a profile, [Open] opens one
// mesh of it, [OpenAll] all of them.
//
// # Connection
//
// [Open] needs no broker: it returns once the profile is open, and a
// goroutine dials and dials again, with growing pauses, until [Peer.Close].
// What is sent meanwhile waits in the outbox. [Peer.Connected] waits for the
// first welcome.
//
// # Who is believed
//
// The broker is believed in nothing but who is connected, and what it queued
// or handed over. Names, keys and roles come from the chain, checked entry by
// entry from the genesis whose hash is the mesh's id. What contradicts it is
// refused and told, once, as an [Event] of kind [EventWarning] with one sentence
// for the user.
//
// # Errors
//
// Whatever fails for a reason that a user can act on is a type of this
// package whose Error is one sentence to be shown as it is; [ClassOf] sorts
// them into the five classes that are the command line's exit codes.
//
// # Goroutines and locks
//
// A Peer runs one goroutine that dials and reads (run), one at its desk, for what is
// due by time and what others must not wait for (work), one that writes while it is
// connected, one for each subscription to its events, and one while it looks for
// entries of the chain that somebody spoke of. The local socket, shared by the peers
// of a [Set], has one that accepts. [Peer.Close] waits for all of them. All methods
// may be called from any goroutine; the order of the locks stands at [Peer].
//
// A message on its way in: the reader opens it and hands it to state.db's writer,
// which judges and stores it and commits it together with what came meanwhile; when
// the commit is on the disk the broker is told that it was received, and the desk
// looks which session of the profile is to show it. On its way out: the caller's
// goroutine resolves, state.db's writer numbers, seals and stores it, and after the
// commit it goes to the writer of the connection; so numbers, places and the order of
// sending agree.
package peer

// Package roster folds a mesh's chain into who belongs to it now: owners, members
// and their ranks, users and their devices, invites, pending joins, revocations.
//
// [State] is the fold: a value that never changes. [State.Apply] gives the next
// one, so every place of a chain has its state, a snapshot costs nothing, and any
// number of goroutines may read. All members compute the same state from the same
// place. [CM-5]
//
// [Roster] is one holder's copy of the chain with the states along it. It takes
// pages from a broker ([Roster.Append]), refuses to go back, tells a fork from a
// restored broker and follows heals; a broker puts entries in order with
// [Roster.Propose] and [Roster.Commit].
//
// [View] is what a member acts on: the state, less those whom it holds revoked by a
// revocation that it met outside the chain ([Ban]).
//
// Whoever signs an entry fills it with [State.Sign], which refuses what would not
// count and says why:
//
//	entry, err := r.State().Sign(now, chain.Revoke{Keys: []keys.Public{stolen}}, me)
//
// Times are in Unix milliseconds and handed in; nothing here has a clock.
package roster

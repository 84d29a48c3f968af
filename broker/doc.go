// Package broker is the server of claudemesh: it lets peers in, orders each
// mesh's chain, hands messages over, keeps what waits, and counts.
//
// The broker is not trusted. It routes by key and session, sees names, sizes
// and times, and can read, forge or enlarge nothing: this package cannot reach
// the code that opens messages, which a test of the house rules checks.
//
// A [Broker] is made by [New], which opens the store and binds the listeners,
// serves between [Broker.Run] and [Broker.Close], and is an [http.Handler], so
// that it can also stand behind a server of the embedder's. Its HTTP side:
//
//	GET  /v1          WebSocket, subprotocol claudemesh.v1: the protocol itself
//	POST /v1/meshes   create a mesh: genesis, invite and join in one batch
//	GET  /healthz     whether it is up, and its public key
//	GET  /i           what to do with an invite link
//
// # Goroutines and locks
//
// A connection has one goroutine that reads, and one that writes while there is
// something to write. Besides there are one sweeper for heartbeats, a few that
// read the store for the delivery machines, timers, and one recorder, which
// writes the audit log, presence and cards. [Broker.Run] waits for all of them.
//
// Each mesh has two locks: one for its chain, held while entries are checked
// and stored, and one for everything else (who is connected, presence, its
// [delivery.Broker]), never held while anything waits. See mesh.go for their
// order.
//
// # What is promised
//
// An acknowledgement is written after the store, or the recipient, has what it
// speaks of, and at the end before drain. What is only noted (audit, presence,
// cards) is written a second late at most, and a kill may lose that second.
// Memory for one connection, for connections before hello, and for what waits
// to be noted is bounded; see [Limits].
package broker

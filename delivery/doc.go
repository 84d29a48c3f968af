// Package delivery decides who gets what, in which order, once: the state
// machines of both ends of the road that a message takes [CM-8].
//
// A message is in its sender's outbox, then in the broker's queue, then in its
// recipient's inbox. When the taker has it on disk and says so, the giver lets
// go. Any hop may happen twice; ids make it once.
//
// Nothing here has a goroutine, a clock, randomness or I/O. Events are method
// calls that carry the time (Unix milliseconds); what is to be done about them
// comes back as effects, flat structs in a buffer that is used again. The
// caller carries the effects out in their order before it reports the next
// event. No type of this package may be used from two goroutines at a time.
//
//   - [Broker] is the broker's side, one a mesh, driven by package broker with
//     package store behind it.
//   - [Outbox] is a client process's side of what it sends.
//   - The functions over [InboxRow], [Stream] and [SessionRow] are the client's
//     side of what it receives. Several processes share one state.db, so these
//     decide over records that the caller reads and writes in one transaction.
package delivery

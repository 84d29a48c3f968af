// Package seal is the confidentiality of claudemesh: the message as it is before
// sealing, and the forms in which it travels. Bytes in, bytes out; times, ids and
// randomness are handed in. [CM-4]
//
// Two forms exist. [SealDirect] makes one box from a peer's key to another's, byte
// for byte libsodium's crypto_box_easy. [SealGroup] encrypts once under a random
// content key and gives that key to each recipient in a box of its own. [Content]
// is the second form for what stands beside a card ([Extras]).
//
// A box proves which key made it and nothing else: what the frame around it says is
// the broker's word. So [OpenDirect] and [OpenGroup] check what can be checked
// without the roster: the inner sender is the key that opened the box, the mesh,
// one's own key and the form are the audience's, the id and the class are the
// frame's. What they cannot check is the caller's: that the sender is a member now
// (or the kind is [KindRoster]), that the message has not expired, and that its id
// is new. [CM-4]
//
// A [Pair] holds the shared key of two peers. Making one costs two scalar
// multiplications, a box under it about a microsecond, so callers keep them.
//
// All constructions stand in primitives.go, each with the reason why it is safe.
package seal

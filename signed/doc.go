// Package signed is what is signed in claudemesh: a domain, the exact bytes, and one
// or more signatures beside them. [CM-3.1]
//
// A signed object travels as the bytes that were signed; nobody serialises anything
// again to verify it. In a frame or a file it is {"signed": …, "sig": …}, both in
// base64url, and nothing of what the bytes say is repeated outside.
//
// The bytes are JSON, and all members must read the same in them. encoding/json
// alone is too lenient for that (it takes "Role" for "role", the last of two equal
// names, bytes that are no UTF-8), so [Decode] checks first and decodes then.
// [DecodeOpen] is the same for messages and plain frames, where unknown names are
// allowed, so that versions can meet.
package signed

// Package chain holds signed entries in one order: their strict codec, their
// verification place by place, the heads that a broker signs over them, proofs
// that it signed two orders, and the invite link.
//
// A mesh has one chain. Each entry is signed over its place (n) and over the
// hash of the entry before it (prev), so the broker that orders them can put
// none in, move none, and hold none back while later ones pass. What it adds is
// a [Head], its signature over the last place: an entry counts for a reader only
// under a head. [CM-5.17]
//
// The package knows what an entry says and that it stands where it says. Who is
// entitled to say it is decided by package roster, which folds the entries into
// who belongs. Three outcomes are kept apart here:
//
//   - [ErrBroken]: the page cannot be what an honest broker sends. A header that
//     does not read, a place or predecessor that does not fit, a signature that
//     does not verify. Nothing of the page is taken.
//   - [Signed.Void] is [ErrMalformed]: the entry is signed and has its place, but
//     its body is not what its type demands. It keeps its place and changes
//     nothing.
//   - [Signed.Void] is an [*UnknownError]: a type or field of a later version. It
//     is void, unless an owner signed it: then roster stops with [ErrStopped].
//
// Only the bytes of an entry decide between the last two, and they are under the
// hash. The signatures are not, so an entry whose signature fails is never void
// but broken: otherwise a broker could hand one member the signature and another
// one rubbish, and both would agree on the place and not on the members.
package chain

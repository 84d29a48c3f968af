// Package keys holds the typed keys and identifiers of claudemesh: how they are
// made, printed, parsed and compared, what is signed with them, and which keys
// and signatures are refused.
//
// There is one Go type for each role a secret can play ([PeerPrivate],
// [OwnerPrivate], [InvitePrivate], [BrokerPrivate]), so that the compiler
// refuses to use one where another is wanted. All of them print redacted under
// every verb of fmt, in JSON and in slog; the only way to their bytes is a method
// that says so in its name ([PeerPrivate.Export]). Public keys share the type
// [Public], since the chain decides what a public key is entitled to, not its type.
//
// Two text forms exist. On the wire and in files every binary value is unpadded
// base64url (MarshalText and UnmarshalText, [CM-1.4]). What people see and type is
// lower-case base32 with a prefix (String and the Parse functions, [CM-1.5]).
//
// UnmarshalText and the Parse functions check length and encoding only. Whoever
// lets a key in (a chain entry, an invite link, a hello, a pair to seal between)
// calls [Public.Check], which refuses every key that has not exactly one meaning.
package keys

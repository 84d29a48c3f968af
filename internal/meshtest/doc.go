// Package meshtest is a whole mesh in one process, for tests only: a real
// broker, real peers in temporary profiles, and a network in memory that can
// break. It works inside a testing/synctest bubble, where its time is fake.
//
// It also has a broker's double that cheats: a [Liar] stands between a peer and
// the real broker and changes what passes.
package meshtest

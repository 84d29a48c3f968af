// Package claudemesh is the wire between coding agents: sessions of different
// people, on many machines, find each other and talk end-to-end encrypted,
// through a broker that only ever sees ciphertext.
//
// This package holds no code. It is the map; the house rules that keep the map
// true are tests beside it (house_test.go). The folder listing is the
// architecture, each package is one sentence, and imports only what stands
// above it:
//
//	keys/       typed keys and ids: generate, parse, print, compare, sign, accept or refuse
//	signed/     what is signed: domain, exact bytes, signature, strict JSON
//	chain/      signed entries in one order: strict codec, verification, heads, invite links
//	roster/     the membership chain folded into who belongs now
//	wire/       what crosses the socket: frames, addresses, codes, limits; no I/O, no cryptography
//	seal/       confidentiality: the message before sealing, direct, several recipients
//	delivery/   who gets what, in which order, once: pure state machines of both ends
//	gather/     a connection whose writes made during a write share the next system call
//	sqlite/     SQLite as both ends use it: open, pragmas, migrations, group commit
//	store/      the broker's durable state: one interface, SQLite, one conformance suite
//	broker/     the server: handshake, sessions, enrolment, HTTP; drives delivery
//	config/     config.json as values: meshes, keys, settings; its text read and written
//	profile/    a client's folder: the config's file, chains, state.db
//	peer/       PUBLIC: embed a peer in any program; the only code that seals and opens
//	quote/      others' words made fit to be shown: what acts instead of being read is made visible
//	agent/      between a coding agent and a peer: the MCP server, attention, how a message is framed
//	setup/      edits other programs' files, and takes the edits out again: install, uninstall, launch, plugin
//	cmd/claudemesh/     the one binary
//	internal/meshtest/  a mesh in a process, for tests
//	internal/modelstub/ a scripted model for a real coding agent, for tests
//	vectors/    golden vectors as files, for other implementations too
//	e2e/        the real binary, several processes
//	bench/      load and comparison programs
//	docs/       protocol, architecture, roadmap
//
// Data flows command or agent -> peer -> wire -> broker -> delivery -> store.
// Imports follow, and never point back.
package claudemesh

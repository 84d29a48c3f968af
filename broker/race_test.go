//go:build race

package broker

// handshakes is how many connections TestHandshakeUnderAttack opens where nobody says:
// the race detector makes each several times as long, and looks at the locks.
const handshakes = 300

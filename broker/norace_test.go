//go:build !race

package broker

// handshakes is how many connections TestHandshakeUnderAttack opens where nobody says.
const handshakes = 1500

// Command bench compares claudemesh with what it could be compared to, on the machine
// where it runs. A figure alone says more about the machine than about the
// program, so every table gives ratios, taken in one run, round by round.
//
//	go run ./bench                     all contenders, 8 pairs, 64 in flight, 256 B and 4 KiB
//	go run ./bench -only relay,gather  some of them
//	go run ./bench -rounds 9 -round 5s longer, steadier
//
// Everything runs in this process and on its cores: broker, senders,
// recipients, over TCP on loopback. In each round every contender runs once,
// in turn; shown are the medians over the rounds, and the median of the
// round's ratio to the plain relay.
//
// Contenders:
//
//	relay    a bare relay on the same WebSocket library: what a sender writes
//	         is written to its recipient. No cryptography, no store, no
//	         acknowledgement: the slot of a message is given back in memory
//	         when it arrives. The baseline; nothing does less.
//	gather   the same, its connections gathering (package gather).
//	memory   claudemesh's broker with its store, sealed messages, each stored
//	         by its recipient before it says received, and acknowledged to its
//	         sender; but outbox and inbox are maps in memory.
package main

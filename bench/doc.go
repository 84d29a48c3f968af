// Command bench compares claudemesh with what it could be compared to, on the machine
// where it runs. A figure alone says more about the machine than about the
// program, so every table gives ratios, taken in one run, round by round. What
// came of it stands in docs/performance.md.
//
//	go run ./bench                      8 pairs, 64 in flight, 256 B and 4 KiB
//	go run ./bench -only relay,memory   some of the contenders
//	go run ./bench -rounds 9 -round 5s  longer, steadier
//	go run ./bench -shape queue         another shape
//	go run ./bench -shape queue -only nats-fsync,nats,mosquitto,queued
//	                                    with Mosquitto, which must be installed
//
// Everything runs on this machine's cores: broker, senders, recipients, over TCP on
// loopback, in this process but for other brokers and the servers of idle sessions. In each
// round every contender runs once, in turn; shown are the medians over the rounds,
// and the median of the round's ratio to the first contender, of messages a second
// and of processor time a message. On a machine that does other work too the second
// is the steadier one.
//
// Shapes:
//
//	pairs   as many messages as their slots allow: relay, gather, memory, inbox,
//	        durable
//	queue   the same to recipients who are away: nats-fsync, nats, queued,
//	        and mosquitto where -only names it
//	steady  one pair, 200 messages a second, how long each takes: relay, memory,
//	        durable
//	crowd   100 peers send 1,000 messages each to random others, at once
//	drain   100,000 messages wait for peers that were away, who come
//	idle    10,000 sessions that say nothing, and their return after a restart
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
//	inbox    the same, but each recipient writes what comes into the inbox of a
//	         profile, by the functions of package profile that a peer uses: its id
//	         and its row are on disk before it says received; then the row goes, and
//	         how far the order was shown is written. The outbox is in memory.
//	durable  the whole product: peers of package peer with profiles on disk, their
//	         outbox, inbox, history and receipts.
//	queued   sealed messages to peers who are away, acknowledged once the
//	         broker's queue has them on disk.
//	nats     NATS JetStream, embedded in a process of its own, messages in files,
//	         acknowledged; nats-fsync: on disk before that.
//	mosquitto  Mosquitto as it is installed (Debian's package mosquitto; Linux),
//	         started on a free port with settings and a folder of its own.
//	         Recipients with persistent sessions (clean_session false) are away;
//	         publishers at QoS 1 wait for PUBACK. Persistence is on with its
//	         default, which writes to disk every 30 minutes and at the end: a
//	         message is acknowledged when the server's memory has it, before
//	         anything is written, let alone synced. A queue has no limit (default:
//	         1,000 messages, and what comes after is acknowledged and dropped).
//	         The client library writes each message by a system call of its own;
//	         that of NATS gathers.
//
// Programs of other brokers are a module of their own (bench/brokers), so that
// nothing of them stands among the dependencies of claudemesh, and are built when
// they are asked for. The processor time of a message is that of publishers and
// broker together, as it is for all contenders.
package main

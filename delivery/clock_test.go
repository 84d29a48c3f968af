package delivery

import (
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/wire"
)

// aheadFor is how far a clock was ahead before it came right, in milliseconds.
const aheadFor = 3_600_000

// What waits for a time does not wait for it twice where the clock is set back.
func TestBrokersClockIsSetBack(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.now += aheadFor
	r.b.Tick(r.now)
	r.say()
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 3, 2)
	r.receipt(2, wire.VerdictReceived, 1, 3)
	r.send(1, 1, 2)
	r.want("ahead", "deliver m3 to c2; ack c1 m3 at p2 delivered; deliver m1 to c2")
	r.now -= aheadFor
	r.b.Tick(r.now)
	r.want("set back", "save m1 for p2")
	r.committed()
	r.want("committed", "ack c1 m1 at p2 queued")
	r.send(1, 2, 2)
	r.want("afterwards", "deliver m2 to c2")
	if wait := r.b.Next() - r.now; wait <= 0 || wait > wire.CommitWait {
		t.Fatalf("the commit waits for %d ms", wait)
	}
	r.now = r.b.Next()
	r.b.Tick(r.now)
	r.want("tick", "save m2 for p2")
	r.committed()
	r.now += wire.RememberedByBroker + sweepEvery
	r.b.Tick(r.now)
	r.say()
	r.send(1, 3, 2)
	r.want("ten minutes are over", "deliver m3 to c2")
}

// A device that does not claim is passed over after a minute, also where the clock was set
// back meanwhile; and who was active last stays so.
func TestTurnsWhereTheClockIsSetBack(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.now += aheadFor
	r.b.Tick(r.now)
	r.connect(1, 1, wire.ReceivesLive)
	for _, p := range []byte{2, 3} {
		r.b.Connect(r.now, Connection{Conn: Conn(p), Peer: peerKey(p), User: "bob", Session: session(p), Receives: wire.ReceivesLive})
	}
	r.now++
	r.b.Active(r.now, 2)
	r.say()
	r.now -= aheadFor
	r.sendAs(Send{Conn: 1, ID: messageID(1), One: true, User: "bob"}, 2, 3)
	r.want("to the one that was active last", "deliver m1 to c2; save m1 for p3; save m1 for p2")
	r.committed()
	r.say()
	r.now += wire.ClaimWait
	r.b.Tick(r.now)
	r.want("the other one's turn", "fetch 1 lane 4 of p3; fetch 2 lane 0 of p0")
}

// What a sender was told before the clock was set forward, or the machine slept, is not
// taken for read: it is told again on the next connection.
func TestOutcomeToldBeforeALeap(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.now += wire.CommitWait
	r.b.Tick(r.now)
	r.committed()
	r.receipt(2, wire.VerdictRefused, 1, 1)
	r.committed()
	r.say() // refused
	r.now += aheadFor
	r.b.Tick(r.now)
	if s := r.say(); strings.Contains(s, "drop outcome") {
		t.Fatalf("taken for read: %s", s)
	}
	r.b.Disconnect(r.now, 1)
	r.connect(3, 1, wire.ReceivesLive)
	r.want("told again", "fetch 5 lane 0 of p1")
}

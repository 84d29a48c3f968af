package delivery

import (
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// two is a rig with a sender (c1, p1) and two devices, p2 and p3, of one user,
// of which p3 was active last.
func two(t *testing.T) *rig {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	for c := Conn(2); c <= 3; c++ {
		r.now += 10
		r.b.Connect(r.now, Connection{Conn: c, Peer: peerKey(byte(c)), User: "bob", Session: session(byte(c)), Receives: wire.ReceivesLive})
	}
	r.say()
	return r
}

func (r *rig) sendOne(m int) {
	r.sendAs(Send{Conn: 1, ID: messageID(m), One: true, User: "bob"}, 2, 3)
}

// claimed commits what was asked for, with claims won by a peer.
func (r *rig) claimed(by byte) {
	var claims []ClaimResult
	for i := r.b.head; i < len(r.b.saving); i++ {
		if r.b.saving[i].claim != nil {
			claims = append(claims, ClaimResult{Seq: r.b.saving[i].seq, By: peerKey(by)})
		}
	}
	r.b.Committed(r.now, r.b.seq, claims)
}

func TestOneDeviceAtATime(t *testing.T) {
	r := two(t)
	r.sendOne(1)
	r.want("to the last active", "deliver m1 to c3; save m1 for p3; save m1 for p2")
	r.committed()
	r.want("queued, said once", "ack c1 m1 at p2 queued")
	r.receipt(3, wire.VerdictClaim, 1, 1)
	r.want("claim", "claim m1 by p3")
	r.claimed(3)
	r.want("granted", "grant c3 m1 true; drop p2/1")
	r.receipt(2, wire.VerdictClaim, 1, 1)
	r.want("too late", "grant c2 m1 false")
	r.receipt(3, wire.VerdictReceived, 1, 1)
	r.want("received", "drop p3/1; ack c1 m1 at p3 delivered")
}

func TestNextDeviceAfterAMinute(t *testing.T) {
	r := two(t)
	r.sendOne(1)
	r.committed()
	r.say()
	next := r.now + wire.ClaimWait
	r.now = next - 1
	r.b.Tick(r.now)
	if s := r.say(); strings.Contains(s, "of p2") {
		t.Fatalf("before the minute has passed: %s", s)
	}
	r.now = next
	r.b.Tick(r.now)
	r.want("the next looks what it has", "fetch 1 lane 4 of p2")
}

func TestWindowOfUnclaimedCopies(t *testing.T) {
	r := two(t)
	r.b.window = 2
	for m := 1; m <= 3; m++ {
		r.sendOne(m)
	}
	if s := r.say(); strings.Count(s, "deliver") != 2 || strings.Contains(s, "deliver m3") {
		t.Fatalf("two are out unclaimed, the third waits: %s", s)
	}
	r.sendAs(Send{Conn: 1, ID: messageID(4), Priority: wire.PriorityNow, One: true, User: "bob"}, 2, 3)
	if s := r.say(); !strings.Contains(s, "deliver m4 to c3") {
		t.Fatalf("each priority has a window of its own: %s", s)
	}
	r.committed()
	r.receipt(3, wire.VerdictClaim, 1, 1)
	r.say()
	r.claimed(3)
	if s := r.say(); !strings.Contains(s, "grant c3 m1 true") || !strings.Contains(s, "fetch 1 lane 4 of p3") {
		t.Fatalf("one is claimed, so the next has room: %s", s)
	}
}

// fetchOne answers a fetch for the only row of a message.
func (r *rig) fetchOne(to byte, m int, left int) {
	q := &r.b.peer(peerKey(to)).queues[LaneOneNext]
	row := &Row{Message: &Message{From: peerKey(1), ID: messageID(m), One: true, Expires: r.now + 1e9, Sealed: payload[:10]},
		To: peerKey(to), Lane: LaneOneNext, N: 1, Left: left}
	r.b.Fetched(r.now, &Fetch{Kind: FetchLane, queue: q}, []*Row{row}, false)
}

func TestPassedOverDeviceMayClaimStill(t *testing.T) {
	r := two(t)
	r.sendOne(1)
	r.committed()
	r.now += wire.ClaimWait
	r.b.Tick(r.now)
	r.say()
	r.fetchOne(2, 1, 2)
	r.want("the next device", "deliver m1 to c2")
	r.receipt(3, wire.VerdictClaim, 1, 1)
	r.want("the first claims after all", "claim m1 by p3")
	r.claimed(3)
	r.want("and has it; the other's copy goes", "grant c3 m1 true; grant c2 m1 false; drop p2/1")
}

func TestDeviceThatLeavesIsReplaced(t *testing.T) {
	r := two(t)
	r.sendOne(1)
	r.committed()
	r.say()
	r.b.Disconnect(r.now, 3)
	r.want("left", "fetch 1 lane 4 of p2")
}

func TestOneRefusedByEveryDevice(t *testing.T) {
	r := two(t)
	r.sendOne(1)
	r.committed()
	r.say()
	r.b.Receipt(r.now, 3, wire.VerdictRefused, wire.WhyMuted, peerKey(1), []keys.MessageID{messageID(1)})
	r.want("the next", "drop p3/1; fetch 1 lane 4 of p2")
	r.fetchOne(2, 1, 1)
	r.say()
	r.b.Receipt(r.now, 2, wire.VerdictRefused, wire.WhyMuted, peerKey(1), []keys.MessageID{messageID(1)})
	r.want("none is left", "drop p2/1; outcome m1 at p2 refused")
	r.committed()
	r.want("told once it is kept", "ack c1 m1 at p2 refused muted")
}

func TestOutcomesOfAnAbsentSender(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.now += wire.CommitWait
	r.b.Tick(r.now)
	r.committed()
	r.b.Disconnect(r.now, 1)
	r.say()
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("kept", "drop p2/1; outcome m1 at p2 delivered")
	r.committed()
	r.want("kept", "")
	r.connect(3, 1, wire.ReceivesNone)
	r.want("fetched", "fetch 5 lane 0 of p1")
	o := []Outcome{{To: peerKey(1), ID: messageID(1), Recipient: peerKey(2), State: wire.StateDelivered}}
	r.b.FetchedOutcomes(r.now, &Fetch{Kind: FetchOutcomes, To: peerKey(1)}, o, false)
	r.want("told", "ack c3 m1 at p2 delivered")
	r.now += 1000
	r.b.Disconnect(r.now, 3) // it may not have been read
	r.connect(4, 1, wire.ReceivesNone)
	r.want("told again", "fetch 5 lane 0 of p1")
	r.b.FetchedOutcomes(r.now, &Fetch{Kind: FetchOutcomes, To: peerKey(1)}, o, false)
	r.want("told again", "ack c4 m1 at p2 delivered")
	for range 4 {
		r.now += sweepEvery + 5 // a timer is a little late
		r.b.Tick(r.now)
	}
	if s := r.say(); !strings.Contains(s, "drop outcome m1") {
		t.Fatalf("read by now: %s", s)
	}
}

// asked gives the page of a lane that the machine asks for.
func (r *rig) asked(lane Lane) *Fetch {
	r.t.Helper()
	for _, e := range r.b.Effects() {
		if e.Kind == EffectFetch && e.Fetch.Kind == FetchLane && e.Fetch.Lane == lane {
			return e.Fetch
		}
	}
	r.t.Fatal("no page is asked for")
	return nil
}

// TestReadForARevokedDevice: what was being read for a device when it was revoked is told
// refused, also where that page comes before the one that is read because of it.
func TestReadForARevokedDevice(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.committed()
	r.want("stored", "save m1 for p2; ack c1 m1 at p2 queued")
	r.connect(2, 2, wire.ReceivesLive)
	page := r.asked(LaneNext)
	r.b.Revoke(r.now, peerKey(2))
	r.want("revoked", "close c2 4106; fetch 3 lane 0 of p2")
	row := &Row{Message: &Message{From: peerKey(1), ID: messageID(1), Expires: r.now + 1e9}, To: peerKey(2), Lane: LaneNext, N: 1}
	r.b.Fetched(r.now, page, []*Row{row}, false)
	if s := r.say(); !strings.Contains(s, "outcome m1 at p2 refused") {
		t.Fatalf("its sender is not told: %s", s)
	}
}

// TestStoredAnew: a message that was sent again after it was forgotten, while the row that
// it had is being dropped, goes from the store under both numbers.
func TestStoredAnew(t *testing.T) {
	r := newRig(t, BrokerOptions{Backlog: []Backlog{{To: peerKey(2), Messages: 1, Last: 7}}})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	page := r.asked(LaneNext)
	s := Send{Conn: 1, ID: messageID(1), Class: wire.ClassMessage, Priority: wire.PriorityNext}
	r.sendAs(s, 2)
	r.want("taken for new", "save m1 for p2")
	row := &Row{Message: &Message{From: peerKey(1), ID: messageID(1), Expires: r.now + 1e9}, To: peerKey(2), Lane: LaneNext, N: 7}
	r.b.Fetched(r.now, page, []*Row{row}, false)
	r.say()
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("both numbers", "drop p2/7; drop p2/8; ack c1 m1 at p2 delivered")
}

// TestFirstWordOfAnAbsentSender: what its recipient has is kept for a sender that left before
// it was told anything, and may not send it again in time; what was refused is not, since
// it may be taken when it comes again.
func TestFirstWordOfAnAbsentSender(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.send(1, 2, 2)
	r.say()
	r.b.Disconnect(r.now, 1)
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.receipt(2, wire.VerdictRefused, 1, 2)
	r.want("kept", "outcome m1 at p2 delivered")
}

// TestFinishedWhileItsCommitFailed: what was received while it was being stored is
// remembered like all that finished, and forgotten in time.
func TestFinishedWhileItsCommitFailed(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.now += wire.CommitWait
	r.b.Tick(r.now)
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.say()
	r.b.CommitFailed(r.now, r.b.seq)
	r.want("failed", "close c1 4003")
	r.connect(3, 1, wire.ReceivesLive)
	r.send(3, 1, 2)
	r.want("sent again", "ack c3 m1 at p2 delivered")
	r.now += wire.RememberedByBroker + sweepEvery
	r.b.Tick(r.now)
	if n := len(r.b.known) + r.b.briefs.len(); n != 0 {
		t.Errorf("%d messages are remembered after ten minutes", n)
	}
}

func TestFailedCommit(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 3) // for an absent peer
	r.send(1, 2, 3)
	r.send(1, 3, 2) // handed over
	r.say()
	r.b.CommitFailed(r.now, 1)
	r.want("nothing of it overtakes", "drop p3/2; close c1 4003")
	r.b.Committed(r.now, r.b.seq, nil)
	r.want("what was given up is told to nobody", "")
	r.receipt(2, wire.VerdictReceived, 1, 3)
	r.want("what was received while its sender is away is kept for it", "outcome m3 at p2 delivered")
	r.connect(4, 1, wire.ReceivesLive)
	r.want("its sender is back", "fetch 5 lane 0 of p1")
	r.send(4, 1, 3)
	r.send(4, 2, 3)
	r.send(4, 3, 2)
	r.want("sent again, in order; what was received is acknowledged", "save m1 for p3; save m2 for p3; ack c4 m3 at p2 delivered")
}

func TestRevoke(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 3)
	r.send(2, 2, 1)
	r.send(2, 3, 4)
	r.say()
	r.b.Revoke(r.now, peerKey(3))
	r.want("rows to it", "drop p3/1; ack c1 m1 at p3 refused revoked; fetch 3 lane 0 of p3")
	r.b.Revoke(r.now, peerKey(2))
	r.want("rows from it", "close c2 4106; drop p4/1; fetch 3 lane 0 of p2")
	r.send(2, 4, 1)
	r.want("it sends nothing more", "")
	r.send(1, 5, 3)
	r.want("and gets nothing", "ack c1 m5 at p3 refused revoked")
	r.connect(7, 3, wire.ReceivesLive)
	r.want("nor in", "close c7 4106")
	rows := []*Row{
		{Message: &Message{From: peerKey(1), ID: messageID(70), Expires: r.now + 1e9}, To: peerKey(3), N: 9},
		{Message: &Message{From: peerKey(2), ID: messageID(71), Expires: r.now + 1e9}, To: peerKey(4), N: 9},
	}
	r.b.Fetched(r.now, &Fetch{Kind: FetchPeer, To: peerKey(3)}, rows, true)
	r.want("what was in the store only", "drop p3/9; outcome m70 at p3 refused; drop p3/9; drop p4/9; drop p4/9")
	r.committed()
	r.want("the next page, once that one is gone", "ack c1 m70 at p3 refused revoked; fetch 3 lane 0 of p3")
}

func TestExpiry(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.sendAs(Send{Conn: 1, ID: messageID(1), Expires: r.now + 1000}, 2)
	r.committed()
	r.say()
	r.now += sweepEvery
	r.b.Tick(r.now)
	r.want("the store is searched", "fetch 2 lane 0 of p0; sweep")
	row := &Row{Message: &Message{From: peerKey(1), ID: messageID(1), Expires: r.now - 5}, To: peerKey(2), N: 1, Lane: LaneNext}
	r.b.Fetched(r.now, &Fetch{Kind: FetchExpired}, []*Row{row}, false)
	r.want("what comes of it is kept", "drop p2/1; outcome m1 at p2 expired; drop p2/1")
	r.committed()
	r.want("and told", "ack c1 m1 at p2 expired")
}

// What is out when its time passes is its recipient's to refuse: that may have it, and its
// word be on its way. After ten minutes it will not come any more.
func TestExpiryOfWhatIsOut(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	expires := r.now + 1000
	r.sendAs(Send{Conn: 1, ID: messageID(1), Expires: expires}, 2)
	r.now += wire.CommitWait
	r.b.Tick(r.now)
	r.committed()
	r.want("out, and stored", "deliver m1 to c2; save m1 for p2; ack c1 m1 at p2 queued")
	row := &Row{Message: &Message{From: peerKey(1), ID: messageID(1), Expires: expires}, To: peerKey(2), N: 1, Lane: LaneNext}
	r.now = expires + wire.ClockAhead - 1
	r.b.Fetched(r.now, &Fetch{Kind: FetchExpired}, []*Row{row}, false)
	r.want("for ten minutes nothing is said of it", "")
	r.now++
	r.b.Fetched(r.now, &Fetch{Kind: FetchExpired}, []*Row{row}, false)
	r.want("then it is over", "drop p2/1; outcome m1 at p2 expired; drop p2/1")
}

func TestDrain(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.say()
	r.b.Drain(r.now)
	r.want("what waits is stored at once", "save m1 for p2")
	r.send(1, 2, 2)
	r.want("nothing new is taken", "")
	if r.b.Settled() {
		t.Fatal("settled before the commit")
	}
	r.committed()
	r.want("acknowledged", "ack c1 m1 at p2 queued")
	if !r.b.Settled() {
		t.Fatal("not settled")
	}
}

func TestTrace(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2, 3, 4)
	states := func() (s [5]wire.State) {
		told, _ := r.b.Trace(peerKey(1), messageID(1))
		for _, st := range told {
			s[st.To[0]] = st.State
		}
		return s
	}
	if s := states(); s[2] != wire.StatePending || s[3] != wire.StatePending {
		t.Fatalf("not stored yet: %v", s)
	}
	r.committed()
	r.receipt(2, wire.VerdictReceived, 1, 1)
	if s := states(); s[2] != wire.StateDelivered || s[3] != wire.StateQueued || s[4] != wire.StateQueued {
		t.Fatalf("one delivered: %v", s)
	}
	if told, known := r.b.Trace(peerKey(2), messageID(1)); told != nil || known {
		t.Fatal("somebody else's message was told")
	}
}

func TestFetchThatFailsIsAskedAgain(t *testing.T) {
	r := newRig(t, BrokerOptions{Backlog: []Backlog{{To: peerKey(2), Receipts: 1, Last: 4}}})
	r.connect(2, 2, wire.ReceivesLive)
	e := r.b.Effects()
	if len(e) != 1 || e[0].Kind != EffectFetch {
		t.Fatalf("receipts are fetched: %+v", e)
	}
	r.b.FetchFailed(r.now, e[0].Fetch)
	r.want("failed", "")
	if r.b.Next() > r.now+retryAfter {
		t.Fatal("nothing is due")
	}
	r.now += retryAfter
	r.b.Tick(r.now)
	r.want("again", "fetch 1 lane 6 of p2")
}

// A device stands back for one that was active later and has not looked yet. When
// that has looked, it looks again, whoever is the last active now.
func TestWhoStoodBackLooksAgain(t *testing.T) {
	r := newRig(t, BrokerOptions{Backlog: []Backlog{{To: peerKey(2), Messages: 1, Last: 1}, {To: peerKey(3), Messages: 1, Last: 1}}})
	for c := Conn(2); c <= 3; c++ {
		r.now += 10
		r.b.Connect(r.now, Connection{Conn: c, Peer: peerKey(byte(c)), User: "bob", Session: session(byte(c)), Receives: wire.ReceivesLive})
	}
	r.say()
	r.fetchOne(2, 1, 1)
	r.want("p3 may have it, or something before it", "")
	r.now += 10
	r.b.Active(r.now, 2)
	r.b.Fetched(r.now, &Fetch{Kind: FetchLane, queue: &r.b.peer(peerKey(3)).queues[LaneOneNext]}, nil, false)
	r.want("p3 has nothing", "fetch 1 lane 4 of p2")
	r.fetchOne(2, 1, 1)
	r.want("so p2 is handed it", "deliver m1 to c2")
}

// What was out when its sender was revoked is not handed over again.
func TestRevokedSendersMessageDoesNotComeBack(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.want("out, not stored", "deliver m1 to c2")
	r.b.Revoke(r.now, peerKey(1))
	r.b.Disconnect(r.now, 2)
	r.connect(3, 2, wire.ReceivesLive)
	if s := r.say(); strings.Contains(s, "deliver") {
		t.Fatalf("handed over again: %s", s)
	}
}

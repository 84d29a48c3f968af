package delivery

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// rig drives a broker's machine and writes its effects down as words.
type rig struct {
	t   *testing.T
	b   *Broker
	now int64
}

func newRig(t *testing.T, o BrokerOptions) *rig {
	r := &rig{t: t, now: 1_000_000}
	r.b = NewBroker(r.now, o)
	return r
}

// peerKey and the like make small numbers into keys.
func peerKey(n byte) keys.Public    { return keys.Public{n} }
func session(n byte) keys.SessionID { return keys.SessionID{n} }

func messageID(n int) (id keys.MessageID) {
	binary.BigEndian.PutUint32(id[:], uint32(n))
	return id
}

func idNumber(id keys.MessageID) uint32 { return binary.BigEndian.Uint32(id[:]) }

// say gives the effects since the last call, one word group each.
func (r *rig) say() string {
	var words []string
	for _, e := range r.b.Effects() {
		words = append(words, effectWords(&e))
	}
	return strings.Join(words, "; ")
}

func effectWords(e *Effect) string {
	switch e.Kind {
	case EffectDeliver:
		return fmt.Sprintf("deliver m%d to c%d", idNumber(e.Row.ID), e.Conn)
	case EffectAck:
		s := fmt.Sprintf("ack c%d m%d at p%d %v", e.Conn, idNumber(e.ID), e.Peer[0], e.State)
		if e.Why != "" {
			s += " " + string(e.Why)
		}
		return s
	case EffectGrant:
		return fmt.Sprintf("grant c%d m%d %v", e.Conn, idNumber(e.ID), e.Granted)
	case EffectClose:
		return fmt.Sprintf("close c%d %d", e.Conn, e.Code)
	case EffectSave:
		return fmt.Sprintf("save m%d for p%d", idNumber(e.Row.ID), e.Row.To[0])
	case EffectClaim:
		return fmt.Sprintf("claim m%d by p%d", idNumber(e.Claim.ID), e.Claim.By[0])
	case EffectDrop:
		return fmt.Sprintf("drop p%d/%d", e.Peer[0], e.N)
	case EffectTrim:
		return fmt.Sprintf("trim p%d of p%d", e.Peer[0], e.From[0])
	case EffectSaveOutcome:
		return fmt.Sprintf("outcome m%d at p%d %v", idNumber(e.Outcome.ID), e.Outcome.Recipient[0], e.Outcome.State)
	case EffectDropOutcome:
		return fmt.Sprintf("drop outcome m%d", idNumber(e.Outcome.ID))
	case EffectFetch:
		return fmt.Sprintf("fetch %d lane %d of p%d", e.Fetch.Kind, e.Fetch.Lane, e.Fetch.To[0])
	case EffectSweep:
		return "sweep"
	}
	return fmt.Sprintf("effect %d", e.Kind)
}

func (r *rig) want(what, effects string) {
	r.t.Helper()
	if got := r.say(); got != effects {
		r.t.Fatalf("%s:\n got %s\nwant %s", what, got, effects)
	}
}

func (r *rig) connect(c Conn, peer byte, receives wire.Receives) {
	r.b.Connect(r.now, Connection{Conn: c, Peer: peerKey(peer), User: fmt.Sprint("user", peer), Session: session(byte(c)), Receives: receives})
}

func (r *rig) send(c Conn, m int, to ...byte) { r.sendAs(Send{Conn: c, ID: messageID(m)}, to...) }

func (r *rig) sendAs(s Send, to ...byte) {
	if s.Expires == 0 {
		s.Expires = r.now + wire.DefaultExpiry
	}
	if s.Sealed == nil {
		s.Sealed = payload[:100]
	}
	for _, p := range to {
		s.To = append(s.To, wire.Recipient{Key: peerKey(p)})
	}
	r.b.Send(r.now, &s)
}

func (r *rig) receipt(c Conn, v wire.Verdict, from byte, ms ...int) {
	var ids []keys.MessageID
	for _, m := range ms {
		ids = append(ids, messageID(m))
	}
	r.b.Receipt(r.now, c, v, wire.WhyNone, peerKey(from), ids)
}

func (r *rig) committed() { r.b.Committed(r.now, r.b.seq, nil) }

func TestOnlineMessageNeedsNoStore(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.want("connect", "")
	r.send(1, 1, 2)
	r.want("send", "deliver m1 to c2")
	if r.b.InFlight(1) != 1 || r.b.Settled() {
		t.Fatal("the send is not counted as in flight")
	}
	r.now++
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("received", "ack c1 m1 at p2 delivered")
	if r.b.InFlight(1) != 0 || !r.b.Settled() {
		t.Fatal("the send is still in flight")
	}
	r.now += 10
	r.b.Tick(r.now)
	r.want("later", "")
}

func TestCommitWaitsForTheReceipt(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.want("send", "deliver m1 to c2")
	next := r.b.Next()
	if next <= r.now || next > r.now+wire.CommitWait {
		t.Fatalf("the commit waits until %+d ms", next-r.now)
	}
	r.now = next
	r.b.Tick(r.now)
	r.want("tick", "save m1 for p2")
	r.committed()
	r.want("committed", "ack c1 m1 at p2 queued")
	r.now += 3
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("received", "drop p2/1; ack c1 m1 at p2 delivered")
}

func TestReceiptBeforeTheCommit(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.now += wire.CommitWait
	r.b.Tick(r.now)
	r.want("tick", "deliver m1 to c2; save m1 for p2")
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("received", "drop p2/1; ack c1 m1 at p2 delivered")
	r.committed()
	r.want("committed: the sender heard the first word only", "")
}

// TestCommitWaitsOnceMoreAfterAStall: where the process was held up the receipts were, too;
// not so often that the sender hears nothing.
func TestCommitWaitsOnceMoreAfterAStall(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	sent := r.now
	r.send(1, 1, 2)
	r.send(1, 2, 2)
	r.want("send", "deliver m1 to c2; deliver m2 to c2")
	r.now = r.b.Next() + heldUp
	r.b.Tick(r.now)
	r.want("a late tick", "")
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("received", "ack c1 m1 at p2 delivered")
	for {
		if r.now = r.b.Next() + heldUp; r.now >= sent+wire.CommitWait {
			break
		}
		r.b.Tick(r.now)
		r.want("late again", "")
	}
	r.now = sent + wire.CommitWait
	r.b.Tick(r.now)
	r.want("at last", "save m2 for p2")
	r.send(1, 3, 2)
	r.want("one more", "deliver m3 to c2")
	r.now = r.b.Next()
	r.b.Tick(r.now)
	r.want("a tick in time", "save m3 for p2")
}

func TestCommitDoesNotWaitWhereThatIsHopeless(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.send(1, 1, 3)
	r.want("absent", "save m1 for p3")
	r.connect(2, 2, wire.ReceivesLive)
	for m := 2; m < 12; m++ { // a recipient that takes long
		r.send(1, m, 2)
		r.now += 8 * wire.CommitWait
		r.b.Tick(r.now)
		r.receipt(2, wire.VerdictReceived, 1, m)
	}
	r.say()
	r.send(1, 20, 2)
	r.want("slow", "deliver m20 to c2; save m20 for p2")
	for m := 21; m < 80; m++ { // and then does not any more
		r.send(1, m, 2)
		r.receipt(2, wire.VerdictReceived, 1, m)
	}
	r.say()
	r.send(1, 90, 2)
	r.want("fast again", "deliver m90 to c2")
	if wait := r.b.Next() - r.now; wait > 2 {
		t.Fatalf("the commit waits %d ms for a recipient that takes none", wait)
	}
}

func TestCommitsKeepTheOrderOfNumbers(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.b.window = 1
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.send(1, 2, 2) // has to wait: hopeless, and must not be on disk before the first
	r.want("send", "deliver m1 to c2; save m1 for p2; save m2 for p2")
}

func TestWindow(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	out := 0
	for m := 1; m <= wire.WindowMessages+10; m++ {
		r.send(1, m, 2)
		out += strings.Count(r.say(), "deliver m")
	}
	if out != wire.WindowMessages {
		t.Fatalf("%d messages out, the window is %d", out, wire.WindowMessages)
	}
	r.receipt(2, wire.VerdictReceived, 1, 1, 2, 3)
	if n := strings.Count(r.say(), "deliver m"); n != 3 {
		t.Fatalf("%d handed over after 3 receipts", n)
	}

	r = newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.sendAs(Send{Conn: 1, ID: messageID(1), Sealed: payload}, 2) // more than the window in bytes, alone
	r.want("one message may always be out", "deliver m1 to c2")
	r.send(1, 2, 2)
	r.want("and nothing beside it", "save m1 for p2; save m2 for p2")
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("received", "drop p2/1; ack c1 m1 at p2 delivered; deliver m2 to c2")
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.b.window = 1
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	const size = 100_000
	rows := []*Row{}
	for m := 1; m <= 8; m++ {
		r.sendAs(Send{Conn: 1, ID: messageID(m), Sealed: payload[:size]}, 2)
		for _, e := range r.b.Effects() {
			if e.Kind == EffectSave {
				rows = append(rows, e.Row)
			}
		}
		r.committed()
		r.say()
	}
	q := &r.b.peer(peerKey(2)).queues[LaneNext]
	if q.bytes > wire.SlowConsumer+size {
		t.Fatalf("%d bytes are kept for a slow recipient", q.bytes)
	}
	var got []uint32
	for m := 1; m <= 8; m++ {
		r.receipt(2, wire.VerdictReceived, 1, m)
		effects := slices.Clone(r.b.Effects())
		for len(effects) > 0 {
			e := effects[0]
			effects = effects[1:]
			switch e.Kind {
			case EffectDeliver:
				got = append(got, idNumber(e.Row.ID))
			case EffectFetch:
				var page []*Row
				for _, row := range rows {
					if row.N >= e.Fetch.From {
						page = append(page, row)
					}
				}
				r.b.Fetched(r.now, e.Fetch, page[:1], len(page) > 1)
				effects = append(effects, r.b.Effects()...)
			}
		}
	}
	if !slices.Equal(got, []uint32{2, 3, 4, 5, 6, 7, 8}) {
		t.Fatalf("what came back from the store: %v", got)
	}
}

func TestRestart(t *testing.T) {
	r := newRig(t, BrokerOptions{Backlog: []Backlog{{To: peerKey(2), Messages: 1, Last: 41}}, Outcomes: []keys.Public{peerKey(1)}})
	if r.b.Waiting(peerKey(2)) != 1 {
		t.Fatal("what waits is not counted")
	}
	r.connect(1, 1, wire.ReceivesLive)
	r.want("outcomes", "fetch 5 lane 0 of p1")
	r.send(1, 7, 2)
	e := r.b.Effects()
	if len(e) != 1 || e[0].Kind != EffectSave || e[0].Row.N != 42 {
		t.Fatalf("numbers go on above those in the store: %+v", e)
	}
	r.connect(2, 2, wire.ReceivesLive)
	r.want("connect", "fetch 1 lane 3 of p2; fetch 1 lane 4 of p2; fetch 1 lane 5 of p2; "+
		"fetch 1 lane 0 of p2; fetch 1 lane 1 of p2; fetch 1 lane 2 of p2")
}

func TestRepeatedSend(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.send(1, 2, 3)
	r.committed()
	r.say()
	r.send(1, 1, 2)
	r.want("what is finished", "ack c1 m1 at p2 delivered")
	r.send(1, 2, 3)
	r.want("what waits", "ack c1 m2 at p3 queued")
	r.send(1, 1, 2, 3)
	r.want("to one more", "ack c1 m1 at p2 delivered; save m1 for p3")
	r.committed()
	r.want("one more has it", "ack c1 m1 at p3 queued")
	r.now += wire.RememberedByBroker + sweepEvery
	r.b.Tick(r.now)
	r.say()
	r.send(1, 1, 2)
	r.want("after ten minutes it is new", "deliver m1 to c2")
}

// TestFinishedMessagesAreRememberedInLittle: of what reached its one recipient little is
// kept, and its memory is used again; what that knows is what was known.
func TestFinishedMessagesAreRememberedInLittle(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	for m := range remembered + 10 {
		r.send(1, m, 2)
		r.receipt(2, wire.VerdictReceived, 1, m)
		r.say()
	}
	if known, brief := len(r.b.known), r.b.briefs.len(); known != 0 || brief < remembered/2 || brief > remembered {
		t.Fatalf("%d messages are known, %d in brief", known, brief)
	}
	r.receipt(2, wire.VerdictReceived, 1, remembered-20)
	r.want("said again by its recipient", "")
	since := r.now
	r.now++
	trace, _ := r.b.Trace(peerKey(1), messageID(remembered-20))
	if want := []wire.TraceState{{To: peerKey(2), State: wire.StateDelivered, Time: since}}; !slices.Equal(trace, want) {
		t.Fatalf("trace: %+v", trace)
	}
	r.send(1, remembered-20, 2)
	r.send(1, remembered-21, 2)
	r.want("sent again", fmt.Sprintf("ack c1 m%d at p2 delivered; ack c1 m%d at p2 delivered", remembered-20, remembered-21))
	r.send(1, 3, 2)
	r.want("the oldest is forgotten", "deliver m3 to c2")
	r.receipt(2, wire.VerdictReceived, 1, 3)
	r.want("and finished again", "ack c1 m3 at p2 delivered")
	for m := range 100 {
		r.send(1, remembered+100+m, 2)
		r.receipt(2, wire.VerdictReceived, 1, remembered+100+m)
		r.say()
	}
	r.send(1, remembered-20, 2)
	r.want("sent once more", fmt.Sprintf("ack c1 m%d at p2 delivered", remembered-20))
	r.now += wire.RememberedByBroker + sweepEvery
	r.b.Tick(r.now)
	if known, brief := len(r.b.known), r.b.briefs.len(); known != 0 || brief != 0 {
		t.Fatalf("after ten minutes %d messages are known, %d in brief", known, brief)
	}
}

func TestSendOverTwoConnectionsIsAnsweredOnBoth(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 1, wire.ReceivesLive)
	r.send(1, 1, 3)
	r.send(2, 1, 3)
	r.committed()
	r.want("committed", "save m1 for p3; ack c2 m1 at p3 queued; ack c1 m1 at p3 queued")
}

func TestRefusals(t *testing.T) {
	r := newRig(t, BrokerOptions{Limits: wire.Limits{Waiting: 1}, Revoked: []keys.Public{peerKey(9)}})
	r.connect(1, 1, wire.ReceivesLive)
	r.send(1, 1, 9)
	r.want("revoked", "ack c1 m1 at p9 refused revoked")
	r.sendAs(Send{Conn: 1, ID: messageID(2), Expires: r.now}, 2)
	r.want("expired", "ack c1 m2 at p2 refused expiry")
	r.send(1, 3, 2)
	r.say()
	r.send(1, 4, 2)
	r.want("full", "ack c1 m4 at p2 refused queue_full")
	r.sendAs(Send{Conn: 1, ID: messageID(5), Class: wire.ClassReceipt, Sealed: payload[:wire.MaxReceiptSize+1]}, 2)
	r.want("receipt too large", "ack c1 m5 at p2 refused too_large")
	r.sendAs(Send{Conn: 1, ID: messageID(6), Class: wire.ClassReceipt}, 2)
	r.want("receipts have no place in the limit", "save m6 for p2")
}

// A message that is sent again after a restart may be among those that wait: to refuse
// it for want of room would be a lie, so the store is asked first.
func TestStoreIsAskedBeforeQueueFullIsSaid(t *testing.T) {
	for name, c := range map[string]struct {
		rows []*Row
		want string
	}{
		"it waits already": {[]*Row{{Message: &Message{From: peerKey(1), ID: messageID(7)}, To: peerKey(2), N: 3, Lane: LaneNext}}, "ack c1 m7 at p2 queued"},
		"it does not":      {nil, "ack c1 m7 at p2 refused queue_full"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, BrokerOptions{Limits: wire.Limits{Waiting: 1}, Backlog: []Backlog{{To: peerKey(2), Messages: 1, Last: 3}}})
			r.connect(1, 1, wire.ReceivesLive)
			r.send(1, 7, 2)
			asked := r.b.Effects()
			if len(asked) != 1 || asked[0].Kind != EffectFetch || asked[0].Fetch.Kind != FetchMessage || asked[0].Fetch.ID != messageID(7) {
				t.Fatalf("the store is not asked: %+v", asked)
			}
			r.b.Fetched(r.now, asked[0].Fetch, c.rows, false)
			r.want("as the store says", c.want)
		})
	}
}

func TestNothingWaitsLongerThanTheLongestExpiry(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.sendAs(Send{Conn: 1, ID: messageID(1), Expires: r.now + 2*wire.MaxExpiry}, 2)
	for _, e := range r.b.saving {
		if e.item.m.expires != r.now+wire.MaxExpiry {
			t.Errorf("a row waits for %d ms", e.item.m.expires-r.now)
		}
	}
	if len(r.b.saving) != 1 {
		t.Errorf("%d rows are saved", len(r.b.saving))
	}
}

func TestReceiptsLane(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesNone)
	trims := 0
	for m := 1; m <= wire.MaxReceiptsWaiting+5; m++ {
		r.sendAs(Send{Conn: 1, ID: messageID(m), Class: wire.ClassReceipt}, 2)
		r.committed()
		trims += strings.Count(r.say(), "trim p2 of p1")
	}
	if trims != 5 {
		t.Fatalf("the oldest were let go %d times, want 5", trims)
	}
	r.connect(2, 2, wire.ReceivesNone)
	r.want("to a session that takes nothing", "")
	r.connect(5, 5, wire.ReceivesNone)
	r.sendAs(Send{Conn: 1, ID: messageID(4999), Class: wire.ClassReceipt}, 5)
	if got := r.say(); strings.Contains(got, "deliver") {
		t.Errorf("one that comes while only such a session is there: %s", got)
	}
	r.connect(3, 2, wire.ReceivesReplies)
	r.want("to one that takes replies", "fetch 1 lane 6 of p2")
	for m := 5000; m < 5000+2*wire.WindowMessages; m++ {
		r.sendAs(Send{Conn: 1, ID: messageID(m), Class: wire.ClassReceipt}, 3)
	}
	r.say()
	r.connect(4, 3, wire.ReceivesReplies)
	r.b.CommitFailed(r.now, 0)
	if n := strings.Count(r.say(), "deliver m"); n != 2*wire.WindowMessages {
		t.Fatalf("%d receipts handed over, there is no window for them", n)
	}
}

func TestReceives(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesNone)
	r.send(1, 1, 2)
	r.want("none", "save m1 for p2")
	r.connect(3, 2, wire.ReceivesReplies)
	r.say()
	r.send(1, 2, 2)
	r.want("not for the session", "save m2 for p2")
	hinted := Send{Conn: 1, ID: messageID(3), Sealed: payload[:10], Expires: r.now + 1e6,
		To: []wire.Recipient{{Key: peerKey(2), Session: session(3)}}}
	r.b.Send(r.now, &hinted)
	r.want("a reply passes what waits for others", "deliver m3 to c3")
	r.connect(4, 2, wire.ReceivesDrain)
	r.want("drain", "deliver m1 to c4; deliver m2 to c4")
}

func TestHintedSessionIsHandedOverFirst(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.connect(3, 2, wire.ReceivesLive)
	r.b.Active(r.now+1, 2)
	hint := func(m int, s byte) {
		r.b.Send(r.now, &Send{Conn: 1, ID: messageID(m), Sealed: payload[:10], Expires: r.now + 1e6,
			To: []wire.Recipient{{Key: peerKey(2), Session: session(s)}}})
	}
	hint(1, 3)
	r.want("its own session", "deliver m1 to c3")
	hint(2, 0)
	r.want("the last active", "deliver m2 to c2")
	hint(3, 77)
	r.want("a session that is not there", "deliver m3 to c2")
	r.now += 50
	r.connect(4, 2, wire.ReceivesLive)
	hint(4, 4)
	r.want("a session that came while others have something", "deliver m4 to c2")
}

func TestPrioritiesHaveTheirOwnOrder(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.b.window = 1
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.send(1, 4, 2)
	r.sendAs(Send{Conn: 1, ID: messageID(2), Priority: wire.PriorityLow}, 2)
	r.sendAs(Send{Conn: 1, ID: messageID(3), Priority: wire.PriorityNow}, 2)
	r.committed()
	r.say()
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("now goes first", "drop p2/1; ack c1 m1 at p2 delivered; deliver m3 to c2")
	r.receipt(2, wire.VerdictReceived, 1, 3)
	r.want("then what is next", "drop p2/4; ack c1 m3 at p2 delivered; deliver m4 to c2")
}

func TestRecipientsOwnRefusal(t *testing.T) {
	r := newRig(t, BrokerOptions{})
	r.connect(1, 1, wire.ReceivesLive)
	r.connect(2, 2, wire.ReceivesLive)
	r.send(1, 1, 2)
	r.say()
	r.b.Receipt(r.now, 2, wire.VerdictRefused, wire.WhyMuted, peerKey(1), []keys.MessageID{messageID(1)})
	r.want("refused", "ack c1 m1 at p2 refused muted")
	r.receipt(2, wire.VerdictReceived, 1, 1)
	r.want("a word too late", "")
	r.receipt(2, wire.VerdictReceived, 7, 1)
	r.receipt(2, wire.VerdictReceived, 1, 99)
	r.want("of what does not exist", "")
}

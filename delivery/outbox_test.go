package delivery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// box drives an outbox and writes its effects down as words.
type box struct {
	t   *testing.T
	o   *Outbox
	now int64
}

func newBox(t *testing.T, rows ...*OutboxRow) *box {
	b := &box{t: t, now: 1000, o: NewOutbox(1000)}
	b.want("start", "load behind 0")
	b.o.Loaded(b.now, rows, false)
	return b
}

func (b *box) say() string {
	var words []string
	for _, e := range b.o.Effects() {
		switch e.Kind {
		case OutboxSend:
			words = append(words, fmt.Sprintf("send m%d", idNumber(e.Row.ID)))
		case OutboxState:
			words = append(words, fmt.Sprintf("m%d at p%d %v", idNumber(e.ID), e.To[0], e.State))
		case OutboxDone:
			words = append(words, fmt.Sprintf("done m%d", idNumber(e.ID)))
		case OutboxLoad:
			words = append(words, fmt.Sprintf("load behind %d", e.Place))
		}
	}
	return strings.Join(words, "; ")
}

func (b *box) want(what, effects string) {
	b.t.Helper()
	if got := b.say(); got != effects {
		b.t.Fatalf("%s:\n got %s\nwant %s", what, got, effects)
	}
}

// outRow is message m at the place of its number.
func outRow(m int, to ...byte) *OutboxRow {
	row := &OutboxRow{Place: int64(m), ID: messageID(m), Expires: 10_000, Sealed: payload[:10]}
	for _, p := range to {
		row.To = append(row.To, Target{Key: peerKey(p), State: wire.StatePending})
	}
	return row
}

func (b *box) ack(state wire.State, to byte, ms ...int) {
	var ids []keys.MessageID
	for _, m := range ms {
		ids = append(ids, messageID(m))
	}
	b.o.Ack(b.now, peerKey(to), state, wire.WhyNone, ids)
}

func TestOutboxSendsAgainInOrder(t *testing.T) {
	b := newBox(t, outRow(1, 2), outRow(2, 2))
	b.o.Add(b.now, outRow(3, 2))
	b.want("nobody is there", "")
	b.o.Connected(b.now, 0)
	b.want("what waits, then what is new", "send m1; send m2; send m3")
	b.ack(wire.StateDelivered, 2, 2)
	b.want("ack", "m2 at p2 delivered; done m2")
	b.o.Disconnected()
	b.o.Add(b.now, outRow(4, 2))
	b.o.Connected(b.now, 0)
	b.want("what is unacknowledged, before what is new", "send m1; send m3; send m4")
	b.ack(wire.StateQueued, 2, 1, 3, 4)
	b.want("acks", "m1 at p2 queued; done m1; m3 at p2 queued; done m3; m4 at p2 queued; done m4")
	b.ack(wire.StateDelivered, 2, 1)
	b.want("a later change", "m1 at p2 delivered")
	if !b.o.Empty() {
		t.Fatal("something waits still")
	}
}

func TestOutboxIsNotEmptyWhileItIsRead(t *testing.T) {
	o := NewOutbox(1000)
	if o.Empty() {
		t.Error("empty before state.db answered")
	}
	o.LoadFailed(1000)
	if o.Empty() {
		t.Error("empty although it could not be read")
	}
	o.Tick(1000 + retryAfter)
	o.Loaded(1000+retryAfter, nil, false)
	if !o.Empty() {
		t.Error("not empty although state.db has nothing")
	}
}

func TestOutboxBound(t *testing.T) {
	b := newBox(t, outRow(1, 2, 3), outRow(2, 2), outRow(3, 2))
	b.o.Connected(b.now, 1)
	b.want("one message may always be in flight", "send m1")
	b.ack(wire.StateQueued, 2, 1)
	b.want("one target is left", "m1 at p2 queued")
	b.ack(wire.StateQueued, 3, 1)
	b.want("and the next", "m1 at p3 queued; done m1; send m2")
}

func TestOutboxSeveralTargets(t *testing.T) {
	b := newBox(t, outRow(1, 2, 3))
	b.o.Connected(b.now, 0)
	b.say()
	b.o.Refuse(b.now, messageID(1), peerKey(3), wire.WhyRevoked)
	b.want("who left is told", "m1 at p3 refused")
	b.o.Disconnected()
	b.o.Connected(b.now, 0)
	b.want("again, for who is left", "send m1")
	b.ack(wire.StateDelivered, 2, 1)
	b.want("done", "m1 at p2 delivered; done m1")
}

func TestOutboxOneOfSeveral(t *testing.T) {
	row := outRow(1, 2, 3)
	row.One = true
	b := newBox(t, row)
	b.o.Connected(b.now, 0)
	b.say()
	b.o.Refuse(b.now, messageID(1), peerKey(3), wire.WhyRevoked)
	b.want("another device has it yet", "")
	if len(row.To) != 1 || row.To[0].Key != peerKey(2) {
		t.Fatalf("targets: %+v", row.To)
	}
	b.ack(wire.StateQueued, 2, 1)
	b.want("one ack is all", "m1 at p2 queued; done m1")
}

func TestOutboxExpiry(t *testing.T) {
	late := outRow(2, 2)
	late.Expires = 20_000
	b := newBox(t, outRow(1, 2), late)
	if b.o.Next() != 10_000 {
		t.Fatalf("due at %d", b.o.Next())
	}
	b.now = 10_000
	b.o.Tick(b.now)
	b.want("expired", "m1 at p2 expired; done m1")
	b.o.Connected(b.now, 0)
	b.want("the other", "send m2")
	b.now = 20_000
	b.o.Tick(b.now)
	b.want("what is in flight is the broker's to tell", "")
	b.o.Disconnected()
	b.o.Connected(b.now, 0)
	b.want("never sent past its expiry", "m2 at p2 expired; done m2")

	// Nor where what makes room for it comes before the tick.
	b = newBox(t, outRow(1, 2), outRow(2, 2))
	b.o.Connected(b.now, 1)
	b.want("one in flight", "send m1")
	b.now = 10_000
	b.ack(wire.StateQueued, 2, 1)
	b.want("too late", "m1 at p2 queued; done m1; m2 at p2 expired; done m2")
}

func TestOutboxTakesOver(t *testing.T) {
	b := newBox(t, outRow(5, 2))
	b.o.Connected(b.now, 0)
	b.want("own", "send m5")
	b.o.Taken(b.now)
	b.want("look again", "load behind 0")
	b.o.Add(b.now, outRow(6, 2))
	b.o.Loaded(b.now, []*OutboxRow{outRow(3, 2), outRow(4, 2), outRow(5, 2)}, false)
	b.want("what an ended session left; one was added meanwhile", "load behind 5; send m3; send m4")
	b.o.Loaded(b.now, []*OutboxRow{outRow(6, 2)}, false)
	b.want("it goes before what is new", "send m6")
}

// What was taken over is older than what is here, and is read first.
func TestOutboxSendsWhatItTookOverFirst(t *testing.T) {
	b := newBox(t, outRow(5, 2))
	b.o.Taken(b.now)
	b.o.Connected(b.now, 0)
	b.want("what is here waits for what is read", "load behind 0")
	b.o.Loaded(b.now, []*OutboxRow{outRow(3, 2), outRow(4, 2), outRow(5, 2)}, false)
	b.want("in order", "send m3; send m4; send m5")
}

// A page that was asked for before the take-over may lack what was taken over, and that
// goes first.
func TestOutboxReadsAgainWhatItTookOverMeanwhile(t *testing.T) {
	b := &box{t: t, now: 1000, o: NewOutbox(1000)}
	b.o.Connected(b.now, 0)
	b.want("being read", "load behind 0")
	b.o.Taken(b.now)
	b.want("one page at a time", "")
	b.o.Loaded(b.now, []*OutboxRow{outRow(5, 2)}, false)
	b.want("nothing of what was read before the take-over is sent", "load behind 0")
	b.o.Loaded(b.now, []*OutboxRow{outRow(3, 2), outRow(5, 2)}, false)
	b.want("in order", "send m3; send m5")
}

func TestOutboxThatCannotBeRead(t *testing.T) {
	b := &box{t: t, now: 1000, o: NewOutbox(1000)}
	b.want("start", "load behind 0")
	b.o.LoadFailed(b.now)
	b.o.Connected(b.now, 0)
	b.o.Add(b.now, outRow(1, 2))
	b.want("what is new may not be the first", "")
	b.now = b.o.Next()
	b.o.Tick(b.now)
	b.want("again", "load behind 0")
	b.o.Loaded(b.now, []*OutboxRow{outRow(1, 2)}, false)
	b.want("at last", "send m1")
}

func TestOutboxLoadsPages(t *testing.T) {
	b := &box{t: t, now: 1000, o: NewOutbox(1000)}
	b.say()
	var page []*OutboxRow
	for m := 1; m <= outboxRows; m++ {
		page = append(page, outRow(m, 2))
	}
	b.o.Loaded(b.now, page, true)
	b.want("full", "")
	b.o.Add(b.now, outRow(outboxRows+1, 2))
	b.o.Connected(b.now, wire.InFlight)
	if n := strings.Count(b.say(), "send"); n != wire.InFlight {
		t.Fatalf("%d in flight", n)
	}
	for m := 1; m <= outboxRows/2; m++ {
		b.ack(wire.StateQueued, 2, m)
	}
	if s := b.say(); !strings.Contains(s, fmt.Sprintf("load behind %d", outboxRows)) {
		t.Fatalf("there is room: %s", s[len(s)-60:])
	}
	done := outRow(outboxRows+1, 2)
	done.To[0].State = wire.StateQueued
	b.o.Loaded(b.now, []*OutboxRow{done}, false)
	b.want("a row that was acknowledged and not deleted goes", fmt.Sprintf("done m%d", outboxRows+1))
}

func TestAdvance(t *testing.T) {
	order := []wire.State{wire.StateUnknown, wire.StatePending, wire.StateQueued, wire.StateExpired,
		wire.StateDelivered, wire.StateHeld, wire.StateRefused, wire.StateSeen}
	for i, known := range order {
		for j, said := range order {
			state, why := known, wire.Why("old")
			changed := Advance(&state, &why, said, "new")
			if want := order[max(i, j)]; state != want || changed != (j > i) || (why == "new") != (j > i) {
				t.Errorf("%v, then %v: %v %v, changed %v", known, said, state, why, changed)
			}
		}
	}
	state, why := wire.StateSeen, wire.WhyNone
	if Advance(&state, &why, wire.State(99), "") {
		t.Error("a state nobody knows changed something")
	}
}

func TestOrphans(t *testing.T) {
	live := []SessionRow{{ID: session(1)}, {ID: session(3)}}
	got := Orphans([]keys.SessionID{session(1), session(2), session(3), session(4)}, live)
	if len(got) != 2 || got[0] != session(2) || got[1] != session(4) {
		t.Fatalf("orphans: %v", got)
	}
}

func TestOutboxPauses(t *testing.T) {
	b := newBox(t, outRow(1, 2))
	b.o.Connected(b.now, 0)
	b.want("before", "send m1")
	b.o.Pause(b.now, 500)
	b.o.Add(b.now, outRow(2, 2))
	b.ack(wire.StateQueued, 2, 1)
	b.want("what is in flight is acknowledged, what is new waits", "m1 at p2 queued; done m1")
	if b.o.Next() != 1500 || b.o.Paused() != 1500 {
		t.Fatalf("due at %d, paused until %d", b.o.Next(), b.o.Paused())
	}
	b.now = 1499
	b.o.Tick(b.now)
	b.want("not yet", "")
	b.now = 1500
	b.o.Tick(b.now)
	b.want("now", "send m2")
	if b.o.Paused() != 0 {
		t.Fatal("still paused")
	}

	// A new connection asks anew.
	b.o.Pause(b.now, 500)
	b.o.Disconnected()
	b.o.Connected(b.now, 0)
	b.want("a new connection", "send m2")

	// Nobody is kept for ever: not by a broker, nor by a clock that goes back.
	b.o.Pause(b.now, 1<<50)
	if b.o.Paused() != b.now+longestPause {
		t.Fatalf("paused until %d", b.o.Paused())
	}
	b.now = 100
	b.o.Add(b.now, outRow(3, 2))
	b.o.Tick(b.now)
	b.want("the clock went back", "send m3")
}

package history_test

import (
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/history"
)

// TestRules breaks each rule by a short history, and keeps all of them in one.
func TestRules(t *testing.T) {
	send := func(l *history.Log, id string) {
		l.Send(history.Message{ID: id, Stream: "alice", To: []string{"bob"}, Expires: 100})
	}
	show := func(l *history.Log, id string) { l.Shown(history.Showing{ID: id, By: "bob", Time: 1}) }
	for name, c := range map[string]struct {
		tell func(*history.Log)
		want string // in what is broken; empty: nothing is
	}{
		"all is well": {func(l *history.Log) {
			send(l, "m1")
			l.Told(1, "m1", "bob", history.Queued, "")
			show(l, "m1")
			l.Told(2, "m1", "bob", history.Seen, "")
			send(l, "m2")
			show(l, "m2")
		}, ""},
		"twice without a mark": {func(l *history.Log) {
			l.Fault("bob was killed")
			send(l, "m1")
			show(l, "m1")
			show(l, "m1")
		}, "twice"},
		"twice with a mark": {func(l *history.Log) {
			l.Fault("bob was killed")
			send(l, "m1")
			show(l, "m1")
			l.Shown(history.Showing{ID: "m1", By: "bob", Time: 1, Again: true})
		}, ""},
		"behind a later one": {func(l *history.Log) {
			send(l, "m1")
			send(l, "m2")
			show(l, "m2")
			show(l, "m1")
		}, "m1 (1) is shown to bob after m2 (2) without a mark"},
		"over a hole": {func(l *history.Log) {
			send(l, "m1")
			send(l, "m2")
			send(l, "m3")
			show(l, "m1")
			show(l, "m3")
		}, "m3 (3) is shown to bob without m2 (2), without a mark"},
		"after its time": {func(l *history.Log) {
			send(l, "m1")
			l.Shown(history.Showing{ID: "m1", By: "bob", Time: 101})
		}, "m1"},
		"chosen before its time was over, perhaps": {func(l *history.Log) {
			send(l, "m1")
			l.Shown(history.Showing{ID: "m1", By: "bob", Time: 99, Latest: 101})
		}, ""},
		"over a hole that may have expired": {func(l *history.Log) {
			send(l, "m1")
			send(l, "m2")
			l.Send(history.Message{ID: "m3", Stream: "alice", To: []string{"bob"}})
			show(l, "m1")
			l.Shown(history.Showing{ID: "m3", By: "bob", Time: 99, Latest: 101, Gap: true})
		}, ""},
		"over a hole that cannot have expired": {func(l *history.Log) {
			send(l, "m1")
			send(l, "m2")
			l.Send(history.Message{ID: "m3", Stream: "alice", To: []string{"bob"}})
			show(l, "m1")
			l.Shown(history.Showing{ID: "m3", By: "bob", Time: 98, Latest: 99, Gap: true})
		}, "nothing went wrong"},
		"less than before": {func(l *history.Log) {
			l.Send(history.Message{ID: "m1", From: "alice", To: []string{"bob"}})
			l.Told(1, "m1", "bob", history.Delivered, "")
			l.Told(2, "m1", "bob", history.Queued, "")
		}, "queued after delivered"},
		"less than before, on a full disk": {func(l *history.Log) {
			l.MayForget("alice")
			l.Send(history.Message{ID: "m1", From: "alice", To: []string{"bob"}})
			l.Told(1, "m1", "bob", history.Delivered, "")
			l.Told(2, "m1", "bob", history.Queued, "")
		}, ""},
		"to somebody else": {func(l *history.Log) {
			send(l, "m1")
			l.Shown(history.Showing{ID: "m1", By: "carol", Time: 1})
		}, "carol"},
		"after it was refused": {func(l *history.Log) {
			send(l, "m1")
			l.Told(1, "m1", "bob", history.Refused, "muted")
			show(l, "m1")
		}, "m1"},
		"after it was refused for want of room": {func(l *history.Log) {
			l.Restarted()
			send(l, "m1")
			l.Told(1, "m1", "bob", history.Refused, "queue_full")
			show(l, "m1")
		}, "m1"},
		"after it came again to a broker that had forgotten it, and no room": {func(l *history.Log) {
			send(l, "m1")
			l.Restarted()
			l.Told(1, "m1", "bob", history.Refused, "queue_full")
			show(l, "m1")
		}, ""},
		"a weaker word": {func(l *history.Log) {
			send(l, "m1")
			show(l, "m1")
			l.Told(1, "m1", "bob", history.Delivered, "")
			l.Told(2, "m1", "bob", history.Queued, "")
		}, "queued"},
		"seen by nobody": {func(l *history.Log) {
			send(l, "m1")
			l.Told(1, "m1", "bob", history.Seen, "")
		}, "seen"},
		"a mark where nothing went wrong": {func(l *history.Log) {
			send(l, "m1")
			l.Shown(history.Showing{ID: "m1", By: "bob", Time: 1, Again: true})
		}, "m1"},
		"one id for two": {func(l *history.Log) {
			send(l, "m1")
			send(l, "m1")
		}, "sent twice"},
	} {
		t.Run(name, func(t *testing.T) {
			var l history.Log
			c.tell(&l)
			got := strings.Join(l.Broken(), "\n")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("broken: %q, want %q", got, c.want)
			}
		})
	}
}

// TestWaiting: what a sender was told of must be shown in the end, unless its time is
// over or it was refused.
func TestWaiting(t *testing.T) {
	var l history.Log
	for _, id := range []string{"shown", "lost", "refused", "untold"} {
		l.Send(history.Message{ID: id, To: []string{"bob"}, Expires: 100})
	}
	for _, id := range []string{"shown", "lost"} {
		l.Told(1, id, "bob", history.Queued, "")
	}
	l.Told(1, "refused", "bob", history.Refused, "muted")
	l.Shown(history.Showing{ID: "shown", By: "bob", Time: 2})
	if got := strings.Join(l.Waiting(3), " "); got != "lost at bob" {
		t.Errorf("waiting: %q", got)
	}
}

// TestUnsettled: of what nobody took in time its sender hears that; of a message for any
// one of several, of one.
func TestUnsettled(t *testing.T) {
	var l history.Log
	send := func(id string, one bool, states ...history.State) {
		l.Send(history.Message{ID: id, To: []string{"bob", "carol"}, One: one, Expires: 100})
		for i, state := range states {
			l.Told(100, id, []string{"bob", "carol"}[i], state, "")
		}
	}
	send("told", false, history.Expired, history.Delivered)
	send("waits", false, history.Pending, history.Expired)
	send("one", true, history.Queued, history.Expired)
	send("none", true, history.Queued, history.Queued)
	send("never sent", false)
	if got := l.Unsettled(99); len(got) > 0 {
		t.Errorf("before their time is over: %q", got)
	}
	const want = `waits at bob is "pending", and its time is over; none at bob is "queued", and its time is over; ` +
		`none at carol is "queued", and its time is over`
	if got := strings.Join(l.Unsettled(100), "; "); got != want {
		t.Errorf("unsettled: %s, want %s", got, want)
	}
}

// TestForgotten: who could not write down what it was told knows it in the end, save what
// is over.
func TestForgotten(t *testing.T) {
	var l history.Log
	l.MayForget("alice")
	l.Send(history.Message{ID: "m", From: "alice", To: []string{"bob"}, Expires: 100})
	l.Told(1, "m", "bob", history.Delivered, "")
	l.Told(2, "m", "bob", history.Queued, "")
	if got := strings.Join(l.Unsettled(99), "; "); got != `m at bob is "queued" after its sender was told "delivered"` {
		t.Errorf("unsettled: %s", got)
	}
	if got := l.Unsettled(100); len(got) > 0 {
		t.Errorf("when it is over: %q", got)
	}
	l.Told(3, "m", "bob", history.Delivered, "")
	if got := l.Unsettled(99); len(got) > 0 {
		t.Errorf("when it knows: %q", got)
	}
}

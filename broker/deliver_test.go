package broker

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/wire"
)

func TestMessageOnline(t *testing.T) {
	w := newWorld(t)
	bob := w.join("bob", "desk")
	b := w.hello(bob, wire.ReceivesLive)
	a := w.hello(w.alice, wire.ReceivesReplies)
	id := a.message(bob.Public(), "hello bob")
	d, text := b.receive()
	if text != "hello bob" || d.ID != id || d.From != w.alice.Public() || d.Attempt != 1 {
		t.Fatalf("%+v %q", d, text)
	}
	a.wantAck(id, wire.StateDelivered)
}

func TestMessageWaits(t *testing.T) {
	w := newWorld(t)
	bob := w.join("bob", "desk")
	a := w.hello(w.alice, wire.ReceivesReplies)
	id := a.message(bob.Public(), "later")
	a.wantAck(id, wire.StateQueued)
	a.bye()
	w.restart()
	b := w.hello(bob, wire.ReceivesLive)
	if b.welcome.Queued != 1 {
		t.Fatalf("%d queued", b.welcome.Queued)
	}
	d, text := b.receive()
	if text != "later" || d.ID != id {
		t.Fatalf("%+v %q", d, text)
	}
	a = w.hello(w.alice, wire.ReceivesReplies)
	a.wantAck(id, wire.StateDelivered)
}

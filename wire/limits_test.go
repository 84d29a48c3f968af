package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

// spoiled is a good frame, by its name in frames(), with one thing wrong.
type spoiled struct {
	name  string
	want  wire.Code
	spoil func(f wire.Frame)
}

func spoil[F wire.Frame](name string, want wire.Code, change func(F)) spoiled {
	return spoiled{name, want, func(f wire.Frame) { change(f.(F)) }}
}

func spoiledFrames() []spoiled {
	object := func(n int) signed.Object {
		return signed.Object{Bytes: make([]byte, n), Sig: make([]byte, 64)}
	}
	many := func(n int) []signed.Object {
		list := make([]signed.Object, n)
		for i := range list {
			list[i] = object(1)
		}
		return list
	}
	long := strings.Repeat("x", wire.MaxText+1)
	const malformed, tooLarge = wire.CodeMalformed, wire.CodeTooLarge
	return []spoiled{
		spoil("challenge", malformed, func(f *wire.Challenge) { f.Broker = keys.Public{} }),
		spoil("hello", tooLarge, func(f *wire.Hello) { f.Signed = make([]byte, wire.MaxFrameBeforeHello+1) }),
		spoil("hello", malformed, func(f *wire.Hello) { f.Sig = make([]byte, 64*(wire.MaxSignatures+1)) }),
		spoil("welcome", malformed, func(f *wire.Welcome) { f.Present = -1 }),
		spoil("welcome", malformed, func(f *wire.Welcome) { f.Limits.Frame = -1 }),
		spoil("welcome", tooLarge, func(f *wire.Welcome) { f.Head = object(wire.MaxEntry + 1) }),
		spoil("sync", malformed, func(f *wire.Sync) { f.Limit = -1 }),
		spoil("append", malformed, func(f *wire.Append) { f.ID = 0 }),
		spoil("append", tooLarge, func(f *wire.Append) { f.Entries = many(wire.MaxEntries + 1) }),
		spoil("append", tooLarge, func(f *wire.Append) { f.Entries[0] = object(wire.MaxEntry + 1) }),
		spoil("entries", tooLarge, func(f *wire.Entries) { f.Entries = many(wire.MaxEntries + 1) }),
		spoil("send", malformed, func(f *wire.Send) { f.To = keys.Public{} }),
		spoil("send-several", malformed, func(f *wire.Send) { f.Session = keys.SessionID{1} }),
		spoil("send-several", malformed, func(f *wire.Send) { f.Recipients[1].Key = keys.Public{} }),
		spoil("send-several", tooLarge, func(f *wire.Send) { f.Recipients[1].Box = make([]byte, wire.MaxBox+1) }),
		spoil("deliver", malformed, func(f *wire.Deliver) { f.ID = keys.MessageID{} }),
		spoil("deliver", malformed, func(f *wire.Deliver) { f.From = keys.Public{} }),
		spoil("deliver", malformed, func(f *wire.Deliver) { f.Expires = 0 }),
		spoil("deliver", malformed, func(f *wire.Deliver) { f.Sent = -1 }),
		spoil("deliver", malformed, func(f *wire.Deliver) { f.Attempt = 1 << 31 }),
		spoil("ack", malformed, func(f *wire.Ack) { f.To = keys.Public{} }),
		spoil("ack", malformed, func(f *wire.Ack) { f.IDs[1] = keys.MessageID{} }),
		spoil("receipt", tooLarge, func(f *wire.Receipt) { f.IDs = ids(wire.MaxIDs + 1) }),
		spoil("grant", malformed, func(f *wire.Grant) { f.From = keys.Public{} }),
		spoil("grant", malformed, func(f *wire.Grant) { f.IDs = nil }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Cards = many(3) }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Cards = []signed.Object{object(wire.MaxCard + 1)} }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.CWD = long }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Host = long }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Client = long }),
		spoil("presence-own", malformed, func(f *wire.Presence) { f.PID = -1 }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Extras.Sealed = make([]byte, wire.MaxExtras+1) }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Extras.Box = make([]byte, wire.MaxBox+1) }),
		spoil("presence-own", tooLarge, func(f *wire.Presence) { f.Extras.Boxes = several(wire.MaxRecipients + 1).Recipients }),
		spoil("presence-own", malformed, func(f *wire.Presence) { f.Extras.Boxes = append(f.Extras.Boxes, f.Extras.Boxes[0]) }),
		spoil("presence-page", malformed, func(f *wire.Presence) { f.Peers[0].Key = keys.Public{} }),
		spoil("presence-page", malformed, func(f *wire.Presence) { f.Peers[0].Since = -1 }),
		spoil("presence-page", malformed, func(f *wire.Presence) { f.Peers[0].Sessions[0].ID = keys.SessionID{} }),
		spoil("presence-page", tooLarge, func(f *wire.Presence) { *f.Peers[0].Card = object(wire.MaxCard + 1) }),
		spoil("presence-page", tooLarge, func(f *wire.Presence) { f.Peers[0].Sessions[0].Card.Bytes = make([]byte, wire.MaxCard+1) }),
		spoil("presence-page", tooLarge, func(f *wire.Presence) { f.Peers[0].Sessions[0].Extras.Box = make([]byte, wire.MaxBox+1) }),
		spoil("presence-page", tooLarge, func(f *wire.Presence) {
			for n := range byte(wire.MaxPeersPage) {
				f.Peers = append(f.Peers, wire.PeerPresence{Key: key(n + 100)})
			}
		}),
		spoil("subscribe", malformed, func(f *wire.Subscribe) { f.ID = 0 }),
		spoil("trace-question", malformed, func(f *wire.Trace) { f.Message = keys.MessageID{} }),
		spoil("trace-question", malformed, func(f *wire.Trace) { f.ID = 0 }),
		spoil("trace-answer", malformed, func(f *wire.Trace) { f.States[0].To = keys.Public{} }),
		spoil("trace-answer", malformed, func(f *wire.Trace) { f.States[0].Why = "No!" }),
		spoil("trace-answer", tooLarge, func(f *wire.Trace) {
			f.States = make([]wire.TraceState, wire.MaxRecipients+1)
			for i := range f.States {
				f.States[i].To = key(1)
			}
		}),
		spoil("drain", malformed, func(f *wire.Drain) { f.Within = -1 }),
		spoil("error", malformed, func(f *wire.Error) { f.RetryAfter = -1 }),
		spoil("error", malformed, func(f *wire.Error) { f.IDs[0] = keys.MessageID{} }),
		spoil("error", malformed, func(f *wire.Error) { f.Code = "Not a code" }),
	}
}

// TestLimitsOfFrames: a frame that is good but for one thing is refused for
// that thing.
func TestLimitsOfFrames(t *testing.T) {
	for i, s := range spoiledFrames() {
		t.Run(fmt.Sprintf("%d-%s", i, s.name), func(t *testing.T) {
			f := frames()[s.name]
			var payload []byte
			switch f.(type) {
			case *wire.Send, *wire.Deliver:
				payload = []byte{1}
			}
			if _, _, err := wire.Decode(general(t, f, payload), payload != nil); err != nil {
				t.Fatalf("refused before it was spoiled: %v", err)
			}
			s.spoil(f)
			got, _, err := wire.Decode(general(t, f, payload), payload != nil)
			if err == nil || wire.CodeOf(err) != s.want {
				t.Fatalf("got %v, %v; want %s", got, err, s.want)
			}
			if !strings.Contains(err.Error(), string(f.FrameType())) && !strings.Contains(err.Error(), "signed:") {
				t.Errorf("the error does not say which frame: %v", err)
			}
		})
	}
}

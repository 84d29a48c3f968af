package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

func key(n byte) keys.Public { return keys.Public(bytes.Repeat([]byte{n}, 32)) }

func id(n byte) keys.MessageID {
	raw, _ := hex.DecodeString("0190a1b2c3d47e5f8a010203040506")
	return keys.MessageID(append(raw, n))
}

func ids(n int) []keys.MessageID {
	list := make([]keys.MessageID, n)
	for i := range list {
		list[i] = id(1)
		binary.BigEndian.PutUint32(list[i][8:], uint32(i))
	}
	return list
}

func several(n int) *wire.Send {
	f := &wire.Send{ID: id(1), Expires: 1}
	for i := range n {
		r := wire.Recipient{Key: key(1), Session: keys.SessionID{1}, Box: make([]byte, 113)}
		binary.BigEndian.PutUint32(r.Key[:], uint32(i))
		f.Recipients = append(f.Recipients, r)
	}
	return f
}

// frames says what the vectors mean, by name.
func frames() map[string]wire.Frame {
	session := keys.SessionID(bytes.Repeat([]byte{0x44}, 16))
	nonce := wire.Nonce(bytes.Repeat([]byte{0x55}, 32))
	box := signed.Bytes(bytes.Repeat([]byte{0x66}, 113))
	sig := signed.Bytes(bytes.Repeat([]byte{7}, 64))
	said := signed.Bytes(`{"}`)
	obj := signed.Object{Bytes: said, Sig: sig}
	a, b := key(0x11), key(0x22)
	one, two := id(1), id(2)
	seventeen := make([]wire.Recipient, 17)
	for i := range seventeen {
		seventeen[i] = wire.Recipient{Key: key(byte(i + 1)), Box: []byte{1}}
	}
	return map[string]wire.Frame{
		"challenge": &wire.Challenge{Broker: a, Nonce: nonce},
		"hello":     &wire.Hello{Signed: said, Sig: sig},
		"welcome": &wire.Welcome{Signed: said, Sig: sig, Head: obj, Missing: 2, Present: 3, Queued: 4,
			Limits: wire.DefaultLimits(), Features: []string{"x"}, Time: 1795000000000, Heartbeat: 30},
		"sync":           &wire.Sync{ID: 1, From: 7, Limit: 100},
		"sync-chain":     &wire.Sync{ID: 1, Chain: signed.Hash(nonce)},
		"append":         &wire.Append{ID: 2, Entries: []signed.Object{obj}},
		"entries":        &wire.Entries{Re: 1, From: 7, Entries: []signed.Object{obj}, Head: obj, More: true},
		"entries-pushed": &wire.Entries{From: 7, Entries: []signed.Object{obj}, Head: obj},
		"appended":       &wire.Entries{Re: 2, Appended: true, From: 8, Head: obj},
		"send": &wire.Send{ID: one, To: a, Session: session, Priority: wire.PriorityNow,
			Expires: 1795000000000},
		"send-plain": &wire.Send{ID: one, Class: wire.ClassReceipt, To: a, Expires: 1},
		"send-empty": &wire.Send{ID: one, To: a, Priority: wire.PriorityLow, Expires: 1<<53 - 1},
		"send-several": &wire.Send{ID: one, Expires: 1795000000000, One: true,
			Recipients: []wire.Recipient{{Key: a, Session: session, Box: box}, {Key: b, Box: box}}},
		"send-seventeen": &wire.Send{ID: one, Expires: 1, Recipients: seventeen},
		"ack":            &wire.Ack{State: wire.StateDelivered, To: a, IDs: []keys.MessageID{one, two}},
		"ack-refused":    &wire.Ack{State: wire.StateRefused, Why: wire.WhyQueueFull, To: a, IDs: []keys.MessageID{one}},
		"ack-future-why": &wire.Ack{State: wire.StateExpired, Why: "some_new_reason", To: a, IDs: []keys.MessageID{one}},
		"deliver": &wire.Deliver{ID: one, From: b, Session: session, Priority: wire.PriorityNow,
			Expires: 1795000000000, Sent: 1794000000000, Attempt: 1},
		"deliver-box": &wire.Deliver{ID: one, From: b, Box: box, Expires: 1795000000000,
			Sent: 1794000000000, Attempt: 12, Claim: true},
		"receipt":         &wire.Receipt{From: b, IDs: []keys.MessageID{one, two}},
		"receipt-claim":   &wire.Receipt{State: wire.VerdictClaim, From: b, IDs: []keys.MessageID{one}},
		"receipt-refused": &wire.Receipt{State: wire.VerdictRefused, Why: wire.WhyNotMember, From: b, IDs: []keys.MessageID{one}},
		"grant":           &wire.Grant{Granted: true, From: b, IDs: []keys.MessageID{one}},
		"taken":           &wire.Grant{From: b, IDs: []keys.MessageID{one}},
		"presence-own": &wire.Presence{Cards: []signed.Object{obj},
			Extras: &wire.Extras{Scheme: 1, Sealed: []byte{1, 2, 3}, Boxes: []wire.Recipient{{Key: a, Box: box}}},
			PID:    4711, CWD: "/home/alice/web", Host: "laptop", Client: "claudemesh/0.1.0"},
		"presence-page": &wire.Presence{Re: 3, More: true, Peers: []wire.PeerPresence{
			{Key: a, Connected: true, Since: 1794000000000, Card: &obj, Sessions: []wire.SessionPresence{
				{ID: session, Since: 1794000000001, Card: &obj, Extras: &wire.Extras{Scheme: 1, Sealed: []byte{1, 2, 3}, Box: box}}}},
			{Key: b}}},
		"subscribe":      &wire.Subscribe{ID: 3},
		"trace-question": &wire.Trace{ID: 4, Message: one},
		"trace-answer": &wire.Trace{Re: 4, Message: one, States: []wire.TraceState{
			{To: a, State: wire.StateQueued, Time: 1794000000000},
			{To: b, State: wire.StateRefused, Why: wire.WhyMuted, Time: 1794000000001}}},
		"ping":  &wire.Ping{},
		"pong":  &wire.Pong{N: 9},
		"drain": &wire.Drain{Within: 10000},
		"error": &wire.Error{Code: wire.CodeRate, Message: wire.CodeRate.Info().Sentence, Re: 5,
			IDs: []keys.MessageID{one}, RetryAfter: 1500},
		"error-plain": &wire.Error{Code: wire.CodeBusy, Message: "später – <b>"},
	}
}

// dump gives a frame with its type in a form that compares: empty and nil
// lists are the same on the wire.
func dump(t testing.TB, f wire.Frame) string {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(f.FrameType()) + " " + string(text)
}

package wire_test

import (
	"reflect"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/wire"
)

// hotCases are the frames that the router meets for every message.
func hotCases() []struct {
	name    string
	frame   wire.Frame
	payload []byte
} {
	session := keys.SessionID{1}
	box := make([]byte, 113)
	return []struct {
		name    string
		frame   wire.Frame
		payload []byte
	}{
		{"send", &wire.Send{ID: id(1), To: key(1), Session: session, Expires: 1795000000000}, make([]byte, 256)},
		{"send-3", several(3), make([]byte, 256)},
		{"deliver", &wire.Deliver{ID: id(1), From: key(1), Session: session, Expires: 1795000000000, Sent: 1794000000000, Attempt: 1}, make([]byte, 256)},
		{"deliver-box", &wire.Deliver{ID: id(1), From: key(1), Box: box, Expires: 1795000000000, Sent: 1794000000000, Attempt: 1, Claim: true}, make([]byte, 256)},
		{"ack", &wire.Ack{State: wire.StateDelivered, To: key(1), IDs: ids(1)}, nil},
		{"ack-64", &wire.Ack{State: wire.StateRefused, Why: wire.WhyQueueFull, To: key(1), IDs: ids(64)}, nil},
		{"receipt", &wire.Receipt{From: key(1), IDs: ids(1)}, nil},
		{"receipt-64", &wire.Receipt{State: wire.VerdictRefused, Why: wire.WhyNotMember, From: key(1), IDs: ids(64)}, nil},
	}
}

func TestHotEncodeAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 8<<10)
	for _, c := range hotCases() {
		if n := testing.AllocsPerRun(100, func() { buf = appendHot(buf[:0], c.frame, c.payload) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

func TestHotDecodeAllocatesNothing(t *testing.T) {
	var d wire.Decoder
	for _, c := range hotCases() {
		msg := appendHot(nil, c.frame, c.payload)
		n := testing.AllocsPerRun(100, func() {
			if _, _, err := d.Decode(msg, c.payload != nil); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

// TestDecoderReuse: a frame that was decoded before leaves nothing behind, not even an
// empty box where there is none: a direct message after one for several is direct.
func TestDecoderReuse(t *testing.T) {
	var d wire.Decoder
	cases := hotCases()
	for _, first := range cases {
		for _, second := range cases {
			for _, c := range []struct {
				frame   wire.Frame
				payload []byte
			}{{first.frame, first.payload}, {second.frame, second.payload}} {
				got, _, err := d.Decode(appendHot(nil, c.frame, c.payload), c.payload != nil)
				if err != nil || !reflect.DeepEqual(got, c.frame) {
					t.Fatalf("%s after %s: %v, %v", second.name, first.name, got, err)
				}
			}
		}
	}
}

// TestAppendWhyNeedsNoEscapes: a reason that is no code cannot break out of
// its string.
func TestAppendWhyNeedsNoEscapes(t *testing.T) {
	f := &wire.Ack{State: wire.StateRefused, Why: `x","to":"y`, To: key(1), IDs: ids(1)}
	got, _, err := wire.Decode(wire.AppendAck(nil, f), false)
	f.Why = ""
	if err != nil || dump(t, got) != dump(t, f) {
		t.Fatalf("got %v, %v", got, err)
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, c := range hotCases() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = appendHot(buf[:0], c.frame, c.payload)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range hotCases() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			msg := appendHot(nil, c.frame, c.payload)
			b.SetBytes(int64(len(msg)))
			var d wire.Decoder
			for b.Loop() {
				if _, _, err := d.Decode(msg, c.payload != nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeGeneral is what the hot frames would cost without their
// scanner, and what several recipients cost.
func BenchmarkDecodeGeneral(b *testing.B) {
	header := func(f wire.Frame) []byte { return general(b, f, nil) }
	for _, c := range []struct {
		name   string
		header []byte
	}{
		{"send", header(&wire.Send{ID: id(1), To: key(1), Expires: 1795000000000})},
		{"send-3", header(several(3))},
		{"send-1024", header(several(1024))},
		{"ack-64", header(&wire.Ack{State: wire.StateDelivered, To: key(1), IDs: ids(64)})},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.header)))
			for b.Loop() {
				if _, err := wire.Parse(c.header); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

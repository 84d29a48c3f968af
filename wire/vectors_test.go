package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/vectors"
	"github.com/claudemesh/claudemesh-go/wire"
)

// base is the name of the frame that a vector is a form of.
func base(v vectors.Frame) string {
	name, _, _ := strings.Cut(v.Name, "~")
	return name
}

func readFrames(t testing.TB) []vectors.Frame {
	t.Helper()
	list, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestVectors(t *testing.T) {
	known := frames()
	met := map[string]bool{}
	for _, v := range readFrames(t) {
		t.Run(v.Name, func(t *testing.T) {
			f, payload, err := wire.Decode(v.Message, v.Binary)
			if v.Outcome != "ok" {
				if err == nil {
					t.Fatalf("accepted as %+v, want %s", f, v.Outcome)
				}
				if got := wire.CodeOf(err); string(got) != v.Outcome {
					t.Fatalf("code %s (%v), want %s", got, err, v.Outcome)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if (payload != nil) != v.Binary {
				t.Fatalf("payload %v of binary=%v", payload, v.Binary)
			}
			want := known[base(v)]
			if want == nil {
				t.Fatalf("frames() does not say what %s is", base(v))
			}
			met[base(v)] = true
			if got, want := dump(t, f), dump(t, want); got != want {
				t.Fatalf("decoded\n %s\nwant\n %s", got, want)
			}
			if v.Name != base(v) {
				return
			}
			got, err := wire.AppendFrame([]byte("before"), want, payload)
			if err != nil || string(got) != "before"+string(v.Message) {
				t.Fatalf("AppendFrame, %v:\n %q\nwant\n %q", err, got, v.Message)
			}
			if got := appendHot(nil, want, payload); got != nil && !bytes.Equal(got, v.Message) {
				t.Fatalf("hot form\n %q\nwant\n %q", got, v.Message)
			}
		})
	}
	for name := range known {
		if !met[name] {
			t.Errorf("frames() has %s, the vectors do not", name)
		}
	}
}

// appendHot uses the hand-written encoder of a frame, nil where there is none.
func appendHot(dst []byte, f wire.Frame, payload []byte) []byte {
	switch f := f.(type) {
	case *wire.Send:
		return wire.AppendSend(dst, f, payload)
	case *wire.Deliver:
		return wire.AppendDeliver(dst, f, payload)
	case *wire.Ack:
		return wire.AppendAck(dst, f)
	case *wire.Receipt:
		return wire.AppendReceipt(dst, f)
	}
	return nil
}

func TestSizes(t *testing.T) {
	send := &wire.Send{ID: id(1), To: key(1), Expires: 1}
	text := func(header string) []byte { return []byte(header) }
	for _, c := range []struct {
		name   string
		msg    []byte
		binary bool
		want   wire.Code
	}{
		{"no bytes", nil, true, wire.CodeMalformed},
		{"three bytes", []byte{0, 0, 0}, true, wire.CodeMalformed},
		{"length past the end", []byte{0, 0, 0, 3, '{', '}'}, true, wire.CodeMalformed},
		{"length beyond the limit", []byte{0xff, 0xff, 0xff, 0xff}, true, wire.CodeTooLarge},
		{"largest payload", wire.AppendSend(nil, send, make([]byte, wire.MaxPayload)), true, ""},
		{"payload too large", wire.AppendSend(nil, send, make([]byte, wire.MaxPayload+1)), true, wire.CodeTooLarge},
		{"frame too large", make([]byte, wire.MaxFrame+1), false, wire.CodeTooLarge},
		{"many values", text(`{"type":"ping","n":1,"x":[1` + strings.Repeat(",1", wire.MaxValues) + `]}`), false, wire.CodeTooLarge},
		{"receipt too large", wire.AppendSend(nil, &wire.Send{ID: id(1), Class: wire.ClassReceipt, To: key(1), Expires: 1},
			make([]byte, wire.MaxReceiptSize+1)), true, wire.CodeTooLarge},
		{"most ids", wire.AppendAck(nil, &wire.Ack{State: wire.StateQueued, To: key(1), IDs: ids(wire.MaxIDs)}), false, ""},
		{"too many ids", wire.AppendAck(nil, &wire.Ack{State: wire.StateQueued, To: key(1), IDs: ids(wire.MaxIDs + 1)}), false, wire.CodeTooLarge},
		{"most recipients", general(t, several(wire.MaxRecipients), []byte{1}), true, ""},
		{"too many recipients", general(t, several(wire.MaxRecipients+1), []byte{1}), true, wire.CodeTooLarge},
		{"too deep", text(`{"type":"ping","n":1,"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`), false, wire.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := wire.Decode(c.msg, c.binary)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || wire.CodeOf(err) != c.want):
				t.Fatalf("got %v, want %s", err, c.want)
			}
		})
	}
}

func general(t testing.TB, f wire.Frame, payload []byte) []byte {
	t.Helper()
	msg, err := wire.AppendFrame(nil, f, payload)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

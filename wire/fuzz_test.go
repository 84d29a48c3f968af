package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/wire"
)

// FuzzDecode: nothing that crosses a socket makes the decoder panic, and what
// it accepts means the same after it was written again.
func FuzzDecode(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add(v.msg, v.binary)
	}
	f.Fuzz(func(t *testing.T, msg []byte, binary bool) {
		before := bytes.Clone(msg)
		frame, payload, err := wire.Decode(msg, binary)
		if !bytes.Equal(before, msg) {
			t.Fatal("decoding changed the message")
		}
		if err != nil {
			code := wire.CodeOf(err)
			if code != wire.CodeMalformed && code != wire.CodeTooLarge && code != wire.CodeUnknownType {
				t.Fatalf("code %q of %v", code, err)
			}
			return
		}
		want := dump(t, frame)
		written := general(t, frame, payload)
		again(t, "general", written, binary, want, payload)
		if hot := appendHot(nil, frame, payload); hot != nil {
			if !bytes.Equal(hot, written) {
				t.Fatalf("hot form\n %q\ngeneral form\n %q", hot, written)
			}
		}
	})
}

func again(t *testing.T, form string, msg []byte, binary bool, want string, payload []byte) {
	t.Helper()
	frame, p, err := wire.Decode(msg, binary)
	if err != nil {
		t.Fatalf("%s form is refused: %v\n %q", form, err, msg)
	}
	if got := dump(t, frame); got != want {
		t.Fatalf("%s form means\n %s\nnot\n %s", form, got, want)
	}
	if !bytes.Equal(p, payload) || (p == nil) != (payload == nil) {
		t.Fatalf("%s form has payload %x, not %x", form, p, payload)
	}
}

// FuzzHot: the scanner of the hot frames never says anything else than the
// general parser, also when its decoder was used before.
func FuzzHot(f *testing.F) {
	for _, v := range readVectors(f) {
		f.Add([]byte(v.header))
	}
	used := map[string]bool{}
	for name, frame := range frames() {
		if msg := appendHot(nil, frame, nil); msg != nil {
			header := string(msg[bytes.IndexByte(msg, '{'):])
			if _, ok := new(wire.Decoder).HotScan([]byte(header)); !ok && name != "ack-future-why" {
				f.Fatalf("the scanner does not read what is written for %s: %s", name, header)
			}
			used[header] = true
		}
	}
	if len(used) == 0 {
		f.Fatal("no hot frame was tried")
	}
	f.Fuzz(func(t *testing.T, header []byte) {
		var d wire.Decoder
		for dirt := range used {
			d.HotScan([]byte(dirt))
		}
		hot, ok := d.HotScan(header)
		if !ok {
			return
		}
		frame, err := wire.Parse(header)
		if err != nil {
			t.Fatalf("the scanner reads %+v, the general parser says %v", hot, err)
		}
		if got, want := dump(t, hot), dump(t, frame); got != want {
			t.Fatalf("the scanner reads\n %s\nthe general parser\n %s", got, want)
		}
	})
}

// FuzzAddress: an address that is accepted has one canonical text, and an
// error never carries what could steer a terminal.
func FuzzAddress(f *testing.F) {
	for _, v := range readAddresses(f) {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := wire.ParseAddress(text)
		if err != nil {
			var bad *wire.AddressError
			if !errors.As(err, &bad) || bad.Reason == "" {
				t.Fatalf("%T: %v", err, err)
			}
			for _, r := range strings.ReplaceAll(err.Error(), "…", "") {
				if r < ' ' || r > '~' {
					t.Fatalf("the error holds %q", r)
				}
			}
			return
		}
		canonical := a.String()
		if canonical != strings.ToLower(canonical) {
			t.Fatalf("%q is not in lower case", canonical)
		}
		b, err := wire.ParseAddress(canonical)
		if err != nil || a != b {
			t.Fatalf("%q means %+v, its canonical form %q %+v (%v)", text, a, canonical, b, err)
		}
	})
}

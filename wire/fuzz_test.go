package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
	"github.com/claudemesh/claudemesh-go/wire"
)

// FuzzDecode: nothing that crosses a socket makes the decoder panic, and what
// it accepts means the same after it was written again.
func FuzzDecode(f *testing.F) {
	for _, v := range readFrames(f) {
		f.Add([]byte(v.Message), v.Binary)
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
	for _, v := range readFrames(f) {
		f.Add([]byte(v.Object))
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

// FuzzBodies: of what hellos, welcomes and cards sign, whatever is taken means the same
// when it is written again, and the bytes that were signed come through a frame as they
// are.
func FuzzBodies(f *testing.F) {
	for _, read := range []func() ([]vectors.Body, error){vectors.Hellos, vectors.Welcomes, vectors.Cards} {
		list, err := read()
		if err != nil {
			f.Fatal(err)
		}
		for _, v := range list {
			f.Add([]byte(v.Object.Signed))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameBody(t, data, func(data []byte) (wire.HelloBody, error) { return wire.DecodeHello(&wire.Hello{Signed: data}) })
		sameBody(t, data, func(data []byte) (wire.WelcomeBody, error) { return wire.DecodeWelcome(&wire.Welcome{Signed: data}) })
		sameBody(t, data, func(data []byte) (wire.CardBody, error) { return wire.DecodeCard(signed.Object{Bytes: data}) })
		if len(data) == 0 || len(data) > wire.MaxCard {
			return
		}
		o := signed.Object{Bytes: data, Sig: make([]byte, signed.SignatureSize)}
		carried(t, &wire.Hello{Signed: o.Bytes, Sig: o.Sig}, func(f *wire.Hello) signed.Object { return f.Object() })
		carried(t, &wire.Welcome{Signed: o.Bytes, Sig: o.Sig, Head: o}, func(f *wire.Welcome) signed.Object { return f.Object() })
		carried(t, &wire.Presence{Cards: []signed.Object{o}}, func(f *wire.Presence) signed.Object { return f.Cards[0] })
	})
}

// carried checks that a signed object comes through a frame byte for byte.
func carried[F wire.Frame](t *testing.T, f F, object func(F) signed.Object) {
	t.Helper()
	back, _, err := wire.Decode(general(t, f, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	sent, came := object(f), object(back.(F))
	if !bytes.Equal(came.Bytes, sent.Bytes) || !bytes.Equal(came.Sig, sent.Sig) {
		t.Fatalf("%T: the object changed on its way: %q, then %q", f, sent.Bytes, came.Bytes)
	}
}

// sameBody checks that what is taken is taken as the same when it is written again.
func sameBody[B any](t *testing.T, data []byte, decode func([]byte) (B, error)) {
	t.Helper()
	body, err := decode(data)
	if err != nil {
		return
	}
	written, err := signed.Encode(body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decode(written)
	if err != nil {
		t.Fatalf("%T is refused when it is written again: %v\n%s", body, err, written)
	}
	rewritten, err := signed.Encode(again)
	if err != nil || !bytes.Equal(written, rewritten) {
		t.Fatalf("%s, then %s: %v", written, rewritten, err)
	}
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

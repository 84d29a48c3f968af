package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/signed"
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

// FuzzBodies: of what hellos, welcomes and cards sign, whatever is taken means the same
// when it is written again, and the bytes that were signed come through a frame as they
// are.
func FuzzBodies(f *testing.F) {
	seeds := 0
	for _, v := range readVectors(f) {
		frame, _, err := wire.Decode(v.msg, v.binary)
		if err != nil {
			continue
		}
		switch g := frame.(type) {
		case *wire.Hello:
			f.Add([]byte(g.Signed))
			seeds++
		case *wire.Welcome:
			f.Add([]byte(g.Signed))
			seeds++
		case *wire.Presence:
			for _, card := range g.Cards {
				f.Add([]byte(card.Bytes))
				seeds++
			}
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	for _, body := range []any{helloBody(), wire.WelcomeBody{Hello: signed.Hash{1}}, cardOfPeer(), cardOfSession()} {
		data, err := signed.Encode(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sameBody(t, data, func(data []byte) (wire.HelloBody, error) { return wire.DecodeHello(&wire.Hello{Signed: data}) })
		sameBody(t, data, func(data []byte) (wire.WelcomeBody, error) { return wire.DecodeWelcome(&wire.Welcome{Signed: data}) })
		sameBody(t, data, func(data []byte) (wire.CardBody, error) { return wire.DecodeCard(signed.Object{Bytes: data}) })
		if len(data) == 0 || len(data) > wire.MaxFrameBeforeHello/2 {
			return
		}
		hello := &wire.Hello{Signed: data, Sig: make([]byte, signed.SignatureSize)}
		msg, err := wire.AppendFrame(nil, hello, nil)
		if err != nil {
			t.Fatal(err)
		}
		back, _, err := wire.Decode(msg, false)
		if err != nil || !bytes.Equal(back.(*wire.Hello).Signed, data) {
			t.Fatalf("the bytes changed on their way: %v", err)
		}
	})
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

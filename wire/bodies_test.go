package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
	"github.com/claudemesh/claudemesh-go/wire"
)

// runBodies runs over the vectors of what one kind of frame signs: the form of the bytes,
// then the signature of who must have signed.
func runBodies[B any](t *testing.T, read func() ([]vectors.Body, error), d signed.Domain, decode func(signed.Object) (B, error)) {
	t.Helper()
	list, err := read()
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			o := signed.Object{Bytes: v.Object.Signed, Sig: v.Object.Sig}
			body, err := decode(o)
			if got := bodyOutcome(t, o, d, keys.Public(v.Key), err); got != v.Outcome {
				t.Fatalf("%s instead of %s (%v)\n%s", got, v.Outcome, err, v.Text)
			}
			if err != nil {
				return
			}
			written, err := signed.Encode(body)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := decode(signed.Object{Bytes: written}); err != nil || !reflect.DeepEqual(again, body) {
				t.Fatalf("%+v, then %+v (%v)", body, again, err)
			}
			if i == 0 && string(written) != v.Text {
				t.Fatalf("written again it is\n%s\nnot\n%s", written, v.Text)
			}
		})
	}
}

func bodyOutcome(t *testing.T, o signed.Object, d signed.Domain, by keys.Public, err error) string {
	t.Helper()
	if err != nil {
		if !errors.Is(err, signed.ErrForm) && !errors.Is(err, wire.ErrMalformed) {
			t.Fatalf("an error that wraps nothing known: %v", err)
		}
		return "malformed"
	}
	if err := o.Verify(d, by); err != nil {
		if !errors.Is(err, keys.ErrSignature) {
			t.Fatalf("an error that wraps nothing known: %v", err)
		}
		return "bad_signature"
	}
	return "ok"
}

func TestHelloVectors(t *testing.T) {
	runBodies(t, vectors.Hellos, signed.DomainHello, func(o signed.Object) (wire.HelloBody, error) {
		return wire.DecodeHello(&wire.Hello{Signed: o.Bytes, Sig: o.Sig})
	})
}

func TestWelcomeVectors(t *testing.T) {
	runBodies(t, vectors.Welcomes, signed.DomainWelcome, func(o signed.Object) (wire.WelcomeBody, error) {
		return wire.DecodeWelcome(&wire.Welcome{Signed: o.Bytes, Sig: o.Sig})
	})
}

func TestCardVectors(t *testing.T) {
	runBodies(t, vectors.Cards, signed.DomainCard, wire.DecodeCard)
}

func TestUnknownTypeSaysWhichRequest(t *testing.T) {
	for text, want := range map[string]uint64{
		`{"type":"teleport","id":7}`:       7,
		`{"type":"teleport","id":"a"}`:     0,
		`{"type":"teleport"}`:              0,
		`{"type":"teleport","id":{"a":1}}`: 0,
		`{"type":"teleport","id":null}`:    0,
	} {
		_, _, err := wire.Decode([]byte(text), false)
		var unknown *wire.UnknownTypeError
		if !errors.As(err, &unknown) || !errors.Is(err, wire.ErrUnknownType) || unknown.ID != want || unknown.Type != "teleport" {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestNonceText(t *testing.T) {
	for _, text := range []string{`""`, `"AA"`, `"` + string(bytes.Repeat([]byte("A"), 42)) + `B"`} {
		var n wire.Nonce
		if err := json.Unmarshal([]byte(text), &n); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

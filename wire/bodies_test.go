package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/wire"
)

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	data, err := signed.Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func helloBody() wire.HelloBody {
	return wire.HelloBody{Mesh: keys.MeshID{1}, Peer: key(1), Session: keys.SessionID{2}, Label: "web-shop",
		Client: "claudemesh/0.1.0", Receives: wire.ReceivesLive, Origin: "https://mesh.example.org",
		At: signed.At{N: 7, Hash: signed.ShortHash{3}}, Life: 1, Nonce: wire.Nonce{4}, Broker: key(2)}
}

func TestHelloBody(t *testing.T) {
	want := helloBody()
	got, err := wire.DecodeHello(&wire.Hello{Signed: encoded(t, want)})
	if err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	for name, spoil := range map[string]func(*wire.HelloBody){
		"no mesh":     func(b *wire.HelloBody) { b.Mesh = keys.MeshID{} },
		"no peer":     func(b *wire.HelloBody) { b.Peer = keys.Public{} },
		"no session":  func(b *wire.HelloBody) { b.Session = keys.SessionID{} },
		"no broker":   func(b *wire.HelloBody) { b.Broker = keys.Public{} },
		"label":       func(b *wire.HelloBody) { b.Label = "Web Shop" },
		"long client": func(b *wire.HelloBody) { b.Client = string(make([]byte, wire.MaxText+1)) },
	} {
		b := helloBody()
		spoil(&b)
		if _, err := wire.DecodeHello(&wire.Hello{Signed: encoded(t, b)}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	unknown := bytes.Replace(encoded(t, want), []byte(`{`), []byte(`{"x":1,`), 1)
	if _, err := wire.DecodeHello(&wire.Hello{Signed: unknown}); !errors.Is(err, signed.ErrForm) {
		t.Errorf("an unknown name: %v", err)
	}
}

func TestWelcomeBody(t *testing.T) {
	want := wire.WelcomeBody{Hello: signed.Hash{1}, Head: signed.Hash{2}}
	got, err := wire.DecodeWelcome(&wire.Welcome{Signed: encoded(t, want)})
	if err != nil || got != want {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := wire.DecodeWelcome(&wire.Welcome{Signed: []byte("{}x")}); err == nil {
		t.Error("trailing data is accepted")
	}
}

func cardOfPeer() wire.CardBody {
	return wire.CardBody{Mesh: keys.MeshID{1}, Peer: key(1), Counter: 3, Time: 1794000000000,
		At: signed.At{N: 2}, Tags: []string{"backend", "go"}}
}

func cardOfSession() wire.CardBody {
	return wire.CardBody{Mesh: keys.MeshID{1}, Peer: key(1), Session: keys.SessionID{2}, Counter: 3,
		Time: 1794000000000, Label: "web", Status: wire.StatusIdle}
}

func TestCardBody(t *testing.T) {
	peer, session := cardOfPeer, cardOfSession
	for _, c := range []struct {
		name  string
		card  wire.CardBody
		spoil func(*wire.CardBody)
	}{
		{"peer", peer(), nil},
		{"session", session(), nil},
		{"status of a newer version", session(), func(b *wire.CardBody) { b.Status = "asleep" }},
		{"!no mesh", peer(), func(b *wire.CardBody) { b.Mesh = keys.MeshID{} }},
		{"!no peer", peer(), func(b *wire.CardBody) { b.Peer = keys.Public{} }},
		{"!no counter", peer(), func(b *wire.CardBody) { b.Counter = 0 }},
		{"!no time", peer(), func(b *wire.CardBody) { b.Time = 0 }},
		{"!label of a peer", peer(), func(b *wire.CardBody) { b.Label = "web" }},
		{"!status of a peer", peer(), func(b *wire.CardBody) { b.Status = wire.StatusIdle }},
		{"!tags of a session", session(), func(b *wire.CardBody) { b.Tags = []string{"go"} }},
		{"!keys of a session", session(), func(b *wire.CardBody) { b.Keys = []signed.Bytes{{1}} }},
		{"!tags unsorted", peer(), func(b *wire.CardBody) { b.Tags = []string{"go", "backend"} }},
		{"!tag twice", peer(), func(b *wire.CardBody) { b.Tags = []string{"go", "go"} }},
		{"!tag no slug", peer(), func(b *wire.CardBody) { b.Tags = []string{"Go"} }},
		{"!label no slug", session(), func(b *wire.CardBody) { b.Label = "a b" }},
		{"!status no word", session(), func(b *wire.CardBody) { b.Status = "on fire!" }},
		{"!many tags", peer(), func(b *wire.CardBody) {
			b.Tags = nil
			for i := range wire.MaxTags + 1 {
				b.Tags = append(b.Tags, string(rune('a'+i)))
			}
		}},
	} {
		if c.spoil != nil {
			c.spoil(&c.card)
		}
		got, err := wire.DecodeCard(signed.Object{Bytes: encoded(t, c.card)})
		if refused := c.name[0] == '!'; refused != (err != nil) {
			t.Errorf("%s: %v", c.name, err)
		} else if !refused && string(encoded(t, got)) != string(encoded(t, c.card)) {
			t.Errorf("%s: got %+v", c.name, got)
		}
	}
	if _, err := wire.DecodeCard(signed.Object{Bytes: []byte(`{"mesh":null}`)}); err == nil {
		t.Error("null is accepted in a card")
	}
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

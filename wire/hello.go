package wire

import (
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// HelloBody is what a hello signs [CM-7.18].
type HelloBody struct {
	Mesh     keys.MeshID    `json:"mesh"`
	Peer     keys.Public    `json:"peer"`    // peer's key; or invite key (to join), owner's or recovery key (sync and append)
	Session  keys.SessionID `json:"session"` // one process over all its reconnects
	Label    string         `json:"label"`   // slug, or empty
	Client   string         `json:"client"`  // program and version, "claudemesh/0.1.0"
	Receives Receives       `json:"receives"`
	Origin   string         `json:"origin"` // scheme://host[:port] that was dialled, lower-case; "unix:" for the local socket
	At       signed.At      `json:"at"`     // place and hash of the newest entry held; zero hash: none
	Life     uint64         `json:"life"`   // life of the newest head held
	Nonce    Nonce          `json:"nonce"`  // the challenge's
	Broker   keys.Public    `json:"broker"` // the challenge's
}

// WelcomeBody is what a welcome signs [CM-7.24].
type WelcomeBody struct {
	Hello signed.Hash `json:"hello"` // of the hello's signed bytes, domain hello
	Head  signed.Hash `json:"head"`  // of the head's signed bytes, domain head
}

// DecodeHello decodes a hello's signed bytes strictly and checks their form.
// It verifies nothing: use [Hello.Object] and Verify with the body's peer, and
// compare nonce, broker, mesh and origin.
func DecodeHello(h *Hello) (HelloBody, error) {
	var b HelloBody
	if err := signed.Decode(h.Signed, &b); err != nil {
		return HelloBody{}, fmt.Errorf("wire: hello: %w", err)
	}
	switch {
	case b.Mesh.IsZero() || b.Peer.IsZero() || b.Session.IsZero() || b.Broker.IsZero():
		return HelloBody{}, malformed(h, "no mesh, peer, session or broker")
	case b.Label != "" && !keys.IsSlug(b.Label):
		return HelloBody{}, malformed(h, "the label is no slug")
	case len(b.Client) > MaxText || len(b.Origin) > MaxText:
		return HelloBody{}, malformed(h, "client or origin is too long")
	}
	return b, nil
}

// DecodeWelcome decodes a welcome's signed bytes strictly. It verifies
// nothing: use [Welcome.Object] and Verify with the broker's key, and compare
// both hashes.
func DecodeWelcome(w *Welcome) (WelcomeBody, error) {
	var b WelcomeBody
	if err := signed.Decode(w.Signed, &b); err != nil {
		return WelcomeBody{}, fmt.Errorf("wire: welcome: %w", err)
	}
	return b, nil
}

// Object is the hello's signed object.
func (h *Hello) Object() signed.Object { return signed.Object{Bytes: h.Signed, Sig: h.Sig} }

// Object is the welcome's signed object.
func (w *Welcome) Object() signed.Object { return signed.Object{Bytes: w.Signed, Sig: w.Sig} }

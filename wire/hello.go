package wire

import (
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// HelloBody is what a hello signs [CM-7].
type HelloBody struct {
	Mesh     keys.MeshID    `json:"mesh"`
	Peer     keys.Public    `json:"peer"`    // peer's key; or invite key (to join), owner's or recovery key (sync and append)
	Session  keys.SessionID `json:"session"` // one process over all its reconnects
	Label    string         `json:"label"`   // slug
	Client   string         `json:"client"`  // program and version, "claudemesh/0.1.0"
	Receives Receives       `json:"receives"`
	Origin   string         `json:"origin"` // scheme://host[:port] that was dialled, lower-case; "unix:" for the local socket
	At       signed.At      `json:"at"`     // place and hash of the newest entry held; zero: none
	Life     uint64         `json:"life"`   // life of the newest head held
	Nonce    Nonce          `json:"nonce"`  // the challenge's
	Broker   keys.Public    `json:"broker"` // the challenge's
}

// WelcomeBody is what a welcome signs [CM-7].
type WelcomeBody struct {
	Hello signed.Hash `json:"hello"` // of the hello's signed bytes, domain hello
	Head  signed.Hash `json:"head"`  // of the head's signed bytes, domain head
}

// DecodeHello decodes a hello's signed bytes strictly. It verifies nothing:
// use Object and Verify with the body's peer.
func DecodeHello(h *Hello) (HelloBody, error) {
	var b HelloBody
	if err := signed.Decode(h.Signed, &b); err != nil {
		return HelloBody{}, err
	}
	return b, nil
}

// DecodeWelcome decodes a welcome's signed bytes strictly. It verifies
// nothing: use Object and Verify with the broker's key.
func DecodeWelcome(w *Welcome) (WelcomeBody, error) {
	var b WelcomeBody
	if err := signed.Decode(w.Signed, &b); err != nil {
		return WelcomeBody{}, err
	}
	return b, nil
}

// Object is the hello's signed object.
func (h *Hello) Object() signed.Object { return signed.Object{Bytes: h.Signed, Sig: h.Sig} }

// Object is the welcome's signed object.
func (w *Welcome) Object() signed.Object { return signed.Object{Bytes: w.Signed, Sig: w.Sig} }

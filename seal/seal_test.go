package seal_test

import (
	"crypto/rand"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
)

// newPeer makes a peer's key.
func newPeer(t testing.TB) keys.PeerPrivate {
	t.Helper()
	key, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newPair makes a pair.
func newPair(t testing.TB, own keys.PeerPrivate, other keys.Public) *seal.Pair {
	t.Helper()
	pair, err := seal.NewPair(own, other)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// newMessage makes a message that passes all checks.
func newMessage(from keys.Public, to ...keys.Public) seal.Message {
	return seal.Message{
		ID:       keys.MessageID{0x01, 0x93, 0x5f, 15: 7},
		Mesh:     keys.MeshID{1, 2, 3},
		From:     from,
		Session:  keys.SessionID{4, 5, 6},
		Label:    "web-shop",
		Audience: seal.Audience{Address: "bob@laptop", Keys: to},
		Seq:      1,
		Kind:     seal.KindMessage,
		Priority: seal.PriorityNext,
		Time:     1_764_000_000_000,
		Expires:  1_764_604_800_000,
		At:       signed.At{N: 3, Hash: signed.ShortHash{9}},
		Body:     "hello",
	}
}

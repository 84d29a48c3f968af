package seal_test

import (
	"bytes"
	"crypto/rand"
	"reflect"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
)

// FuzzDecodeMessage compares the reading by hand with the general one.
func FuzzDecodeMessage(f *testing.F) {
	list, err := vectors.Messages()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		f.Add([]byte(v.Message))
		if m, err := seal.DecodeMessage(v.Message); err == nil {
			data, err := m.Encode() // in the order that is read by hand
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := seal.DecodeMessage(data)
		if fast, ok := seal.DecodeFast(data); ok {
			var slow seal.Message
			if err := signed.DecodeOpen(data, &slow); err != nil || !reflect.DeepEqual(fast, slow) {
				t.Fatalf("by hand %+v, in general %+v: %v", fast, slow, err)
			}
		}
		if err != nil {
			if !reflect.DeepEqual(m, seal.Message{}) {
				t.Fatal("refused, but given out")
			}
			return
		}
		checkCodec(t, m)
	})
}

// fuzzPairs are two ends with fixed keys.
func fuzzPairs(f *testing.F) (there, back *seal.Pair) {
	alice, err1 := keys.PeerPrivateFromSeed(bytes.Repeat([]byte{1}, keys.SeedSize))
	bob, err2 := keys.PeerPrivateFromSeed(bytes.Repeat([]byte{2}, keys.SeedSize))
	if err1 != nil || err2 != nil {
		f.Fatal(err1, err2)
	}
	return newPair(f, alice, bob.Public()), newPair(f, bob, alice.Public())
}

// plaintexts gives the plaintexts of vectors, good and bad: those that open.
func plaintexts(f *testing.F) [][]byte {
	messages, err := vectors.Messages()
	if err != nil {
		f.Fatal(err)
	}
	var list [][]byte
	for _, v := range messages {
		plain := append([]byte{0, 0, byte(len(v.Message) >> 8), byte(len(v.Message))}, v.Message...)
		list = append(list, append(plain, make([]byte, seal.PaddedSize(len(plain)+1)-len(plain))...))
	}
	return list
}

// checkOpened tests what must hold for everything that opens.
func checkOpened(t *testing.T, pair *seal.Pair, m seal.Message, err error) {
	if err != nil {
		if !reflect.DeepEqual(m, seal.Message{}) {
			t.Fatal("refused, but given out")
		}
		return
	}
	if m.From != pair.Other() {
		t.Fatal("sender is not who made the box")
	}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
}

// FuzzOpenDirect opens anything as a box, which must fail, and as the plaintext of an
// authentic box, which must keep the rules.
func FuzzOpenDirect(f *testing.F) {
	list, err := vectors.Directs()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		f.Add([]byte(v.Box))
	}
	for _, plain := range plaintexts(f) {
		f.Add(plain)
	}
	there, back := fuzzPairs(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := seal.OpenDirect(back, data, seal.Expect{}); err == nil {
			t.Fatal("a box that nobody made opens")
		}
		box, err := seal.SealPlain(zeros{}, there, data)
		if err != nil {
			t.Fatal(err)
		}
		m, err := seal.OpenDirect(back, box, seal.Expect{})
		checkOpened(t, back, m, err)
	})
}

// FuzzOpenGroup opens anything as what is sealed, as a recipient's box, and as the
// plaintext of an authentic message for several.
func FuzzOpenGroup(f *testing.F) {
	list, err := vectors.Groups()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		f.Add([]byte(v.Sealed))
		f.Add([]byte(v.Box))
	}
	for _, plain := range plaintexts(f) {
		f.Add(plain)
	}
	there, back := fuzzPairs(f)
	known, err := seal.NewContent(rand.Reader, make([]byte, 256))
	if err != nil {
		f.Fatal(err)
	}
	knownBox, err := known.Box(rand.Reader, there)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := seal.OpenGroup(back, knownBox, data, seal.Expect{}); err == nil {
			t.Fatal("opens what was not sealed with this box")
		}
		if _, err := seal.OpenGroup(back, data, known.Sealed, seal.Expect{}); err == nil {
			t.Fatal("opens with a box that nobody made")
		}
		content, err := seal.NewContent(zeros{}, data)
		if err != nil {
			t.Fatal(err)
		}
		box, err := content.Box(zeros{}, there)
		if err != nil {
			t.Fatal(err)
		}
		m, err := seal.OpenGroup(back, box, content.Sealed, seal.Expect{})
		checkOpened(t, back, m, err)
		_, _ = seal.OpenExtras(back, box, content.Sealed, keys.MeshID{})
	})
}

package seal

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/vectors"
)

// vectorPeers are the peers of the vectors, by name.
func vectorPeers(t *testing.T) map[string]keys.PeerPrivate {
	list, err := vectors.Keys()
	if err != nil {
		t.Fatal(err)
	}
	peers := map[string]keys.PeerPrivate{}
	for _, v := range list {
		if v.Outcome == "ok" {
			if peers[v.Name], err = keys.PeerPrivateFromSeed(v.Seed); err != nil {
				t.Fatal(err)
			}
		}
	}
	return peers
}

// TestVectorsPrimitives compares the constructions with libsodium's crypto_box_easy
// and crypto_secretbox_easy, byte for byte.
func TestVectorsPrimitives(t *testing.T) {
	peers := vectorPeers(t)
	alice, bob := peers["alice"], peers["bob"]
	boxes, secretboxes, err := vectors.Boxes()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range boxes {
		for _, ends := range [][2]keys.PeerPrivate{{alice, bob}, {bob, alice}} {
			key, err := precompute(ends[0], ends[1].Public())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(key[:], v.Shared) {
				t.Fatalf("%s: shared key differs", v.Name)
			}
			made, err := sealBox(bytes.NewReader(v.Nonce), key, v.Plain)
			if err != nil {
				t.Fatal(err)
			}
			if want := append(append([]byte{kxStatic}, v.Nonce...), v.Box...); !bytes.Equal(made, want) {
				t.Errorf("%s: box differs", v.Name)
			}
			if len(v.Plain) == 0 {
				continue // no use, so no box of ours
			}
			opened, err := openBox(nil, key, v.Plain[0], made)
			if err != nil || !bytes.Equal(opened, v.Plain[1:]) {
				t.Errorf("%s: opens to %x: %v", v.Name, opened, err)
			}
			if _, err := openBox(nil, key, v.Plain[0]+1, made); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: opens for another use: %v", v.Name, err)
			}
		}
	}
	for _, v := range secretboxes {
		key := (*[keySize]byte)(v.Key)
		if c := commit(key); !bytes.Equal(c[:], v.Commit) {
			t.Errorf("%s: commitment differs", v.Name)
		}
		made, err := sealContent(bytes.NewReader(v.Nonce), key, v.Plain)
		if err != nil {
			t.Fatal(err)
		}
		if want := bytes.Join([][]byte{v.Commit, v.Nonce, v.Box}, nil); !bytes.Equal(made, want) {
			t.Errorf("%s: sealed differs", v.Name)
		}
	}
}

// TestPrecomputeIsBoxPrecompute compares with x/crypto, for keys that it may be given.
func TestPrecomputeIsBoxPrecompute(t *testing.T) {
	peers := vectorPeers(t)
	for name, own := range peers {
		for other, key := range peers {
			got, err := precompute(own, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			private, err := own.Curve()
			if err != nil {
				t.Fatal(err)
			}
			public, err := key.Public().Curve()
			if err != nil {
				t.Fatal(err)
			}
			var want [keySize]byte
			box.Precompute(&want, (*[32]byte)(public.Bytes()), (*[32]byte)(private.Bytes()))
			if *got != want {
				t.Errorf("%s and %s: differs from box.Precompute", name, other)
			}
		}
	}
}

// BenchmarkBox is a box alone under a cached shared key.
func BenchmarkBox(b *testing.B) {
	key := new([keySize]byte)
	for _, size := range []int{256, 4096} {
		plain := make([]byte, 1+size)
		plain[0] = useMessage
		box, err := sealBox(bytes.NewReader(make([]byte, nonceSize)), key, plain)
		if err != nil {
			b.Fatal(err)
		}
		random := bytes.NewReader(make([]byte, nonceSize))
		b.Run(fmt.Sprintf("Seal/%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				random.Reset(plain[:nonceSize])
				if _, err := sealBox(random, key, plain); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Open/%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := openBox(nil, key, useMessage, box); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

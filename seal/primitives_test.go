package seal

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/crypto/nacl/box"
	"golang.org/x/crypto/nacl/secretbox"

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

// TestSecretIsSecretbox compares with x/crypto at every length up to some blocks of the
// stream, and lets nothing open that was changed.
func TestSecretIsSecretbox(t *testing.T) {
	var key [keySize]byte
	var nonce [nonceSize]byte
	for _, b := range [][]byte{key[:], nonce[:]} {
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	plain := make([]byte, 4*streamStep+70)
	for i := range plain {
		plain[i] = byte(i * 7)
	}
	for n := range plain {
		head := append([]byte("head"), nonce[:]...)
		want := secretbox.Seal(head, plain[:n], &nonce, &key)
		made := sealSecret(head, plain[:n], &key)
		if !bytes.Equal(made, want) {
			t.Fatalf("%d bytes: sealed to %x, not %x", n, made, want)
		}
		for _, room := range [][]byte{nil, make([]byte, n), make([]byte, n+100)} {
			if opened, ok := openSecret(room, made[len("head"):], &key); !ok || !bytes.Equal(opened, plain[:n]) {
				t.Fatalf("%d bytes in a room of %d: opened %x, %v", n, len(room), opened, ok)
			}
		}
		made[len("head")+n*7%(len(made)-len("head"))] ^= 1 << (n % 8)
		room := make([]byte, n+100)
		if opened, ok := openSecret(room, made[len("head"):], &key); ok || opened != nil || !bytes.Equal(room, make([]byte, n+100)) {
			t.Fatalf("%d bytes, changed: opened %x, %v; %x is left", n, opened, ok, room)
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

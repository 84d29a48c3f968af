package keys

import (
	"crypto/rand"
	"encoding/binary"
	"testing"
)

func TestGoodKeysAreRememberedAndOthersNever(t *testing.T) {
	private, err := NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := private.Public()
	for range 2 {
		if err := good.Check(); err != nil {
			t.Fatal(err)
		}
		if !checked.has(good) {
			t.Fatal("a good key was not remembered")
		}
	}
	// The identity, a point of order 8 beside it, and no point at all.
	for _, bad := range []Public{{1}, {}, {2}} {
		for range 2 {
			if bad.Check() == nil || checked.has(bad) {
				t.Fatalf("%x passed, or was remembered", bad)
			}
		}
	}
}

func TestRememberedKeysAreBounded(t *testing.T) {
	var c checkedKeys
	var key Public
	for i := range uint64(checkedMax + 1) {
		binary.BigEndian.PutUint64(key[:], i)
		c.add(key)
	}
	if !c.has(key) || len(c.good) > checkedMax {
		t.Errorf("%d keys, the last among them: %v", len(c.good), c.has(key))
	}
}

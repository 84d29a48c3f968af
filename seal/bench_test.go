package seal_test

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
)

// The figures that matter are those of a cached pair; each benchmark reports its
// allocations too.

func benchmarkMessage(b *testing.B, size int) (*seal.Pair, *seal.Pair, *seal.Message) {
	b.Helper()
	alice, bob := newPeer(b), newPeer(b)
	m := newMessage(alice.Public(), bob.Public())
	m.Body = strings.Repeat("All quiet on the western front, says the log.\n", size/46+1)[:size]
	return newPair(b, alice, bob.Public()), newPair(b, bob, alice.Public()), &m
}

var benchmarkSizes = []int{256, 4096}

func BenchmarkSealDirect(b *testing.B) {
	random := bufio.NewReaderSize(rand.Reader, 4096)
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			pair, _, m := benchmarkMessage(b, size)
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := seal.SealDirect(random, pair, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpenDirect(b *testing.B) {
	for _, size := range benchmarkSizes {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			pair, back, m := benchmarkMessage(b, size)
			box, err := seal.SealDirect(rand.Reader, pair, m)
			if err != nil {
				b.Fatal(err)
			}
			expect := seal.Expect{Mesh: m.Mesh, ID: m.ID}
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, err := seal.OpenDirect(back, box, expect); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealGroup(b *testing.B) {
	random := bufio.NewReaderSize(rand.Reader, 4096)
	for _, recipients := range []int{2, 16} {
		b.Run(fmt.Sprintf("256B-%d", recipients), func(b *testing.B) {
			sender := newPeer(b)
			m := newMessage(sender.Public())
			m.Body = strings.Repeat("x", 256)
			m.Audience.Session = keys.SessionID{}
			var pairs []*seal.Pair
			for range recipients {
				key := newPeer(b).Public()
				m.Audience.Keys = append(m.Audience.Keys, key)
				pairs = append(pairs, newPair(b, sender, key))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := seal.SealGroup(random, pairs, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNewPair(b *testing.B) {
	alice, bob := newPeer(b), newPeer(b).Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := seal.NewPair(alice, bob); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMessageCodec(b *testing.B) {
	_, _, m := benchmarkMessage(b, 256)
	data, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := m.Encode(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := seal.DecodeMessage(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("DecodeGeneral", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m seal.Message
			if err := signed.DecodeOpen(data, &m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

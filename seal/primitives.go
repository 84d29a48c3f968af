package seal

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/nacl/secretbox"
	"golang.org/x/crypto/salsa20/salsa" //lint:ignore SA1019 HSalsa20 is what box.Precompute applies to a shared secret

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// This file holds every construction that is put together here from primitives,
// each with the reason why it is safe. Nothing else in the project encrypts.

const (
	keySize    = 32
	nonceSize  = 24
	commitSize = sha256.Size

	// kxStatic is the key exchange between the peers' long-lived keys. 2 and 3 are
	// reserved for forward secrecy. [CM-4.3]
	kxStatic = 1

	// The uses of a box, the first byte of its plaintext. A box made for one use
	// is refused for every other.
	useMessage = 1 // a message
	useContent = 2 // a content key
	// 3 is reserved for epoch keys.

	// boxHead is kx and nonce; boxOverhead is what a box adds to its payload.
	boxHead     = 1 + nonceSize
	boxOverhead = boxHead + secretbox.Overhead + 1
	// sealedOverhead is what the several-recipients form adds to its plaintext.
	sealedOverhead = commitSize + nonceSize + secretbox.Overhead
	// contentSize is the payload of a box of use 2: K || SHA-256(sealed).
	contentSize = keySize + sha256.Size
)

// precompute derives the key that two peers share, as crypto_box_beforenm does:
// HSalsa20 of X25519(own, other) under a zero nonce. [CM-4.1]
//
// Safe because: other.Curve refuses, by [keys.Public.Check], every key that is not
// the canonical encoding of a point of the prime-order group, so nobody but the two
// can compute the secret. (box.Precompute takes anything: to a low-order key it seals
// so that an unrelated key opens it.) crypto/ecdh refuses an all-zero result besides.
//
// The key binds less than it may seem, and the inside of a message makes up for it: it
// names sender and audience by their ed25519 keys, and whoever opens checks both.
// The shared key is the same in both directions, so a box can be sent back to its
// maker as if the other had made it. And an ed25519 key and its mirror image, which
// differ in the sign of x, have one X25519 key. It works with oneself too, which is
// the commonest case: two sessions on one laptop.
func precompute(own keys.PeerPrivate, other keys.Public) (*[keySize]byte, error) {
	public, err := other.Curve()
	if err != nil {
		return nil, err
	}
	private, err := own.Curve()
	if err != nil {
		return nil, err
	}
	secret, err := private.ECDH(public)
	if err != nil {
		return nil, fmt.Errorf("seal: %w: %w", keys.ErrKeyOrder, err)
	}
	defer clear(secret)
	var zeros [16]byte
	shared := new([keySize]byte)
	salsa.HSalsa20(shared, &zeros, (*[keySize]byte)(secret), &salsa.Sigma)
	return shared, nil
}

// sealBox gives kx(1) || nonce(24) || crypto_box_easy(use(1) || payload). [CM-4.2]
//
// Safe because: the nonce is random, and 24 bytes are enough for 2^80 boxes under one
// key before a collision becomes likely; nothing counts, so nothing can be restored
// from a backup and count again. The use stands under the authenticator, so that no
// key can be passed off as a message. kx stands outside, but there is one, and a box
// of another would need another key.
//
// plain is use and payload, as one piece.
func sealBox(rand io.Reader, key *[keySize]byte, plain []byte) ([]byte, error) {
	box := make([]byte, boxHead, boxHead+secretbox.Overhead+len(plain))
	box[0] = kxStatic
	if err := random(rand, box[1:]); err != nil {
		return nil, err
	}
	return secretbox.Seal(box, plain, (*[nonceSize]byte)(box[1:]), key), nil
}

// openBox opens what sealBox made for this use; into room where that suffices. [CM-4.3,
// CM-4.4]
func openBox(room []byte, key *[keySize]byte, use byte, box []byte) ([]byte, error) {
	if len(box) < boxOverhead || box[0] != kxStatic {
		return nil, malformed("box of %d bytes or an unknown kx", len(box))
	}
	plain, ok := secretbox.Open(room[:0], box[boxHead:], (*[nonceSize]byte)(box[1:]), key)
	if !ok {
		return nil, ErrOpen
	}
	if plain[0] != use {
		clear(plain)
		return nil, malformed("box for another use")
	}
	return plain[1:], nil
}

// commit is SHA-256("claudemesh/v1/commit" || 0x00 || K). [CM-4.19]
func commit(key *[keySize]byte) signed.Hash { return signed.HashOf(signed.DomainCommit, key[:]) }

// sealContent gives commit(32) || nonce(24) || crypto_secretbox_easy(plain) under K. [CM-4.18]
//
// Safe because: K is random and used once. secretbox alone does not commit to its
// key: one ciphertext can be built that opens to two texts under two keys, so that
// two recipients read different things in one message. The commitment stands before
// it, and SHA-256 has one K for it. It gives nothing away about K, which is 32 random
// bytes.
func sealContent(rand io.Reader, key *[keySize]byte, plain []byte) ([]byte, error) {
	sealed := make([]byte, commitSize+nonceSize, sealedOverhead+len(plain))
	c := commit(key)
	copy(sealed, c[:])
	if err := random(rand, sealed[commitSize:]); err != nil {
		return nil, err
	}
	return secretbox.Seal(sealed, plain, (*[nonceSize]byte)(sealed[commitSize:]), key), nil
}

// sealContentKey gives the box of use 2 with K || SHA-256(sealed) for one recipient.
//
// Safe because: this box authenticates the sender to this recipient, and by the hash
// everything that is sealed with it. Without the hash, any other recipient, who has K
// too, could seal another text under it in the sender's name.
func sealContentKey(rand io.Reader, pair, key *[keySize]byte, hash signed.Hash) ([]byte, error) {
	var plain [1 + contentSize]byte
	defer clear(plain[:])
	plain[0] = useContent
	copy(plain[1:], key[:])
	copy(plain[1+keySize:], hash[:])
	return sealBox(rand, pair, plain[:])
}

// openContent opens what sealContent made, with the recipient's own box. The hash is
// checked first, then the commitment, both before anything is decrypted. [CM-4.20]
func openContent(pair *[keySize]byte, box, sealed []byte) ([]byte, error) {
	if len(sealed) < sealedOverhead {
		return nil, malformed("sealed has %d bytes", len(sealed))
	}
	var room [1 + contentSize]byte
	payload, err := openBox(room[:], pair, useContent, box)
	if err != nil {
		return nil, err
	}
	defer clear(payload)
	if len(payload) != contentSize {
		return nil, malformed("content key of %d bytes", len(payload))
	}
	hash := sha256.Sum256(sealed)
	if subtle.ConstantTimeCompare(hash[:], payload[keySize:]) != 1 {
		return nil, ErrOpen
	}
	key := (*[keySize]byte)(payload[:keySize])
	c := commit(key)
	if subtle.ConstantTimeCompare(c[:], sealed[:commitSize]) != 1 {
		return nil, ErrOpen
	}
	nonce := (*[nonceSize]byte)(sealed[commitSize:])
	plain, ok := secretbox.Open(nil, sealed[commitSize+nonceSize:], nonce, key)
	if !ok {
		return nil, ErrOpen
	}
	return plain, nil
}

// HashSealed is the SHA-256 of what was sealed: the box of a direct message, the
// sealed content of one for several. Receipts name it. [CM-4.22]
func HashSealed(sealed []byte) signed.Hash { return sha256.Sum256(sealed) }

// random fills value with random bytes.
func random(rand io.Reader, value []byte) error {
	if rand == nil {
		return errors.New("seal: no source of randomness")
	}
	if _, err := io.ReadFull(rand, value); err != nil {
		return fmt.Errorf("seal: reading randomness: %w", err)
	}
	return nil
}

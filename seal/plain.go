package seal

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// paddedMin is the size below which every plaintext looks the same, in bytes.
const paddedMin = 256

// paddedSize is the size to which a plaintext of size bytes is filled: paddedMin,
// and from there Padmé: of a number with E+1 bits only the upper log2(E)+1 may be
// set beside the first. It tells at most log log of the size, and adds 12 % at most.
// [CM-4.6]
func paddedSize(size int) int {
	if size <= paddedMin {
		return paddedMin
	}
	e := bits.Len(uint(size)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (size + mask) &^ mask
}

// plainHead is what stands before the data in a buffer that becomes a plaintext: room
// for the use of a box, and the length.
const plainHead = 1 + 4

// finishPlain makes the plaintext out of a buffer with plainHead bytes and the data:
// length(4, big-endian) || data || signed(1) || signature if signed || zeros, and one
// byte before all that for the use of a box. sig nil means unsigned. [CM-4.5]
func finishPlain(buffer, sig []byte) []byte {
	binary.BigEndian.PutUint32(buffer[1:], uint32(len(buffer)-plainHead))
	if sig == nil {
		buffer = append(buffer, 0)
	} else {
		buffer = append(append(buffer, 1), sig...)
	}
	size := len(buffer)
	total := 1 + paddedSize(size-1)
	buffer = slices.Grow(buffer, total-size)[:total]
	clear(buffer[size:])
	return buffer
}

// scratch is room for the plaintext of a message as most are, on the stack of who seals
// or opens it.
type scratch [6 << 10]byte

// encodePlain gives the plaintext of a message, with one byte before it for the use
// of a box; in room where that suffices. signer nil means unsigned.
func encodePlain(room []byte, m *Message, signer keys.Signer) ([]byte, error) {
	size := 1 + paddedSize(plainHead+m.sizeBound()+1+signed.SignatureSize)
	if len(room) < size {
		room = make([]byte, plainHead, size)
	}
	buffer, err := m.appendTo(room[:plainHead])
	if err != nil {
		return nil, err
	}
	if signer == nil {
		return finishPlain(buffer, nil), nil
	}
	own := bytes.Clone(buffer[plainHead:]) // what a signer is given may stay with it
	defer clear(own)
	return finishPlain(buffer, signed.Sign(signed.DomainEnvelope, own, signer).Sig), nil
}

// splitPlain takes a plaintext apart. A message has one plaintext: other padding is
// refused. sig is nil for an unsigned one. [CM-4.7]
func splitPlain(plain []byte) (data, sig []byte, err error) {
	if len(plain) < paddedMin {
		return nil, nil, malformed("plaintext of %d bytes", len(plain))
	}
	length := binary.BigEndian.Uint32(plain)
	rest := plain[4:]
	if uint64(length)+1 > uint64(len(rest)) {
		return nil, nil, malformed("length beyond the plaintext")
	}
	data, rest = rest[:length], rest[length:]
	flag, rest := rest[0], rest[1:]
	if flag > 1 {
		return nil, nil, malformed("signed is neither 0 nor 1")
	}
	if flag == 1 {
		if len(rest) < signed.SignatureSize {
			return nil, nil, malformed("signature beyond the plaintext")
		}
		sig, rest = rest[:signed.SignatureSize], rest[signed.SignatureSize:]
	}
	if paddedSize(len(plain)-len(rest)) != len(plain) {
		return nil, nil, malformed("padding of the wrong size")
	}
	for _, b := range rest {
		if b != 0 {
			return nil, nil, malformed("padding that is not zero")
		}
	}
	return data, sig, nil
}

// decodePlain reads a plaintext that the other end of a pair sealed. [CM-4.25, CM-4.8]
func decodePlain(plain []byte, pair *Pair) (Message, error) {
	data, sig, err := splitPlain(plain)
	if err != nil {
		return Message{}, err
	}
	m, err := DecodeMessage(data)
	if err != nil {
		return Message{}, err
	}
	switch m.From {
	case pair.other:
	case pair.own:
		return Message{}, ErrReflected
	default:
		return Message{}, ErrSender
	}
	if sig != nil {
		own := bytes.Clone(data) // as in encodePlain
		defer clear(own)
		if err := (signed.Object{Bytes: own, Sig: bytes.Clone(sig)}).Verify(signed.DomainEnvelope, pair.other); err != nil {
			return Message{}, ErrSignature
		}
		m.Signed = true
	}
	return m, nil
}

package seal

import (
	"encoding/binary"
	"math/bits"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// paddedMin is the size below which every plaintext looks the same, in bytes.
const paddedMin = 256

// paddedSize is the size to which a plaintext of size bytes is filled: paddedMin,
// and from there Padmé: of a number with E+1 bits only the upper log2(E)+1 may be
// set beside the first. It tells at most log log of the size, and adds 12 % at most.
// [CM-4]
func paddedSize(size int) int {
	if size <= paddedMin {
		return paddedMin
	}
	e := bits.Len(uint(size)) - 1
	s := bits.Len(uint(e))
	mask := 1<<(e-s) - 1
	return (size + mask) &^ mask
}

// frame gives a plaintext: length(4, big-endian) || data || signed(1) || signature if
// signed || zeros. [CM-4]
func frame(data, sig []byte) []byte {
	size := 4 + len(data) + 1 + len(sig)
	plain := make([]byte, 0, paddedSize(size))
	plain = binary.BigEndian.AppendUint32(plain, uint32(len(data)))
	plain = append(plain, data...)
	if sig == nil {
		plain = append(plain, 0)
	} else {
		plain = append(plain, 1)
		plain = append(plain, sig...)
	}
	return plain[:paddedSize(size)]
}

// encodePlain gives the plaintext of a message. signer nil means unsigned.
func encodePlain(m *Message, signer keys.Signer) ([]byte, error) {
	data, err := m.Encode()
	if err != nil {
		return nil, err
	}
	defer clear(data)
	if signer == nil {
		return frame(data, nil), nil
	}
	return frame(data, signed.Sign(signed.DomainEnvelope, data, signer).Sig), nil
}

// splitPlain takes a plaintext apart. A message has one plaintext: other padding is
// refused. sig is nil for an unsigned one.
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

// decodePlain reads a plaintext that was sealed by the key from.
func decodePlain(plain []byte, from keys.Public) (Message, error) {
	data, sig, err := splitPlain(plain)
	if err != nil {
		return Message{}, err
	}
	m, err := DecodeMessage(data)
	if err != nil {
		return Message{}, err
	}
	if m.From != from {
		return Message{}, ErrSender
	}
	if sig != nil {
		if err := (signed.Object{Bytes: data, Sig: sig}).Verify(signed.DomainEnvelope, from); err != nil {
			return Message{}, ErrSignature
		}
		m.Signed = true
	}
	return m, nil
}

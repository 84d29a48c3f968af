package seal

import "io"

// What the tests outside the package need of its inside.

// PaddedSize is paddedSize.
func PaddedSize(size int) int { return paddedSize(size) }

// DecodeFast is decodeFast.
func DecodeFast(data []byte) (m Message, ok bool) {
	ok = m.decodeFast(data)
	return m, ok
}

// SizeBound is sizeBound.
func SizeBound(m *Message) int { return m.sizeBound() }

// Key is the shared key.
func (p *Pair) Key() *[32]byte { return p.reveal() }

// SealPlain seals any plaintext in the direct form.
func SealPlain(rand io.Reader, pair *Pair, plain []byte) ([]byte, error) {
	return sealBox(rand, pair.reveal(), append([]byte{useMessage}, plain...))
}

// NewContent seals any plaintext for several.
func NewContent(rand io.Reader, plain []byte) (*Content, error) { return newContent(rand, plain) }

// AsIs is asIs.
func AsIs(text string) int { return asIs(text) }

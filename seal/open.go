package seal

import (
	"errors"
	"io"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
)

// errNoPair is returned for a nil or wiped pair.
var errNoPair = errors.New("seal: no pair")

// Expect is what the caller knows of a message before it is opened: its mesh, and
// what the frame says. What is inside must agree. [CM-4.28, CM-4.29, CM-4.30, CM-4.31]
type Expect struct {
	// Mesh is the mesh in which the message came.
	Mesh keys.MeshID
	// ID is the message id of the frame.
	ID keys.MessageID
	// Receipt tells that the frame's class is receipt; else it is message.
	Receipt bool
	// Stranger tells that the sender is not in the roster: only a message of kind
	// roster is opened then.
	Stranger bool
}

// SealDirect seals a message for the one key of its audience, which is pair.Other.
// The message is not signed inside: its recipient knows who wrote it, and can prove
// it to nobody. rand gives 24 bytes. [CM-4.17]
func SealDirect(rand io.Reader, pair *Pair, m *Message) ([]byte, error) {
	return sealDirect(rand, pair, m, false)
}

// SealDirectSigned is SealDirect with the sender's signature inside.
func SealDirectSigned(rand io.Reader, pair *Pair, m *Message) ([]byte, error) {
	return sealDirect(rand, pair, m, true)
}

func sealDirect(rand io.Reader, pair *Pair, m *Message, sign bool) ([]byte, error) {
	key, err := pair.key()
	if err != nil {
		return nil, err
	}
	if m.From != pair.own {
		return nil, ErrSender
	}
	if len(m.Audience.Keys) != 1 || m.Audience.Keys[0] != pair.other {
		return nil, ErrAudience
	}
	var signer keys.Signer
	if sign {
		signer = pair.signer
	}
	var room scratch
	plain, err := encodePlain(room[:], m, signer)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	plain[0] = useMessage
	return sealBox(rand, key, plain)
}

// OpenDirect opens a message that pair.Other sealed for pair.Own, and checks it
// against what is expected. It fails with [ErrMalformed], [ErrOpen],
// [ErrUnknownKind], [ErrSignature], [ErrTooLarge], or an error that wraps
// [ErrMismatch]. [CM-4.23, CM-4.25, CM-4.27]
func OpenDirect(pair *Pair, box []byte, expect Expect) (Message, error) {
	key, err := pair.key()
	if err != nil {
		return Message{}, err
	}
	var room scratch
	plain, err := openBox(room[:], key, useMessage, box)
	if err != nil {
		return Message{}, err
	}
	defer clear(plain)
	m, err := decodePlain(plain, pair)
	if err != nil {
		return Message{}, err
	}
	if len(m.Audience.Keys) != 1 || m.Audience.Keys[0] != pair.own {
		return Message{}, ErrAudience
	}
	if err := expect.check(&m); err != nil {
		return Message{}, err
	}
	return m, nil
}

// SealGroup seals a message for the keys of its audience, two or more: sealed is for
// all of them, boxes[i] for pairs[i].Other. pairs has one for each key, in any order,
// all of one sender. rand gives 56 bytes and 24 for each pair. [CM-4.18]
func SealGroup(rand io.Reader, pairs []*Pair, m *Message) (sealed []byte, boxes [][]byte, err error) {
	if err := checkGroup(pairs, m); err != nil {
		return nil, nil, err
	}
	plain, err := encodePlain(nil, m, nil)
	if err != nil {
		return nil, nil, err
	}
	defer clear(plain)
	content, err := newContent(rand, plain[1:])
	if err != nil {
		return nil, nil, err
	}
	defer content.Wipe()
	boxes = make([][]byte, len(pairs))
	for i, pair := range pairs {
		if boxes[i], err = content.Box(rand, pair); err != nil {
			return nil, nil, err
		}
	}
	return content.Sealed, boxes, nil
}

// checkGroup tests that the pairs are the message's sender and audience.
func checkGroup(pairs []*Pair, m *Message) error {
	if len(pairs) < 2 || len(pairs) != m.Audience.Size() {
		return ErrAudience
	}
	listed := make(map[keys.Public]bool, len(pairs))
	for _, key := range m.Audience.Keys {
		listed[key] = true
	}
	for _, pair := range pairs {
		if pair == nil {
			return errNoPair
		}
		if pair.own != m.From {
			return ErrSender
		}
		if len(m.Audience.Keys) > 0 {
			if !listed[pair.other] {
				return ErrAudience
			}
			delete(listed, pair.other) // each key once
		} else if listed[pair.other] {
			return ErrAudience
		} else {
			listed[pair.other] = true
		}
	}
	return nil
}

// OpenGroup opens a message that pair.Other sealed for several, with one's own box,
// and checks it against what is expected. It fails as [OpenDirect] does. [CM-4.20, CM-4.27]
func OpenGroup(pair *Pair, box, sealed []byte, expect Expect) (Message, error) {
	key, err := pair.key()
	if err != nil {
		return Message{}, err
	}
	plain, err := openContent(key, box, sealed)
	if err != nil {
		return Message{}, err
	}
	defer clear(plain)
	m, err := decodePlain(plain, pair)
	if err != nil {
		return Message{}, err
	}
	// Above MaxListed keys the list is missing: that the box opened says that one
	// was meant.
	if m.Audience.Size() < 2 || len(m.Audience.Keys) > 0 && !slices.Contains(m.Audience.Keys, pair.own) {
		return Message{}, ErrAudience
	}
	if err := expect.check(&m); err != nil {
		return Message{}, err
	}
	return m, nil
}

// check compares an opened message with what is expected.
func (e Expect) check(m *Message) error {
	switch {
	case m.Mesh != e.Mesh:
		return ErrMesh
	case m.ID != e.ID:
		return ErrID
	case e.Receipt != (m.Kind == KindReceipt):
		return ErrClass
	case e.Stranger && m.Kind != KindRoster:
		return ErrStranger
	}
	return nil
}

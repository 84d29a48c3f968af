package seal

import (
	"errors"

	"github.com/claudemesh/claudemesh-go/signed"
)

// Encode gives the JSON of a message, after [Message.Check]. [CM-4]
func (m *Message) Encode() ([]byte, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	data, err := signed.Encode(m)
	if err != nil {
		return nil, errors.Join(ErrMalformed, err)
	}
	return data, m.checkSize(len(data))
}

// DecodeMessage reads the JSON of a message strictly, save that unknown names are
// ignored, and calls [Message.Check]. [CM-4]
func DecodeMessage(data []byte) (Message, error) {
	var m Message
	if len(data) > MaxMessage {
		return Message{}, ErrTooLarge
	}
	if err := signed.DecodeOpen(data, &m); err != nil {
		return Message{}, errors.Join(ErrMalformed, err)
	}
	if err := m.checkSize(len(data)); err != nil {
		return Message{}, err
	}
	if err := m.Check(); err != nil {
		return Message{}, err
	}
	return m, nil
}

// checkSize tests the size of the encoded message.
func (m *Message) checkSize(size int) error {
	if size > MaxMessage || m.Kind == KindRoster && size > MaxRoster {
		return ErrTooLarge
	}
	return nil
}

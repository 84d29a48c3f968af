package broker

import "github.com/claudemesh/claudemesh-go/wire"

// offered takes entries that a member brings.
func (m *mesh) offered(s *session, f *wire.Entries) {
	s.refuse(wire.CodeUnknownType, f.Re, "")
}

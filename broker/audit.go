package broker

import (
	"fmt"
	"strconv"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

// Events of the audit log.
const (
	auditMessage    = "message"
	auditConnect    = "connect"
	auditDisconnect = "disconnect"
	auditAppend     = "append"
	auditCreate     = "create"
	auditRefuse     = "refuse"
)

// auditRows is how many messages of a mesh have a row of their own in a
// second; what is above shares one for each actor, target and priority.
const auditRows = 1000

// audit is a row to be written. Whose keys these are stays in memory: the log
// has fingerprints.
type audit struct {
	mesh     keys.MeshID
	event    string
	actor    keys.Public
	target   keys.Public
	time     int64
	id       keys.MessageID // of one message
	class    wire.Class
	priority wire.Priority
	bytes    int
	count    int // of messages, where a row speaks of several
	detail   string
}

// message is what is noted of a message: never what it says.
type message struct {
	from, to keys.Public
	id       keys.MessageID
	class    wire.Class
	priority wire.Priority
	bytes    int
}

// auditRecords makes the store's rows: fingerprints for keys, a JSON object of
// numbers and words of ours for the rest.
func auditRecords(rows []audit) []store.Audit {
	prints := make(map[keys.Public]string)
	print := func(k keys.Public) string {
		if k.IsZero() {
			return ""
		}
		p, ok := prints[k]
		if !ok {
			p = k.Fingerprint().String()
			prints[k] = p
		}
		return p
	}
	out := make([]store.Audit, len(rows))
	for i, a := range rows {
		out[i] = store.Audit{Mesh: a.mesh, Event: a.event, Actor: print(a.actor), Target: print(a.target),
			Metadata: a.metadata(), Time: a.time}
	}
	return out
}

func (a *audit) metadata() string {
	b := []byte("{")
	field := func(name, value string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%q:%s", name, value)
	}
	if a.event == auditMessage {
		field("class", strconv.Quote(a.class.String()))
		field("priority", strconv.Quote(a.priority.String()))
		if !a.id.IsZero() {
			field("id", strconv.Quote(a.id.String()))
		}
		if a.count > 1 {
			field("count", strconv.Itoa(a.count))
		}
	}
	if a.bytes > 0 {
		field("size", strconv.Itoa(a.bytes))
	}
	if a.detail != "" {
		field("detail", strconv.Quote(a.detail))
	}
	return string(append(b, '}'))
}

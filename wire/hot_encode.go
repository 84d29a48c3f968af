package wire

import (
	"encoding/binary"
	"strconv"

	"github.com/claudemesh/claudemesh-go/keys"
)

// The hot frames in their flat form: fields in the order of their structs, no
// spaces, no escapes. What is written here hotScan reads; any JSON encoder's
// form of the same frame is as good.

func appendSend(dst []byte, f *Send, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, `0000{"type":"send","id":"`...)
	dst = b64.AppendEncode(dst, f.ID[:])
	dst = append(dst, `","class":"`...)
	dst = append(dst, f.Class.String()...)
	if !f.To.IsZero() {
		dst = append(dst, `","to":"`...)
		dst = b64.AppendEncode(dst, f.To[:])
	}
	dst = appendSession(dst, f.Session)
	dst = append(dst, `","priority":"`...)
	dst = append(dst, f.Priority.String()...)
	dst = append(dst, `","expires":`...)
	dst = strconv.AppendInt(dst, f.Expires, 10)
	for i := range f.Recipients {
		r := &f.Recipients[i]
		if i == 0 {
			dst = append(dst, `,"recipients":[{"key":"`...)
		} else {
			dst = append(dst, `,{"key":"`...)
		}
		dst = b64.AppendEncode(dst, r.Key[:])
		dst = appendSession(dst, r.Session)
		dst = append(dst, `","box":"`...)
		dst = b64.AppendEncode(dst, r.Box)
		dst = append(dst, `"}`...)
	}
	if len(f.Recipients) > 0 {
		dst = append(dst, ']')
	}
	if f.One {
		dst = append(dst, `,"one":true`...)
	}
	return closeHeader(append(dst, '}'), start, payload)
}

func appendDeliver(dst []byte, f *Deliver, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, `0000{"type":"deliver","id":"`...)
	dst = b64.AppendEncode(dst, f.ID[:])
	dst = append(dst, `","class":"`...)
	dst = append(dst, f.Class.String()...)
	dst = append(dst, `","from":"`...)
	dst = b64.AppendEncode(dst, f.From[:])
	dst = appendSession(dst, f.Session)
	if len(f.Box) > 0 {
		dst = append(dst, `","box":"`...)
		dst = b64.AppendEncode(dst, f.Box)
	}
	dst = append(dst, `","priority":"`...)
	dst = append(dst, f.Priority.String()...)
	dst = append(dst, `","expires":`...)
	dst = strconv.AppendInt(dst, f.Expires, 10)
	dst = append(dst, `,"sent":`...)
	dst = strconv.AppendInt(dst, f.Sent, 10)
	dst = append(dst, `,"attempt":`...)
	dst = strconv.AppendInt(dst, int64(f.Attempt), 10)
	if f.Claim {
		dst = append(dst, `,"claim":true`...)
	}
	return closeHeader(append(dst, '}'), start, payload)
}

func appendAck(dst []byte, f *Ack) []byte {
	dst = append(dst, `{"type":"ack","state":"`...)
	dst = append(dst, f.State.String()...)
	dst = appendWhy(dst, f.Why)
	dst = append(dst, `","to":"`...)
	dst = b64.AppendEncode(dst, f.To[:])
	return appendIDs(dst, f.IDs)
}

func appendReceipt(dst []byte, f *Receipt) []byte {
	dst = append(dst, `{"type":"receipt","state":"`...)
	dst = append(dst, f.State.String()...)
	dst = appendWhy(dst, f.Why)
	dst = append(dst, `","from":"`...)
	dst = b64.AppendEncode(dst, f.From[:])
	return appendIDs(dst, f.IDs)
}

// appendSession continues an open string: it ends that one and leaves its own
// open.
func appendSession(dst []byte, s keys.SessionID) []byte {
	if s == (keys.SessionID{}) {
		return dst
	}
	dst = append(dst, `","session":"`...)
	return b64.AppendEncode(dst, s[:])
}

// appendWhy continues an open string and leaves its own open. What is no code
// is left out: it could need escapes.
func appendWhy(dst []byte, w Why) []byte {
	if w == "" || !isCode(string(w)) {
		return dst
	}
	dst = append(dst, `","why":"`...)
	return append(dst, w...)
}

// appendIDs ends the open string, adds the list and ends the object.
func appendIDs(dst []byte, ids []keys.MessageID) []byte {
	dst = append(dst, `","ids":[`...)
	for i := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = b64.AppendEncode(dst, ids[i][:])
		dst = append(dst, '"')
	}
	return append(dst, "]}"...)
}

// closeHeader writes the header's length over the four bytes kept for it at
// start, and appends the payload.
func closeHeader(dst []byte, start int, payload []byte) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return append(dst, payload...)
}

// isCode says whether s can be a code: 1 to 32 of a-z, 0-9 and '_'. Codes
// need no escapes.
func isCode(s string) bool {
	if len(s) == 0 || len(s) > 32 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

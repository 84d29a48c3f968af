package seal

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"github.com/claudemesh/claudemesh-go/keys"
)

// decodeFast reads the JSON of a message in exactly the form that Encode writes: its
// names in their order, no spaces, the short escapes only. It tells whether it could;
// if not, the message is partly written, and [signed.DecodeOpen] decides. What it
// takes, DecodeOpen takes, and reads the same in it.
func (m *Message) decodeFast(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	r := reader{rest: data, ok: true}
	r.want(`{"id":`)
	r.binary(m.ID.UnmarshalText(r.coded(len(m.ID))))
	r.want(`,"mesh":`)
	r.binary(m.Mesh.UnmarshalText(r.coded(len(m.Mesh))))
	r.want(`,"from":`)
	r.binary(m.From.UnmarshalText(r.coded(len(m.From))))
	r.want(`,"session":`)
	r.binary(m.Session.UnmarshalText(r.coded(len(m.Session))))
	if r.has(`,"label":`) {
		m.Label = r.text()
	}
	r.want(`,"audience":{`)
	r.audience(&m.Audience)
	if r.has(`,"seq":`) {
		m.Seq = r.number()
	}
	r.want(`,"kind":`)
	m.Kind = r.kind()
	if r.has(`,"reply_to":`) {
		r.binary(m.ReplyTo.UnmarshalText(r.coded(len(m.ReplyTo))))
	}
	if r.has(`,"thread":`) {
		r.binary(m.Thread.UnmarshalText(r.coded(len(m.Thread))))
	}
	if r.has(`,"depth":`) {
		m.Depth = r.small(MaxDepth)
	}
	r.want(`,"priority":`)
	m.Priority = r.priority()
	r.want(`,"time":`)
	m.Time = int64(r.number())
	r.want(`,"expires":`)
	m.Expires = int64(r.number())
	r.want(`,"at":{"n":`)
	m.At.N = r.number()
	r.want(`,"hash":`)
	r.binary(m.At.Hash.UnmarshalText(r.coded(len(m.At.Hash))))
	r.want(`}`)
	if r.has(`,"body":`) {
		m.Body = r.text()
	}
	if r.has(`,"receipts":[`) {
		r.receipts(&m.Receipts)
	}
	r.want(`}`)
	return r.ok && len(r.rest) == 0
}

// reader reads JSON of a known form. After the first thing that is not as expected
// ok is false, and everything read later is worthless.
type reader struct {
	rest []byte
	ok   bool
}

// has skips a literal if it comes next.
func (r *reader) has(literal string) bool {
	if len(r.rest) < len(literal) || string(r.rest[:len(literal)]) != literal {
		return false
	}
	r.rest = r.rest[len(literal):]
	return true
}

// want skips a literal, which must come next.
func (r *reader) want(literal string) {
	if !r.has(literal) {
		r.ok = false
	}
}

// raw reads a string without escapes and gives the bytes between the quotes. The
// whole is known to be UTF-8.
func (r *reader) raw() []byte {
	r.want(`"`)
	end := r.stop(0)
	if end == len(r.rest) || r.rest[end] != '"' {
		r.ok = false
		return nil
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	return text
}

// coded reads the text of a value of so many bytes, which is as long as it has to be.
func (r *reader) coded(size int) []byte {
	end := 1 + base64.RawURLEncoding.EncodedLen(size)
	if len(r.rest) <= end || r.rest[0] != '"' || r.rest[end] != '"' {
		r.ok = false
		return nil
	}
	text := r.rest[1:end]
	r.rest = r.rest[end+1:]
	return text
}

// stop is where the next quote, backslash or control character stands in the rest,
// from an index on; its length where there is none.
func (r *reader) stop(from int) int {
	for {
		from += asIs(r.rest[from:])
		if from == len(r.rest) || r.rest[from] != 0xe2 { // U+2028 is written by an escape, but read without one
			return from
		}
		from++
	}
}

// binary takes what reading a value of fixed size came to. The value's own method is
// called by the caller: behind an interface every message would be one allocation more.
func (r *reader) binary(err error) {
	if err != nil {
		r.ok = false
	}
}

// text reads a string, with the escapes of two characters.
func (r *reader) text() string {
	r.want(`"`)
	end := r.stop(0)
	escapes := 0
	for ; end+1 < len(r.rest) && r.rest[end] == '\\'; end = r.stop(end + 2) {
		escapes++
	}
	if end >= len(r.rest) || r.rest[end] != '"' {
		r.ok = false
		return ""
	}
	text := r.rest[:end]
	r.rest = r.rest[end+1:]
	if escapes == 0 {
		return string(text)
	}
	return r.unescape(text, end-escapes)
}

// unescape gives a text of so many bytes without its escapes.
func (r *reader) unescape(text []byte, size int) string {
	var out strings.Builder
	out.Grow(size)
	for {
		next := bytes.IndexByte(text, '\\')
		if next < 0 {
			out.Write(text)
			return out.String()
		}
		out.Write(text[:next])
		c := text[next+1] // there is one: text saw to it
		switch c {
		case '"', '\\', '/':
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		default:
			r.ok = false
			return ""
		}
		out.WriteByte(c)
		text = text[next+2:]
	}
}

// number reads a number from 0 to 2^53-1.
func (r *reader) number() uint64 {
	var value uint64
	i := 0
	for ; i < len(r.rest) && '0' <= r.rest[i] && r.rest[i] <= '9'; i++ {
		value = value*10 + uint64(r.rest[i]-'0')
		if value > maxInteger {
			r.ok = false
			return 0
		}
	}
	// What may follow is checked by whoever reads on: a fraction or an exponent is
	// no comma and no brace.
	if i == 0 || i > 1 && r.rest[0] == '0' {
		r.ok = false
		return 0
	}
	r.rest = r.rest[i:]
	return value
}

// small reads a number that fits into an int everywhere.
func (r *reader) small(limit uint64) int {
	value := r.number()
	if value > limit {
		r.ok = false
		return 0
	}
	return int(value)
}

// kind reads a kind, and takes no memory for a known one.
func (r *reader) kind() Kind {
	raw := r.raw()
	switch string(raw) {
	case string(KindMessage):
		return KindMessage
	case string(KindAsk):
		return KindAsk
	case string(KindAnswer):
		return KindAnswer
	case string(KindReceipt):
		return KindReceipt
	}
	return Kind(raw)
}

// priority reads a priority, and takes no memory for a known one.
func (r *reader) priority() Priority {
	raw := r.raw()
	switch string(raw) {
	case string(PriorityNow):
		return PriorityNow
	case string(PriorityNext):
		return PriorityNext
	case string(PriorityLow):
		return PriorityLow
	}
	return Priority(raw)
}

// audience reads an audience after its opening brace.
func (r *reader) audience(a *Audience) {
	first := true
	has := func(name string) bool {
		if first {
			name = name[1:] // without the comma
		}
		if !r.has(name) {
			return false
		}
		first = false
		return true
	}
	if has(`,"address":`) {
		a.Address = r.text()
	}
	if has(`,"keys":[`) {
		r.keys(a)
	}
	if has(`,"count":`) {
		a.Count = r.small(MaxRecipients)
	}
	if has(`,"session":`) {
		r.binary(a.Session.UnmarshalText(r.coded(len(a.Session))))
	}
	if has(`,"one":true`) {
		a.One = true
	}
	r.want(`}`)
}

// keys reads the list of an audience after its opening bracket.
func (r *reader) keys(a *Audience) {
	if r.has(`]`) {
		a.Keys = []keys.Public{}
		return
	}
	for r.ok && len(a.Keys) <= MaxListed {
		a.Keys = append(a.Keys, keys.Public{})
		r.binary(a.Keys[len(a.Keys)-1].UnmarshalText(r.coded(len(a.Keys[0]))))
		if r.has(`]`) {
			return
		}
		r.want(`,`)
	}
	r.ok = false
}

// receipts reads the receipts after their opening bracket.
func (r *reader) receipts(list *[]Receipt) {
	for r.ok && len(*list) <= MaxReceipts {
		var receipt Receipt
		r.want(`{"id":`)
		r.binary(receipt.ID.UnmarshalText(r.coded(len(receipt.ID))))
		r.want(`,"hash":`)
		r.binary(receipt.Hash.UnmarshalText(r.coded(len(receipt.Hash))))
		r.want(`,"state":`)
		receipt.State = State(r.text())
		if r.has(`,"why":`) {
			receipt.Why = r.text()
		}
		r.want(`}`)
		*list = append(*list, receipt)
		if r.has(`]`) {
			return
		}
		r.want(`,`)
	}
	r.ok = false
}

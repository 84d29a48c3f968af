package seal

import (
	"bytes"
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
	r.binary(m.ID.UnmarshalText(r.raw()))
	r.want(`,"mesh":`)
	r.binary(m.Mesh.UnmarshalText(r.raw()))
	r.want(`,"from":`)
	r.binary(m.From.UnmarshalText(r.raw()))
	r.want(`,"session":`)
	r.binary(m.Session.UnmarshalText(r.raw()))
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
		r.binary(m.ReplyTo.UnmarshalText(r.raw()))
	}
	if r.has(`,"thread":`) {
		r.binary(m.Thread.UnmarshalText(r.raw()))
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
	r.binary(m.At.Hash.UnmarshalText(r.raw()))
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
	for i, c := range r.rest {
		switch {
		case c == '"':
			text := r.rest[:i]
			r.rest = r.rest[i+1:]
			return text
		case c == '\\' || c < ' ':
			r.ok = false
			return nil
		}
	}
	r.ok = false
	return nil
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
	if len(r.rest) == 0 || r.rest[0] != '"' {
		r.ok = false
		return ""
	}
	end := bytes.IndexByte(r.rest[1:], '"')
	if end < 0 {
		r.ok = false
		return ""
	}
	if bytes.IndexByte(r.rest[1:1+end], '\\') < 0 {
		return string(r.raw())
	}
	return r.escaped()
}

// escaped reads a string with escapes.
func (r *reader) escaped() string {
	text := make([]byte, 0, len(r.rest))
	for i := 1; i < len(r.rest); i++ {
		c := r.rest[i]
		switch {
		case c == '"':
			r.rest = r.rest[i+1:]
			return string(text)
		case c < ' ':
			r.ok = false
			return ""
		case c != '\\':
			text = append(text, c)
			continue
		}
		i++
		if i == len(r.rest) {
			break
		}
		switch r.rest[i] {
		case '"', '\\', '/':
			c = r.rest[i]
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
		text = append(text, c)
	}
	r.ok = false
	return ""
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
		r.binary(a.Session.UnmarshalText(r.raw()))
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
		r.binary(a.Keys[len(a.Keys)-1].UnmarshalText(r.raw()))
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
		r.binary(receipt.ID.UnmarshalText(r.raw()))
		r.want(`,"hash":`)
		r.binary(receipt.Hash.UnmarshalText(r.raw()))
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

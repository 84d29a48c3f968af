package seal_test

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
)

// drawBytes draws the bytes of a key or an id, never all zero.
func drawBytes(t *rapid.T, size int, name string) []byte {
	value := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, name)
	value[size-1] |= 1
	return value
}

// drawMessage draws a message that passes all checks.
func drawMessage(t *rapid.T) seal.Message {
	id := func(name string) (id keys.MessageID) { return keys.MessageID(drawBytes(t, 16, name)) }
	maybe := func(name string) bool { return rapid.Bool().Draw(t, name) }
	number := rapid.Int64Range(1, 1<<53-1-seal.MaxLife)
	m := seal.Message{
		ID: id("id"), Mesh: keys.MeshID(drawBytes(t, 16, "mesh")), From: keys.Public(drawBytes(t, 32, "from")),
		Session: keys.SessionID(drawBytes(t, 16, "session")),
		Kind: rapid.SampledFrom([]seal.Kind{seal.KindMessage, seal.KindAsk, seal.KindAnswer, seal.KindDecline,
			seal.KindNotice, seal.KindReceipt, seal.KindRoster}).Draw(t, "kind"),
		Priority: rapid.SampledFrom([]seal.Priority{seal.PriorityNow, seal.PriorityNext, seal.PriorityLow}).Draw(t, "priority"),
		Depth:    rapid.IntRange(0, seal.MaxDepth).Draw(t, "depth"),
		Time:     number.Draw(t, "time"),
		At:       signed.At{N: uint64(number.Draw(t, "at")), Hash: signed.ShortHash(drawBytes(t, 16, "hash"))},
		Label:    rapid.StringMatching(`([a-z0-9][a-z0-9._-]{0,31})?`).Draw(t, "label"),
	}
	m.Expires = rapid.Int64Range(m.Time+1, m.Time+seal.MaxLife).Draw(t, "expires")
	m.Audience.Address = rapid.StringMatching(`[ -~äöü€😀\x{2030}]{0,20}`).Draw(t, "address")
	if count := rapid.IntRange(0, 5).Draw(t, "keys"); count > 0 {
		for i := range count {
			m.Audience.Keys = append(m.Audience.Keys, keys.Public{0: byte(i), 31: 1})
		}
	} else {
		m.Audience.Count = rapid.IntRange(seal.MaxListed+1, seal.MaxRecipients).Draw(t, "count")
	}
	if m.Audience.Size() == 1 && maybe("to a session") {
		m.Audience.Session = keys.SessionID(drawBytes(t, 16, "to"))
	}
	m.Audience.One = maybe("one")
	if maybe("thread") {
		m.Thread = id("thread")
	}
	if m.Kind == seal.KindAnswer || m.Kind == seal.KindDecline || maybe("reply") {
		m.ReplyTo = id("reply")
	}
	if maybe("gateway") {
		m.Via = rapid.SliceOfN(rapid.StringMatching(`[ -~ä]{1,20}`), 1, 3).Draw(t, "via")
	}
	if m.Kind.Shown() {
		m.Seq = uint64(number.Draw(t, "seq"))
		m.Body = rapid.OneOf(rapid.String(), rapid.StringMatching(`[\x00-\x7f]*`),
			rapid.StringMatching(`[\x{2020}-\x{2030}"\\\n\r\t]*`)).Draw(t, "body")
	}
	switch m.Kind {
	case seal.KindReceipt:
		for range rapid.IntRange(1, seal.MaxReceipts).Draw(t, "receipts") {
			r := seal.Receipt{ID: id("of"), Hash: signed.Hash(drawBytes(t, 32, "sealed")), State: rapid.SampledFrom(
				[]seal.State{seal.StateSeen, seal.StateHeld, seal.StateRefused}).Draw(t, "state")}
			if r.State == seal.StateRefused {
				r.Why = rapid.StringMatching(`[a-z0-9_]{0,32}`).Draw(t, "why")
			}
			m.Receipts = append(m.Receipts, r)
		}
	case seal.KindRoster:
		m.Roster = &seal.Roster{From: uint64(number.Draw(t, "from"))}
		if m.Roster.Ask = maybe("ask"); !m.Roster.Ask {
			m.Roster.Heads = []signed.Object{{Bytes: []byte("{}"), Sig: drawBytes(t, 64, "sig")}}
		}
	}
	return m
}

func TestCodecAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		if err := m.Check(); err != nil {
			t.Fatal(err)
		}
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		general, err := signed.Encode(m)
		if err != nil || string(data) != string(general) {
			t.Fatalf("encoded by hand\n%s\nin general\n%s: %v", data, general, err)
		}
		if bound := seal.SizeBound(&m); m.Roster == nil && len(data) > bound {
			t.Fatalf("%d bytes are over the bound of %d", len(data), bound)
		}
		fast, ok := seal.DecodeFast(data)
		if ok && !reflect.DeepEqual(fast, m) {
			t.Fatalf("read by hand\n%+v\nwas\n%+v", fast, m)
		}
		back, err := seal.DecodeMessage(data)
		if err != nil || !reflect.DeepEqual(back, m) {
			t.Fatalf("reads back as\n%+v\nwas\n%+v: %v", back, m, err)
		}
	})
}

// TestFastPathIsTaken tests that the common messages do go the fast way.
func TestFastPathIsTaken(t *testing.T) {
	alice, bob := newPeer(t).Public(), newPeer(t).Public()
	plain := newMessage(alice, bob)
	text := newMessage(alice, bob, alice)
	text.Body = "a line\n\tand \"another\", with \\ and ✓\r\n"
	answer := newMessage(alice, bob)
	answer.Kind, answer.ReplyTo, answer.Thread, answer.Depth = seal.KindAnswer, keys.MessageID{1}, keys.MessageID{2}, 3
	session := newMessage(alice, bob)
	session.Audience = seal.Audience{Keys: []keys.Public{bob}, Session: keys.SessionID{1}, One: true}
	receipt := newMessage(alice, bob)
	receipt.Kind, receipt.Seq, receipt.Body = seal.KindReceipt, 0, ""
	receipt.Receipts = []seal.Receipt{{ID: keys.MessageID{1}, Hash: signed.Hash{1}, State: seal.StateSeen},
		{ID: keys.MessageID{2}, Hash: signed.Hash{1}, State: seal.StateRefused, Why: "muted"}}
	for name, m := range map[string]seal.Message{
		"plain": plain, "text": text, "answer": answer, "session": session, "receipt": receipt,
	} {
		data, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := seal.DecodeFast(data); !ok || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %v, %+v", name, ok, got)
		}
	}
}

func TestWhatNeedsAnEscapeIsFoundWhereverItStands(t *testing.T) {
	for c := range 256 {
		escaped := c < ' ' || c == '"' || c == '\\' || c == 0xe2
		for at := range 20 {
			// Around it stand the neighbours of what needs an escape.
			text := []byte("\x7f\x80 !#[]\xe1\xe3\xff\x7f\x80 !#[]\xe1\xe3\xff")
			text[at] = byte(c)
			want := len(text)
			if escaped {
				want = at
			}
			if got := seal.AsIs(string(text)); got != want {
				t.Fatalf("%q: %d, not %d", text, got, want)
			}
		}
	}
}

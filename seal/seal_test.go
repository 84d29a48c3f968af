package seal_test

import (
	"crypto/rand"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
)

// newPeer makes a peer's key.
func newPeer(t testing.TB) keys.PeerPrivate {
	t.Helper()
	key, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// newPair makes a pair.
func newPair(t testing.TB, own keys.PeerPrivate, other keys.Public) *seal.Pair {
	t.Helper()
	pair, err := seal.NewPair(own, other)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// newMessage makes a message that passes all checks.
func newMessage(from keys.Public, to ...keys.Public) seal.Message {
	return seal.Message{
		ID:       keys.MessageID{0x01, 0x93, 0x5f, 15: 7},
		Mesh:     keys.MeshID{1, 2, 3},
		From:     from,
		Session:  keys.SessionID{4, 5, 6},
		Label:    "web-shop",
		Audience: seal.Audience{Address: "bob@laptop", Keys: to},
		Seq:      1,
		Kind:     seal.KindMessage,
		Priority: seal.PriorityNext,
		Time:     1_764_000_000_000,
		Expires:  1_764_604_800_000,
		At:       signed.At{N: 3, Hash: signed.ShortHash{9}},
		Body:     "hello",
	}
}

// expect is what the recipient of a message knows.
func expect(m seal.Message) seal.Expect {
	return seal.Expect{Mesh: m.Mesh, ID: m.ID, Receipt: m.Kind == seal.KindReceipt}
}

func TestDirect(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	m := newMessage(alice.Public(), bob.Public())
	there, back := newPair(t, alice, bob.Public()), newPair(t, bob, alice.Public())
	if there.Own() != alice.Public() || there.Other() != bob.Public() {
		t.Error("pair has the wrong ends")
	}
	box, err := seal.SealDirect(rand.Reader, there, &m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := seal.OpenDirect(back, box, expect(m))
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v: %v", got, err)
	}
	again, err := seal.SealDirect(rand.Reader, there, &m)
	if err != nil || slices.Equal(box, again) {
		t.Errorf("two boxes are equal: %v", err)
	}
	signedBox, err := seal.SealDirectSigned(rand.Reader, there, &m)
	if err != nil {
		t.Fatal(err)
	}
	got, err = seal.OpenDirect(back, signedBox, expect(m))
	if err != nil || !got.Signed {
		t.Errorf("signed: %+v: %v", got, err)
	}
}

func TestDirectToOneself(t *testing.T) {
	alice := newPeer(t)
	m := newMessage(alice.Public(), alice.Public())
	pair := newPair(t, alice, alice.Public())
	box, err := seal.SealDirect(rand.Reader, pair, &m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.OpenDirect(pair, box, expect(m)); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestGroup(t *testing.T) {
	for _, size := range []int{2, 3, seal.MaxListed, seal.MaxListed + 1} {
		sender := newPeer(t)
		m := newMessage(sender.Public())
		m.Audience.Address = "*"
		peers := []keys.PeerPrivate{sender} // oneself is one of them
		for len(peers) < size {
			peers = append(peers, newPeer(t))
		}
		var pairs []*seal.Pair
		for _, peer := range peers {
			pairs = append(pairs, newPair(t, sender, peer.Public()))
			m.Audience.Keys = append(m.Audience.Keys, peer.Public())
		}
		if size > seal.MaxListed {
			m.Audience.Keys, m.Audience.Count = nil, size
		}
		slices.Reverse(m.Audience.Keys) // any order
		sealed, boxes, err := seal.SealGroup(rand.Reader, pairs, &m)
		if err != nil {
			t.Fatal(err)
		}
		for i, peer := range peers {
			pair := newPair(t, peer, sender.Public())
			got, err := seal.OpenGroup(pair, boxes[i], sealed, expect(m))
			if err != nil || !reflect.DeepEqual(got, m) {
				t.Fatalf("%d of %d: %+v: %v", i, size, got, err)
			}
			if _, err := seal.OpenGroup(pair, boxes[(i+1)%size], sealed, expect(m)); !errors.Is(err, seal.ErrOpen) {
				t.Errorf("%d of %d: another's box: %v", i, size, err)
			}
			if _, err := seal.OpenDirect(pair, boxes[i], expect(m)); !errors.Is(err, seal.ErrMalformed) {
				t.Errorf("%d of %d: box opens as a message: %v", i, size, err)
			}
		}
	}
}

func TestSealRefuses(t *testing.T) {
	alice, bob, carol := newPeer(t), newPeer(t), newPeer(t)
	toBob, toCarol := newPair(t, alice, bob.Public()), newPair(t, alice, carol.Public())
	fromBob := newPair(t, bob, carol.Public())
	direct := newMessage(alice.Public(), bob.Public())
	both := newMessage(alice.Public(), bob.Public(), carol.Public())
	many := newMessage(alice.Public())
	many.Audience.Count = 300
	bad := direct
	bad.Priority = "soon"
	wiped := newPair(t, alice, bob.Public())
	wiped.Wipe()
	wiped.Wipe()
	for name, c := range map[string]struct {
		pairs []*seal.Pair
		m     seal.Message
		want  error
	}{
		"another sender":        {[]*seal.Pair{newPair(t, carol, bob.Public())}, direct, seal.ErrSender},
		"another recipient":     {[]*seal.Pair{toCarol}, direct, seal.ErrAudience},
		"two in one's form":     {[]*seal.Pair{toBob}, both, seal.ErrAudience},
		"many in one's form":    {[]*seal.Pair{toBob}, many, seal.ErrAudience},
		"breaks a rule":         {[]*seal.Pair{toBob}, bad, seal.ErrMalformed},
		"wiped":                 {[]*seal.Pair{wiped}, direct, nil},
		"no pair":               {[]*seal.Pair{nil}, direct, nil},
		"a pair is missing":     {[]*seal.Pair{toBob, nil}, both, nil},
		"one of two wiped":      {[]*seal.Pair{toCarol, wiped}, both, nil},
		"one twice":             {[]*seal.Pair{toBob, toBob}, both, seal.ErrAudience},
		"of two senders":        {[]*seal.Pair{toBob, fromBob}, both, seal.ErrSender},
		"one who is not listed": {[]*seal.Pair{toBob, newPair(t, alice, alice.Public())}, both, seal.ErrAudience},
		"fewer than counted":    {[]*seal.Pair{toBob, toCarol}, many, seal.ErrAudience},
		"counted, one twice":    {slices.Repeat([]*seal.Pair{toBob}, 300), many, seal.ErrAudience},
		"three for two":         {[]*seal.Pair{toBob, toCarol, toBob}, both, seal.ErrAudience},
	} {
		var err error
		if len(c.pairs) == 1 {
			_, err = seal.SealDirect(rand.Reader, c.pairs[0], &c.m)
		} else {
			_, _, err = seal.SealGroup(rand.Reader, c.pairs, &c.m)
		}
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := seal.SealGroup(rand.Reader, []*seal.Pair{toBob}, &direct); !errors.Is(err, seal.ErrAudience) {
		t.Errorf("one in the form for several: %v", err)
	}
	if _, err := seal.OpenDirect(wiped, make([]byte, 300), seal.Expect{}); err == nil || errors.Is(err, seal.ErrOpen) {
		t.Errorf("opened with a wiped pair: %v", err)
	}
}

func TestPairRefuses(t *testing.T) {
	if _, err := seal.NewPair(keys.PeerPrivate{}, newPeer(t).Public()); err == nil {
		t.Error("no own key")
	}
	if _, err := seal.NewPair(newPeer(t), keys.Public{}); !errors.Is(err, keys.ErrKeyOrder) {
		t.Errorf("no other key: %v", err)
	}
}

func TestNoRandomness(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	toBob, toSelf := newPair(t, alice, bob.Public()), newPair(t, alice, alice.Public())
	direct := newMessage(alice.Public(), bob.Public())
	both := newMessage(alice.Public(), bob.Public(), alice.Public())
	if _, err := seal.SealDirect(nil, toBob, &direct); err == nil {
		t.Error("sealed without randomness")
	}
	for size := range int64(24) {
		if _, err := seal.SealDirect(io.LimitReader(rand.Reader, size), toBob, &direct); err == nil {
			t.Errorf("direct from %d bytes", size)
		}
	}
	const needed = 32 + 24 + 2*24
	pairs := []*seal.Pair{toBob, toSelf}
	for size := range int64(needed) {
		if _, _, err := seal.SealGroup(io.LimitReader(rand.Reader, size), pairs, &both); err == nil {
			t.Errorf("group from %d bytes", size)
		}
	}
	if _, _, err := seal.SealGroup(io.LimitReader(rand.Reader, needed), pairs, &both); err != nil {
		t.Error(err)
	}
}

// TestEveryBit changes every bit and cuts at every place: nothing opens.
func TestEveryBit(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	m := newMessage(alice.Public(), bob.Public())
	back := newPair(t, bob, alice.Public())
	box, err := seal.SealDirect(rand.Reader, newPair(t, alice, bob.Public()), &m)
	if err != nil {
		t.Fatal(err)
	}
	both := newMessage(alice.Public(), bob.Public(), alice.Public())
	sealed, boxes, err := seal.SealGroup(rand.Reader,
		[]*seal.Pair{newPair(t, alice, bob.Public()), newPair(t, alice, alice.Public())}, &both)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bytes []byte
		open  func([]byte) error
	}{
		"direct": {box, func(b []byte) error { _, err := seal.OpenDirect(back, b, expect(m)); return err }},
		"sealed": {sealed, func(b []byte) error { _, err := seal.OpenGroup(back, boxes[0], b, expect(both)); return err }},
		"box":    {boxes[0], func(b []byte) error { _, err := seal.OpenGroup(back, b, sealed, expect(both)); return err }},
	} {
		if err := c.open(c.bytes); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for bit := range 8 * len(c.bytes) {
			c.bytes[bit/8] ^= 1 << (bit % 8)
			if err := c.open(c.bytes); !errors.Is(err, seal.ErrOpen) && !errors.Is(err, seal.ErrMalformed) {
				t.Errorf("%s: bit %d: %v", name, bit, err)
			}
			c.bytes[bit/8] ^= 1 << (bit % 8)
		}
		for size := range c.bytes {
			if err := c.open(c.bytes[:size]); !errors.Is(err, seal.ErrOpen) && !errors.Is(err, seal.ErrMalformed) {
				t.Errorf("%s: cut at %d: %v", name, size, err)
			}
		}
	}
}

func TestSizesHide(t *testing.T) {
	last := 0
	for size := 1; size < 3<<20; size += 1 + size/1000 {
		padded := seal.PaddedSize(size)
		if padded < size || padded < last {
			t.Fatalf("%d is padded to %d", size, padded)
		}
		if size > 256 && float64(padded) > 1.12*float64(size) {
			t.Errorf("%d is padded to %d, more than 12 %%", size, padded)
		}
		if seal.PaddedSize(padded) != padded {
			t.Errorf("%d is padded again, to %d", padded, seal.PaddedSize(padded))
		}
		last = padded
	}
	for size, want := range map[int]int{0: 256, 255: 256, 256: 256, 257: 272, 1000: 1024, 1025: 1088, 1 << 20: 1 << 20} {
		if got := seal.PaddedSize(size); got != want {
			t.Errorf("%d is padded to %d, not %d", size, got, want)
		}
	}
	alice := newPeer(t)
	pair := newPair(t, alice, alice.Public())
	sizes := map[int]bool{}
	for size := 1; size <= 16; size++ {
		m := newMessage(alice.Public(), alice.Public())
		m.Body = strings.Repeat("x", size)
		box, err := seal.SealDirect(rand.Reader, pair, &m)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(box)] = true
	}
	if len(sizes) > 2 {
		t.Errorf("bodies of 1 to 16 bytes give the sizes %v", sizes)
	}
}

func TestLimits(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	pair, back := newPair(t, alice, bob.Public()), newPair(t, bob, alice.Public())
	m := newMessage(alice.Public(), bob.Public())
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"largest":                  {strings.Repeat("x", seal.MaxBody), nil},
		"largest, a log":           {strings.Repeat("a line\n", seal.MaxBody/7), nil},
		"too large":                {strings.Repeat("x", seal.MaxBody+1), seal.ErrTooLarge},
		"too large by its escapes": {strings.Repeat("\x01", seal.MaxBody), seal.ErrTooLarge},
		"not UTF-8":                {"\xff", seal.ErrMalformed},
	} {
		m.Body = c.body
		box, err := seal.SealDirect(rand.Reader, pair, &m)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != nil {
			continue
		}
		// A frame of 2 MiB has room for it and 1,024 boxes.
		if len(box) > 1_600_000 {
			t.Errorf("%s: box of %d bytes", name, len(box))
		}
		if got, err := seal.OpenDirect(back, box, expect(m)); err != nil || got.Body != m.Body {
			t.Errorf("%s: %v", name, err)
		}
	}
	receipts := newMessage(alice.Public(), bob.Public())
	receipts.Kind, receipts.Seq, receipts.Body = seal.KindReceipt, 0, ""
	receipts.Label, receipts.Audience.Address = strings.Repeat("x", 32), strings.Repeat("ü", seal.MaxAddress/2)
	for range seal.MaxReceipts {
		receipts.Receipts = append(receipts.Receipts, seal.Receipt{
			ID: keys.MessageID{1}, Hash: signed.Hash{1}, State: seal.StateRefused, Why: strings.Repeat("x", seal.MaxWhy),
		})
	}
	box, err := seal.SealDirect(rand.Reader, pair, &receipts)
	if err != nil || len(box) > 4096 {
		t.Errorf("largest receipt has %d bytes: %v", len(box), err)
	}
	if _, err := seal.OpenDirect(back, box, expect(receipts)); err != nil {
		t.Error(err)
	}
}

func TestLargeRoster(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	m := newMessage(alice.Public(), bob.Public())
	m.Kind, m.Seq, m.Body = seal.KindRoster, 0, ""
	entry := signed.Sign(signed.DomainEntry, make([]byte, 3000), alice)
	for count, want := range map[int]error{50: nil, 70: seal.ErrTooLarge} {
		m.Roster = &seal.Roster{From: 7, Entries: slices.Repeat([]signed.Object{entry}, count), Heads: []signed.Object{entry}}
		data, err := m.Encode()
		if !errors.Is(err, want) {
			t.Errorf("%d entries: %v", count, err)
		}
		if want != nil {
			if data, err = signed.Encode(m); err != nil {
				t.Fatal(err)
			}
		}
		got, err := seal.DecodeMessage(data)
		if !errors.Is(err, want) || want == nil && !reflect.DeepEqual(got, m) {
			t.Errorf("%d entries: %v", count, err)
		}
	}
}

func TestExtras(t *testing.T) {
	alice, bob, carol := newPeer(t), newPeer(t), newPeer(t)
	mesh := keys.MeshID{1}
	in := seal.Extras{Mesh: mesh, From: alice.Public(), Session: keys.SessionID{1}, Time: 1, Name: "Alice ✨", Summary: "tests"}
	content, err := seal.SealExtras(rand.Reader, in)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []keys.PeerPrivate{alice, bob, carol} { // also who comes later
		box, err := content.Box(rand.Reader, newPair(t, alice, member.Public()))
		if err != nil {
			t.Fatal(err)
		}
		pair := newPair(t, member, alice.Public())
		if got, err := seal.OpenExtras(pair, box, content.Sealed, mesh); err != nil || got != in {
			t.Errorf("%+v: %v", got, err)
		}
		if _, err := seal.OpenExtras(pair, box, content.Sealed, keys.MeshID{2}); !errors.Is(err, seal.ErrMesh) {
			t.Errorf("another mesh: %v", err)
		}
		if _, err := seal.OpenGroup(pair, box, content.Sealed, seal.Expect{Mesh: mesh}); !errors.Is(err, seal.ErrUnknownKind) {
			t.Errorf("extras as a message: %v", err)
		}
	}
	// A member passes them on as its own.
	box, err := content.Box(rand.Reader, newPair(t, bob, carol.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenExtras(newPair(t, carol, bob.Public()), box, content.Sealed, mesh); !errors.Is(err, seal.ErrSender) {
		t.Errorf("another's extras: %v", err)
	}
	content.Wipe()
	if _, err := content.Box(rand.Reader, newPair(t, alice, bob.Public())); err == nil {
		t.Error("a box of a wiped key")
	}
	// A message is no extras.
	m := newMessage(alice.Public(), alice.Public(), bob.Public())
	sealed, boxes, err := seal.SealGroup(rand.Reader,
		[]*seal.Pair{newPair(t, alice, alice.Public()), newPair(t, alice, bob.Public())}, &m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.OpenExtras(newPair(t, bob, alice.Public()), boxes[1], sealed, m.Mesh); !errors.Is(err, seal.ErrMalformed) {
		t.Errorf("a message as extras: %v", err)
	}
	for name, change := range map[string]func(*seal.Extras){
		"no mesh":          func(e *seal.Extras) { e.Mesh = keys.MeshID{} },
		"no peer":          func(e *seal.Extras) { e.From = keys.Public{} },
		"no time":          func(e *seal.Extras) { e.Time = 0 },
		"long name":        func(e *seal.Extras) { e.Name = strings.Repeat("x", seal.MaxName+1) },
		"long summary":     func(e *seal.Extras) { e.Summary = strings.Repeat("x", seal.MaxSummary+1) },
		"late":             func(e *seal.Extras) { e.Time = 1 << 53 },
		"name no UTF-8":    func(e *seal.Extras) { e.Name = "\xff" },
		"summary no UTF-8": func(e *seal.Extras) { e.Summary = "\xff" },
	} {
		e := in
		change(&e)
		if _, err := seal.SealExtras(rand.Reader, e); !errors.Is(err, seal.ErrMalformed) && !errors.Is(err, seal.ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What members seal for members is held to the form when it is opened, too.
func TestOpenExtrasChecksTheForm(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	there, back := newPair(t, alice, bob.Public()), newPair(t, bob, alice.Public())
	good := fmt.Sprintf(`{"kind":"extras","mesh":"%s","from":"%s","time":1}`, wireText(t, keys.MeshID{1}), wireText(t, alice.Public()))
	for name, c := range map[string]struct {
		text string
		sig  []byte
		want error
	}{
		"as it should be": {good, nil, nil},
		"signed":          {good, make([]byte, 64), seal.ErrMalformed},
		"no JSON":         {good[1:], nil, seal.ErrMalformed},
		"no time":         {strings.Replace(good, `"time":1`, `"time":0`, 1), nil, seal.ErrMalformed},
		"another kind":    {strings.Replace(good, "extras", "extra", 1), nil, seal.ErrMalformed},
		"no kind":         {strings.Replace(good, `"kind":"extras",`, "", 1), nil, seal.ErrMalformed},
		"of another":      {strings.Replace(good, wireText(t, alice.Public()), wireText(t, bob.Public()), 1), nil, seal.ErrSender},
	} {
		plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(c.text))), c.text...)
		plain = append(append(plain, byte(len(c.sig)/64)), c.sig...)
		plain = append(plain, make([]byte, seal.PaddedSize(len(plain))-len(plain))...)
		content, err := seal.NewContent(rand.Reader, plain)
		if err != nil {
			t.Fatal(err)
		}
		box, err := content.Box(rand.Reader, there)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.OpenExtras(back, box, content.Sealed, keys.MeshID{1}); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func wireText(t *testing.T, v encoding.TextMarshaler) string {
	t.Helper()
	text, err := v.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAllocations keeps the way of every message short.
func TestAllocations(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	there, back := newPair(t, alice, bob.Public()), newPair(t, bob, alice.Public())
	m := newMessage(alice.Public(), bob.Public())
	box, err := seal.SealDirect(rand.Reader, there, &m)
	if err != nil {
		t.Fatal(err)
	}
	random := zeros{}
	if n := testing.AllocsPerRun(100, func() { _, _ = seal.SealDirect(random, there, &m) }); n > 2 {
		t.Errorf("SealDirect allocates %v times: plaintext and box should do", n)
	}
	e := expect(m)
	// The plaintext, the message, its list of keys, label, address and body.
	if n := testing.AllocsPerRun(100, func() { _, _ = seal.OpenDirect(back, box, e) }); n > 6 {
		t.Errorf("OpenDirect allocates %v times", n)
	}
}

// zeros is no randomness at all.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

package seal_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
)

// outcomes are the errors that belong to an outcome of the vectors.
var outcomes = map[string][]error{
	"ok":            {nil},
	"wrong_key":     {seal.ErrOpen},
	"bad_key":       {keys.ErrKeyForm, keys.ErrKeyOrder},
	"bad_signature": {seal.ErrSignature},
	"malformed":     {seal.ErrMalformed},
	"unknown_kind":  {seal.ErrUnknownKind},
	"sender":        {seal.ErrSender},
	"mesh":          {seal.ErrMesh},
	"audience":      {seal.ErrAudience},
	"id":            {seal.ErrID},
	"class":         {seal.ErrClass},
	"stranger":      {seal.ErrStranger},
}

// checkOutcome compares an error with an outcome, and refuses one that fits another
// outcome too.
func checkOutcome(t *testing.T, outcome string, err error) {
	t.Helper()
	wanted, known := outcomes[outcome]
	if !known {
		t.Fatalf("unknown outcome %q", outcome)
	}
	matches := func(list []error) bool {
		for _, want := range list {
			if want == nil && err == nil || want != nil && errors.Is(err, want) {
				return true
			}
		}
		return false
	}
	if !matches(wanted) {
		t.Errorf("wanted %s, got %v", outcome, err)
	}
	for other, list := range outcomes {
		if other != outcome && matches(list) {
			t.Errorf("%v is also %s", err, other)
		}
	}
}

// openVector opens a vector as its recipient.
func openVector(t testing.TB, v vectors.Sealed) (seal.Message, error) {
	own, err := keys.PeerPrivateFromSeed(v.OwnSeed)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := seal.NewPair(own, keys.Public(v.Sender))
	if err != nil {
		return seal.Message{}, err
	}
	e := seal.Expect{Mesh: keys.MeshID(v.Mesh), ID: keys.MessageID(v.ID), Receipt: v.Receipt, Stranger: v.Stranger}
	if v.Sealed == nil {
		return seal.OpenDirect(pair, v.Box, e)
	}
	return seal.OpenGroup(pair, v.Box, v.Sealed, e)
}

func testSealed(t *testing.T, list []vectors.Sealed, err error) {
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			m, err := openVector(t, v)
			checkOutcome(t, v.Outcome, err)
			if err != nil {
				if !reflect.DeepEqual(m, seal.Message{}) {
					t.Error("refused, but given out")
				}
				return
			}
			want, err := seal.DecodeMessage(v.Message)
			if err != nil {
				t.Fatal(err)
			}
			want.Signed = m.Signed
			if !reflect.DeepEqual(m, want) {
				t.Errorf("opened %+v, not %+v", m, want)
			}
			if (v.Name == "signed inside") != m.Signed {
				t.Errorf("signed: %v", m.Signed)
			}
		})
	}
}

func TestVectorsDirect(t *testing.T) {
	list, err := vectors.Directs()
	testSealed(t, list, err)
}

func TestVectorsGroup(t *testing.T) {
	list, err := vectors.Groups()
	testSealed(t, list, err)
}

func TestVectorsMessages(t *testing.T) {
	list, err := vectors.Messages()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			m, err := seal.DecodeMessage(v.Message)
			checkOutcome(t, v.Outcome, err)
			if err == nil {
				checkCodec(t, m)
			}
		})
	}
}

// checkCodec tests that a message's own encoding is that of signed.Encode, is read by
// hand, and reads back the same.
func checkCodec(t *testing.T, m seal.Message) {
	t.Helper()
	data, err := m.Encode()
	if errors.Is(err, seal.ErrTooLarge) {
		return // escapes can make it larger than it came
	}
	if err != nil {
		t.Fatal(err)
	}
	general, err := signed.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if string(data) != string(general) {
		t.Fatalf("encoded by hand\n%s\nin general\n%s", data, general)
	}
	if bound := seal.SizeBound(&m); m.Roster == nil && len(data) > bound {
		t.Errorf("%d bytes are over the bound of %d", len(data), bound)
	}
	var slow seal.Message
	if err := signed.DecodeOpen(data, &slow); err != nil {
		t.Fatal(err)
	}
	if fast, ok := seal.DecodeFast(data); ok && !reflect.DeepEqual(fast, slow) {
		t.Errorf("read by hand\n%+v\nin general\n%+v", fast, slow)
	}
	back, err := seal.DecodeMessage(data)
	if err != nil || !reflect.DeepEqual(back, slow) {
		t.Errorf("reads back as %+v: %v", back, err)
	}
}

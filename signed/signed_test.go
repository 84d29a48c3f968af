package signed_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
	"github.com/claudemesh/claudemesh-go/vectors"
)

func newKey(t testing.TB) keys.PeerPrivate {
	t.Helper()
	key, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVectorsSignatures(t *testing.T) {
	list, err := vectors.Signatures()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		o := signed.Object{Bytes: v.Bytes, Sig: v.Sig}
		err := o.Verify(signed.Domain(v.Domain), keys.Public(v.Key))
		switch v.Outcome {
		case "ok":
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
			}
		case "bad_signature":
			if !errors.Is(err, keys.ErrSignature) {
				t.Errorf("%s: %v", v.Name, err)
			}
		case "bad_key":
			if !errors.Is(err, keys.ErrKeyForm) && !errors.Is(err, keys.ErrKeyOrder) {
				t.Errorf("%s: %v", v.Name, err)
			}
		default:
			t.Errorf("%s: unknown outcome %q", v.Name, v.Outcome)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	invite, peer := newKey(t), newKey(t)
	content := []byte(`{"n":1}`)
	both := signed.Sign(signed.DomainEntry, content, invite, peer)
	if err := both.Verify(signed.DomainEntry, invite.Public(), peer.Public()); err != nil {
		t.Fatal(err)
	}
	one := signed.Sign(signed.DomainEntry, content, peer)
	for name, err := range map[string]error{
		"the wrong way round": both.Verify(signed.DomainEntry, peer.Public(), invite.Public()),
		"one of two":          both.Verify(signed.DomainEntry, invite.Public()),
		"two of one":          one.Verify(signed.DomainEntry, peer.Public(), peer.Public()),
		"another domain":      one.Verify(signed.DomainHead, peer.Public()),
		"another text":        signed.Object{Bytes: []byte(`{"n":2}`), Sig: one.Sig}.Verify(signed.DomainEntry, peer.Public()),
		"a zero key signed":   signed.Sign(signed.DomainEntry, content, keys.PeerPrivate{}).Verify(signed.DomainEntry, peer.Public()),
	} {
		if !errors.Is(err, keys.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := one.Verify(signed.DomainEntry); !errors.Is(err, signed.ErrForm) {
		t.Errorf("nobody verifies: %v", err)
	}
	if err := one.Verify(signed.DomainEntry, keys.Public{}); !errors.Is(err, keys.ErrKeyOrder) {
		t.Errorf("no key verifies: %v", err)
	}
}

func TestDomainsHaveNoZeroByte(t *testing.T) {
	seen := map[signed.Domain]bool{}
	for _, d := range []signed.Domain{
		signed.DomainEntry, signed.DomainHead, signed.DomainHello, signed.DomainWelcome,
		signed.DomainCard, signed.DomainEnvelope, signed.DomainKey, signed.DomainCommit,
	} {
		if seen[d] || strings.Contains(string(d), "\x00") || !strings.HasPrefix(string(d), "claudemesh/v1/") {
			t.Errorf("domain %q", d)
		}
		seen[d] = true
	}
}

func TestObjectJSON(t *testing.T) {
	o := signed.Sign(signed.DomainCard, []byte(`{"name":"<é&>"}`), newKey(t))
	data, err := signed.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"signed":"` + base64.RawURLEncoding.EncodeToString(o.Bytes) + `","sig":"` +
		base64.RawURLEncoding.EncodeToString(o.Sig) + `"}`
	if string(data) != want {
		t.Errorf("%s, not %s", data, want)
	}
	var back signed.Object
	if err := signed.Decode(data, &back); err != nil || !reflect.DeepEqual(back, o) {
		t.Errorf("%v: %v", back, err)
	}
	sig := base64.RawURLEncoding.EncodeToString(o.Sig)
	for _, bad := range []string{
		`{}`, `{"signed":"e30"}`, `{"sig":"` + sig + `"}`, `{"signed":"","sig":"` + sig + `"}`, `null`,
		`{"signed":"e30","sig":"AA"}`, `{"signed":"e30","sig":"` + sig + `AAAA"}`, `{"signed":"e30","sig":null}`,
		`{"signed":"e30","sig":"` + sig + `","more":1}`, `{"Signed":"e30","sig":"` + sig + `"}`,
		`{"signed":"e31","sig":"` + sig + `"}`, `{"signed":"e30=","sig":"` + sig + `"}`,
		`{"signed":"e3\n0","sig":"` + sig + `"}`, `{"signed":{},"sig":"` + sig + `"}`,
	} {
		var o signed.Object
		if err := signed.Decode([]byte(bad), &o); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%s: %v", bad, err)
		}
		// Inside a plain frame an object is as strict.
		var frame struct {
			Object signed.Object `json:"object"`
		}
		if err := signed.DecodeOpen([]byte(`{"object":`+bad+`}`), &frame); bad != "null" && !errors.Is(err, signed.ErrForm) {
			t.Errorf("in a frame %s: %v", bad, err)
		}
	}
}

func TestHashes(t *testing.T) {
	h := signed.HashOf(signed.DomainCommit, []byte("a"), []byte("b"))
	if h != signed.HashOf(signed.DomainCommit, []byte("ab")) || h == signed.HashOf(signed.DomainEntry, []byte("ab")) {
		t.Error("hash does not cover domain and parts")
	}
	if h.Short() != signed.ShortHash(h[:16]) || h.IsZero() || h.Short().IsZero() || !(signed.Hash{}).IsZero() {
		t.Error("short or zero is wrong")
	}
	type both struct {
		Long signed.Hash `json:"long"`
		At   signed.At   `json:"at"`
	}
	in := both{h, signed.At{N: 7, Hash: h.Short()}}
	data, err := signed.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"long":"` + h.String() + `","at":{"n":7,"hash":"` + h.Short().String() + `"}}`; string(data) != want {
		t.Errorf("%s, not %s", data, want)
	}
	var out both
	if err := signed.Decode(data, &out); err != nil || out != in {
		t.Errorf("%v: %v", out, err)
	}
	for _, bad := range []string{h.String()[1:], h.String() + "A", h.Short().String(), "",
		h.String()[:42] + "\n", "\r" + h.String()[1:], "+" + h.String()[1:], h.String()[:42] + "-", h.String() + "\n"} {
		if err := new(signed.Hash).UnmarshalText([]byte(bad)); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// sample is the type of the vectors of json.json.
type sample struct {
	Role  string `json:"role,omitempty"`
	N     int64  `json:"n,omitempty"`
	List  []int  `json:"list,omitempty"`
	Inner *struct {
		Flag bool `json:"flag,omitempty"`
	} `json:"inner,omitempty"`
	K int `json:"k,omitempty"`
}

func TestVectorsJSON(t *testing.T) {
	list, err := vectors.JSONs()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		for _, way := range []struct {
			name   string
			decode func([]byte, any) error
			want   string
		}{{"strict", signed.Decode, v.Strict}, {"open", signed.DecodeOpen, v.Open}} {
			var s sample
			err := way.decode(v.JSON, &s)
			switch {
			case way.want == "ok" && err != nil:
				t.Errorf("%s, %s: %v", v.Name, way.name, err)
			case way.want == "malformed" && !errors.Is(err, signed.ErrForm):
				t.Errorf("%s, %s: %v", v.Name, way.name, err)
			}
		}
	}
}

type embedded struct {
	Deep string `json:"deep"`
}

// everything has the forms of types that decoding looks into.
type everything struct {
	embedded
	Plain    string
	Skipped  string                    `json:"-"`
	Map      map[string]map[string]int `json:"map"`
	Pair     [2]int                    `json:"pair"`
	Pointers []*embedded               `json:"pointers"`
	Raw      json.RawMessage           `json:"raw"`
	Any      any                       `json:"any"`
	Key      keys.Public               `json:"key"`
	Keys     []keys.Public             `json:"keys"`
	Bytes    signed.Bytes              `json:"bytes"`
	Small    uint8                     `json:"small"`
	hidden   string
}

func TestDecodeTypes(t *testing.T) {
	key := newKey(t).Public()
	in := everything{
		embedded: embedded{"d"}, Plain: "p", Map: map[string]map[string]int{"a": {"b": 1}}, Pair: [2]int{1, 2},
		Pointers: []*embedded{{"x"}}, Raw: json.RawMessage(`{"a":[1]}`), Any: "any", Key: key, Keys: []keys.Public{key},
		Bytes: signed.Bytes("bytes"), Small: 7,
	}
	data, err := signed.Encode(in)
	if err != nil {
		t.Fatal(err)
	}
	for _, decode := range []func([]byte, any) error{signed.Decode, signed.DecodeOpen} {
		var out everything
		if err := decode(data, &out); err != nil || !reflect.DeepEqual(in, out) {
			t.Errorf("%+v: %v", out, err)
		}
		for _, bad := range []string{
			`{"deep":"a","Deep":"b"}`, `{"Deep":"b"}`, `{"plain":"x"}`, `{"pair":[1]}`, `{"pair":[1,2,3]}`, `{"pair":[]}`,
			`{"map":{"a":{"b":1,"B":2}}}`, `{"map":{"a":{"b":null,"c":1.5}}}`, `{"raw":{"a":1,"a":2}}`, `{"raw":1e5}`,
			`{"any":{"x":1.5}}`, `{"pointers":[{"deep":"x","DEEP":"y"}]}`, `{"pointers":[null]}`, `{"keys":[null]}`,
			`{"key":"AA"}`, `{"key":7}`, `{"key":["a"]}`, `{"bytes":"AB"}`, `{"bytes":"AA=="}`, `{"small":256}`, `{"small":-1}`,
			`{"small":"7"}`, `{"pointers":{"0":{}}}`, `{"map":[1]}`,
		} {
			if err := decode([]byte(bad), new(everything)); !errors.Is(err, signed.ErrForm) {
				t.Errorf("%s: %v", bad, err)
			}
		}
	}
	for _, unknown := range []string{`{"Skipped":"x"}`, `{"hidden":"x"}`, `{"embedded":{}}`, `{"-":1}`} {
		if err := signed.Decode([]byte(unknown), new(everything)); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%s: %v", unknown, err)
		}
		var out everything
		if err := signed.DecodeOpen([]byte(unknown), &out); err != nil || out.Skipped+out.hidden != "" {
			t.Errorf("%s: %v", unknown, err)
		}
	}
}

func TestDecodeIntoTheWrongThing(t *testing.T) {
	for _, into := range []any{nil, sample{}, 7, new([]byte), new(struct{ B []byte })} {
		if err := signed.Decode([]byte(`{"B":"AA"}`), into); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%T: %v", into, err)
		}
	}
}

func TestManyNames(t *testing.T) {
	var unique strings.Builder
	unique.WriteString(`{"first":0`)
	for i := range 1000 {
		unique.WriteString(`,"` + strings.Repeat("x", i+1) + `":null`)
	}
	if err := signed.DecodeOpen([]byte(unique.String()+"}"), new(sample)); err != nil {
		t.Error(err)
	}
	for _, again := range []string{"first", "xxx", strings.Repeat("X", 900)} {
		if err := signed.DecodeOpen([]byte(unique.String()+`,"`+again+`":1}`), new(sample)); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%.5s… again: %v", again, err)
		}
	}
}

func TestEncodeRefusesWhatNobodyTakes(t *testing.T) {
	deep := any(1)
	for range signed.MaxDepth + 1 {
		deep = []any{deep}
	}
	for _, v := range []any{1 << 53, 1.5, deep, make(chan int), []float64{1e300}} {
		if data, err := signed.Encode(v); !errors.Is(err, signed.ErrForm) {
			t.Errorf("%s: %v", data, err)
		}
	}
	data, err := signed.Encode(map[string]string{"a": "<&>\u2028"})
	if err != nil || string(data) != `{"a":"<&>\u2028"}` {
		t.Errorf("%s: %v", data, err)
	}
}

func BenchmarkDecode(b *testing.B) {
	data := []byte(`{"role":"member","n":7,"list":[1,2],"inner":{"flag":true}}`)
	b.ReportAllocs()
	for b.Loop() {
		var s sample
		if err := signed.Decode(data, &s); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecode compares strict decoding with open decoding and with encoding/json.
func FuzzDecode(f *testing.F) {
	list, err := vectors.JSONs()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		f.Add([]byte(v.JSON))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var strict, open, lenient sample
		strictErr := signed.Decode(data, &strict)
		openErr := signed.DecodeOpen(data, &open)
		if strictErr == nil {
			decoder := json.NewDecoder(bytes.NewReader(data))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&lenient); err != nil {
				t.Fatalf("taken, but encoding/json says %v", err)
			}
			if openErr != nil || !reflect.DeepEqual(strict, open) || !reflect.DeepEqual(strict, lenient) {
				t.Fatalf("strict %+v, open %+v (%v), encoding/json %+v", strict, open, openErr, lenient)
			}
		}
		if openErr != nil {
			return
		}
		if !json.Valid(data) {
			t.Fatal("taken, but no JSON")
		}
		again, err := signed.Encode(open)
		if err != nil {
			t.Fatal(err)
		}
		var back sample
		if err := signed.Decode(again, &back); err != nil || !equalSamples(back, open) {
			t.Fatalf("%+v, then %+v: %v", open, back, err)
		}
	})
}

// equalSamples compares, an empty list being as good as none.
func equalSamples(a, b sample) bool {
	if len(a.List)+len(b.List) == 0 {
		a.List, b.List = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

package keys_test

import (
	"bytes"
	"crypto/rand"
	"encoding"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/vectors"
)

func public(t testing.TB, b []byte) keys.Public {
	t.Helper()
	if len(b) != 32 {
		t.Fatalf("key of %d bytes", len(b))
	}
	return keys.Public(b)
}

func newPeer(t testing.TB) keys.PeerPrivate {
	t.Helper()
	key, err := keys.NewPeerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVectorsKeys(t *testing.T) {
	list, err := vectors.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			p := public(t, v.Ed25519)
			_, curveErr := p.Curve()
			if !errors.Is(curveErr, p.Check()) {
				t.Errorf("Check says %v, Curve %v", p.Check(), curveErr)
			}
			switch v.Outcome + " " + v.Why {
			case "ok ":
				goodKey(t, v, p)
			case "bad_key form":
				if !errors.Is(p.Check(), keys.ErrKeyForm) {
					t.Errorf("Check: %v", p.Check())
				}
			case "bad_key order":
				if !errors.Is(p.Check(), keys.ErrKeyOrder) {
					t.Errorf("Check: %v", p.Check())
				}
			default:
				t.Errorf("unknown outcome %q", v.Outcome)
			}
		})
	}
}

func goodKey(t *testing.T, v vectors.Key, p keys.Public) {
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	private, err := keys.PeerPrivateFromSeed(v.Seed)
	if err != nil {
		t.Fatal(err)
	}
	if private.Public() != p {
		t.Errorf("public key is %s", private.Public())
	}
	if p.String() != v.Text {
		t.Errorf("text is %s", p)
	}
	secret, err := private.Curve()
	if err != nil {
		t.Fatal(err)
	}
	curve, err := p.Curve()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(secret.Bytes(), v.X25519Private) || !bytes.Equal(curve.Bytes(), v.X25519Public) {
		t.Errorf("converted keys differ")
	}
	if !secret.PublicKey().Equal(curve) {
		t.Error("converted keys do not belong together")
	}
}

func TestVectorsSignatures(t *testing.T) {
	list, err := vectors.Signatures()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		t.Run(v.Name, func(t *testing.T) {
			err := public(t, v.Key).Verify([]byte(v.Domain+"\x00"+string(v.Bytes)), v.Sig)
			switch v.Outcome {
			case "ok":
				if err != nil {
					t.Error(err)
				}
			case "bad_signature":
				if !errors.Is(err, keys.ErrSignature) {
					t.Errorf("got %v", err)
				}
			case "bad_key":
				if !errors.Is(err, keys.ErrKeyForm) && !errors.Is(err, keys.ErrKeyOrder) {
					t.Errorf("got %v", err)
				}
			default:
				t.Errorf("unknown outcome %q", v.Outcome)
			}
		})
	}
}

func TestVectorsNumbers(t *testing.T) {
	v, err := vectors.People()
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Safety)*len(v.Admit)*len(v.MessageIDs)*len(v.MeshIDs)*len(v.Fingerprints)*len(v.Invites) == 0 {
		t.Fatal("a list is empty")
	}
	publics := func(list []vectors.Bytes) (out []keys.Public) {
		for _, key := range list {
			out = append(out, public(t, key))
		}
		return out
	}
	for _, s := range v.Safety {
		a, b := publics(s.A), publics(s.B)
		before := slices.Clone(a)
		if got := keys.SafetyNumber(keys.MeshID(s.Mesh), a, b); got != s.Number {
			t.Errorf("%s: %s, not %s", s.Name, got, s.Number)
		}
		if !slices.Equal(a, before) {
			t.Errorf("%s: the caller's list was sorted", s.Name)
		}
	}
	for _, a := range v.Admit {
		if got := keys.AdmitNumber(keys.MeshID(a.Mesh), public(t, a.Key)); got != a.Number {
			t.Errorf("admit number %s, not %s", got, a.Number)
		}
	}
	for _, m := range v.MessageIDs {
		id, err := keys.NewMessageID(m.Ms, bytes.NewReader(m.Random))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(id[:], m.ID) || id.String() != m.Text || id.Tail(4) != m.Tail4 || id.Time() != m.Ms {
			t.Errorf("id %x is %s, %s, made at %d", id[:], id, id.Tail(4), id.Time())
		}
		back, err := keys.ParseMessageID(m.Text)
		if err != nil || back != id {
			t.Errorf("%s reads as %s: %v", m.Text, back, err)
		}
	}
	for _, m := range v.MeshIDs {
		id, err := keys.ParseMeshID(m.Text)
		if err != nil || !bytes.Equal(id[:], m.ID) || id.String() != m.Text {
			t.Errorf("%s reads as %s: %v", m.Text, id, err)
		}
	}
	for _, f := range v.Fingerprints {
		got := public(t, f.Key).Fingerprint()
		if !bytes.Equal(got[:], f.Fingerprint) || got.String() != f.Text {
			t.Errorf("fingerprint %s, not %s", got, f.Text)
		}
	}
	for _, i := range v.Invites {
		if got := keys.InviteName(public(t, i.Key), i.N); got != i.Text {
			t.Errorf("invite %s, not %s", got, i.Text)
		}
	}
}

func TestTailAndNameStayInBounds(t *testing.T) {
	var id keys.MessageID
	for _, n := range []int{-1, 0, 3, 4, 26, 27, 1000} {
		want := len("m-") + min(max(n, 4), 26)
		if got := len(id.Tail(n)); got != want {
			t.Errorf("Tail(%d) has %d characters", n, got)
		}
		want = len("i-") + min(max(n, 4), 52)
		if got := len(keys.InviteName(keys.Public{}, n)); got != want {
			t.Errorf("InviteName(%d) has %d characters", n, got)
		}
	}
}

func TestMessageIDTimes(t *testing.T) {
	for _, ms := range []int64{-1, 1 << 48, 1 << 62} {
		if _, err := keys.NewMessageID(ms, rand.Reader); err == nil {
			t.Errorf("%d was taken", ms)
		}
	}
	early, err1 := keys.NewMessageID(1000, rand.Reader)
	late, err2 := keys.NewMessageID(1001, rand.Reader)
	if err1 != nil || err2 != nil || early.String() >= late.String() {
		t.Errorf("%s is not before %s", early, late)
	}
}

// text is a type with a wire form.
type text interface {
	encoding.TextMarshaler
	IsZero() bool
}

func TestWireForms(t *testing.T) {
	key := newPeer(t).Public()
	session, err := keys.NewSessionID(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	message, err := keys.NewMessageID(1_764_000_000_000, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		value text
		into  func() (encoding.TextUnmarshaler, func() text)
	}{
		{"public", key, func() (encoding.TextUnmarshaler, func() text) {
			var v keys.Public
			return &v, func() text { return v }
		}},
		{"mesh", keys.MeshID(key[:16]), func() (encoding.TextUnmarshaler, func() text) {
			var v keys.MeshID
			return &v, func() text { return v }
		}},
		{"session", session, func() (encoding.TextUnmarshaler, func() text) {
			var v keys.SessionID
			return &v, func() text { return v }
		}},
		{"message", message, func() (encoding.TextUnmarshaler, func() text) {
			var v keys.MessageID
			return &v, func() text { return v }
		}},
		{"fingerprint", key.Fingerprint(), func() (encoding.TextUnmarshaler, func() text) {
			var v keys.Fingerprint
			return &v, func() text { return v }
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire, err := c.value.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			into, value := c.into()
			if err := into.UnmarshalText(wire); err != nil || value() != c.value {
				t.Fatalf("%s reads as %v: %v", wire, value(), err)
			}
			if value().IsZero() {
				t.Error("is zero")
			}
			for _, bad := range []string{
				"", "A", string(wire[1:]), string(wire) + "A", string(wire) + "=",
				"+" + string(wire[1:]), "/" + string(wire[1:]), "\n" + string(wire[1:]),
				string(wire[:len(wire)-1]) + "\n", string(wire[:len(wire)-1]) + "\r",
				string(wire[:len(wire)-1]) + "_", // bits after the end
			} {
				into, value := c.into()
				if err := into.UnmarshalText([]byte(bad)); !errors.Is(err, keys.ErrText) {
					t.Errorf("%q: %v", bad, err)
				}
				if !value().IsZero() {
					t.Errorf("%q left something behind", bad)
				}
			}
		})
	}
}

func TestHumanForms(t *testing.T) {
	key := newPeer(t).Public()
	if got, err := keys.ParsePublic(key.String()); err != nil || got != key {
		t.Errorf("%s: %v", key, err)
	}
	if got, err := keys.ParsePublic(strings.ToUpper(key.String())); err != nil || got != key {
		t.Errorf("upper case: %v", err)
	}
	full := key.String()
	for _, bad := range []string{
		"", "key-", full[4:], full[:len(full)-1], full + "a", "key-" + strings.Repeat("1", 52),
		"key-" + strings.Repeat("a", 51) + "b", // bits after the end
		full[:20] + "\n" + full[21:], full[:20] + "\u017f" + full[22:],
		// The Kelvin sign, which strings.ToLower takes for a K.
		"key-" + strings.Repeat("a", 49) + "\u212aaa",
	} {
		if _, err := keys.ParsePublic(bad); !errors.Is(err, keys.ErrText) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "m-", "m-8" + strings.Repeat("a", 25), "m-" + strings.Repeat("7", 26), "m-" + strings.Repeat("a", 27)} {
		if _, err := keys.ParseMessageID(bad); !errors.Is(err, keys.ErrText) {
			t.Errorf("message %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("a", 25), strings.Repeat("a", 25) + "b", strings.Repeat("a", 24) + "\n\n"} {
		if _, err := keys.ParseMeshID(bad); !errors.Is(err, keys.ErrText) {
			t.Errorf("mesh %q: %v", bad, err)
		}
	}
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{
		"alice": "alice", "Alice": "alice", "7": "7", "web-shop_2.0": "web-shop_2.0",
		strings.Repeat("x", 32): strings.Repeat("x", 32),
	} {
		got, err := keys.Slug(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		if !keys.IsSlug(want) || keys.IsSlug(in) != (in == want) {
			t.Errorf("IsSlug is wrong about %q", in)
		}
	}
	for _, in := range []string{
		"", "-a", ".a", "_a", "a b", "a/b", "a@b", "a:b", "é", "\u212aey", "a\x00", strings.Repeat("x", 33),
	} {
		if _, err := keys.Slug(in); !errors.Is(err, keys.ErrSlug) {
			t.Errorf("%q: %v", in, err)
		}
		if keys.IsSlug(in) {
			t.Errorf("%q is a slug", in)
		}
	}
}

// FuzzText tests that every text that is taken is the one text of its value.
func FuzzText(f *testing.F) {
	v, err := vectors.People()
	if err != nil {
		f.Fatal(err)
	}
	list, err := vectors.Keys()
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range v.MessageIDs {
		f.Add(m.Text)
	}
	for _, m := range v.MeshIDs {
		f.Add(m.Text)
	}
	for _, k := range list {
		wire, err := k.Ed25519.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(k.Text)
		f.Add(string(wire))
	}
	ascii := func(text string) string {
		return strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if key, err := keys.ParsePublic(text); err == nil && key.String() != ascii(text) {
			t.Errorf("key %s", key)
		}
		if id, err := keys.ParseMessageID(text); err == nil && id.String() != ascii(text) {
			t.Errorf("message %s", id)
		}
		if id, err := keys.ParseMeshID(text); err == nil && id.String() != ascii(text) {
			t.Errorf("mesh %s", id)
		}
		if key, err := keys.ParsePeerPrivate(text); err == nil && key.Export() != ascii(text) {
			t.Error("private key")
		}
		var key keys.Public
		if err := key.UnmarshalText([]byte(text)); err == nil {
			if wire, err := key.MarshalText(); err != nil || string(wire) != text {
				t.Errorf("wire form %s: %v", wire, err)
			}
		}
		if slug, err := keys.Slug(text); err == nil && (slug != ascii(text) || !keys.IsSlug(slug)) {
			t.Errorf("slug %s", slug)
		}
	})
}

// BenchmarkCurve is the check of a key, which Check remembers, and its conversion.
func BenchmarkCurve(b *testing.B) {
	key := newPeer(b).Public()
	for b.Loop() {
		if _, err := key.Curve(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	key := newPeer(b)
	message := bytes.Repeat([]byte("x"), 300)
	sig := key.Sign(message)
	for b.Loop() {
		if err := key.Public().Verify(message, sig); err != nil {
			b.Fatal(err)
		}
	}
}

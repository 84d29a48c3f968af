package chain

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/signed"
)

// seeds reads the vectors of a file. A fuzz target without seeds proves nothing, so
// none is an error.
func seeds[V any](f *testing.F, name string) []V {
	f.Helper()
	data, err := os.ReadFile("../vectors/chain/" + name)
	if err != nil {
		f.Fatal(err)
	}
	var file struct{ Vectors []V }
	if err := json.Unmarshal(data, &file); err != nil {
		f.Fatal(err)
	}
	if len(file.Vectors) == 0 {
		f.Fatalf("%s has no seeds", name)
	}
	return file.Vectors
}

type seed struct {
	Object signed.Object
	Link   string
}

// carried checks that a signed object comes through a frame as it is.
func carried(t *testing.T, o signed.Object) {
	t.Helper()
	if len(o.Bytes) == 0 || len(o.Sig) == 0 || len(o.Sig)%signed.SignatureSize != 0 {
		return
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	var again signed.Object
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes, o.Bytes) || !bytes.Equal(again.Sig, o.Sig) {
		t.Fatal("the object changed on its way")
	}
}

func FuzzEntry(f *testing.F) {
	for _, s := range seeds[seed](f, "entries.json") {
		f.Add(s.Object.Bytes, s.Object.Sig)
	}
	f.Fuzz(func(t *testing.T, data, sig []byte) {
		o := signed.Object{Bytes: data, Sig: sig}
		carried(t, o)
		verified, verr := Read(o)
		if verr != nil && !errors.Is(verr, ErrBroken) {
			t.Fatalf("an error that wraps nothing known: %v", verr)
		}
		e, err := readUnverified(o)
		if err != nil {
			if verr == nil {
				t.Fatalf("verified what does not read: %v", err)
			}
			return
		}
		if !bytes.Equal(e.Bytes, data) || e.Hash != HashOf(data) {
			t.Fatal("not the bytes that were read")
		}
		if verr == nil && !reflect.DeepEqual(verified.Entry, e.Entry) {
			t.Fatal("verifying changes what it says")
		}
		if (e.Void == nil) != (e.Entry.Body != nil) {
			t.Fatalf("void %v with body %v", e.Void, e.Entry.Body)
		}
		if e.Void != nil {
			return
		}
		encoded, err := encode(e.Entry)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := readUnverified(signed.Object{Bytes: encoded, Sig: sig})
		if err != nil || again.Void != nil || !reflect.DeepEqual(again.Entry, e.Entry) {
			t.Fatalf("written and read it says something else: %v %v", err, again.Void)
		}
	})
}

func FuzzHead(f *testing.F) {
	for _, s := range seeds[seed](f, "heads.json") {
		f.Add(s.Object.Bytes, s.Object.Sig)
	}
	f.Fuzz(func(t *testing.T, data, sig []byte) {
		o := signed.Object{Bytes: data, Sig: sig}
		carried(t, o)
		h, err := DecodeHead(o)
		if err != nil {
			if !errors.Is(err, ErrBroken) {
				t.Fatalf("an error that wraps nothing known: %v", err)
			}
			return
		}
		encoded, err := signed.Encode(h.Head)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeHead(signed.Object{Bytes: encoded, Sig: sig})
		if err != nil || again.Head != h.Head {
			t.Fatalf("written and read it says something else: %v", err)
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range seeds[seed](f, "links.json") {
		f.Add(s.Link)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLink(text)
		if err != nil {
			if !errors.Is(err, ErrLink) {
				t.Fatalf("an error that wraps nothing known: %v", err)
			}
			return
		}
		if err := l.Check(); err != nil {
			t.Fatalf("read, but not to be given out: %v", err)
		}
		forms := []string{l.Text()}
		if app := l.App(); app != "" {
			forms = append(forms, app)
		}
		for _, form := range forms {
			again, err := ParseLink(form)
			if err != nil || again.URL != l.URL || again.Mesh != l.Mesh || again.Broker != l.Broker || !again.Key.Equal(l.Key) {
				t.Fatalf("written and read it is another link: %v", err)
			}
		}
		if strings.Contains(l.String(), l.fragment()) {
			t.Fatal("the secret prints")
		}
	})
}

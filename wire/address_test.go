package wire_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/wire"
)

// addressVector is one address of testdata/vectors/addresses.json.
type addressVector struct {
	Text      string
	Kind      string
	Canonical string
	Refused   string // the reason
}

func readAddresses(t testing.TB) []addressVector {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors/addresses.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []addressVector
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("no addresses: a test without cases proves nothing")
	}
	return list
}

func TestParseAddress(t *testing.T) {
	kinds := map[string]wire.AddressKind{
		"user": wire.AddressUser, "label": wire.AddressLabel, "tag": wire.AddressTag,
		"channel": wire.AddressChannel, "all": wire.AddressAll, "key": wire.AddressKey,
	}
	for _, v := range readAddresses(t) {
		t.Run(v.Text, func(t *testing.T) {
			a, err := wire.ParseAddress(v.Text)
			if v.Refused != "" {
				var bad *wire.AddressError
				if !errors.As(err, &bad) || bad.Reason != v.Refused {
					t.Fatalf("got %+v, %v\nwant %s", a, err, v.Refused)
				}
				return
			}
			if err != nil || a.Kind != kinds[v.Kind] || a.String() != v.Canonical {
				t.Fatalf("got %+v (%s), %v", a, a, err)
			}
		})
	}
}

func TestParseAddressParts(t *testing.T) {
	a, err := wire.ParseAddress("Acme:Alice@Laptop/Web")
	want := wire.Address{Mesh: "acme", Kind: wire.AddressUser, User: "alice", Device: "laptop", Label: "web"}
	if err != nil || a != want {
		t.Fatalf("got %+v, %v", a, err)
	}
}

func TestAddressErrorQuotesLittle(t *testing.T) {
	_, err := wire.ParseAddress(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 400 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
}

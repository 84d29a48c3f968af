package wire_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/vectors"
	"github.com/claudemesh/claudemesh-go/wire"
)

func readAddresses(t testing.TB) []vectors.Address {
	t.Helper()
	list, err := vectors.Addresses()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// named gives what a vector says that an address names.
func named(v vectors.Address) wire.Address {
	a := wire.Address{Mesh: v.Mesh, User: v.User, Device: v.Device, Label: v.Label, Key: v.Key, Name: v.Tag + v.Channel}
	switch {
	case v.User != "":
		a.Kind = wire.AddressUser
	case v.Label != "":
		a.Kind = wire.AddressLabel
	case v.Tag != "":
		a.Kind = wire.AddressTag
	case v.Channel != "":
		a.Kind = wire.AddressChannel
	case v.Key != "":
		a.Kind = wire.AddressKey
	case v.All:
		a.Kind = wire.AddressAll
	}
	return a
}

func TestParseAddress(t *testing.T) {
	for _, v := range readAddresses(t) {
		t.Run(v.Text, func(t *testing.T) {
			a, err := wire.ParseAddress(v.Text)
			if v.Outcome != "ok" {
				if bad := new(wire.AddressError); !errors.As(err, &bad) || bad.Reason == "" {
					t.Fatalf("got %+v, %v", a, err)
				}
				return
			}
			if err != nil || a != named(v) || a.String() != v.Canonical {
				t.Fatalf("got %+v (%s), %v\nwant %+v", a, a, err, named(v))
			}
		})
	}
}

// Whoever types a wrong address is told what is wrong with it.
func TestAddressErrorsSayWhy(t *testing.T) {
	const name = " is no name: 1 to 32 of a-z, 0-9, '.', '_' and '-', the first a letter or digit"
	for text, want := range map[string]string{
		"":                               `nobody is named; write a name, as in "alice"`,
		"acme:":                          `nobody is named; write a name, as in "alice"`,
		":alice":                         `before the colon stands the mesh's name here, as in "acme:alice"`,
		"a:b:c":                          `the user "b:c"` + name,
		"**":                             "* means everyone and stands alone",
		"*@backend":                      "* means everyone and stands alone",
		"@":                              "the tag has no name",
		"#":                              "the channel has no name",
		"/":                              "the session's label has no name",
		"alice@":                         "the device has no name",
		"alice/a/b":                      `the session's label "a/b"` + name,
		"alice@a@b":                      `the device "a@b"` + name,
		"@backend/web":                   `the tag "backend/web"` + name,
		"älice":                          `the user "\u00e4lice"` + name,
		"\x1b[31m":                       `the user "\x1b[31m"` + name,
		"key-abcdefg":                    `at least 8 characters of a key are needed after "key-"`,
		"key-abcdefg1":                   `after "key-" come only the letters a to z and the digits 2 to 7`,
		"key-abcdefgh/web":               `after "key-" come only the letters a to z and the digits 2 to 7`,
		"key-" + strings.Repeat("a", 53): `a key has 52 characters after "key-"`,
	} {
		bad := new(wire.AddressError)
		if _, err := wire.ParseAddress(text); !errors.As(err, &bad) || bad.Reason != want {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
}

func TestAddressErrorQuotesLittle(t *testing.T) {
	_, err := wire.ParseAddress(strings.Repeat("x", 1<<20))
	if err == nil || len(err.Error()) > 400 {
		t.Fatalf("an error of %d bytes", len(err.Error()))
	}
}

package roster_test

import (
	"fmt"
	"testing"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/signed"
)

// forge signs an entry that chain.Make would not: any type, any fields.
func forge(t testing.TB, s *story, by, kind, fields string) chain.Signed {
	t.Helper()
	o := forgeObject(s.state.Draft(s.now, public(by), nil), secret(by), kind, fields)
	e, err := chain.Read(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func forgeObject(e chain.Entry, signer keys.Signer, kind, fields string) signed.Object {
	bytes := fmt.Sprintf(`{"mesh":"%s","n":%d,"prev":"%s","type":"%s","by":"%s","time":%d`,
		text(e.Mesh), e.N, text(e.Prev), kind, text(signer.Public()), e.Time)
	if fields != "" {
		bytes += "," + fields
	}
	return signed.Sign(signed.DomainEntry, []byte(bytes+"}"), signer)
}

// text is the wire form of a value.
func text(v interface{ MarshalText() ([]byte, error) }) string {
	b, err := v.MarshalText()
	if err != nil {
		panic(err)
	}
	return string(b)
}

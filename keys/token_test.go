package keys

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestCreateToken(t *testing.T) {
	broker, err := BrokerPrivateFromSeed(bytes.Repeat([]byte{7}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	token, err := NewCreateToken(broker.Public(), bytes.NewReader(bytes.Repeat([]byte{9}, 16)))
	if err != nil {
		t.Fatal(err)
	}
	text := token.Export()
	if len(text) != 3+52 || !strings.HasPrefix(text, "ct-") {
		t.Fatalf("text has %d characters", len(text))
	}
	read, err := ParseCreateToken(text)
	if err != nil || !read.Equal(token) || read.Broker() != broker.Public().Fingerprint() || read.Hash() != token.Hash() {
		t.Fatalf("read back: %v", err)
	}
	asJSON, err := json.Marshal(map[string]any{"t": token})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %x", token, token, token, token, token),
		fmt.Sprintf("%+v", struct{ t CreateToken }{token}), string(asJSON)} {
		if strings.Contains(printed, text[3+26:]) || strings.Contains(printed, "9 9 9") || strings.Contains(printed, "0909") {
			t.Errorf("secret printed: %s", printed)
		}
	}
	for _, bad := range []string{"", "ct-", text[3:], text + "a", text[:len(text)-1] + "1", "ct-" + strings.Repeat("z", 52)} {
		if _, err := ParseCreateToken(bad); !errors.Is(err, ErrText) {
			t.Errorf("%d characters taken: %v", len(bad), err)
		} else if len(bad) > 10 && strings.Contains(err.Error(), bad) {
			t.Error("error repeats the token")
		}
	}
	if (CreateToken{}).Equal(CreateToken{}) || (CreateToken{}).Export() != "" {
		t.Error("no token equals no token")
	}
}

func TestFingerprint(t *testing.T) {
	if !(Public{}).Fingerprint().IsZero() {
		t.Error("no key has a fingerprint")
	}
	a, b := Public{1}.Fingerprint(), Public{2}.Fingerprint()
	if a == b || a.IsZero() {
		t.Error("fingerprints do not tell keys apart")
	}
	text, err := a.MarshalText()
	var read Fingerprint
	if err != nil || read.UnmarshalText(text) != nil || read != a {
		t.Errorf("%s does not read back", text)
	}
}

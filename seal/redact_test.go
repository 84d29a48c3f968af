package seal_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/seal"
)

// TestKeysPrintRedacted prints what holds symmetric keys in every way, in every
// holder, also where its methods cannot be called.
func TestKeysPrintRedacted(t *testing.T) {
	alice, bob := newPeer(t), newPeer(t)
	pair := newPair(t, alice, bob.Public())
	clear(pair.Key()[:])
	for i := range pair.Key() {
		pair.Key()[i] = 0xa7
	}
	content, err := seal.NewContent(bytes.NewReader(append(bytes.Repeat([]byte{0xa7}, 32), make([]byte, 24)...)), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if box, err := content.Box(rand.Reader, pair); err != nil || len(box) == 0 {
		t.Fatal(err)
	}
	type hiddenPair struct{ p *seal.Pair }
	type hiddenContent struct{ c *seal.Content }
	type hiddenAny struct{ v any }
	for name, v := range map[string]any{
		"pair": pair, "*pair": *pair, "field": struct{ P *seal.Pair }{pair}, "hidden": hiddenPair{pair}, "&hidden": &hiddenPair{pair},
		"slice": []*seal.Pair{pair}, "values": []seal.Pair{*pair}, "map": map[string]*seal.Pair{"p": pair}, "any": hiddenAny{pair},
		"*any": hiddenAny{*pair}, "&any": &hiddenAny{&pair},
		"content": content, "*content": *content, "content field": struct{ C *seal.Content }{content}, "hidden content": hiddenContent{content},
		"&hidden content": &hiddenContent{content}, "any content": hiddenAny{content}, "*any content": hiddenAny{*content},
	} {
		var outputs []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%t"} {
			outputs = append(outputs, fmt.Sprintf(verb, v))
		}
		if data, err := json.Marshal(v); err == nil {
			outputs = append(outputs, string(data))
		}
		var buffer bytes.Buffer
		slog.New(slog.NewTextHandler(&buffer, nil)).Info("text", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewJSONHandler(&buffer, nil)).Info("json", "v", v, slog.Group("g", "v", v))
		outputs = append(outputs, buffer.String())
		key := pair.Key()[:]
		for _, output := range outputs {
			for _, leak := range []string{"167 167", "167,167", "0xa7, 0xa7", `\xa7\xa7`, "a7 a7", string(key[:4]), `\ufffd\ufffd\ufffd\ufffd`,
				hex.EncodeToString(key[:4]), strings.ToUpper(hex.EncodeToString(key[:4])), base64.StdEncoding.EncodeToString(key[:6])} {
				if strings.Contains(output, leak) {
					t.Errorf("%s leaks: %s", name, output)
				}
			}
		}
	}
	if s := pair.String(); !strings.Contains(s, bob.Public().String()) || !strings.Contains(s, "REDACTED") {
		t.Errorf("prints as %s", s)
	}
	var none *seal.Pair
	var empty *seal.Content
	if fmt.Sprint(none, empty) == "" {
		t.Error("nil prints nothing")
	}
}

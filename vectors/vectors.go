// Package vectors holds golden vectors as JSON files: inputs, and the class of
// outcome that every peer must come to, whatever it is written in. libsodium made
// them (generate/), so that they prove compatibility with it; the Go code never wrote
// one of them. This package only reads the files, for tests.
//
// Binary values are unpadded base64url. The outcomes: ok; wrong_key (does not open);
// bad_key (a key that is refused); bad_signature; malformed; unknown_kind; and, for
// what opens but contradicts its frame: sender, mesh, audience, id, class, stranger.
// Of frames also too_large and unknown_type, of a config future and broken.
package vectors

import (
	"bytes"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

//go:embed *.json client/*.json
var files embed.FS

// Bytes are bytes whose JSON form is unpadded base64url.
type Bytes []byte

// MarshalText gives the JSON form.
func (b Bytes) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads the JSON form.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	return err
}

// Key is a vector of keys.json.
type Key struct {
	Name    string `json:"name"`
	Seed    Bytes  `json:"seed"`
	Ed25519 Bytes  `json:"ed25519"`
	// X25519Private and X25519Public are the converted keys.
	X25519Private Bytes  `json:"x25519_private"`
	X25519Public  Bytes  `json:"x25519_public"`
	Text          string `json:"text"`
	// Why is "form" or "order" for a key that is refused.
	Why               string `json:"why"`
	Outcome           string `json:"outcome"`
	LibsodiumConverts bool   `json:"libsodium_converts"`
}

// Signature is a vector of signatures.json.
type Signature struct {
	Name             string `json:"name"`
	Note             string `json:"note"`
	Domain           string `json:"domain"`
	Bytes            Bytes  `json:"bytes"`
	Key              Bytes  `json:"key"`
	Sig              Bytes  `json:"sig"`
	Outcome          string `json:"outcome"`
	LibsodiumAccepts bool   `json:"libsodium_accepts"`
}

// Numbers is the content of numbers.json: texts for people.
type Numbers struct {
	Safety []struct {
		Name   string  `json:"name"`
		Mesh   Bytes   `json:"mesh"`
		A      []Bytes `json:"a"`
		B      []Bytes `json:"b"`
		Number string  `json:"number"`
	} `json:"safety"`
	Admit []struct {
		Mesh   Bytes  `json:"mesh"`
		Key    Bytes  `json:"key"`
		Number string `json:"number"`
	} `json:"admit"`
	MessageIDs []struct {
		Ms     int64  `json:"ms"`
		Random Bytes  `json:"random"`
		ID     Bytes  `json:"id"`
		Text   string `json:"text"`
		Tail4  string `json:"tail4"`
	} `json:"message_ids"`
	MeshIDs []struct {
		ID   Bytes  `json:"id"`
		Text string `json:"text"`
	} `json:"mesh_ids"`
	Fingerprints []struct {
		Key         Bytes  `json:"key"`
		Fingerprint Bytes  `json:"fingerprint"`
		Text        string `json:"text"`
	} `json:"fingerprints"`
	Invites []struct {
		Key  Bytes  `json:"key"`
		N    int    `json:"n"`
		Text string `json:"text"`
	} `json:"invites"`
}

// Box is a vector of box.json made by crypto_box_easy.
type Box struct {
	Name    string `json:"name"`
	Private Bytes  `json:"private"`
	Public  Bytes  `json:"public"`
	Nonce   Bytes  `json:"nonce"`
	Shared  Bytes  `json:"shared"`
	Plain   Bytes  `json:"plain"`
	Box     Bytes  `json:"box"`
}

// Secretbox is a vector of box.json made by crypto_secretbox_easy.
type Secretbox struct {
	Name   string `json:"name"`
	Key    Bytes  `json:"key"`
	Nonce  Bytes  `json:"nonce"`
	Plain  Bytes  `json:"plain"`
	Commit Bytes  `json:"commit"`
	Box    Bytes  `json:"box"`
}

// Sealed is a vector of direct.json or group.json.
type Sealed struct {
	Name string `json:"name"`
	// OwnSeed is the seed of who opens, and Sender the key that it opens as from.
	OwnSeed Bytes `json:"own_seed"`
	Sender  Bytes `json:"sender"`
	// Mesh, ID, Receipt and Stranger are what the recipient knows before.
	Mesh     Bytes `json:"mesh"`
	ID       Bytes `json:"id"`
	Receipt  bool  `json:"receipt"`
	Stranger bool  `json:"stranger"`
	Box      Bytes `json:"box"`
	// Sealed is there in group.json only.
	Sealed  Bytes  `json:"sealed"`
	Message Bytes  `json:"message"`
	Outcome string `json:"outcome"`
}

// JSON is a vector of json.json.
type JSON struct {
	Name   string `json:"name"`
	JSON   Bytes  `json:"json"`
	Text   string `json:"text"`
	Strict string `json:"strict"`
	Open   string `json:"open"`
}

// Message is a vector of message.json.
type Message struct {
	Name    string `json:"name"`
	Message Bytes  `json:"message"`
	Outcome string `json:"outcome"`
}

// Frame is a vector of frames.json.
type Frame struct {
	Name string `json:"name"`
	// Object is what stands in front of the payload, to read.
	Object string `json:"object"`
	Binary bool   `json:"binary"`
	// Message is the whole WebSocket message.
	Message Bytes  `json:"message"`
	Outcome string `json:"outcome"`
}

// Body is a vector of hellos.json, welcomes.json or cards.json: what one of them signs.
type Body struct {
	Name string `json:"name"`
	// Text is the signed bytes again, to read.
	Text   string `json:"text"`
	Object struct {
		Signed Bytes `json:"signed"`
		Sig    Bytes `json:"sig"`
	} `json:"object"`
	// Key is who must have signed.
	Key     Bytes  `json:"key"`
	Outcome string `json:"outcome"`
}

// Address is a vector of addresses.json: what was typed, and what it names.
type Address struct {
	Text      string `json:"text"`
	Mesh      string `json:"mesh"`
	User      string `json:"user"`
	Device    string `json:"device"`
	Label     string `json:"label"`
	Tag       string `json:"tag"`
	Channel   string `json:"channel"`
	Key       string `json:"key"`
	All       bool   `json:"all"`
	Canonical string `json:"canonical"`
	Outcome   string `json:"outcome"`
}

// Config is a vector of client/config.json, which is no part of the protocol.
type Config struct {
	Name    string `json:"name"`
	Config  string `json:"config"`
	Outcome string `json:"outcome"`
}

// Keys reads keys.json.
func Keys() ([]Key, error) { return list[Key]("keys.json") }

// Signatures reads signatures.json.
func Signatures() ([]Signature, error) { return list[Signature]("signatures.json") }

// Directs reads direct.json.
func Directs() ([]Sealed, error) { return list[Sealed]("direct.json") }

// Groups reads group.json.
func Groups() ([]Sealed, error) { return list[Sealed]("group.json") }

// JSONs reads json.json.
func JSONs() ([]JSON, error) { return list[JSON]("json.json") }

// Messages reads message.json.
func Messages() ([]Message, error) { return list[Message]("message.json") }

// Frames reads frames.json.
func Frames() ([]Frame, error) { return list[Frame]("frames.json") }

// Hellos reads hellos.json.
func Hellos() ([]Body, error) { return list[Body]("hellos.json") }

// Welcomes reads welcomes.json.
func Welcomes() ([]Body, error) { return list[Body]("welcomes.json") }

// Cards reads cards.json.
func Cards() ([]Body, error) { return list[Body]("cards.json") }

// Addresses reads addresses.json.
func Addresses() ([]Address, error) { return list[Address]("addresses.json") }

// Configs reads client/config.json.
func Configs() ([]Config, error) { return list[Config]("client/config.json") }

// People reads numbers.json.
func People() (Numbers, error) {
	var file struct {
		head
		Numbers
	}
	err := read("numbers.json", &file)
	return file.Numbers, err
}

// Boxes reads box.json.
func Boxes() ([]Box, []Secretbox, error) {
	var file struct {
		head
		Box       []Box       `json:"box"`
		Secretbox []Secretbox `json:"secretbox"`
	}
	err := read("box.json", &file)
	if err == nil && len(file.Box)*len(file.Secretbox) == 0 {
		err = fmt.Errorf("vectors: box.json has no vectors")
	}
	return file.Box, file.Secretbox, err
}

// head is what every file starts with.
type head struct {
	About  string `json:"about"`
	MadeBy string `json:"made_by"`
}

// list reads a file that has one list. A file without vectors is an error: a test
// over it would prove nothing.
func list[V any](name string) ([]V, error) {
	var file struct {
		head
		Vectors []V `json:"vectors"`
	}
	if err := read(name, &file); err != nil {
		return nil, err
	}
	if len(file.Vectors) == 0 {
		return nil, fmt.Errorf("vectors: %s has no vectors", name)
	}
	return file.Vectors, nil
}

// read reads a file; a name that its type does not have is an error.
func read(name string, into any) error {
	data, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("vectors: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("vectors: %s: %w", name, err)
	}
	return nil
}

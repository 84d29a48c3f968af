package chain

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
)

const (
	// LinkPath is the path of an invite link on its host.
	LinkPath = "/i"
	// linkScheme begins a link for programs, which carries no https URL that a
	// browser would try.
	linkScheme = "claudemesh://join/"
	// linkVersion is the first byte of a link's secret part.
	linkVersion = 1
	// linkSize is version, mesh, fingerprint of the broker's key, seed.
	linkSize = 1 + 16 + 16 + keys.SeedSize
)

var (
	// ErrLink is wrapped by every error of [ParseLink]. The text itself is never
	// part of the error, since it is a secret.
	ErrLink = errors.New("chain: not an invite link")
	// ErrLinkVersion is returned for the link of a later version: update
	// claudemesh. It wraps ErrLink.
	ErrLinkVersion = fmt.Errorf("%w: of a later version", ErrLink)
	// ErrLinkCut is returned for a link of which a part is missing: copy the whole
	// line. It wraps ErrLink.
	ErrLinkCut = fmt.Errorf("%w: a part of it is missing", ErrLink)
	// ErrLinkPlain is returned for a link that dials without TLS and not this very
	// machine. It wraps ErrLink.
	ErrLinkPlain = fmt.Errorf("%w: http:// is for this machine alone", ErrLink)
)

// Link is an invite link: whoever has it can join while the invite is open. It
// prints redacted; [Link.Text] and [Link.App] give it in full. [CM-9.1]
type Link struct {
	// URL is where to dial: https://HOST[:PORT], or http:// of this very machine.
	URL string
	// Mesh pins the chain's first entry.
	Mesh keys.MeshID
	// Broker pins the broker's key.
	Broker keys.Fingerprint
	// Key is the invite key, the secret.
	Key keys.InvitePrivate
}

// ParseLink reads a link in one of the forms
//
//	https://HOST[:PORT]/i#FRAGMENT
//	http://HOST[:PORT]/i#FRAGMENT        (HOST is this very machine)
//	claudemesh://join/HOST[:PORT]#FRAGMENT
//
// White space anywhere is taken out first, since terminals and mails break lines.
// FRAGMENT is base64url of version (1), mesh id (16), broker's fingerprint (16) and
// invite seed (32 bytes). Errors wrap [ErrLink] and never repeat the text. [CM-9.1, CM-9.2, CM-9.3]
func ParseLink(text string) (Link, error) {
	text = strings.Join(strings.Fields(text), "")
	front, fragment, found := strings.Cut(text, "#")
	if !found || fragment == "" {
		return Link{}, ErrLinkCut
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(fragment)
	defer clear(raw)
	if err != nil {
		return Link{}, ErrLinkCut
	}
	if raw[0] > linkVersion {
		return Link{}, ErrLinkVersion
	}
	if len(raw) != linkSize || raw[0] != linkVersion {
		return Link{}, ErrLinkCut
	}
	url, err := linkURL(front)
	if err != nil {
		return Link{}, err
	}
	l := Link{URL: url, Mesh: keys.MeshID(raw[1:17]), Broker: keys.Fingerprint(raw[17:33])}
	if l.Key, err = keys.InvitePrivateFromSeed(raw[33:]); err != nil {
		return Link{}, ErrLinkCut
	}
	if l.Mesh.IsZero() || l.Broker.IsZero() {
		return Link{}, ErrLinkCut
	}
	return l, nil
}

// linkURL reads the part before the fragment: where to dial.
func linkURL(front string) (string, error) {
	lower := strings.ToLower(front)
	if host, found := strings.CutPrefix(lower, linkScheme); found {
		lower = "https://" + host + LinkPath
	}
	url, found := strings.CutSuffix(lower, LinkPath)
	if !found {
		return "", ErrLinkCut
	}
	if err := CheckURL(url); err != nil || url == URLUnix {
		return "", fmt.Errorf("%w: no host to dial", ErrLink)
	}
	if strings.HasPrefix(url, "http://") && !IsLoopback(url) {
		return "", ErrLinkPlain
	}
	return url, nil
}

// Text is the link in full, the secret with it, for the person who invites.
func (l Link) Text() string { return l.URL + LinkPath + "#" + l.fragment() }

// App is the link in full for claudemesh alone (claudemesh://join/…): for a QR code
// of a broker whose certificate no browser takes. It is empty where the link dials
// without TLS.
func (l Link) App() string {
	host, found := strings.CutPrefix(l.URL, "https://")
	if !found {
		return ""
	}
	return linkScheme + host + "#" + l.fragment()
}

func (l Link) fragment() string {
	seed := l.Key.Seed()
	defer clear(seed)
	raw := make([]byte, 0, linkSize)
	raw = append(raw, linkVersion)
	raw = append(raw, l.Mesh[:]...)
	raw = append(raw, l.Broker[:]...)
	raw = append(raw, seed...)
	defer clear(raw)
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Check tells what is wrong with a link that is to be given out.
func (l Link) Check() error {
	if _, err := linkURL(l.URL + LinkPath); err != nil {
		return err
	}
	if l.Mesh.IsZero() || l.Broker.IsZero() || l.Key.IsZero() {
		return ErrLinkCut
	}
	return nil
}

// String gives the link without its secret.
func (l Link) String() string { return l.URL + LinkPath + "#(secret)" }

// GoString gives the link without its secret.
func (l Link) GoString() string { return "chain.Link(" + l.String() + ")" }

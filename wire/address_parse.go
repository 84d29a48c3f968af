package wire

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
)

const (
	keySign      = "key-"
	keyPrefixMin = 8  // base32 characters after keySign that an address needs
	keyPrefixMax = 52 // a whole key
)

func parseAddress(text string) (Address, error) {
	var a Address
	target := text
	if mesh, rest, ok := strings.Cut(text, ":"); ok {
		slug, err := keys.Slug(mesh)
		if err != nil {
			return Address{}, addressError(text, "before the colon stands the mesh's name here, as in %q", "acme:alice")
		}
		a.Mesh, target = slug, rest
	}
	if target == "" {
		return Address{}, addressError(text, "nobody is named; write a name, as in %q", "alice")
	}
	var err error
	switch target[0] {
	case '*':
		if target != "*" {
			return Address{}, addressError(text, "* means everyone and stands alone")
		}
		a.Kind = AddressAll
	case '@':
		a.Kind = AddressTag
		a.Name, err = addressSlug(text, target[1:], "the tag")
	case '#':
		a.Kind = AddressChannel
		a.Name, err = addressSlug(text, target[1:], "the channel")
	case '/':
		a.Kind = AddressLabel
		a.Label, err = addressSlug(text, target[1:], "the session's label")
	default:
		err = parseMember(&a, text, target)
	}
	if err != nil {
		return Address{}, err
	}
	return a, nil
}

// parseMember parses user[@device][/label] and key-… .
func parseMember(a *Address, text, target string) error {
	if len(target) >= len(keySign) && strings.EqualFold(target[:len(keySign)], keySign) {
		key := strings.ToLower(target)
		digits := key[len(keySign):]
		if strings.Trim(digits, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			return addressError(text, "after %q come only the letters a to z and the digits 2 to 7", keySign)
		}
		if len(digits) < keyPrefixMin {
			return addressError(text, "at least %d characters of a key are needed after %q", keyPrefixMin, keySign)
		}
		if len(digits) > keyPrefixMax {
			return addressError(text, "a key has %d characters after %q", keyPrefixMax, keySign)
		}
		a.Kind, a.Key = AddressKey, key
		return nil
	}
	a.Kind = AddressUser
	member, label, hasLabel := strings.Cut(target, "/")
	user, device, hasDevice := strings.Cut(member, "@")
	var err error
	if a.User, err = addressSlug(text, user, "the user"); err != nil {
		return err
	}
	if hasDevice {
		if a.Device, err = addressSlug(text, device, "the device"); err != nil {
			return err
		}
	}
	if hasLabel {
		if a.Label, err = addressSlug(text, label, "the session's label"); err != nil {
			return err
		}
	}
	return nil
}

func addressSlug(text, part, what string) (string, error) {
	if part == "" {
		return "", addressError(text, "%s has no name", what)
	}
	slug, err := keys.Slug(part)
	if err != nil {
		return "", addressError(text, "%s %s is no name: 1 to 32 of a-z, 0-9, '.', '_' and '-', the first a letter or digit", what, quoteShort(part))
	}
	return slug, nil
}

func addressError(text, format string, args ...any) error {
	return &AddressError{Text: quoteShort(text), Reason: fmt.Sprintf(format, args...)}
}

// quoteShort quotes at most 80 bytes, so that nothing typed or received can
// steer a terminal by way of an error.
func quoteShort(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToASCII(s[:80]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

// String gives the address in its canonical form, which ParseAddress reads
// back to the same Address.
func (a Address) String() string {
	s := ""
	if a.Mesh != "" {
		s = a.Mesh + ":"
	}
	switch a.Kind {
	case AddressLabel:
		return s + "/" + a.Label
	case AddressTag:
		return s + "@" + a.Name
	case AddressChannel:
		return s + "#" + a.Name
	case AddressAll:
		return s + "*"
	case AddressKey:
		return s + a.Key
	case AddressUser:
		s += a.User
		if a.Device != "" {
			s += "@" + a.Device
		}
		if a.Label != "" {
			s += "/" + a.Label
		}
	}
	return s
}

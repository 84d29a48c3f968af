package keys

import (
	"errors"
	"fmt"
)

// MaxSlug is how many characters a slug has at most.
const MaxSlug = 32

// ErrSlug is returned for a name that is no slug.
var ErrSlug = errors.New("keys: a name has 1 to 32 of a-z, 0-9, '.', '_', '-', and starts with a letter or digit")

// Slug lowers the ASCII letters of a name (user, device, label, tag, channel, mesh
// alias) and checks it: [a-z0-9][a-z0-9._-]{0,31}. No Unicode table decides who
// belongs. It fails with [ErrSlug]. [CM-2.14]
func Slug(name string) (string, error) {
	if len(name) == 0 || len(name) > MaxSlug {
		return "", fmt.Errorf("%w: it has %d", ErrSlug, len(name))
	}
	for i := range len(name) {
		if c := name[i]; !inSlug(c, i) && (c < 'A' || c > 'Z') {
			return "", fmt.Errorf("%w: not %q", ErrSlug, name)
		}
	}
	return lower(name), nil
}

// IsSlug tells whether name is a slug as it stands, in lower case.
func IsSlug(name string) bool {
	if len(name) == 0 || len(name) > MaxSlug {
		return false
	}
	for i := range len(name) {
		if !inSlug(name[i], i) {
			return false
		}
	}
	return true
}

// NumberedSlug makes the n-th variant of a slug, from 1 on: name, name-2, name-3 and so
// on, no longer than a slug may be.
func NumberedSlug(name string, n int) string {
	if n == 1 {
		return name
	}
	suffix := fmt.Sprintf("-%d", n)
	return name[:min(len(name), MaxSlug-len(suffix))] + suffix
}

// inSlug tells whether c may stand at place i of a slug.
func inSlug(c byte, i int) bool {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return true
	case c == '.', c == '_', c == '-':
		return i > 0
	}
	return false
}

package main

import (
	"os"
	"os/user"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
)

// checkName refuses what can be no name of a user or device; empty is the default one.
func checkName(flag, name string) error {
	if name == "" {
		return nil
	}
	if _, err := keys.Slug(name); err != nil {
		return usagef("%s: %q cannot be a name: 1 to 32 of a-z, 0-9, '.', '_' and '-'", flag, name)
	}
	return nil
}

// loginName is the login name as a slug, "me" where there is none.
func loginName() string {
	name := os.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	// Windows writes DOMAIN\name.
	name = name[strings.LastIndexByte(name, '\\')+1:]
	return slugOr(name, "me")
}

// slugOr turns a name into a slug ([a-z0-9][a-z0-9._-]{0,31}): whatever does not
// fit becomes a hyphen. Where nothing is left, otherwise is the name.
func slugOr(name, otherwise string) string {
	slug := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, strings.ToLower(name))
	slug = strings.TrimLeft(slug, "._-")
	if len(slug) > 32 {
		slug = slug[:32]
	}
	slug = strings.TrimRight(slug, "-")
	// "key-…" is the form of a bare key, never of a user.
	if slug == "" || strings.HasPrefix(slug, "key-") {
		return otherwise
	}
	return slug
}

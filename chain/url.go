package chain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// URLUnix is the URL of a broker that is dialled on the local machine's socket; the
// path is no business of the chain.
const URLUnix = "unix:"

// maxURL is how many bytes a URL has at most.
const maxURL = 256

// ErrURL is wrapped by errors about a broker's URL.
var ErrURL = errors.New("chain: not a broker's URL, which is https://HOST[:PORT] or http://HOST[:PORT]")

// CheckURL checks where to dial a broker: https://HOST[:PORT], http://HOST[:PORT] or
// [URLUnix]; the host in lower case, a name, an IPv4 address or an IPv6 address in
// brackets; no path, not even "/". Errors wrap [ErrURL]. URLs are hints: who answers
// there proves itself by the broker's key. [CM-5.5]
func CheckURL(text string) error {
	if text == URLUnix {
		return nil
	}
	rest, secure := strings.CutPrefix(text, "https://")
	if !secure {
		var plain bool
		if rest, plain = strings.CutPrefix(text, "http://"); !plain {
			return fmt.Errorf("%w: another scheme", ErrURL)
		}
	}
	if len(text) > maxURL {
		return fmt.Errorf("%w: longer than %d bytes", ErrURL, maxURL)
	}
	return checkHostPort(rest)
}

// checkHostPort checks HOST or HOST:PORT.
func checkHostPort(text string) error {
	host, port, hasPort := text, "", false
	allowed := hostCharacters
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return fmt.Errorf("%w: a bracket is missing", ErrURL)
		}
		host, port = text[1:end], text[end+1:]
		if port, hasPort = strings.CutPrefix(port, ":"); !hasPort && port != "" {
			return fmt.Errorf("%w: something behind the bracket", ErrURL)
		}
		allowed = ipv6Characters
	} else {
		host, port, hasPort = strings.Cut(text, ":")
	}
	if host == "" {
		return fmt.Errorf("%w: no host", ErrURL)
	}
	for _, c := range []byte(host) {
		if strings.IndexByte(allowed, c) < 0 {
			return fmt.Errorf("%w: a character that no host has", ErrURL)
		}
	}
	if hasPort {
		value, err := strconv.ParseUint(port, 10, 16)
		if err != nil || value == 0 || port != strconv.FormatUint(value, 10) {
			return fmt.Errorf("%w: no port", ErrURL)
		}
	}
	return nil
}

const (
	hostCharacters = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	ipv6Characters = "abcdef0123456789:."
)

// IsLoopback tells whether the host of a URL or a HOST:PORT is this very machine:
// localhost, 127.x.x.x or ::1. Only there may a broker be dialled without TLS.
func IsLoopback(text string) bool {
	_, rest, found := strings.Cut(text, "://")
	if !found {
		rest = text
	}
	host, _, _ := strings.Cut(rest, ":")
	if strings.HasPrefix(rest, "[") {
		return rest == "[::1]" || strings.HasPrefix(rest, "[::1]:")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	parts := strings.Split(host, ".")
	if len(parts) != 4 || parts[0] != "127" {
		return false
	}
	for _, part := range parts {
		if value, err := strconv.ParseUint(part, 10, 8); err != nil || part != strconv.FormatUint(value, 10) {
			return false
		}
	}
	return true
}

// checkURLs checks the URLs of a body.
func checkURLs(urls []string) error {
	if len(urls) == 0 || len(urls) > MaxURLs {
		return malformed("%d URLs, 1 to %d are allowed", len(urls), MaxURLs)
	}
	for i, text := range urls {
		if err := CheckURL(text); err != nil {
			return malformed("%w", err)
		}
		if slices.Contains(urls[:i], text) {
			return malformed("a URL twice")
		}
	}
	return nil
}

package peer

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
)

// pin is the broker's key as the chain or the link names it; one of both is
// set, or none where nothing is known yet. [CM-7]
type pin struct {
	key   keys.Public
	print keys.Fingerprint
}

// isZero tells whether nothing is pinned.
func (p pin) isZero() bool { return p.key.IsZero() && p.print.IsZero() }

// allows tells whether key is the pinned one. Nothing pinned allows every key.
func (p pin) allows(key keys.Public) bool {
	switch {
	case !p.key.IsZero():
		return p.key == key
	case !p.print.IsZero():
		return p.print == key.Fingerprint()
	}
	return true
}

// errOtherKey is a broker that shows a key which is not the pinned one.
var errOtherKey = errors.New("another broker's key")

// errCertificate is a certificate that neither the pin nor an authority vouches for.
var errCertificate = errors.New("certificate not valid for this name")

// config is the TLS configuration for dialling host. A self-signed TLS 1.3
// certificate of the pinned key is accepted by the pin alone; any other must be
// valid for the name by the system's authorities, and then the welcome's
// signature proves the broker's key. [CM-7]
func (p pin) config(host string) *tls.Config {
	return &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		// Verified below, by the pin or by the authorities: the standard check
		// knows only the latter.
		InsecureSkipVerify: true,
		VerifyConnection:   func(s tls.ConnectionState) error { return p.verify(s, host) },
	}
}

// verify checks the certificates of a connection.
func (p pin) verify(s tls.ConnectionState, host string) error {
	if len(s.PeerCertificates) == 0 {
		return errCertificate
	}
	leaf := s.PeerCertificates[0]
	shown, isEd25519 := leaf.PublicKey.(ed25519.PublicKey)
	if isEd25519 && s.Version >= tls.VersionTLS13 && !p.isZero() && p.allows(keys.Public(shown)) {
		return nil
	}
	others := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		others.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Intermediates: others})
	switch {
	case err == nil:
		return nil
	case isEd25519 && len(s.PeerCertificates) == 1:
		return fmt.Errorf("%w (%s)", errOtherKey, keys.Public(shown).Fingerprint())
	default:
		return fmt.Errorf("%w: %w", errCertificate, err)
	}
}

package broker

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"os"
	"sync"
	"time"
)

// tlsConfig is TLS 1.3 and nothing older, HTTP/1.1 only since WebSocket needs
// it, with the certificate that get chooses.
func tlsConfig(get func() (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return get() },
	}
}

// ownCertificate makes the self-signed certificate of the broker's own key.
// Peers accept it through the pin alone: its key is the one that links and
// chains name, so neither names nor dates decide anything. It is valid for
// ever since a clock that is wrong must not lock anybody out [CM-7].
func ownCertificate(key ed25519.PrivateKey, hosts []string) (*tls.Certificate, error) {
	public := key.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(public)
	serial := new(big.Int).SetBytes(sum[:16])
	template := &x509.Certificate{
		SerialNumber: serial.SetBit(serial, 127, 0), // positive in 16 bytes
		Subject:      pkix.Name{CommonName: "claudemesh broker"},
		NotBefore:    time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		// RFC 5280: no well-defined end.
		NotAfter:              time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, key)
	if err != nil {
		return nil, fmt.Errorf("make the broker's own certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// certFiles is a certificate in files, read again when they change: whoever
// renews it does not have to restart the broker.
type certFiles struct {
	cert, key string
	now       func() time.Time

	mu      sync.Mutex // guards the following
	loaded  *tls.Certificate
	stamp   [2]time.Time // when the files were last changed
	checked time.Time
}

// certCheck is how often files of a certificate are looked at.
const certCheck = time.Minute

// get gives the newest certificate that could be read. Only the first failure
// to read is one: later the last good certificate stays, since the files are
// being written while they are read.
func (c *certFiles) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.loaded != nil && now.Sub(c.checked) < certCheck {
		return c.loaded, nil
	}
	c.checked = now
	var stamp [2]time.Time
	for i, name := range []string{c.cert, c.key} {
		if info, err := os.Stat(name); err == nil {
			stamp[i] = info.ModTime()
		}
	}
	if c.loaded != nil && stamp == c.stamp {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		if c.loaded != nil {
			return c.loaded, nil
		}
		return nil, fmt.Errorf("read the certificate: %w", err)
	}
	c.loaded, c.stamp = &pair, stamp
	return c.loaded, nil
}

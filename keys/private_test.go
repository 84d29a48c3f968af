package keys_test

import (
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/claudemesh/claudemesh-go/keys"
)

// private is what all private keys can.
type private interface {
	keys.Signer
	Export() string
	IsZero() bool
}

// role makes and reads the keys of one role.
type role struct {
	zero  private
	make  func(io.Reader) (private, error)
	seed  func([]byte) (private, error)
	parse func(string) (private, error)
	equal func(a, b private) bool
}

// wrap turns a constructor into one that gives the interface.
func wrap[In any, K private](make func(In) (K, error)) func(In) (private, error) {
	return func(in In) (private, error) { return make(in) }
}

// same turns an Equal method into a function.
func same[K private](equal func(K, K) bool) func(a, b private) bool {
	return func(a, b private) bool { return equal(a.(K), b.(K)) }
}

var roles = map[string]role{
	"PeerPrivate": {keys.PeerPrivate{}, wrap(keys.NewPeerPrivate), wrap(keys.PeerPrivateFromSeed),
		wrap(keys.ParsePeerPrivate), same(keys.PeerPrivate.Equal)},
	"OwnerPrivate": {keys.OwnerPrivate{}, wrap(keys.NewOwnerPrivate), wrap(keys.OwnerPrivateFromSeed),
		wrap(keys.ParseOwnerPrivate), same(keys.OwnerPrivate.Equal)},
	"InvitePrivate": {keys.InvitePrivate{}, wrap(keys.NewInvitePrivate), wrap(keys.InvitePrivateFromSeed),
		wrap(keys.ParseInvitePrivate), same(keys.InvitePrivate.Equal)},
	"BrokerPrivate": {keys.BrokerPrivate{}, wrap(keys.NewBrokerPrivate), wrap(keys.BrokerPrivateFromSeed),
		wrap(keys.ParseBrokerPrivate), same(keys.BrokerPrivate.Equal)},
}

func TestPrivateKeys(t *testing.T) {
	for name, r := range roles {
		t.Run(name, func(t *testing.T) {
			key, err := r.make(iotest.OneByteReader(rand.Reader))
			if err != nil {
				t.Fatal(err)
			}
			other, err := r.make(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			back, err := r.parse(key.Export())
			if err != nil {
				t.Fatal(err)
			}
			if !r.equal(key, back) || r.equal(key, other) || r.equal(key, r.zero) || !r.equal(r.zero, r.zero) {
				t.Error("Equal is wrong")
			}
			message := []byte("message")
			if err := back.Public().Verify(message, key.Sign(message)); err != nil {
				t.Error(err)
			}
			if err := other.Public().Verify(message, key.Sign(message)); !errors.Is(err, keys.ErrSignature) {
				t.Errorf("another key verifies: %v", err)
			}
			if !r.zero.IsZero() || key.IsZero() || !r.zero.Public().IsZero() || r.zero.Sign(message) != nil || r.zero.Export() != "" {
				t.Error("the zero value is wrong")
			}
			if _, err := r.make(nil); err == nil {
				t.Error("made without randomness")
			}
			if _, err := r.make(io.LimitReader(rand.Reader, 31)); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("made of 31 bytes: %v", err)
			}
			if _, err := r.seed(make([]byte, 31)); !errors.Is(err, keys.ErrText) {
				t.Errorf("seed of 31 bytes: %v", err)
			}
			badExports(t, r, key.Export())
		})
	}
}

// badExports tests that a wrong text is refused, and that the error says nothing of it.
func badExports(t *testing.T, r role, export string) {
	secret := export[strings.LastIndex(export, "-")+1:]
	list := []string{secret, export[1:], export[:len(export)-1], export + "a", export[:len(export)-1] + "1", " " + export}
	for name, other := range roles {
		key, err := other.make(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if name != "" && !strings.HasPrefix(export, key.Export()[:8]) {
			list = append(list, key.Export()) // another role's key
		}
	}
	for _, bad := range list {
		_, err := r.parse(bad)
		if !errors.Is(err, keys.ErrText) {
			t.Errorf("a bad text gives %v", err)
		} else if digits := bad[strings.LastIndex(bad, "-")+1:]; strings.Contains(err.Error(), digits[:8]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

func TestInviteSeedAndBrokerKeyAreCopies(t *testing.T) {
	invite, err := keys.NewInvitePrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := invite.Export()
	clear(invite.Seed())
	broker, err := keys.NewBrokerPrivate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	text := broker.Export()
	clear(broker.Ed25519())
	if invite.Export() != before || broker.Export() != text {
		t.Error("a copy is no copy")
	}
	if again, err := keys.InvitePrivateFromSeed(invite.Seed()); err != nil || !again.Equal(invite) {
		t.Errorf("seed: %v", err)
	}
	if (keys.InvitePrivate{}).Seed() != nil || (keys.BrokerPrivate{}).Ed25519() != nil {
		t.Error("the zero value gives bytes")
	}
	if _, err := (keys.PeerPrivate{}).Curve(); err == nil {
		t.Error("the zero value has a curve key")
	}
}

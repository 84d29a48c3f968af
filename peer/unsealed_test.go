package peer

import (
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/seal"
)

// A place whose commit failed may be another message's later: what was opened for it is
// not taken for that one.
func TestUnsealedIsOfItsRow(t *testing.T) {
	alice, mallory, one, other := keys.Public{1}, keys.Public{2}, keys.MessageID{1}, keys.MessageID{2}
	var opened unsealedInbox
	kept := &unsealed{message: seal.Message{From: alice, ID: one, Body: "hi"}}
	opened.keep(7, kept)
	for _, c := range []struct {
		what string
		row  delivery.InboxRow
		want *unsealed
	}{
		{"its row", delivery.InboxRow{Place: 7, From: alice, ID: one}, kept},
		{"another place", delivery.InboxRow{Place: 8, From: alice, ID: one}, nil},
		{"another message", delivery.InboxRow{Place: 7, From: alice, ID: other}, nil},
		{"another sender's", delivery.InboxRow{Place: 7, From: mallory, ID: one}, nil},
	} {
		if got := opened.get(&c.row); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	opened.drop(7)
	if opened.get(&delivery.InboxRow{Place: 7, From: alice, ID: one}) != nil {
		t.Error("what left the inbox is kept")
	}
}

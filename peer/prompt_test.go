package peer_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// TestSenderHearsOfSeenWithinItsWait: a lone message's receipt goes at once, and
// those of messages in a row still within the second for which Send waits.
func TestSenderHearsOfSeenWithinItsWait(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		sender := m.Create("alice", "laptop")
		bob := m.Join("bob", "desk").Live("bot")
		defer m.Close(bob)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- bob.Handle(ctx, func(context.Context, peer.Message) error { return nil })
		}()
		defer func() {
			cancel()
			<-done
		}()
		alice := sender.Open(peer.Options{Label: "shell", Receives: peer.Replies})
		defer m.Close(alice)
		for i := range 4 {
			begin := time.Now()
			sent := send(t, alice, "bob", "hi", peer.SendOptions{})
			if sent.To[0].State != peer.Seen {
				t.Errorf("message %d is %s after %v", i, sent.To[0].State, time.Since(begin))
			}
			if took := time.Since(begin); i == 0 && took >= 100*time.Millisecond {
				t.Errorf("the first receipt took %v", took)
			}
		}
	})
}

// TestAdmittedActsAtOnce: when WaitAdmitted returns, the connection on which the
// peer waited is gone, and the next one is a member's.
func TestAdmittedActsAtOnce(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		m.Create("alice", "laptop")
		desk := m.Join("bob", "desk").Live("desk")
		defer m.Close(desk)
		machine := m.Machine("bob", "phone")
		if joined, err := machine.TryJoin(m.Link()); err != nil || !joined.Pending {
			t.Fatalf("%+v: %v", joined, err)
		}
		phone := machine.Open(peer.Options{})
		defer m.Close(phone)
		synctest.Wait() // desk is told of it
		requests, err := desk.Requests(t.Context())
		if err != nil || len(requests) != 1 {
			t.Fatalf("%v: %v", requests, err)
		}
		if counts, err := desk.Admit(t.Context(), requests[0]); err != nil || !counts {
			t.Fatalf("admit: %v, %v", counts, err)
		}
		if err := phone.WaitAdmitted(t.Context()); err != nil {
			t.Fatal(err)
		}
		if people, err := phone.Peers(t.Context()); err != nil || !people.Fresh {
			t.Errorf("%+v: %v", people, err)
		}
	})
}

package peer_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// known is what stands in a machine's profile of its message, without asking the broker.
func known(t *testing.T, machine *meshtest.Machine, id string) []peer.State {
	t.Helper()
	p := machine.Open(peer.Options{Offline: true})
	defer machine.Close(p)
	return states(t, p, id)
}

// wantKnown fails where a profile knows something else of its message.
func wantKnown(t *testing.T, machine *meshtest.Machine, sent peer.Sent, want ...peer.State) {
	t.Helper()
	if got := known(t, machine, sent.ID.String()); !slices.Equal(got, want) {
		t.Errorf("%s is known as %v, want %v", sent.ID, got, want)
	}
}

// unseen is a message that nobody shows before it is asked for, so that no receipt tells
// of it.
var unseen = peer.SendOptions{Priority: peer.Low, SeenWait: -1}

// TestDeliveredOnABrokenLink: that a message was delivered gets lost with the sender's
// link, and is found out as soon as it is back, also where the broker does not remember it
// any more; what still waits, and what was refused, is not taken for delivered.
func TestDeliveredOnABrokenLink(t *testing.T) {
	for name, restart := range map[string]bool{"remembered": false, "forgotten": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				sender, machine := m.Create("alice", "laptop"), m.Join("bob", "desk")
				m.Join("carol", "mac")
				alice := sender.Live("a")
				defer m.Close(alice)
				sent := send(t, alice, "bob", "hello", unseen)
				waits := send(t, alice, "carol", "hello", unseen)
				both := send(t, alice, "*", "hello", unseen)
				if !m.Net.BreakAfter(0, 1, false) {
					t.Fatal("alice is not connected")
				}
				bob := machine.Live("b")
				defer func() { m.Close(bob) }()
				if restart {
					m.Restart()
				}
				wantKnown(t, sender, sent, peer.Queued)
				meshtest.Pass(time.Minute)
				wantKnown(t, sender, sent, peer.Delivered)
				wantKnown(t, sender, waits, peer.Queued)
				if got := known(t, sender, both.ID.String()); !slices.Contains(got, peer.Delivered) || !slices.Contains(got, peer.Queued) {
					t.Errorf("of two recipients one has it: %v", got)
				}
			})
		})
	}
}

// TestDeliveredToAKilledSender: a sender that is killed before it wrote that its message
// was delivered knows it when it is back, however late. So does one whose message ran out
// before it heard anything, as long as the broker remembers.
func TestDeliveredToAKilledSender(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		sender, machine := m.Create("alice", "laptop"), m.Join("bob", "desk")
		open := func() (*meshtest.Process, *peer.Peer) {
			process := m.Net.Process()
			p, err := sender.OpenIn(process, peer.Options{Label: "a", Receives: peer.Replies})
			if err != nil {
				t.Fatal(err)
			}
			meshtest.Online(t, p)
			synctest.Wait()
			return process, p
		}
		process, alice := open()
		waited := send(t, alice, "bob", "waits", unseen)
		process.KillAt(1, false)
		bob := machine.Live("b")
		defer func() { m.Close(bob) }()
		meshtest.Pass(100 * time.Millisecond)
		if !process.Killed() {
			t.Fatal("alice was told nothing")
		}
		_ = alice.Close() // it is dead
		wantKnown(t, sender, waited, peer.Queued)
		meshtest.Pass(time.Hour) // and it is forgotten

		process, alice = open()
		process.KillAt(2, false) // the first is the outbox's
		brief := unseen
		brief.Expires = time.Minute
		brief.NoWait = true
		short := send(t, alice, "bob", "short", brief)
		meshtest.Pass(100 * time.Millisecond)
		if !process.Killed() {
			t.Fatal("alice was told nothing")
		}
		_ = alice.Close() // it is dead
		wantKnown(t, sender, short, peer.Pending)

		meshtest.Pass(5 * time.Minute)
		_, alice = open()
		meshtest.Pass(time.Minute)
		wantKnown(t, sender, waited, peer.Delivered)
		wantKnown(t, sender, short, peer.Delivered)
		m.Close(alice)
	})
}

// TestDeliveredToOneDevice: where one of several devices took a message and its sender did
// not hear of it, the sender learns which it was, also after the message's time.
func TestDeliveredToOneDevice(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		sender := m.Create("alice", "laptop")
		desk := m.Join("bob", "desk").Live("b")
		phoneMachine := m.Join("bob", "phone")
		admitOne(t, desk)
		m.Close(desk)
		alice := sender.Live("a")
		brief := unseen
		brief.Expires = time.Hour
		sent := send(t, alice, "bob", "hello", brief)
		phone := phoneMachine.Live("b")
		defer func() { m.Close(phone) }()
		m.Net.BreakAfter(0, 1, false)
		in, err := phone.Take(t.Context(), peer.TakeOptions{Asked: true})
		if err != nil || len(in.Messages) != 1 {
			t.Fatalf("the phone takes %v: %v", bodies(in), err)
		}
		synctest.Wait()
		m.Close(alice)
		wantKnown(t, sender, sent, peer.Queued)
		meshtest.Pass(2 * time.Hour)
		m.Restart()
		alice = sender.Live("a")
		defer m.Close(alice)
		meshtest.Pass(time.Minute)
		trace, err := alice.Message(t.Context(), sent.ID.String())
		if err != nil || trace.To[0].State != peer.Delivered || trace.To[0].Device != "phone" {
			t.Errorf("%+v: %v", trace.To, err)
		}
	})
}

// TestToldOnAFullDisk: a sender whose disk is full when it is told something knows it once
// there is room, whether or not its message ran out meanwhile, and also where its process
// has ended in between.
func TestToldOnAFullDisk(t *testing.T) {
	for name, killed := range map[string]bool{"lives": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, m *meshtest.Mesh) {
				sender, machine := m.Create("alice", "laptop"), m.Join("bob", "desk")
				m.Join("carol", "mac")
				process := m.Net.Process()
				alice, err := sender.OpenIn(process, peer.Options{Label: "a", Receives: peer.Replies})
				if err != nil {
					t.Fatal(err)
				}
				meshtest.Online(t, alice)
				brief := unseen
				brief.Expires = time.Minute
				waits := send(t, alice, "bob", "waits", unseen)
				expires := send(t, alice, "carol", "nobody is there", brief)
				bob := machine.Live("b")
				defer func() { m.Close(bob) }()
				synctest.Wait()
				release := bob.HoldDisk() // so that alice is told behind it
				_, err = alice.Send(t.Context(), "bob", "first word", peer.SendOptions{Priority: peer.Low, NoWait: true, Expires: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				process.Fill(true)
				release()
				meshtest.Pass(5 * time.Minute)
				if killed {
					process.Kill()
					_ = alice.Close()
					alice = sender.Live("a")
				} else {
					process.Fill(false)
				}
				defer func() { m.Close(alice) }()
				meshtest.Pass(2 * time.Minute)
				turns, err := alice.History(t.Context(), peer.HistoryQuery{})
				if err != nil || len(turns) != 3 {
					t.Fatalf("%d messages: %v", len(turns), err)
				}
				for _, turn := range turns {
					want := peer.Delivered
					if turn.ID == expires.ID {
						want = peer.Expired
					}
					if got := known(t, sender, turn.ID.String()); !slices.Equal(got, []peer.State{want}) {
						t.Errorf("%q is known as %v, want %s", turn.Body, got, want)
					}
				}
				wantKnown(t, sender, waits, peer.Delivered)
			})
		})
	}
}

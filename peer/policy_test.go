package peer_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

// take takes all that a session may show, and says it was seen.
func take(t *testing.T, p *peer.Peer, o peer.TakeOptions) (peer.Inbox, []string) {
	t.Helper()
	o.Asked = true
	in, err := p.Take(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Seen(t.Context(), in.Messages...); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range in.Messages {
		bodies = append(bodies, m.Body)
	}
	return in, bodies
}

func TestPolicyHoldsAndLetsGo(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		decide := func(who string, policy peer.Policy) {
			t.Helper()
			if err := alice.SetPolicy(t.Context(), who, policy); err != nil {
				t.Fatal(err)
			}
			meshtest.Pass(2 * time.Second) // receipts are gathered
		}
		state := func(sent peer.Sent) peer.State { return states(t, bob, sent.Short)[0] }

		waits := send(t, bob, "alice", "waits", peer.SendOptions{})
		decide("bob", peer.Hold)
		held := send(t, bob, "alice", "held", peer.SendOptions{SeenWait: 3 * time.Second})
		for _, sent := range []peer.Sent{waits, held} {
			if got := state(sent); got != peer.Held {
				t.Errorf("%s is %s", sent.Short, got)
			}
		}
		if in, bodies := take(t, alice, peer.TakeOptions{}); len(bodies) != 0 || in.Held != 2 {
			t.Errorf("taken %q, held %d", bodies, in.Held)
		}
		all, err := alice.Policies(t.Context())
		if want := []peer.SenderPolicy{{Who: "bob", Policy: peer.Hold, Held: 2}}; err != nil || !slices.Equal(all, want) {
			t.Errorf("policies %+v: %v", all, err)
		}

		decide("bob@desk", peer.Accept) // says nothing of its own: the user's counts
		if _, bodies := take(t, alice, peer.TakeOptions{}); len(bodies) != 0 {
			t.Errorf("taken %q", bodies)
		}
		decide("bob", peer.Accept)
		if _, bodies := take(t, alice, peer.TakeOptions{}); !slices.Equal(bodies, []string{"waits", "held"}) {
			t.Errorf("taken %q", bodies)
		}
		meshtest.Pass(2 * time.Second)
		if got := state(held); got != peer.Seen {
			t.Errorf("at last it is %s", got)
		}

		again := send(t, bob, "alice", "again", peer.SendOptions{})
		decide("bob@desk", peer.Refuse)
		if got := state(again); got != peer.Refused {
			t.Errorf("what waited is %s", got)
		}
		refused := send(t, bob, "alice", "refused", peer.SendOptions{})
		if got := refused.To[0]; got.State != peer.Refused || got.Why != "policy" {
			t.Errorf("sent %+v", got)
		}
		var no *peer.NotAnsweredError
		if _, err := bob.Ask(t.Context(), "alice", "Why?", peer.AskOptions{}); !errors.As(err, &no) || peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("a question: %v", err)
		}

		for who, class := range map[string]peer.Class{"bbo": peer.ClassRefused, "bob@phone": peer.ClassRefused, "*": peer.ClassUsage,
			"@tag": peer.ClassUsage, "bob/b": peer.ClassUsage, "": peer.ClassUsage} {
			if err := alice.SetPolicy(t.Context(), who, peer.Hold); peer.ClassOf(err) != class {
				t.Errorf("%q: %v", who, err)
			}
		}
		if err := alice.SetPolicy(t.Context(), "bob", "maybe"); peer.ClassOf(err) != peer.ClassUsage {
			t.Errorf("maybe: %v", err)
		}
	})
}

func TestNewMembersAreHeld(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		setConfig(t, machine, `"new_members": "hold"`)
		alice := machine.Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		other := machine.Live("other") // the user's own sessions are not new
		defer m.Close(other)
		send(t, other, "/a", "mine", peer.SendOptions{})

		question := send(t, alice, "bob", "who are you?", peer.SendOptions{Kind: peer.Ask})
		if _, err := bob.Reply(t.Context(), meshtest.Next(t, bob), "bob", peer.SendOptions{}); err != nil {
			t.Fatal(err)
		}
		send(t, bob, "alice/a", "hello", peer.SendOptions{})
		in, bodies := take(t, alice, peer.TakeOptions{})
		if !slices.Equal(bodies, []string{"mine", "bob"}) || in.Held != 1 || in.Messages[1].ReplyTo != question.ID {
			t.Errorf("taken %q, held %d", bodies, in.Held)
		}
		all, err := alice.Policies(t.Context())
		if err != nil || len(all) != 1 || !all[0].New || all[0].Held != 1 {
			t.Errorf("policies %+v: %v", all, err)
		}
		if err := alice.SeenNames(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, bodies = take(t, alice, peer.TakeOptions{}); !slices.Equal(bodies, []string{"hello"}) {
			t.Errorf("taken %q", bodies)
		}
		if all, err = alice.Policies(t.Context()); err != nil || all[0].New {
			t.Errorf("policies %+v: %v", all, err)
		}
	})
}

// setConfig adds a field to a machine's config.
func setConfig(t *testing.T, x *meshtest.Machine, field string) {
	t.Helper()
	path := filepath.Join(x.Profile, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(field, ":")
	text, _, _ := strings.Cut(string(raw), ",\n"+name)
	text = strings.TrimSuffix(strings.TrimSpace(text), "}") + ",\n" + field + "}"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFloodIsToldInOneLine(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		carol := m.Join("carol", "mac").Live("c")
		defer m.Close(carol)
		var last peer.Sent
		for i := range 45 {
			last = send(t, bob, "alice", fmt.Sprint(i), peer.SendOptions{SeenWait: -1})
		}
		send(t, carol, "alice", "hello", peer.SendOptions{SeenWait: -1})
		o := peer.TakeOptions{Max: 20, Rate: 30}
		var got []string
		for {
			in, bodies := take(t, alice, o)
			got = append(got, bodies...)
			if in.More {
				continue
			}
			if len(in.Floods) != 1 {
				t.Fatalf("floods %+v", in.Floods)
			}
			if f := in.Floods[0]; f.Address != "bob@desk" || f.Count != 15 || f.NewestShort != last.Short || f.Newest.IsZero() {
				t.Errorf("flood %+v", f)
			}
			break
		}
		if len(got) != 31 || got[0] != "0" || got[29] != "29" || got[30] != "hello" {
			t.Errorf("shown %q", got)
		}
		meshtest.Pass(time.Second)
		if c, err := alice.Counts(t.Context()); err != nil || c.Waiting != 15 || c.Rings != 0 {
			t.Errorf("counts %+v: %v", c, err)
		}
		events := alice.Events(t.Context())
		meshtest.Pass(time.Minute)
		meshtest.Event(t, events, peer.EventMessage, "") // now they ring
		if c, err := alice.Counts(t.Context()); err != nil || c.Rings != 15 {
			t.Errorf("counts %+v: %v", c, err)
		}
		if in, bodies := take(t, alice, o); len(bodies) != 15 || len(in.Floods) != 0 || in.Messages[0].Missing != 0 {
			t.Errorf("then %q, %+v", bodies, in.Floods)
		}
	})
}

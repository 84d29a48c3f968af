package peer_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/peer"
)

func TestFurtherDevice(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		desk := m.Join("bob", "desk").Live("web-shop")
		defer m.Close(desk)
		events := desk.Events(t.Context())

		machine := m.Machine("bob", "phone")
		joined, err := machine.TryJoin(m.Link())
		if err != nil || !joined.Pending || !regexp.MustCompile(`^\d{4} \d{4} \d{4} \d{4}$`).MatchString(joined.Number) ||
			!slices.Equal(joined.Admit, []string{"bob@desk"}) {
			t.Fatalf("joined %+v: %v", joined, err)
		}
		meshtest.Event(t, events, peer.EventRequest, "bob@phone wants in as your device. Its number: "+joined.Number)
		phone := machine.Open(peer.Options{Label: "p", Receives: peer.Live})
		defer m.Close(phone)
		meshtest.Online(t, phone) // as far as it goes
		if c := phone.Condition(); c.State != peer.Waiting {
			t.Errorf("condition %+v", c)
		}
		if _, err := phone.Send(t.Context(), "alice", "let me in", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused ||
			!strings.Contains(err.Error(), "claudemesh admit bob@phone (compare: "+joined.Number+")") {
			t.Errorf("a waiting peer sends: %v", err)
		}
		if _, err := alice.Send(t.Context(), "bob@phone", "hi", peer.SendOptions{}); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("something is sent to a waiting peer: %v", err)
		}
		waiting, err := alice.Requests(t.Context())
		if err != nil || len(waiting) != 1 || waiting[0].CanAdmit || waiting[0].Yours {
			t.Errorf("alice sees %+v: %v", waiting, err)
		}
		if _, err := alice.Admit(t.Context(), waiting[0]); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("alice lets bob's device in: %v", err)
		}
		mine, err := desk.Requests(t.Context())
		if err != nil || len(mine) != 1 || !mine[0].CanAdmit || mine[0].Number != joined.Number {
			t.Fatalf("bob sees %+v: %v", mine, err)
		}
		if in, err := desk.Admit(t.Context(), mine[0]); err != nil || !in {
			t.Fatalf("admit: %v, %v", in, err)
		}
		if err := phone.WaitAdmitted(t.Context()); err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(5 * time.Second)
		if c := phone.Condition(); c.State != peer.Online {
			t.Errorf("condition %+v", c)
		}
		send(t, phone, "alice", "thanks", peer.SendOptions{})
		if got := meshtest.Next(t, alice); got.From.Address != "bob@phone/p" {
			t.Errorf("got %+v", got)
		}
		oneDeviceShows(t, alice, desk, phone)
	})
}

// oneDeviceShows sends to bob, of whose two devices one shows each message.
func oneDeviceShows(t *testing.T, alice, desk, phone *peer.Peer) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	shown := make(chan string, 100)
	ended := make(chan error, 2)
	for _, p := range []*peer.Peer{desk, phone} {
		go func() {
			ended <- p.Handle(ctx, func(_ context.Context, m peer.Message) error {
				shown <- m.Body
				return nil
			})
		}()
	}
	var all []string
	for _, body := range []string{"one", "two", "three", "four"} {
		sent := send(t, alice, "bob", body, peer.SendOptions{SeenWait: 5 * time.Second})
		if len(sent.To) != 1 || sent.To[0].State != peer.Seen {
			t.Errorf("%s: %+v", body, sent.To)
		}
	}
	sent := send(t, alice, "bob", "both", peer.SendOptions{AllDevices: true, SeenWait: 5 * time.Second})
	if len(sent.To) != 2 || sent.To[0].State != peer.Seen || sent.To[1].State != peer.Seen {
		t.Errorf("to all devices: %+v", sent.To)
	}
	meshtest.Pass(10 * time.Minute)
	cancel()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("handle: %v", err)
		}
	}
	close(shown)
	for body := range shown {
		all = append(all, body)
	}
	if want := []string{"one", "two", "three", "four", "both", "both"}; !slices.Equal(all, want) {
		t.Errorf("shown: %v", all)
	}
}

func TestRevoked(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		deskMachine := m.Join("bob", "desk")
		desk := deskMachine.Live("b")
		defer m.Close(desk)
		carolMachine := m.Join("carol", "mac")

		send(t, desk, "alice", "not shown yet", peer.SendOptions{})
		queued := send(t, alice, "carol", "queued", peer.SendOptions{})
		done, err := alice.Revoke(t.Context(), "bob@desk", "carol")
		if err != nil || !slices.Equal(done.Peers, []string{"bob@desk", "carol@mac"}) || len(done.Invites) != 1 || len(done.Open) != 0 || done.Dropped != 1 {
			t.Fatalf("revoked %+v: %v", done, err)
		}
		synctest.Wait()
		if trace, err := alice.Message(t.Context(), queued.Short); err != nil || trace.To[0].State != peer.Refused || trace.To[0].Address != "carol@mac" || trace.To[0].Device != "mac" {
			t.Errorf("what waited for who was revoked: %+v: %v", trace.To, err)
		}
		if c := desk.Condition(); c.State != peer.Ended {
			t.Errorf("condition %+v", c)
		}
		_, err = desk.Send(t.Context(), "alice", "hi", peer.SendOptions{})
		if want := "bob@desk was revoked from acme by alice at 00:00. To come back you need a new invite."; peer.ClassOf(err) != peer.ClassRefused || err.Error() != want {
			t.Errorf("bob sends: %v", err)
		}
		if _, err := alice.Send(t.Context(), "bob", "hi", peer.SendOptions{}); err == nil || !strings.HasPrefix(err.Error(), "bob@desk was revoked from acme by alice") {
			t.Errorf("alice sends: %v", err)
		}
		if in, err := alice.Take(t.Context(), peer.TakeOptions{Asked: true}); err != nil || len(in.Messages) != 0 || in.Held != 1 {
			t.Errorf("what bob sent before: %+v, %v", in, err)
		}
		// Carol was away: it hears why when it comes back, with the proof.
		carol := carolMachine.Open(peer.Options{Label: "c", Receives: peer.Live})
		defer m.Close(carol)
		var revoked *peer.RevokedError
		if err := carol.Connected(t.Context(), true); !errors.As(err, &revoked) || revoked.By != "alice" || !revoked.Self {
			t.Errorf("carol: %v", err)
		}
		// Back by a new link, under the same name, after alice's yes: the name was carol's.
		invite, err := alice.Invite(t.Context(), peer.InviteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		joined, err := carolMachine.TryJoin(invite.Link)
		if err != nil || joined.Already || !joined.Pending || !slices.Equal(joined.Admit, []string{"alice@laptop"}) {
			t.Fatalf("joined %+v: %v", joined, err)
		}
	})
}

func TestRevokeNeedsRank(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		for _, name := range []string{"alice", "alice@laptop"} {
			if _, err := bob.Revoke(t.Context(), name); peer.ClassOf(err) != peer.ClassRefused {
				t.Errorf("bob revokes %s: %v", name, err)
			}
		}
		if _, err := bob.Invite(t.Context(), peer.InviteOptions{}); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("bob invites: %v", err)
		}
		for _, name := range []string{"bbo", "i-zzzz", "a b", "bob/b", ""} {
			if _, err := alice.Revoke(t.Context(), name); err == nil {
				t.Errorf("%q revoked", name)
			}
		}
		mine, err := bob.Invite(t.Context(), peer.InviteOptions{Device: true, Uses: 1})
		if err != nil || mine.User != "bob" || mine.By != "bob@desk" {
			t.Fatalf("%+v: %v", mine, err)
		}
		joined, err := m.Machine("bob", "phone").TryJoin(mine.Link)
		if err != nil || joined.Pending {
			t.Errorf("a device by its own user's link: %+v, %v", joined, err)
		}
		if _, err := m.Machine("mallory", "x").TryJoin(mine.Link); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("a link for bob's devices lets mallory in: %v", err)
		}
	})
}

func TestLinks(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		defer m.Close(alice)
		one, err := alice.Invite(t.Context(), peer.InviteOptions{Uses: 1, For: time.Hour})
		if err != nil || one.Uses != 1 || !one.Loopback || time.Until(one.Until) > time.Hour {
			t.Fatalf("%+v: %v", one, err)
		}
		info, err := peer.ReadLink(t.Context(), one.Link, peer.JoinOptions{Dir: m.Machine("bob", "desk").Profile, Dial: m.Net.Dial})
		if err != nil || info.Name != "acme" || info.Owner != "alice" || info.Host != meshtest.Address || info.Uses != 1 || info.Member {
			t.Fatalf("%+v: %v", info, err)
		}
		if _, err := m.Machine("bob", "desk").TryJoin(one.Link); err != nil {
			t.Fatal(err)
		}
		refused := func(link, sentence string) {
			t.Helper()
			_, err := m.Machine("carol", "mac").TryJoin(link)
			if peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), sentence) {
				t.Errorf("joined by it: %v", err)
			}
		}
		refused(one.Link, "closed")
		open, err := alice.Invites(t.Context())
		if err != nil || len(open) != 1 || open[0].Uses != 1000 {
			t.Errorf("open: %+v, %v", open, err)
		}
		closed, err := alice.Revoke(t.Context(), open[0].ID)
		if err != nil || len(closed.Invites) != 1 || closed.Invites[0].ID != open[0].ID || len(closed.Peers) != 0 {
			t.Errorf("closed: %+v, %v", closed, err)
		}
		refused(m.Link(), "closed")
		short, err := alice.Invite(t.Context(), peer.InviteOptions{For: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		meshtest.Pass(2 * time.Minute)
		refused(short.Link, "it is closed: used up, expired or revoked")
		refused(short.Link[:len(short.Link)-5], "copy the whole line")
		refused("https://example.org/", "copy the whole line")
		// Of a mesh one is in a link only tells where to dial.
		joined, err := machine.TryJoin(m.Link())
		if err != nil || !joined.Already {
			t.Errorf("%+v: %v", joined, err)
		}
	})
}

func TestLeave(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		alice := machine.Live("a")
		defer m.Close(alice)
		bobMachine := m.Join("bob", "desk")
		bob := bobMachine.Live("b")
		if _, err := alice.Leave(t.Context(), false); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("the owner leaves with its key: %v", err)
		}
		events := alice.Events(t.Context())
		left, err := bob.Leave(t.Context(), false)
		if err != nil || left.MeshName != "acme" || len(left.Dropped) != 0 {
			t.Fatalf("left %+v: %v", left, err)
		}
		meshtest.Event(t, events, peer.EventRoster, "bob@desk was revoked by bob")
		if all, err := peer.Meshes(bobMachine.Profile); err != nil || len(all) != 0 {
			t.Errorf("meshes: %+v, %v", all, err)
		}
		if _, err := bobMachine.TryOpen(peer.Options{}); !errors.Is(err, peer.ErrNoMesh) {
			t.Errorf("open: %v", err)
		}
		config, err := os.ReadFile(bobMachine.Profile + "/config.json")
		if err != nil || strings.Contains(string(config), "peer-private") {
			t.Errorf("config: %s, %v", config, err)
		}
		if _, err := alice.Send(t.Context(), "bob", "hi", peer.SendOptions{}); err == nil || !strings.HasPrefix(err.Error(), "bob@desk left acme") {
			t.Errorf("alice sends: %v", err)
		}
		// A member's going must not shut the team's link.
		if _, err := m.Machine("carol", "mac").TryJoin(m.Link()); err != nil {
			t.Errorf("the link: %v", err)
		}
	})
}

func TestVerify(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		alice := m.Create("alice", "laptop").Live("a")
		defer m.Close(alice)
		bob := m.Join("bob", "desk").Live("b")
		defer m.Close(bob)
		synctest.Wait()
		a, err := alice.Verify(t.Context(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		b, err := bob.Verify(t.Context(), "alice")
		if err != nil || a.Number != b.Number || len(a.Number) != 71 || a.Verified {
			t.Errorf("%q and %q: %v", a.Number, b.Number, err)
		}
		if err := alice.SetVerified(t.Context(), a, true); err != nil {
			t.Fatal(err)
		}
		send(t, bob, "alice", "hi", peer.SendOptions{})
		if got := meshtest.Next(t, alice); !got.From.Verified {
			t.Error("not shown as verified")
		}
		// A device let in by a verified one keeps the mark.
		phone := m.Machine("bob", "phone")
		joined, err := phone.TryJoin(m.Link())
		if err != nil || !joined.Pending {
			t.Fatalf("%+v: %v", joined, err)
		}
		synctest.Wait() // bob is told of it
		waiting, err := bob.Requests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Admit(t.Context(), waiting[0]); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got, err := alice.Verify(t.Context(), "bob"); err != nil || !got.Verified || got.Number == a.Number || len(got.Devices) != 2 {
			t.Errorf("after the second device: %+v, %v", got, err)
		}
		// Any other change clears it, aloud.
		events := alice.Events(t.Context())
		if _, err := alice.Revoke(t.Context(), "bob@phone"); err != nil {
			t.Fatal(err)
		}
		meshtest.Event(t, events, peer.EventWarning, "bob is not verified any more")
		if got, err := alice.Verify(t.Context(), "bob"); err != nil || got.Verified {
			t.Errorf("after the revocation: %+v, %v", got, err)
		}
	})
}

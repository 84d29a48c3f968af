package peer_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/internal/meshtest"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
)

// overTLS is a broker that other machines reach: TLS from its own key, and meshes
// are created by token only.
func overTLS(o *broker.Options) {
	o.Listen[0].TLS = true
	o.URLs = []string{"https://mesh.example.org"}
}

func TestCreateByToken(t *testing.T) {
	meshtest.Run(t, meshtest.Options{Broker: overTLS}, func(t *testing.T, m *meshtest.Mesh) {
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "mesh.example.org:443" {
				address = meshtest.Address
			}
			return m.Net.Dial(ctx, network, address)
		}
		token, err := m.Broker().NewToken(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		machine := m.Machine("alice", "laptop")
		o := peer.CreateOptions{Dir: machine.Profile, Name: "acme", User: "alice", Device: "laptop", Broker: "https://mesh.example.org", Dial: dial}
		if _, err := peer.CreateMesh(t.Context(), o); peer.ClassOf(err) != peer.ClassUsage {
			t.Errorf("without a token: %v", err)
		}
		other, err := keys.NewBrokerPrivate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		foreign, err := keys.NewCreateToken(other.Public(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		o.Token = foreign.Export()
		if _, err := peer.CreateMesh(t.Context(), o); err == nil || !strings.HasPrefix(err.Error(), "mesh.example.org answers with another key than the token names") {
			t.Errorf("with another broker's token: %v", err)
		}
		o.Token = token
		created, err := peer.CreateMesh(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if c := created.Mesh; c.Name != "acme" || c.Address != "alice@laptop" || c.Host != "mesh.example.org" || !c.Owner || !c.Default || c.Pending {
			t.Errorf("created %+v", c)
		}
		info, err := os.Stat(created.RecoveryFile)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("recovery key: %v, %v", info, err)
		}
		// A token works once; a name is taken once.
		second := o
		second.Name = "second"
		if _, err := peer.CreateMesh(t.Context(), second); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("the same token again: %v", err)
		}
		if _, err := peer.CreateMesh(t.Context(), o); peer.ClassOf(err) != peer.ClassRefused || err.Error() != "the mesh name acme is taken; choose another" {
			t.Errorf("the same name again: %v", err)
		}
		if all, err := peer.Meshes(machine.Profile); err != nil || len(all) != 1 {
			t.Errorf("meshes %+v: %v", all, err)
		}
		alice := machine.Open(peer.Options{Label: "a", Receives: peer.Live, Dial: dial})
		defer m.Close(alice)
		meshtest.Online(t, alice)
		invite, err := alice.Invite(t.Context(), peer.InviteOptions{})
		if err != nil || invite.Loopback || !strings.HasPrefix(invite.AppLink, "claudemesh://join/mesh.example.org#") {
			t.Fatalf("%+v: %v", invite, err)
		}
		for i, link := range []string{invite.Link, invite.AppLink} {
			_, err := peer.Join(t.Context(), link, peer.JoinOptions{Dir: m.Machine("bob", "desk").Profile + string(rune('a'+i)), User: "bob", Device: "desk" + string(rune('a'+i)), Dial: dial})
			if err != nil {
				t.Errorf("join by %s…: %v", link[:25], err)
			}
		}
		alice.Close()
		// Somebody else's certificate, and nobody who vouches for it.
		impostor := tlsImpostor(t, m)
		defer impostor.Close()
		lied := machine.Open(peer.Options{Label: "b", Receives: peer.Live, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return m.Net.Dial(ctx, network, "127.0.0.1:7777")
		}})
		defer m.Close(lied)
		if err := lied.Connected(t.Context(), false); peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "answers with another key than the one that acme is pinned to") {
			t.Errorf("an impostor: %v", err)
		}
	})
}

// tlsImpostor is another broker, with a certificate of its own key.
func tlsImpostor(t *testing.T, m *meshtest.Mesh) *broker.Broker {
	t.Helper()
	l, err := m.Net.Listen("tcp", "127.0.0.1:7777")
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Options{Dir: t.TempDir(), Listen: []broker.Listen{{Net: l, TLS: true}}, URLs: []string{"https://mesh.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	go b.Run(context.Background())
	return b
}

// TestCreateAgain: the answer to the request was lost; the same mesh comes of the
// second try, and no key is lost.
func TestCreateAgain(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Machine("alice", "laptop")
		o := peer.CreateOptions{Dir: machine.Profile, Name: "acme", User: "alice", Device: "laptop", Broker: meshtest.URL, BrokerKey: m.Broker().Key()}
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := m.Net.Dial(ctx, network, address)
			return deaf{conn}, err
		}
		if _, err := peer.CreateMesh(t.Context(), o); peer.ClassOf(err) != peer.ClassUnreachable {
			t.Fatalf("no answer: %v", err)
		}
		synctest.Wait()
		if all, err := peer.Meshes(machine.Profile); err != nil || len(all) != 0 {
			t.Errorf("shown before it is there: %+v, %v", all, err)
		}
		o.Dial = m.Net.Dial
		if _, err := peer.CreateMesh(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		alice := machine.Live("a")
		defer m.Close(alice)
		if got := alice.Self(); got.Rank != 2 || !got.Owner {
			t.Errorf("self %+v", got)
		}
	})
}

// deaf is a connection whose answers are lost.
type deaf struct{ net.Conn }

func (d deaf) Read([]byte) (int, error) {
	buffer := make([]byte, 1)
	if _, err := d.Conn.Read(buffer); err != nil {
		return 0, err
	}
	return 0, net.ErrClosed
}

func TestOwnerKey(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		text, err := peer.OwnerKey(machine.Profile, "acme")
		if err != nil || !strings.HasPrefix(text, "owner-private-") {
			t.Fatalf("%q: %v", text, err)
		}
		if err := peer.ForgetOwnerKey(machine.Profile, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := peer.OwnerKey(machine.Profile, ""); !errors.Is(err, peer.ErrNoOwnerKey) {
			t.Errorf("after forgetting: %v", err)
		}
		stranger, err := keys.NewOwnerPrivate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := peer.ImportOwnerKey(machine.Profile, "", stranger.Export()); peer.ClassOf(err) != peer.ClassRefused {
			t.Errorf("a stranger's key: %v", err)
		}
		if err := peer.ImportOwnerKey(machine.Profile, "", "nonsense"); peer.ClassOf(err) != peer.ClassUsage || strings.Contains(err.Error(), "nonsense") {
			t.Errorf("nonsense: %v", err)
		}
		if err := peer.ImportOwnerKey(machine.Profile, "", text+"\n"); err != nil {
			t.Errorf("its own key: %v", err)
		}
		alice := machine.Live("a")
		defer m.Close(alice)
		// An invite that makes admins takes the owner's key.
		invite, err := alice.Invite(t.Context(), peer.InviteOptions{Admin: true, Uses: 1})
		if err != nil || !invite.Admin {
			t.Fatalf("%+v: %v", invite, err)
		}
		if _, err := m.Machine("bob", "desk").TryJoin(invite.Link); err != nil {
			t.Fatal(err)
		}
		if changed, err := alice.SetBrokerURLs(t.Context(), []string{meshtest.URL}); err != nil || changed {
			t.Errorf("the same URLs: %v, %v", changed, err)
		}
		if changed, err := alice.SetBrokerURLs(t.Context(), []string{meshtest.URL, "https://192.168.1.20:7900"}); err != nil || !changed || len(alice.Self().Hosts) != 2 {
			t.Errorf("other URLs: %v, %v", changed, err)
		}
		if _, err := alice.SetBrokerURLs(t.Context(), []string{"ftp://x"}); peer.ClassOf(err) != peer.ClassUsage {
			t.Errorf("no URL: %v", err)
		}
	})
}

// TestOwnSocket: the socket of the profile's own broker is dialled first; one that
// serves another mesh harms nothing.
func TestOwnSocket(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		l, err := m.Net.Listen("unix", machine.Socket())
		if err != nil {
			t.Fatal(err)
		}
		other, err := broker.New(broker.Options{Dir: t.TempDir(), Listen: []broker.Listen{{Net: l}}})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- other.Run(context.Background()) }()
		created, err := peer.CreateMesh(t.Context(), peer.CreateOptions{Dir: machine.Profile, Name: "home", User: "alice", Device: "laptop",
			Broker: "unix:" + machine.Socket(), Dial: m.Net.Dial})
		if err != nil {
			t.Fatal(err)
		}
		if created.Mesh.Host != "the broker of this machine" || created.Mesh.Default {
			t.Errorf("created %+v", created.Mesh)
		}
		for mesh, host := range map[string]string{"home": "the broker of this machine", "acme": meshtest.Address} {
			p := machine.Open(peer.Options{Mesh: mesh, Label: "a", Receives: peer.Live})
			meshtest.Online(t, p)
			if got := p.Condition().Host; got != host {
				t.Errorf("%s is served by %s", mesh, got)
			}
			m.Close(p)
		}
		home := machine.Open(peer.Options{Mesh: "home"})
		if _, err := home.Invite(t.Context(), peer.InviteOptions{}); peer.ClassOf(err) != peer.ClassRefused || !strings.Contains(err.Error(), "claudemesh up --lan") {
			t.Errorf("a link to a socket: %v", err)
		}
		m.Close(home)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNoBroker: something answers that is no broker.
func TestNoBroker(t *testing.T) {
	run(t, func(t *testing.T, m *meshtest.Mesh) {
		machine := m.Create("alice", "laptop")
		m.Stop()
		l, err := m.Serve()
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.NotFoundHandler()}
		go server.Serve(l)
		defer server.Close()
		alice := machine.Open(peer.Options{Label: "a"})
		defer m.Close(alice)
		if err := alice.Connected(t.Context(), false); err == nil || err.Error() != "127.0.0.1:7900 does not answer (no claudemesh broker answers there)" {
			t.Errorf("connected: %v", err)
		}
	})
}

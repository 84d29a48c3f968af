//go:build system

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// network is two hosts with a router between them that hides the second host
// behind its own address (NAT).
type network struct {
	t              *testing.T
	server, behind string // names of the namespaces
	router         string // between them
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	id := os.Getpid() % 10000
	n := &network{t: t, server: fmt.Sprintf("cm-a%d", id), behind: fmt.Sprintf("cm-b%d", id), router: fmt.Sprintf("cm-r%d", id)}
	for _, ns := range []string{n.server, n.router, n.behind} {
		n.run("ip", "netns", "add", ns)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", ns).Run() })
		n.run("ip", "-n", ns, "link", "set", "lo", "up")
	}
	n.wire(n.server, "192.168.77.10/24", n.router, "192.168.77.1/24", "s")
	n.wire(n.behind, "10.66.0.2/24", n.router, "10.66.0.1/24", "b")
	n.run("ip", "-n", n.behind, "route", "add", "default", "via", "10.66.0.1")
	n.run("ip", "netns", "exec", n.router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	n.nft(`table ip nat {
	chain post {
		type nat hook postrouting priority srcnat
		ip saddr 10.66.0.0/24 masquerade
	}
}`)
	return n
}

// wire joins two namespaces by a cable with an address at each end.
func (n *network) wire(a, addrA, b, addrB, name string) {
	n.t.Helper()
	left, right := "v"+name+"0", "v"+name+"1"
	n.run("ip", "link", "add", left, "netns", a, "type", "veth", "peer", "name", right, "netns", b)
	for _, end := range [][3]string{{a, left, addrA}, {b, right, addrB}} {
		n.run("ip", "-n", end[0], "addr", "add", end[2], "dev", end[1])
		n.run("ip", "-n", end[0], "link", "set", end[1], "up")
	}
}

func (n *network) run(name string, args ...string) {
	n.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// person is somebody at a host of the network.
func (n *network) person(host, name string) *person {
	p := newPerson(n.t, name)
	p.prefix = []string{"ip", "netns", "exec", host}
	return p
}

// One laptop to another, behind NAT, over TLS with the broker's own key: a
// message each way, one across a restart of the broker, one to somebody away, a
// further device, a revocation.
func TestFromOneLaptopToAnother(t *testing.T) {
	n := newNetwork(t)
	alice, bob, phone := n.person(n.server, "alice"), n.person(n.behind, "bob"), n.person(n.behind, "phone")

	broker, _ := alice.up("--lan", "--name", "alice", "--device", "laptop")
	broker.wait(`https://192\.168\.77\.10:7900`)
	link := alice.invite()
	if !strings.HasPrefix(link, "https://192.168.77.10:7900/i#") {
		t.Fatalf("the link leads to %.40s…", link)
	}

	joined := bob.doWith(link+"\n", "join", "--name", "bob", "--device", "desk")
	if text := joined.out + joined.err; !strings.Contains(text, "bob@desk") || strings.Contains(text, link[len(link)-20:]) {
		t.Errorf("join says %q", text)
	}

	// There and back.
	alice.send("bob", "tests are green on main")
	bob.expect("alice@laptop", "tests are green on main")
	bob.send("alice", "thanks")
	alice.expect("bob@desk", "thanks")

	// Across a restart of the broker, killed.
	bob.send("alice", "before the restart")
	broker.kill()
	if r := bob.try("", "send", "alice", "while it is down"); r.code != 4 || !strings.Contains(r.err+r.out, "Kept") {
		t.Errorf("send with the broker away: exit %d, %s%s", r.code, r.out, r.err)
	}
	broker, _ = alice.up("--lan", "--name", "alice")
	bob.send("alice", "after the restart")
	alice.expect("bob@desk", "before the restart", "while it is down", "after the restart")

	// To somebody away, who hears of it when back.
	sent := alice.send("bob", "schema changed")
	if sent.State != "queued" {
		t.Errorf("sent to somebody away: %+v", sent)
	}
	bob.expect("alice@laptop", "schema changed")
	alice.eventually("seen", "message", sent.ID)

	// A further device by the same link, and one yes.
	join := phone.start("join", "--name", "bob", "--device", "phone", link)
	number := join.wait(`compare: (\d{4} \d{4} \d{4} \d{4})`)[1]
	if r := bob.do("admit", "bob@phone", "--yes"); !strings.Contains(r.out+r.err, number) {
		t.Errorf("admit shows another number than %s: %s%s", number, r.out, r.err)
	}
	join.wait(`joined`)
	alice.send("bob@phone", "to your phone")
	phone.expect("alice@laptop", "to your phone")

	// Put out.
	alice.do("revoke", "bob@desk")
	r := bob.try("", "send", "alice", "still here?")
	if r.code != 3 || !strings.Contains(r.out+r.err, "revoked") {
		t.Errorf("a revoked peer sends: exit %d, %s%s", r.code, r.out, r.err)
	}
	if r := bob.try(link+"\n", "join", "--name", "bob2", "--device", "desk"); r.code == 0 {
		t.Errorf("the link still lets somebody in: %s%s", r.out, r.err)
	}
	phone.send("alice", "my phone stays")
	alice.expect("bob@phone", "my phone stays")
	broker.stop()
}

// send sends by the command line and returns what became of it at once.
func (p *person) send(to, body string) status {
	p.t.Helper()
	return decode[status](p.t, p.do("send", "--json", to, body).out)
}

// expect takes the inbox and compares what is in it, in its order.
func (p *person) expect(from string, bodies ...string) {
	p.t.Helper()
	letters := p.inbox()
	if len(letters) != len(bodies) {
		p.t.Fatalf("%s has %d messages, want %d: %+v", p.name, len(letters), len(bodies), letters)
	}
	for i, l := range letters {
		if l.Body != bodies[i] || !strings.HasPrefix(l.From, from) {
			p.t.Errorf("%s: message %d is %q from %s, want %q from %s", p.name, i, l.Body, l.From, bodies[i], from)
		}
	}
}

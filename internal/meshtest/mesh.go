package meshtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/peer"
)

// Address is where the broker of a test listens, and URL how it is dialled.
const (
	Address = "127.0.0.1:7900"
	URL     = "http://" + Address
)

// Options says how a test's mesh is made. The zero value is a broker on loopback.
type Options struct {
	// Broker is changed before every start of the broker; nil: nothing is.
	Broker func(*broker.Options)
	// Dir is the folder for broker and profiles. Empty: the test's own.
	Dir string
}

// Mesh is a broker, a network, and people.
type Mesh struct {
	T   testing.TB
	Net *Network
	// Dir has the broker's data in broker/ and a profile for each machine.
	Dir string

	o       Options
	b       *broker.Broker
	process *Process // of the broker
	stop    func() error
	dead    sync.WaitGroup // brokers that were killed, until their goroutines end
	link    string
}

// New starts a broker. The test's end stops it; everything that was opened must be
// closed before.
func New(t testing.TB, o Options) *Mesh {
	t.Helper()
	m := &Mesh{T: t, Net: NewNetwork(), Dir: o.Dir, o: o}
	if m.Dir == "" {
		m.Dir = t.TempDir()
	}
	m.Start()
	return m
}

// Broker is the broker that runs, nil between Stop and Start.
func (m *Mesh) Broker() *broker.Broker { return m.b }

// Process is the process of the broker that was started last.
func (m *Mesh) Process() *Process { return m.process }

// Start starts the broker over its folder.
func (m *Mesh) Start() {
	m.T.Helper()
	if err := m.StartIn(m.Net.Process()); err != nil {
		m.T.Fatal(err)
	}
}

// StartIn starts the broker over its folder in a process that can be killed.
func (m *Mesh) StartIn(p *Process) error {
	l, err := p.Listen("tcp", Address)
	if err != nil {
		return err
	}
	o := broker.Options{Dir: filepath.Join(m.Dir, "broker"), Listen: []broker.Listen{{Net: l}}, Logger: m.Logger("broker")}
	if m.o.Broker != nil {
		m.o.Broker(&o)
	}
	var b *broker.Broker
	p.Open(o.Dir, func() { b, err = broker.New(o) })
	if err != nil {
		return errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	var once sync.Once
	var failed error
	m.b, m.process = b, p
	m.stop = func() error {
		once.Do(func() {
			cancel()
			failed = <-done
		})
		return failed
	}
	return nil
}

// Stop stops the broker as its operator does: it drains.
func (m *Mesh) Stop() {
	m.T.Helper()
	if m.b != nil {
		if err := m.stop(); err != nil {
			m.T.Errorf("broker: %v", err)
		}
		m.b = nil
	}
	m.dead.Wait()
}

// Kill kills the broker, unless it was killed by its process: it does not drain, and
// what it had not committed is gone.
func (m *Mesh) Kill() {
	m.process.Kill()
	m.b = nil
	stop := m.stop
	m.dead.Go(func() { _ = stop() }) // nobody hears what the dead say
}

// Restart stops the broker and starts it again over the same folder.
func (m *Mesh) Restart() {
	m.T.Helper()
	m.Stop()
	m.Start()
}

// Metric is what the broker says to whoever scrapes it of one of its metrics, one that
// has no labels.
func (m *Mesh) Metric(name string) string {
	m.T.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: m.Net.Dial, DisableKeepAlives: true}}
	answer, err := client.Get(URL + "/metrics")
	if err != nil {
		m.T.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	m.T.Fatalf("the broker says nothing of %s: %s", name, answer.Status)
	return ""
}

// Machine is one device of one person: a profile.
type Machine struct {
	*Mesh
	User, Device string
	Profile      string // folder
}

// Machine makes a profile that is in no mesh yet.
func (m *Mesh) Machine(user, device string) *Machine {
	return &Machine{Mesh: m, User: user, Device: device, Profile: filepath.Join(m.Dir, user+"-"+device)}
}

// Create creates the mesh "acme" on a new machine, and an invite for the others.
func (m *Mesh) Create(user, device string) *Machine {
	m.T.Helper()
	x := m.Machine(user, device)
	_, err := peer.CreateMesh(context.Background(), peer.CreateOptions{Dir: x.Profile, Name: "acme", User: user, Device: device,
		Broker: URL, BrokerKey: m.b.Key(), Dial: m.Net.Dial})
	if err != nil {
		m.T.Fatal(err)
	}
	p := x.Open(peer.Options{Label: "inviting"})
	defer x.Close(p)
	invite, err := p.Invite(context.Background(), peer.InviteOptions{Uses: 1000})
	if err != nil {
		m.T.Fatal(err)
	}
	m.link = invite.Link
	return x
}

// Link is the invite that Create made.
func (m *Mesh) Link() string { return m.link }

// Join lets a new machine in by the mesh's link. A further device of somebody waits
// for a yes then.
func (m *Mesh) Join(user, device string) *Machine {
	m.T.Helper()
	x := m.Machine(user, device)
	if _, err := x.TryJoin(m.link); err != nil {
		m.T.Fatal(err)
	}
	return x
}

// TryJoin joins by a link.
func (x *Machine) TryJoin(link string) (*peer.Joined, error) {
	return peer.Join(context.Background(), link, peer.JoinOptions{Dir: x.Profile, User: x.User, Device: x.Device, Dial: x.Net.Dial})
}

// Open opens a session of the machine. Dir, Dial, Listen and Logger are filled in.
func (x *Machine) Open(o peer.Options) *peer.Peer {
	x.T.Helper()
	p, err := x.TryOpen(o)
	if err != nil {
		x.T.Fatal(err)
	}
	return p
}

// TryOpen is Open for a test that wants the error.
func (x *Machine) TryOpen(o peer.Options) (*peer.Peer, error) {
	o.Dir, o.Listen = x.Profile, x.Net.Listen
	if o.Dial == nil {
		o.Dial = x.Net.Dial
	}
	if o.Logger == nil {
		o.Logger = x.Logger(x.User + "@" + x.Device + "/" + o.Label)
	}
	return peer.Open(context.Background(), o)
}

// Live opens a live session that works in a folder of this name, and waits until it
// is online and the broker shows it to others. It works in a test of Run only.
func (x *Machine) Live(label string) *peer.Peer {
	x.T.Helper()
	p := x.Open(peer.Options{Label: label, Receives: peer.Live})
	Online(x.T, p)
	synctest.Wait() // its card is behind its hello
	return p
}

// Close closes a session.
func (m *Mesh) Close(peers ...*peer.Peer) {
	m.T.Helper()
	for _, p := range peers {
		if err := p.Close(); err != nil {
			m.T.Errorf("close: %v", err)
		}
	}
}

// Online waits until a peer is online.
func Online(t testing.TB, p *peer.Peer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := p.Connected(ctx, true); err != nil {
		t.Fatalf("not online: %v", err)
	}
}

// Patience is how long a test waits for what must come; it is never waited for in
// full where all is well.
const Patience = 30 * time.Second

// Next waits for the next message of a session, and says it was seen.
func Next(t testing.TB, p *peer.Peer) peer.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	m, err := p.Next(ctx)
	if err != nil {
		t.Fatalf("no message: %v", err)
	}
	if err := p.Seen(ctx, m); err != nil {
		t.Fatalf("seen: %v", err)
	}
	return m
}

// Event waits for an event of a kind whose text contains something.
func Event(t testing.TB, events <-chan peer.Event, kind peer.EventKind, text string) peer.Event {
	t.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("no event %s %q; the peer was closed; seen: %q", kind, text, seen)
			}
			if e.Kind == kind && strings.Contains(e.Text, text) {
				return e
			}
			seen = append(seen, fmt.Sprintf("%s %s", e.Kind, e.Text))
		case <-timer.C:
			t.Fatalf("no event %s %q; seen: %q", kind, text, seen)
		}
	}
}

// Logger writes to the test's log, until the test has ended.
func (m *Mesh) Logger(who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(testLog{m.T}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who)
}

type testLog struct{ t testing.TB }

// Write logs a line.
func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(string(bytes.TrimRight(b, "\n")))
	return len(b), nil
}

// Socket is where a broker of a machine's own would listen.
func (x *Machine) Socket() string { return filepath.Join(x.Profile, "run", "broker.sock") }

// Serve lets something of a test's own listen where the broker does.
func (m *Mesh) Serve() (net.Listener, error) { return m.Net.Listen("tcp", Address) }

// Run runs a test, in parallel with others, inside a testing/synctest bubble, with a
// mesh that is stopped at its end: time is fake, and passes when everybody waits.
func Run(t *testing.T, o Options, test func(*testing.T, *Mesh)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(t, o)
		defer m.Stop()
		test(t, m)
	})
}

// Pass lets fake time pass, and all settle that it brings. It works in a test of Run
// only.
func Pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

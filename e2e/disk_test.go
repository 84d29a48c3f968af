//go:build system

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/store"
)

// disk is a small file system of its own.
type disk struct {
	t    *testing.T
	path string
}

func newDisk(t *testing.T, size string) *disk {
	t.Helper()
	d := &disk{t: t, path: t.TempDir()}
	d.run("mount", "-t", "tmpfs", "-o", "mode=0700,size="+size, "tmpfs", d.path)
	t.Cleanup(func() { exec.Command("umount", "-l", d.path).Run() })
	return d
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// remount changes the file system's size, or lets nobody write ("ro").
func (d *disk) remount(option string) {
	d.t.Helper()
	d.run("mount", "-o", "remount,"+option, d.path)
}

// TestBrokerOnAFullDisk fills the broker's disk: what was acknowledged stays,
// what is not kept is said, and with room it goes on without a restart.
func TestBrokerOnAFullDisk(t *testing.T) {
	d := newDisk(t, "2m")
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, d.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	mesh, to := keys.MeshID{1}, keys.Public{2}
	entry := store.Entry{Signed: []byte("genesis"), Sig: []byte("sig")}
	if err := s.CreateMesh(ctx, store.NewMesh{ID: mesh, Entries: []store.Entry{entry}, Head: store.Head{Signed: []byte("h"), Sig: []byte("s")}}); err != nil {
		t.Fatal(err)
	}
	n := uint64(0)
	save := func() error {
		m := &delivery.Message{From: keys.Public{1}, ID: keys.MessageID{1, byte(n >> 8), byte(n)}, Sealed: make([]byte, 4000)}
		_, err := s.Write(ctx, store.Batch{Mesh: mesh, Ops: []delivery.Effect{
			{Kind: delivery.EffectSave, Row: &delivery.Row{Message: m, To: to, N: n + 1}}}})
		if err == nil {
			n++
		}
		return err
	}
	fill := func() {
		t.Helper()
		for err = nil; err == nil; err = save() {
			if n > 10_000 {
				t.Fatal("the disk does not fill")
			}
		}
		if !errors.Is(err, store.ErrFull) {
			t.Fatalf("after %d rows: %v", n, err)
		}
	}
	count := func() uint64 {
		t.Helper()
		got, err := s.Fetch(ctx, mesh, &delivery.Fetch{Kind: delivery.FetchLane, To: to})
		if err != nil {
			t.Fatal(err)
		}
		return uint64(len(got.Rows))
	}
	fill()
	t.Logf("full after %d rows: %v", n, err)
	if err := save(); !errors.Is(err, store.ErrFull) {
		t.Fatalf("again: %v", err)
	}
	if got := count(); got != n {
		t.Fatalf("%d rows acknowledged, %d there", n, got)
	}
	d.remount("size=4m")
	fill()
	if got := count(); got != n {
		t.Fatalf("%d rows acknowledged, %d there", n, got)
	}
	// Full again, and opened anew.
	if err := s.Close(); err != nil {
		t.Logf("close on a full disk: %v", err)
	}
	d.remount("size=8m")
	if s, err = store.OpenSQLite(ctx, d.path); err != nil {
		t.Fatal(err)
	}
	if got := count(); got != n {
		t.Fatalf("%d rows acknowledged, %d there", n, got)
	}
	if err := save(); err != nil {
		t.Fatal(err)
	}
}

// TestDiskThatCannotBeWritten opens store and profile on a disk that turned
// read-only.
func TestDiskThatCannotBeWritten(t *testing.T) {
	d := newDisk(t, "8m")
	ctx := context.Background()
	s, err := store.OpenSQLite(ctx, d.path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.Open(filepath.Join(d.path, "profile"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Update(ctx, func(*config.Config) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d.remount("ro")
	if _, err := store.OpenSQLite(ctx, d.path); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("store: %v", err)
	} else {
		t.Log(err)
	}
	if err := p.Update(ctx, func(*config.Config) error { return nil }); err == nil {
		t.Error("a config was written")
	} else {
		t.Log(err)
	}
	if _, err := p.Config(); err != nil {
		t.Errorf("a config that can be read: %v", err)
	}
	if _, err := p.OpenState(ctx); !errors.Is(err, profile.ErrReadOnly) {
		t.Errorf("state: %v", err)
	} else {
		t.Log(err)
	}
}

// TestConfigOnAFullDisk leaves the old config where there is no room for the
// new one.
func TestConfigOnAFullDisk(t *testing.T) {
	d := newDisk(t, "256k")
	ctx := context.Background()
	p, err := profile.Open(filepath.Join(d.path, "profile"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	add := func() error {
		return p.Update(ctx, func(c *config.Config) error {
			for range 100 {
				n++
				c.Meshes = append(c.Meshes, config.Mesh{ID: keys.MeshID{1, byte(n >> 8), byte(n)}, Alias: fmt.Sprintf("mesh-%d", n)})
			}
			return nil
		})
	}
	for err = nil; err == nil; err = add() {
		if n > 100_000 {
			t.Fatal("the disk does not fill")
		}
	}
	t.Logf("full: %v", err)
	if !errors.Is(err, profile.ErrFull) {
		t.Errorf("error %v", err)
	}
	c, err := p.Config()
	if err != nil || len(c.Meshes) != n-100 {
		t.Fatalf("%d meshes, want %d: %v", len(c.Meshes), n-100, err)
	}
	left, err := filepath.Glob(filepath.Join(p.Dir(), ".config*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestMessagesWhileTheBrokersDiskIsFull: the broker acknowledges nothing that
// it cannot keep; the sender keeps it, and it arrives when there is room.
func TestMessagesWhileTheBrokersDiskIsFull(t *testing.T) {
	d := newDisk(t, "16m")
	alice, bob, carol := newPerson(t, "alice"), newPerson(t, "bob"), newPerson(t, "carol")
	alice.dir = filepath.Join(d.path, "alice")
	up, _ := alice.up("--listen", "127.0.0.1:0", "--name", "alice")
	link := alice.invite()
	for _, p := range []*person{bob, carol} {
		p.doWith(link+"\n", "join", "--name", p.name, "--device", "host")
	}
	bob.do("send", "carol", "with room")

	ballast := filepath.Join(d.path, "ballast")
	exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4k").Run() // until the disk is full
	r := bob.try("", "send", "carol", "without room")
	if r.code == 0 {
		t.Errorf("a message was acknowledged that could not be kept:\n%s%s", r.out, r.err)
	}
	d.run("rm", ballast)
	bob.do("send", "carol", "room again")
	var got []string
	for _, m := range carol.inbox() {
		got = append(got, m.Body)
	}
	if want := []string{"with room", "without room", "room again"}; !slices.Equal(got, want) {
		t.Errorf("carol has %q, want %q", got, want)
	}
	up.stop()
}

// TestMessagesWhileAProfilesDiskCannotBeWritten: the recipient's disk, and the sender's,
// is full, then read-only. Nothing is said to be sent or taken that is not kept, what is
// wrong is said, and with room everything comes, once.
func TestMessagesWhileAProfilesDiskCannotBeWritten(t *testing.T) {
	d := newDisk(t, "16m")
	alice, bob := newPerson(t, "alice"), newPerson(t, "bob")
	bob.dir = filepath.Join(d.path, "bob")
	up, _ := alice.up("--listen", "127.0.0.1:0", "--name", "alice")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "host")
	bob.do("send", "alice", "with room")
	alice.expect("bob@host", "with room")

	ballast := filepath.Join(d.path, "ballast")
	for _, c := range []struct {
		name, says  string
		spoil, mend func()
	}{
		{"full", "the disk is full", func() {
			exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=4k").Run() // until the disk is full
		}, func() { d.run("rm", ballast) }},
		{"read-only", "read-only", func() { d.remount("ro") }, func() { d.remount("rw") }},
	} {
		c.spoil()
		if sent := alice.send("bob", "to a disk that is "+c.name); sent.State != "queued" {
			t.Errorf("%s: %+v", c.name, sent)
		}
		for _, args := range [][]string{{"inbox"}, {"send", "alice", "from a disk that is " + c.name}} {
			r := bob.try("", args...)
			if r.code == 0 || !strings.Contains(r.err, c.says) || strings.Contains(r.out, "to a disk") {
				t.Errorf("%s: %s ends with %d\n%s%s", c.name, args[0], r.code, r.out, r.err)
			}
		}
		c.mend()
		bob.expect("alice@", "to a disk that is "+c.name)
		bob.do("send", "alice", "mended")
		alice.expect("bob@host", "mended")
	}
	up.stop()
}

//go:build system

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/claudemesh/claudemesh-go/delivery"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/store"
	"github.com/claudemesh/claudemesh-go/wire"
)

var (
	powerCuts = flag.Int("power-cuts", 20, "at how many moments TestPowerCut cuts the power of each program")
	cutSeed   = flag.Uint64("cut-seed", 0, "seed of TestPowerCut; 0: a new one")
)

// TestPowerCut traces what the real programs write, and builds, for moments of the run,
// the disk as a power cut would have left it: what was written before the last sync is
// there, of what came behind it some is, some is not and some is torn. Opened again,
// nothing is missing of what was promised before that moment: the broker's "queued", a
// sender's message on its way, a recipient's "received".
func TestPowerCut(t *testing.T) {
	seed := *cutSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-cut-seed %d)", seed, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	ctx, cancel := context.WithTimeout(context.Background(), 5*patience) // each cut opens a database
	defer cancel()
	alice, bob, carol := newPerson(t, "alice"), newPerson(t, "bob"), newPerson(t, "carol")

	brokers := alice.traced()
	up, _ := alice.up("--listen", "127.0.0.1:0", "--name", "alice")
	alice.prefix = nil
	link := alice.invite()
	for _, p := range []*person{bob, carol} {
		p.doWith(link+"\n", "join", "--name", p.name, "--device", "host")
	}
	// Carol is away, and much comes at once.
	sender, err := peer.Open(ctx, peer.Options{Dir: bob.dir, Receives: peer.Replies, Label: "load"})
	if err != nil {
		t.Fatal(err)
	}
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for i := range 10 {
				if _, err := sender.Send(ctx, "carol", fmt.Sprintf("%d %s", i, strings.Repeat("x", i*1000)), peer.SendOptions{SeenWait: -1}); err != nil {
					t.Errorf("send: %v", err)
				}
			}
		})
	}
	load.Wait()
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	first := copyOf(t, bob.dir)
	sends := bob.traced()
	bob.do("send", "carol", "traced")
	before := copyOf(t, carol.dir)
	takes := carol.traced()
	if got := carol.inbox(); len(got) != 41 {
		t.Fatalf("%d messages of 41", len(got))
	}
	up.stop()

	mesh, from := identity(t, bob.dir)
	_, to := identity(t, carol.dir) // whose receipts are queued, too
	for _, part := range []struct {
		name, database string
		base           string // the folder as it was before; "": there was none
		calls          []*call
		promise        func(wire.Frame) []keys.MessageID
		kept           func(dir string, id keys.MessageID) error
		least          int
	}{
		{"broker", "broker.db", "", brokers.calls(t), func(f wire.Frame) []keys.MessageID {
			if a, ok := f.(*wire.Ack); ok && a.State == wire.StateQueued {
				return a.IDs
			}
			return nil
		}, func(dir string, id keys.MessageID) error { return queued(ctx, dir, mesh, id, from, to) }, 41},
		{"sender", "state.db", first, sends.calls(t), func(f wire.Frame) []keys.MessageID {
			if s, ok := f.(*wire.Send); ok && s.Class == wire.ClassMessage {
				return []keys.MessageID{s.ID}
			}
			return nil
		}, func(dir string, id keys.MessageID) error {
			return inState(ctx, dir, mesh, func(tx *profile.Tx) error { _, err := tx.Sent(id); return err })
		}, 1},
		{"recipient", "state.db", before, takes.calls(t), func(f wire.Frame) []keys.MessageID {
			if r, ok := f.(*wire.Receipt); ok && r.State == wire.VerdictReceived {
				return r.IDs
			}
			return nil
		}, func(dir string, id keys.MessageID) error {
			return inState(ctx, dir, mesh, func(tx *profile.Tx) error {
				taken, err := tx.Taken(from, id)
				if err == nil && !taken {
					err = errors.New("it is not known")
				}
				return err
			})
		}, 41},
	} {
		t.Run(part.name, func(t *testing.T) {
			all := frames(t, part.calls)
			// lost says how many of what was promised before a moment is not there after it.
			lost := func(calls []*call, at int, keep func() bool) (promised, missing int, why error) {
				dir := diskAt(t, part.base, part.database, calls, at, rng, keep)
				for _, id := range promisedBefore(all, at, part.promise) {
					promised++
					if err := part.kept(dir, id); err != nil {
						missing++
						why = fmt.Errorf("%s: %w", id, err)
					}
				}
				return promised, missing, why
			}
			seen := 0
			for _, s := range all {
				seen += len(part.promise(s.frame))
			}
			if seen < part.least {
				t.Errorf("%d promises were seen, there were to be %d", seen, part.least)
			}
			moments := momentsOf(all, part.calls, part.promise, rng)
			most, then := 0, 0
			for _, at := range moments {
				promised, missing, why := lost(part.calls, at, func() bool { return rng.IntN(2) == 0 })
				if promised > most {
					most, then = promised, at
				}
				if missing > 0 {
					t.Errorf("cut at line %d: %d of %d promised messages are lost: %v", at, missing, promised, why)
				}
			}
			t.Logf("%d cuts, up to %d messages promised before them", len(moments), most)
			// Without the syncs, and nothing kept by luck, all is lost: the check sees it.
			if promised, missing, _ := lost(withoutSyncs(part.calls), then, func() bool { return false }); missing != promised || promised == 0 {
				t.Errorf("on a disk that never synced %d of %d are lost", missing, promised)
			}
		})
	}
}

// momentsOf chooses lines of a trace: right behind promises, and anywhere behind the
// first of them, the closing of the database included.
func momentsOf(all []sent, calls []*call, promise func(wire.Frame) []keys.MessageID, rng *rand.Rand) []int {
	var behind, between []int
	for _, s := range all {
		if len(promise(s.frame)) > 0 {
			behind = append(behind, s.by.begin+1)
		}
	}
	for _, c := range calls {
		if len(behind) > 0 && c.begin > behind[0] {
			between = append(between, c.begin)
		}
	}
	rng.Shuffle(len(behind), func(i, j int) { behind[i], behind[j] = behind[j], behind[i] })
	rng.Shuffle(len(between), func(i, j int) { between[i], between[j] = between[j], between[i] })
	behind = behind[:min(len(behind), (*powerCuts+1)/2)]
	return append(behind, between[:min(len(between), *powerCuts/2)]...)
}

// promisedBefore lists the messages that were promised before a line. What the broker
// had handed over by then may have gone on.
func promisedBefore(all []sent, at int, promise func(wire.Frame) []keys.MessageID) (ids []keys.MessageID) {
	handed := map[keys.MessageID]bool{}
	for _, s := range all {
		if d, ok := s.frame.(*wire.Deliver); ok && s.by.begin < at {
			handed[d.ID] = true
		}
	}
	for _, s := range all {
		if s.by.begin >= at {
			continue
		}
		for _, id := range promise(s.frame) {
			if !handed[id] && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// sector is what a disk writes as a whole.
const sector = 512

// diskAt builds the folder of a database as the disk has it when the power goes at a
// line of a trace. keep says whether a write that was not synced is on the disk.
func diskAt(t *testing.T, base, database string, calls []*call, at int, rng *rand.Rand, keep func() bool) string {
	t.Helper()
	dir := t.TempDir()
	if base != "" {
		if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{database, database + "-wal"} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		exists := err == nil
		for i, c := range calls {
			if filepath.Base(c.file) != name || c.begin >= at {
				continue
			}
			durable := syncedBefore(calls[i:], c, at)
			if !durable && !keep() {
				continue
			}
			switch {
			case c.name == "pwrite64" && c.ok:
				bytes := c.data
				if !durable && rng.IntN(4) == 0 {
					bytes = bytes[:len(bytes)/2/sector*sector]
				}
				data = slices.Grow(data, max(0, c.offset+len(bytes)-len(data)))
				data = data[:max(len(data), c.offset+len(bytes))]
				copy(data[c.offset:], bytes)
				exists = true
			case c.name == "ftruncate" && c.ok:
				data = slices.Grow(data, max(0, c.offset-len(data)))[:c.offset]
			case strings.HasPrefix(c.name, "unlink") && c.ok:
				data, exists = nil, false
			}
		}
		os.Remove(path)
		if exists {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	os.Remove(filepath.Join(dir, database+"-shm"))
	return dir
}

// syncedBefore tells whether what a call did to a file was synced before a line.
func syncedBefore(later []*call, c *call, at int) bool {
	return slices.ContainsFunc(later, func(s *call) bool {
		return (s.name == "fdatasync" || s.name == "fsync") && s.ok && s.file == c.file && s.begin > c.end && s.end < at
	})
}

// queued tells why a broker's folder does not have a message of one of these senders in
// its queue; nil: it has.
func queued(ctx context.Context, dir string, mesh keys.MeshID, id keys.MessageID, senders ...keys.Public) (err error) {
	s, err := store.OpenSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, from := range senders {
		got, err := s.Fetch(ctx, mesh, &delivery.Fetch{Kind: delivery.FetchMessage, Sender: from, ID: id})
		if err != nil {
			return err
		}
		if len(got.Rows) > 0 && len(got.Rows[0].Sealed) > 0 {
			return nil
		}
	}
	return errors.New("it is not in the queue")
}

// inState looks at a profile's state.db.
func inState(ctx context.Context, dir string, mesh keys.MeshID, look func(*profile.Tx) error) error {
	p, err := profile.Open(dir)
	if err != nil {
		return err
	}
	s, err := p.OpenState(ctx)
	if err != nil {
		return err
	}
	return errors.Join(s.View(ctx, mesh, look), s.Close())
}

// identity is the mesh and the peer key of a profile.
func identity(t *testing.T, dir string) (keys.MeshID, keys.Public) {
	t.Helper()
	p, err := profile.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c.Meshes[0].ID, c.Meshes[0].PeerKey.Public()
}

// copyOf copies a folder that nobody writes to.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "copy")
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() {
			return errors.Join(err, os.MkdirAll(filepath.Join(copied, name), 0o700))
		}
		if !d.Type().IsRegular() {
			return nil // sockets
		}
		data, err := os.ReadFile(path)
		return errors.Join(err, os.WriteFile(filepath.Join(copied, name), data, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

var (
	writeOffset = regexp.MustCompile(`", \d+, (\d+)`)
	newSize     = regexp.MustCompile(`^, (\d+)`)
)

// offsetOf reads where a call writes, or how long it leaves a file, from what strace
// prints behind the file.
func offsetOf(name, text string) int {
	pattern := writeOffset
	switch name {
	case "pwrite64":
	case "ftruncate":
		pattern = newSize
	default:
		return 0
	}
	m := pattern.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// localBrokers lists the processes that are the broker of this person's machine.
func (p *person) localBrokers() []int {
	p.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		p.t.Fatal(err)
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // it may end meanwhile
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if bytes.Contains(line, []byte("broker\x00--unix")) && bytes.Contains(environ, []byte("CLAUDEMESH_CONFIG_DIR="+p.dir+"\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

// awaitLocalBrokers waits until so many brokers of this person's machine run: one that
// finds another over its data is there for a moment.
func (p *person) awaitLocalBrokers(n int) {
	p.t.Helper()
	for limit := time.Now().Add(patience); len(p.localBrokers()) != n; {
		if time.Now().After(limit) {
			p.t.Fatalf("brokers of this machine: %v, want %d", p.localBrokers(), n)
		}
	}
}

// killLocal kills the broker of this person's machine without a warning.
func (p *person) killLocal() {
	for _, pid := range p.localBrokers() {
		syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
	}
}

// TestLocalScope: several installs at once on an empty home make one mesh; then the
// broker that nobody started by hand is killed again and again while sessions write
// to each other: what was acknowledged is shown, once, and in the end one broker
// serves them all.
func TestLocalScope(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-kill-seed %d)", seed, seed)
	random := rand.New(rand.NewPCG(seed, 1))
	alice := newPerson(t, "alice")
	t.Cleanup(alice.killLocal)

	var starting sync.WaitGroup
	for range 3 {
		starting.Go(func() { alice.try("", "install", "--yes") }) // who comes second may find the files changed
	}
	starting.Wait()
	alice.do("install", "--yes")
	meshes := decode[[]struct{ Mesh string }](t, alice.do("mesh", "list", "--json").out)
	if len(meshes) != 1 {
		t.Fatalf("meshes: %+v", meshes)
	}

	sink := alice.start("inbox", "--follow")
	sink.wait("Here as")
	label := regexp.MustCompile(`/([a-z0-9._-]+)\.`).FindStringSubmatch(sink.output())[1]
	var mu sync.Mutex // guards acked
	var acked []string
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	var load sync.WaitGroup
	for i := range 4 {
		load.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				body := fmt.Sprintf("s%dn%d", i, n)
				r := alice.try("", "send", "/"+label, body, "--json")
				// Not sent yet is kept in the outbox: whoever comes next sends it.
				if r.code != 0 && r.code != 4 {
					t.Errorf("send %s ended with %d: %s", body, r.code, r.err)
					return
				}
				mu.Lock()
				acked = append(acked, body)
				mu.Unlock()
			}
		})
	}
	shown := func() map[string]int {
		times := map[string]int{}
		for _, m := range regexp.MustCompile(`"(s\d+n\d+)"`).FindAllStringSubmatch(sink.output(), -1) {
			times[m[1]]++
		}
		return times
	}
	await := func(what string, done func() bool) {
		t.Helper()
		limit := time.After(2 * patience)
		for !done() {
			select {
			case <-sink.more:
			case <-limit:
				t.Fatalf("waited for %s; shown %d", what, len(shown()))
			}
		}
	}
	for kill := range *kills {
		more := len(shown()) + 1 + random.IntN(12) // a moment that depends on the traffic, not on a clock
		await(fmt.Sprint(more, " messages"), func() bool { return len(shown()) >= more })
		alice.killLocal()
		t.Logf("kill %d after %d messages", kill+1, more)
	}
	more := len(shown()) + 8
	await("what comes after the last kill", func() bool { return len(shown()) >= more })
	stop()
	load.Wait()
	alice.do("peers") // whoever comes takes over what another left in the outbox
	mu.Lock()
	defer mu.Unlock()
	await("all that was acknowledged", func() bool {
		times := shown()
		for _, body := range acked {
			if times[body] == 0 {
				return false
			}
		}
		return true
	})
	for body, n := range shown() {
		if n != 1 {
			t.Errorf("%s was shown %d times", body, n)
		}
	}
	alice.awaitLocalBrokers(1)
	t.Logf("%d messages, all shown once", len(acked))

	// up takes its place, the sessions come along; and then they go on without it.
	up, _ := alice.up("--listen", "127.0.0.1:0")
	alice.do("send", "/"+label, "s9n1", "--json")
	alice.awaitLocalBrokers(0) // beside up
	up.stop()
	alice.do("send", "/"+label, "s9n2", "--json")
	await("what was sent without up", func() bool { return shown()["s9n2"] == 1 })
	if text := sink.output(); strings.Contains(text, "may have been shown") {
		t.Errorf("shown again:\n%s", text)
	}
}

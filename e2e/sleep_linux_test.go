//go:build system

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

// signal sends a process a signal.
func (pr *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := pr.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A laptop that sleeps reads nothing, answers nothing and closes nothing: first the
// recipient's, then the broker's. What is sent meanwhile is acknowledged by who is
// awake, and shown once, in order, after the sleep.
func TestSleep(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	owner, bob := newPerson(t, "owner"), newPerson(t, "bob")
	broker, _ := owner.up("--listen", "127.0.0.1:0", "--name", "owner")
	link := owner.invite("--uses", "2")
	bob.doWith(link+"\n", "join", "--name", "bob", "--device", "desk")
	dir := filepath.Join(t.TempDir(), "alice")
	if _, err := peer.Join(ctx, link, peer.JoinOptions{Dir: dir, User: "alice", Device: "laptop"}); err != nil {
		t.Fatal(err)
	}
	alice, err := peer.Open(ctx, peer.Options{Dir: dir, Receives: peer.Live, Label: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer alice.Close()
	if err := alice.Connected(ctx, true); err != nil {
		t.Fatal(err)
	}
	follow := bob.start("inbox", "--follow", "--json")
	broker.wait(`bob@desk\S*  online`)

	var want []string
	say := func(n int, may func(peer.State) bool) {
		t.Helper()
		for range n {
			body := fmt.Sprintf("number %d %s", len(want), strings.Repeat("x", 40_000))
			sent, err := alice.Send(ctx, "bob", body, peer.SendOptions{Priority: peer.Now, SeenWait: -1})
			if err != nil && peer.ClassOf(err) != peer.ClassUnreachable || !may(sent.To[0].State) {
				t.Fatalf("%.10s: %+v, %v", body, sent.To, err)
			}
			want = append(want, body)
		}
	}
	awake := func(s peer.State) bool { return s == peer.Delivered || s == peer.Seen }
	say(2, func(s peer.State) bool { return awake(s) || s == peer.Queued })

	// More than what the system and the window take for a reader that is not there.
	follow.signal(t, syscall.SIGSTOP)
	say(200, func(s peer.State) bool { return awake(s) || s == peer.Queued })
	broker.wait(`bob@desk\S*  offline`)
	say(2, func(s peer.State) bool { return s == peer.Queued })
	follow.signal(t, syscall.SIGCONT)

	// The broker sleeps: its sockets stay open, and nobody answers.
	events := alice.Events(ctx)
	broker.signal(t, syscall.SIGSTOP)
	for alice.Condition().State == peer.Online {
		select {
		case <-events:
		case <-ctx.Done():
			t.Fatal("the sender never noticed that the broker is silent")
		}
	}
	say(1, func(s peer.State) bool { return s == peer.Pending })
	broker.signal(t, syscall.SIGCONT)
	if err := alice.Connected(ctx, true); err != nil {
		t.Fatal(err)
	}
	say(1, func(s peer.State) bool { return awake(s) || s == peer.Queued })
	follow.wait(fmt.Sprintf(`"body":"number %d `, len(want)-1))
	var got []string
	for line := range strings.Lines(follow.output()) {
		var m struct{ Body string }
		if json.Unmarshal([]byte(line), &m) == nil && m.Body != "" {
			got = append(got, m.Body)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d were shown, %d sent", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("shown as %d: %.12s, want %.12s", i, got[i], want[i])
		}
	}
}

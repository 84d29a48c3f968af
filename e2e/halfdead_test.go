//go:build system

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// cut has the router drop what nft says, without a word to either end, until restore is
// called.
func (n *network) cut(rule string) (restore func()) {
	n.t.Helper()
	n.nft("table ip cut {\nchain forward {\ntype filter hook forward priority filter\n" + rule + "\n}\n}\n")
	return func() { n.t.Helper(); n.nft("delete table ip cut\n") }
}

// nft gives the router a ruleset.
func (n *network) nft(rules string) {
	n.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", n.router, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nft: %v\n%s", err, out)
	}
}

// A link loses all packets, first those of one direction, then of both, and no end is
// told: the heartbeat finds it. What is sent meanwhile waits where it is safe, and once
// the link is back all of it is shown once, in order, without anybody doing anything.
func TestHalfDeadLink(t *testing.T) {
	n := newNetwork(t)
	alice, bob := n.person(n.server, "alice"), n.person(n.behind, "bob")
	broker, _ := alice.up("--lan", "--name", "alice", "--device", "laptop")
	bob.doWith(alice.invite()+"\n", "join", "--name", "bob", "--device", "desk")
	follow := bob.start("inbox", "--follow", "--json")
	broker.wait(`bob@desk\S*  online`)

	var want []string
	say := func(count int, states ...string) {
		t.Helper()
		for range count {
			body := fmt.Sprint("number ", len(want))
			if got := alice.send("bob", body); !slices.Contains(states, got.State) {
				t.Errorf("%s is %s, want one of %v", body, got.State, states)
			}
			want = append(want, body)
		}
	}
	offline := func(times int) {
		t.Helper()
		broker.wait(`(?s)` + strings.Repeat(`bob@desk\S*  offline.*`, times))
	}
	arrived := func() {
		t.Helper()
		follow.wait(fmt.Sprintf(`"body":"%s"`, want[len(want)-1]))
	}
	say(1, "seen", "delivered", "queued")
	arrived()

	// What bob says is lost: what is handed to him is in nobody's hands.
	restore := n.cut("ip saddr 10.66.0.0/24 drop")
	say(3, "queued")
	offline(1)
	say(1, "queued")
	restore()
	arrived()
	broker.wait(`(?s)bob@desk\S*  offline.*bob@desk\S*  online`)

	// Nothing passes.
	restore = n.cut("drop")
	say(3, "queued")
	if r := bob.try("", "send", "alice", "into the void"); r.code != 4 || !strings.Contains(r.out+r.err, "Kept") {
		t.Errorf("send over a dead link: exit %d, %s%s", r.code, r.out, r.err)
	}
	offline(2)
	restore()
	arrived()
	say(1, "seen", "delivered", "queued")
	arrived()
	bob.do("send", "alice", "back again") // takes along what waits
	alice.expect("bob@desk", "into the void", "back again")

	var got []string
	for line := range strings.Lines(follow.output()) {
		var m struct{ Body string }
		if json.Unmarshal([]byte(line), &m) == nil && m.Body != "" {
			got = append(got, m.Body)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown were %q, sent %q", got, want)
	}
	broker.stop()
}

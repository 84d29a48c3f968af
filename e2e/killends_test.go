package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/peer"
)

// Where a sender of TestEndsKilledUnderLoad finds its profile, and how its messages
// begin.
const (
	loadDir = "CLAUDEMESH_E2E_LOAD"
	loadRun = "CLAUDEMESH_E2E_RUN"
)

// sendLoad sends message after message until it is killed, or its standard input ends,
// and says of each when the broker has it.
func sendLoad(dir, run string) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		os.Stdin.Read(make([]byte, 1)) //nolint:errcheck // ends with the test
	}()
	p, err := peer.Open(ctx, peer.Options{Dir: dir, Receives: peer.Replies, Label: "load"})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	defer p.Close()
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf("%s %d", run, n)
		sent, err := p.Send(context.WithoutCancel(ctx), "sink", body, peer.SendOptions{Priority: peer.Now, SeenWait: -1})
		if peer.ClassOf(err) == peer.ClassUnreachable && err != nil {
			fmt.Println("kept", body) // a machine that is slow enough; it goes out by itself
			continue
		}
		if err != nil || len(sent.To) != 1 || sent.To[0].State == peer.Pending || sent.To[0].State == peer.Refused {
			fmt.Printf("failed: %s is %+v, %v\n", body, sent.To, err)
			os.Exit(1)
		}
		fmt.Println("acknowledged", body)
	}
}

// shownLine is what inbox --follow --json prints of a message.
type shownLine struct {
	ID, Body    string
	Again, Late bool
}

// TestEndsKilledUnderLoad kills, in turns, the sender and the recipient with SIGKILL while
// messages go from one to the other, and starts them again. All that was acknowledged is
// shown, nothing twice but marked, and of one run of the sender in its order but marked.
func TestEndsKilledUnderLoad(t *testing.T) {
	seed := *killSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d (-kill-seed %d)", seed, seed)
	random := rand.New(rand.NewPCG(seed, 1))
	owner, sender, sink := newPerson(t, "owner"), newPerson(t, "sender"), newPerson(t, "sink")
	broker, _ := owner.up("--listen", "127.0.0.1:0", "--name", "owner")
	link := owner.invite()
	for _, p := range []*person{sender, sink} {
		p.doWith(link+"\n", "join", "--name", p.name, "--device", "host")
	}

	var sending, showing []*process
	runs := 0
	startSender := func() (end func()) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), loadDir+"="+sender.dir, fmt.Sprintf("%s=run%d", loadRun, runs))
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		runs++
		sending = append(sending, startProcess(t, cmd))
		return func() { stdin.Close() }
	}
	startSink := func() { showing = append(showing, sink.start("inbox", "--follow", "--json")) }
	last := func(all []*process) *process { return all[len(all)-1] }
	// more waits until the processes that run now have done so much more: it depends on
	// the traffic, not on a clock.
	more := func() {
		last(showing).wait(fmt.Sprintf(`(?s)(?:.*?"body"[^\n]*\n){%d}`, 1+random.IntN(20)))
		last(sending).wait(fmt.Sprintf(`(?s)(?:.*?acknowledged[^\n]*\n){%d}`, 1+random.IntN(20)))
	}
	end := startSender()
	startSink()
	for kill := range 2 * *kills {
		more()
		if kill%2 == 0 {
			last(sending).kill()
			end = startSender()
		} else {
			last(showing).kill()
			startSink()
		}
	}
	more()
	end()
	<-last(sending).done
	final := ""
	for line := range strings.Lines(last(sending).output()) {
		if body, ok := strings.CutPrefix(line, "acknowledged "); ok {
			final = strings.TrimSpace(body)
		}
	}
	last(showing).wait(fmt.Sprintf(`"body":"%s"`, final))
	last(showing).stop()
	broker.stop()

	shown, next := map[string]bool{}, map[string]int{}
	for _, pr := range showing {
		for line := range strings.Lines(pr.output()) {
			var m shownLine
			if !strings.HasSuffix(line, "\n") || json.Unmarshal([]byte(line), &m) != nil || m.Body == "" {
				continue // cut by the kill, or no message
			}
			if shown[m.Body] && !m.Again {
				t.Errorf("%q was shown twice and is not marked", m.Body)
			}
			var run string
			var n int
			if _, err := fmt.Sscan(m.Body, &run, &n); err != nil {
				t.Errorf("%q: %v", m.Body, err)
			}
			if n < next[run] && !m.Again && !m.Late {
				t.Errorf("%q comes where %d is next, and is not marked", m.Body, next[run])
			}
			shown[m.Body], next[run] = true, max(next[run], n+1)
		}
	}
	acknowledged := 0
	for _, pr := range sending {
		for line := range strings.Lines(pr.output()) {
			if body, ok := strings.CutPrefix(line, "acknowledged "); ok && strings.HasSuffix(body, "\n") {
				acknowledged++
				if body = strings.TrimSpace(body); !shown[body] {
					t.Errorf("%q was acknowledged, and never shown", body)
				}
			} else if strings.HasPrefix(line, "failed") {
				t.Errorf("a sender says %s", line)
			}
		}
	}
	t.Logf("%d kills of each, %d messages acknowledged, %d shown", *kills, acknowledged, len(shown))
}

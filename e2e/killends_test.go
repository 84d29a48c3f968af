package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/internal/history"
	"github.com/claudemesh/claudemesh-go/peer"
)

// Where a sender of TestEndsKilledUnderLoad finds its profile, and how its messages
// begin.
const (
	loadDir = "CLAUDEMESH_E2E_LOAD"
	loadRun = "CLAUDEMESH_E2E_RUN"
)

// sendLoad sends message after message until it is killed, or its standard input ends,
// and says of each what it was told.
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
		if err != nil && peer.ClassOf(err) != peer.ClassUnreachable || len(sent.To) != 1 {
			fmt.Printf("failed: %s is %+v, %v\n", body, sent.To, err)
			os.Exit(1)
		}
		if sent.To[0].State == peer.Pending {
			fmt.Println("kept", body) // a machine that is slow enough; it goes out by itself
			continue
		}
		fmt.Println("told", sent.To[0].State, body)
	}
}

// shownLine is what inbox --follow --json prints of a message.
type shownLine struct {
	Body        string
	Again, Late bool
	Missing     int
}

// TestEndsKilledUnderLoad kills, in turns, the sender and the recipient with SIGKILL while
// messages go from one to the other, and starts them again. What they printed keeps the
// rules of package history: each run of the sender is a stream.
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
		last(sending).wait(fmt.Sprintf(`(?s)(?:.*?told[^\n]*\n){%d}`, 1+random.IntN(20)))
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
	told := regexp.MustCompile(`(?m)^told (\w+) (run\d+ \d+)$`)
	all := told.FindAllStringSubmatch(last(sending).output(), -1)
	last(showing).wait(fmt.Sprintf(`"body":"%s"`, all[len(all)-1][2]))
	last(showing).stop()
	broker.stop()

	var log history.Log
	log.Fault("%d kills of each", *kills)
	for run, pr := range sending {
		for n := range strings.Count(pr.output(), "\n") + 1 { // it may have sent one more
			log.Send(history.Message{ID: fmt.Sprintf("run%d %d", run, n), Stream: fmt.Sprint(run), To: []string{"sink"}})
		}
	}
	for _, pr := range showing {
		for line := range strings.Lines(pr.output()) {
			var m shownLine
			if json.Unmarshal([]byte(line), &m) == nil && m.Body != "" { // else cut by the kill, or no message
				log.Shown(history.Showing{ID: m.Body, By: "sink", Again: m.Again, Gap: m.Missing > 0, Late: m.Late})
			}
		}
	}
	for _, pr := range sending {
		for line := range strings.Lines(pr.output()) {
			if m := told.FindStringSubmatch(line); m != nil {
				log.Told(0, m[2], "sink", history.State(m[1]), "")
			} else if strings.HasPrefix(line, "failed") {
				t.Errorf("a sender says %s", line)
			}
		}
	}
	for _, lost := range log.Waiting(0) {
		t.Errorf("%s is lost", lost)
	}
	for _, broken := range log.Broken() {
		t.Error(broken)
	}
	sent, shown, marked := log.Counts()
	t.Logf("%d kills of each, %d messages sent, shown %d times, %d of them with a mark", *kills, sent, shown, marked)
}

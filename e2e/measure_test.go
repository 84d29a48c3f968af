//go:build system

package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudemesh/claudemesh-go/internal/modelstub"
)

var (
	bells = flag.Int("bells", 4, "how many messages the tests of TestHowSoon… measure")
	long  = flag.Int("long", 40, "how many messages TestNoneIsLost sends")
)

// crowd are n members beside alice and bob: of one sender only so many messages a
// minute are shown.
func crowd(t *testing.T, n int) (all []*person, bob *person) {
	t.Helper()
	alice, bob := twoPeople(t)
	all = append(all, alice)
	link := alice.invite()
	for i := range n - 1 {
		p := newPerson(t, fmt.Sprintf("carol%d", i))
		p.doWith(link+"\n", "join", "--name", p.name, "--device", "mac")
		all = append(all, p)
	}
	return all, bob
}

// delays are times from send to a request.
type delays []time.Duration

func (d delays) String() string {
	slices.Sort(d)
	at := func(percent int) time.Duration {
		return d[(len(d)*percent+99)/100-1].Round(time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, p99 %s, most %s", at(50), at(99), d[len(d)-1].Round(time.Millisecond))
}

// rungBefore is the first turn from number from on that carries a bell, up to the one
// that carries the words. An agent that looks for one message finds another, too.
func (s *session) rungBefore(from int, read modelstub.Request) (rung modelstub.Request, ok bool) {
	for _, r := range s.stub.Turns() {
		if r.N < from || r.N > read.N {
			continue
		}
		for _, piece := range r.New() {
			if piece.Kind == "text" && strings.Contains(piece.Text, "Call check_messages.") {
				return r, true
			}
		}
	}
	return rung, false
}

// measure sends one message after the other, each when the one before was read and
// the session is ready again, and logs how long each took from the start of
// `claudemesh send` to the model's request that carries the bell, and to the one that
// carries the words; nothing asserts how long.
func (s *session) measure(senders []*person, ready func(), priority string) {
	var toBell, toWords delays
	for i := range *bells {
		ready()
		from, words := len(s.stub.Requests()), fmt.Sprintf("MEASURED %d.", i)
		began := time.Now()
		senders[i%len(senders)].do("send", "bob", words, "--priority", priority, "--wait", "1ms")
		read := s.waitTurn(from, "│ "+words)
		toWords = append(toWords, read.Time.Sub(began))
		if rung, ok := s.rungBefore(from, read); ok {
			toBell = append(toBell, rung.Time.Sub(began))
		}
	}
	if len(toBell) == 0 {
		s.t.Fatal("no bell at all")
	}
	s.t.Logf("%d messages: to the bell (%d) %s; to the words %s", len(toWords), len(toBell), toBell, toWords)
	s.onlyAsToolResult("MEASURED")
}

func TestHowSoonAnIdleSessionIsTold(t *testing.T) {
	senders, bob := crowd(t, 8)
	s := bob.claude("web-shop", obedient(nil))
	s.open()
	s.online(senders[0], "web-shop")
	s.measure(senders, func() {
		s.until("the session is idle", func() bool { return strings.Contains(senders[0].try("", "peers").out, "idle") })
	}, "next")
}

func TestHowSoonABusySessionIsTold(t *testing.T) {
	senders, bob := crowd(t, 8)
	gate, notes := filepath.Join(t.TempDir(), "gate"), ""
	s := bob.claude("web-shop", obedient(func(r modelstub.Request) modelstub.Reply {
		if _, err := os.Stat(gate); err != nil {
			return modelstub.Use("Read", map[string]any{"file_path": notes})
		}
		return modelstub.Say("done")
	}))
	notes = filepath.Join(s.cwd, "notes.txt")
	if err := os.WriteFile(notes, []byte("nothing much"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.online(senders[0], "web-shop")
	s.keys("read a few files", "Enter")
	s.until("the session is working", func() bool { return strings.Contains(senders[0].try("", "peers").out, "working") })
	s.measure(senders, func() {}, "now")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.until("the session is idle", func() bool { return strings.Contains(senders[0].try("", "peers").out, "idle") })
}

// Sent by several at once for as long as it takes, every message is shown to the
// session, once.
func TestNoneIsLost(t *testing.T) {
	senders, bob := crowd(t, 8)
	var (
		mu    sync.Mutex // guards the following
		shown = map[string]int{}
		line  = regexp.MustCompile(`(?m)^│ (LONG \S+)$`)
	)
	s := bob.claude("web-shop", func(r modelstub.Request) modelstub.Reply {
		looks := false
		mu.Lock()
		defer mu.Unlock()
		for _, piece := range r.New() {
			if piece.Kind == "tool_result" {
				for _, m := range line.FindAllStringSubmatch(piece.Text, -1) {
					shown[m[1]]++
				}
			}
			looks = looks || strings.Contains(strings.ToLower(piece.Text), "call check_messages")
		}
		if looks {
			return modelstub.Use(checkTool, map[string]any{})
		}
		return modelstub.Say("done")
	})
	s.open()
	s.online(senders[0], "web-shop")
	var sending sync.WaitGroup
	for n, p := range senders {
		sending.Go(func() {
			for i := n; i < *long; i += len(senders) {
				if r := p.try("", "send", "bob", fmt.Sprintf("LONG %d", i), "--wait", "1ms"); r.code != 0 {
					t.Errorf("%s could not send %d: %s", p.name, i, r.err)
				}
			}
		})
	}
	sending.Wait()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(shown)
	}
	for n := count(); n < *long; n = count() {
		s.until(fmt.Sprintf("more than %d of %d are shown", n, *long), func() bool { return count() > n })
	}
	again := 0
	for words, n := range shown {
		if n != 1 {
			again++
			t.Errorf("%s was shown %d times", words, n)
		}
	}
	t.Logf("%d sent, %d shown, %d lost, %d shown again", *long, len(shown), *long-len(shown), again)
	s.onlyAsToolResult("LONG ")
}

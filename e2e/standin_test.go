package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// The test binary itself stands in for claudemesh where a test wants to know
// how a client calls it: under that name, with this variable, it tells the test
// each call and does what the test answers.
const standInVariable = "E2E_STANDIN"

func init() {
	socket := os.Getenv(standInVariable)
	if socket == "" || filepath.Base(os.Args[0]) != "claudemesh" {
		return
	}
	code, err := standInCall(socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 70
	}
	os.Exit(code)
}

// invocation is what a client started.
type invocation struct {
	Args  []string
	Input string // standard input, but for mcp
	Env   []string
}

// lookup returns a variable of the call's environment.
func (c invocation) lookup(name string) string {
	for _, v := range c.Env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// String is the command line without the program.
func (c invocation) String() string { return strings.Join(c.Args, " ") }

// outcome is how a call ends.
type outcome struct {
	Out, Err string
	Code     int
	// Become names a program that takes over, with the same arguments.
	Become string
}

// standInCall is the life of the stand-in.
func standInCall(socket string) (int, error) {
	c := invocation{Args: os.Args[1:], Env: os.Environ()}
	if len(c.Args) == 0 || c.Args[0] != "mcp" {
		input, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 0, err
		}
		c.Input = string(input)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(c); err != nil {
		return 0, err
	}
	var o outcome
	if err := json.NewDecoder(conn).Decode(&o); err != nil {
		return 0, err
	}
	if o.Become != "" {
		cmd := exec.Command(o.Become, c.Args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			return 0, err
		}
		return cmd.ProcessState.ExitCode(), nil
	}
	fmt.Fprint(os.Stdout, o.Out)
	fmt.Fprint(os.Stderr, o.Err)
	return o.Code, nil
}

// standIn is the test's side.
type standIn struct {
	t      *testing.T
	path   string // of the program
	socket string
	answer func(invocation) outcome

	mu      sync.Mutex // guards the following
	calls   []invocation
	changed chan struct{} // closed and made anew with each call
}

// newStandIn makes a program that does what answer says. answer runs for
// several calls at once, and may block.
func newStandIn(t *testing.T, answer func(invocation) outcome) *standIn {
	t.Helper()
	dir, err := os.MkdirTemp("", "cm") // sockets want short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &standIn{t: t, path: filepath.Join(dir, "claudemesh"), socket: filepath.Join(dir, "s"), answer: answer, changed: make(chan struct{})}
	if err := os.Symlink(self, s.path); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			serving.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return s
}

func (s *standIn) serve(conn net.Conn) {
	defer conn.Close()
	var c invocation
	if err := json.NewDecoder(conn).Decode(&c); err != nil {
		s.t.Errorf("stand-in: %v", err)
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	if err := json.NewEncoder(conn).Encode(s.answer(c)); err != nil && !strings.Contains(err.Error(), "broken pipe") {
		s.t.Errorf("stand-in: %v", err) // a client that was told to end may kill it before
	}
}

// all returns the calls so far.
func (s *standIn) all() []invocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]invocation{}, s.calls...)
}

// count counts the calls by their command line.
func (s *standIn) count() map[string]int {
	n := map[string]int{}
	for _, c := range s.all() {
		n[c.String()]++
	}
	return n
}

// wait waits for a call that matches and returns it.
func (s *standIn) wait(what string, match func(invocation) bool) invocation {
	s.t.Helper()
	limit := newLimit(s.t)
	for {
		s.mu.Lock()
		calls, changed := s.calls, s.changed
		s.mu.Unlock()
		for _, c := range calls {
			if match(c) {
				return c
			}
		}
		select {
		case <-changed:
		case <-limit:
			var b bytes.Buffer
			for _, c := range calls {
				fmt.Fprintf(&b, "  %s\n", c)
			}
			s.t.Fatalf("no call came: %s. There were\n%s", what, b.String())
		}
	}
}

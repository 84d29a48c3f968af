package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for an event that must come. It bounds a
// hang; nothing measures it.
const patience = 2 * time.Minute

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if dir := os.Getenv(loadDir); dir != "" {
		sendLoad(dir, os.Getenv(loadRun)) // a sender of TestEndsKilledUnderLoad
		return
	}
	dir, err := os.MkdirTemp("", "claudemesh-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "claudemesh")
	build := exec.Command("go", "build", "-o", binary, "../cmd/claudemesh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the binary: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// person is somebody with a folder of their own.
type person struct {
	t    *testing.T
	name string
	dir  string
	// prefix stands before each command: "ip netns exec …".
	prefix []string
}

func newPerson(t *testing.T, name string) *person {
	t.Helper()
	// Not t.TempDir, whose name is too long for sockets.
	dir, err := os.MkdirTemp("", "cm-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, name: name, dir: filepath.Join(dir, name)}
	t.Cleanup(func() {
		endRest(t, p.dir)
		os.RemoveAll(dir)
	})
	return p
}

// result is what a command left.
type result struct {
	out, err string
	code     int
}

func (p *person) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append([]string{}, p.prefix...), binary)
	line = append(line, args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "CLAUDEMESH_CONFIG_DIR="+p.dir, "HOME="+p.dir, "XDG_RUNTIME_DIR=", "NO_COLOR=1")
	return cmd
}

// try runs a command with standard input and returns what it left.
func (p *person) try(stdin string, args ...string) result {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := p.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%s: claudemesh %s: %v", p.name, strings.Join(args, " "), err)
	}
	r := result{out: out.String(), err: errs.String(), code: cmd.ProcessState.ExitCode()}
	p.t.Logf("%s $ claudemesh %s   (exit %d)\n%s%s", p.name, strings.Join(args, " "), r.code, r.out, r.err)
	return r
}

// do runs a command that must succeed.
func (p *person) do(args ...string) result {
	p.t.Helper()
	return p.doWith("", args...)
}

// doWith runs a command with standard input that must succeed.
func (p *person) doWith(stdin string, args ...string) result {
	p.t.Helper()
	r := p.try(stdin, args...)
	if r.code != 0 {
		p.t.Fatalf("%s: claudemesh %s ended with %d\n%s%s", p.name, strings.Join(args, " "), r.code, r.out, r.err)
	}
	return r
}

// decode reads a command's --json output.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, text)
	}
	return v
}

// process is a command that runs beside the test.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex // guards text
	text bytes.Buffer
	more chan struct{} // a line came
	done chan struct{} // the process ended and was read to its end
}

// start runs a command beside the test. It is killed when the test ends.
func (p *person) start(args ...string) *process {
	p.t.Helper()
	return startProcess(p.t, p.command(context.Background(), args...))
}

// startProcess starts a command, which is killed when the test ends.
func startProcess(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	pr := &process{t: t, cmd: cmd, more: make(chan struct{}, 1), done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	go func() {
		defer close(pr.done)
		pr.read(r)
		cmd.Wait() //nolint:errcheck // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		pr.kill()
		if t.Failed() {
			t.Logf("%s printed\n%s", cmd, pr.output())
		}
	})
	return pr
}

func (pr *process) read(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		pr.mu.Lock()
		pr.text.WriteString(line)
		pr.mu.Unlock()
		select {
		case pr.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (pr *process) output() string {
	pr.mu.Lock()
	defer pr.mu.Unlock()
	return pr.text.String()
}

// wait waits until the output matches, and returns the submatches.
func (pr *process) wait(pattern string) []string {
	pr.t.Helper()
	re := regexp.MustCompile(pattern)
	limit := time.After(patience)
	for {
		if m := re.FindStringSubmatch(pr.output()); m != nil {
			return m
		}
		select {
		case <-pr.more:
		case <-pr.done:
			if m := re.FindStringSubmatch(pr.output()); m != nil {
				return m
			}
			pr.t.Fatalf("%s ended before it printed %s:\n%s", pr.cmd, pattern, pr.output())
		case <-limit:
			pr.t.Fatalf("%s did not print %s:\n%s", pr.cmd, pattern, pr.output())
		}
	}
}

// kill ends the process with SIGKILL and waits for it.
func (pr *process) kill() {
	pr.cmd.Process.Signal(syscall.SIGKILL) //nolint:errcheck // it may have ended
	<-pr.done
}

// stop ends the process as Ctrl-C does and waits for it.
func (pr *process) stop() {
	pr.t.Helper()
	pr.cmd.Process.Signal(syscall.SIGINT) //nolint:errcheck // it may have ended
	select {
	case <-pr.done:
	case <-time.After(patience):
		pr.t.Fatalf("%s did not end after SIGINT:\n%s", pr.cmd, pr.output())
	}
}

// up starts `claudemesh up` and returns it with its address (host:port).
func (p *person) up(args ...string) (*process, string) {
	p.t.Helper()
	pr := p.start(append([]string{"up", "--no-qr"}, args...)...)
	m := pr.wait(`https?://([0-9a-z.\[\]:]+:[0-9]+)`)
	pr.wait(`Ctrl-C`)
	return pr, m[1]
}

// eventually runs a command again and again until what it prints has a text in it: each
// connects, and hears what the broker has by then.
func (p *person) eventually(text string, args ...string) {
	p.t.Helper()
	for limit := time.Now().Add(patience); !strings.Contains(p.do(args...).out, text); {
		if time.Now().After(limit) {
			p.t.Fatalf("%s: claudemesh %s never says %q", p.name, strings.Join(args, " "), text)
		}
	}
}

// invite makes an invite and returns its link.
func (p *person) invite(args ...string) string {
	p.t.Helper()
	r := p.do(append([]string{"invite", "--json"}, args...)...)
	return decode[struct{ Link string }](p.t, r.out).Link
}

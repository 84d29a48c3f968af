package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// as PERSON [FOLDER]: from here on commands are run by this person: a home and a
// profile of their own, in this folder of it, whose name is the session's label.
func cmdAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: as PERSON [FOLDER]")
	}
	work := ts.Getenv("WORK")
	ts.Check(as(func(k, v string) { ts.Setenv(k, v) }, work, args[0]))
	folder := filepath.Join(append([]string{work}, args...)...)
	ts.Check(os.MkdirAll(folder, 0o755))
	ts.Check(ts.Chdir(folder))
}

func as(setenv func(k, v string), work, person string) error {
	home := filepath.Join(work, person)
	if err := os.MkdirAll(home, 0o755); err != nil {
		return err
	}
	setenv("HOME", home)
	setenv("USERPROFILE", home) // Windows
	setenv("CLAUDEMESH_CONFIG_DIR", filepath.Join(home, ".claudemesh"))
	// A temporary folder of its own, as short as can be: sockets' paths are short.
	setenv("XDG_RUNTIME_DIR", "")
	return nil
}

// background holds the commands that a script has started and not ended.
type background struct{ running map[string]*process }

type backgroundKey struct{}

// process is a command in the background.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser // stays open until the command ends
	done  chan struct{}  // closed once it ended

	mu      sync.Mutex // guards the following
	output  bytes.Buffer
	changed chan struct{} // closed and made anew at each change
}

// Write takes what the command prints, on either stream.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.output.Write(b)
	close(p.changed)
	p.changed = make(chan struct{})
	return len(b), nil
}

func (p *process) said() (string, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String(), p.changed
}

// start NAME COMMAND ARG...: runs a command in the background, under a name.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME COMMAND ARG...")
	}
	path, err := lookPath(ts, args[1])
	ts.Check(err)
	p := &process{cmd: exec.Command(path, args[2:]...), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Dir = ts.MkAbs(".")
	p.cmd.Env = environ(ts)
	p.stdin, err = p.cmd.StdinPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	all := ts.Value(backgroundKey{}).(*background)
	all.running[args[0]] = p
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code is in ProcessState
	}()
	ts.Defer(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		text, _ := p.said()
		ts.Logf("[%s said]\n%s", args[0], text)
	})
}

// lookPath finds a command as the script's PATH has it.
func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// environ is what the script's commands have in their environment.
func environ(ts *testscript.TestScript) []string {
	var env []string
	for _, key := range []string{"PATH", "HOME", "USERPROFILE", "TMPDIR", "TZ", "CLAUDEMESH_CONFIG_DIR", "XDG_RUNTIME_DIR", "WORK", "GOCOVERDIR",
		"CLAUDEMESH_BROKER_URL", "CLAUDEMESH_BROKER_EVENTS"} {
		if value := ts.Getenv(key); value != "" {
			env = append(env, key+"="+value)
		}
	}
	return env
}

func running(ts *testscript.TestScript, name string) *process {
	p := ts.Value(backgroundKey{}).(*background).running[name]
	if p == nil {
		ts.Fatalf("nothing was started as %q", name)
	}
	return p
}

// patience of await. A test that needs it all has failed.
const awaitLimit = 60 * time.Second

// await NAME PATTERN [VARIABLE...]: waits until what the command has printed
// matches, and puts the parenthesised parts into environment variables.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: await NAME PATTERN [VARIABLE...]")
	}
	p := running(ts, args[0])
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	limit := time.NewTimer(awaitLimit)
	defer limit.Stop()
	ended := false
	for {
		text, changed := p.said()
		if found := re.FindStringSubmatch(text); found != nil {
			for i, name := range args[2:] {
				ts.Setenv(name, found[i+1])
			}
			return
		}
		if ended {
			ts.Fatalf("%s ended and never said %s", args[0], args[1])
		}
		select {
		case <-changed:
		case <-p.done:
			ended = true // what it said last is looked at once more
		case <-limit.C:
			ts.Fatalf("%s did not say %s", args[0], args[1])
		}
	}
}

// soon PATTERN COMMAND ARG...: runs a command again and again until its standard output
// matches: what another process says has to reach it first.
func cmdSoon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: soon PATTERN COMMAND ARG...")
	}
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for limit := time.Now().Add(awaitLimit); ; {
		_ = ts.Exec(args[1], args[2:]...) // what it prints counts
		if re.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(limit) {
			ts.Fatalf("%s did not come to say %s", strings.Join(args[1:], " "), args[0])
		}
	}
}

// [!] said NAME PATTERN: what the command has printed so far matches.
func cmdSaid(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] said NAME PATTERN")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	text, _ := running(ts, args[0]).said()
	if re.MatchString(text) == neg {
		ts.Fatalf("%s said\n%s", args[0], text)
	}
}

// tell NAME FILE: writes the file to the command's standard input.
func cmdTell(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tell NAME FILE")
	}
	_, err := io.WriteString(running(ts, args[0]).stdin, ts.ReadFile(args[1]))
	ts.Check(err)
}

// end NAME [kill|eof|wait [CODE]|CODE]: ends a command by Ctrl-C and wants it to exit
// with 0 or with CODE; or by the end of its standard input; or kills it, as power
// cuts and users do; or waits for its own end, with 0 or CODE.
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: end NAME [kill|eof|wait|CODE]")
	}
	p := running(ts, args[0])
	if len(args) == 2 && args[1] == "kill" {
		_ = p.cmd.Process.Kill()
		<-p.done
		return
	}
	want := 0
	switch {
	case len(args) == 2 && args[1] == "eof":
		ts.Check(p.stdin.Close())
	case args[len(args)-1] == "wait":
	case len(args) == 3 && args[1] == "wait":
		var err error
		want, err = strconv.Atoi(args[2])
		ts.Check(err)
	default:
		if len(args) == 2 {
			var err error
			want, err = strconv.Atoi(args[1])
			ts.Check(err)
		}
		_ = p.cmd.Process.Signal(os.Interrupt)
	}
	select {
	case <-p.done:
	case <-time.After(awaitLimit):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		<-p.done
		text, _ := p.said()
		ts.Fatalf("%s did not stop\n%s", args[0], text)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != want {
		text, _ := p.said()
		ts.Fatalf("%s exited with %d, not %d\n%s", args[0], code, want, text)
	}
}

// exits CODE COMMAND ARG...: runs a command that must exit with this code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

// save VARIABLE PATTERN: puts a part of the last command's standard output, the
// first parenthesised one or all of it, into an environment variable.
func cmdSave(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: save VARIABLE PATTERN")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	found := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("standard output does not match %s", args[1])
	}
	ts.Setenv(args[0], found[len(found)-1])
}

// isjson FIELD...: the last command's standard output is one JSON value and
// nothing else; it, or each object of the list that it is, has exactly these
// fields.
func cmdIsJSON(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile("stdout")
	dec := json.NewDecoder(strings.NewReader(text))
	var value any
	ts.Check(dec.Decode(&value))
	if dec.More() {
		ts.Fatalf("there is more than one value in\n%s", text)
	}
	objects, isList := value.([]any)
	if !isList {
		objects = []any{value}
	}
	for _, o := range objects {
		object, ok := o.(map[string]any)
		if !ok {
			ts.Fatalf("no object in %s", text)
		}
		for _, field := range args {
			if _, ok := object[field]; !ok {
				ts.Fatalf("%s is missing in %s", field, text)
			}
		}
		if len(object) != len(args) {
			ts.Fatalf("%d fields, want %d in %s", len(object), len(args), text)
		}
	}
}

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/claudemesh/claudemesh-go/peer"
)

const (
	hookInput  = 4 << 20         // bytes of a hook's input that are read
	hookWithin = time.Second     // a hook never holds the client up for longer
	lineWithin = time.Second / 4 // nor the status line
	appears    = time.Minute     // how long the waiter waits for the MCP process
	askEvery   = time.Second / 5 // how often it asks meanwhile
)

// HookOptions says where a hook runs. The zero value is a hook of the default
// profile.
type HookOptions struct {
	Dir     string              // the profile's folder, as in [peer.Options]
	Environ func(string) string // nil: os.Getenv
	In      io.Reader           // the client's input
	Out     io.Writer           // what the client reads
}

// ErrRing is returned by [Wait] when it wrote a bell: the process has to end
// with exit status 2, which wakes the client.
var ErrRing = errors.New("a bell for the agent")

// Hook runs a hook of Claude Code: it tells the MCP process of its session what
// happens, and writes the bell that is due. Whatever is wrong, it writes
// nothing and lets the client go on: the only error is that of writing.
func Hook(ctx context.Context, event string, o HookOptions) error {
	ctx, cancel := context.WithTimeout(ctx, hookWithin)
	defer cancel()
	input := readInput(o.In)
	path, err := o.socket()
	if err != nil {
		return nil
	}
	a, err := ask(ctx, path, request{
		Op: opHook, Event: event,
		Transcript: input.Transcript, Human: input.Prompt != "" && !fromClient(input.Prompt),
		Rung:     strings.Contains(input.Prompt, bellEnd),
		Attended: o.environ("CLAUDE_CODE_SESSION_ATTENDED") == "1",
	})
	if err != nil || a.Bell == "" {
		return nil
	}
	return json.NewEncoder(o.Out).Encode(map[string]any{
		"hookSpecificOutput": map[string]string{"hookEventName": event, "additionalContext": a.Bell},
	})
}

// Wait blocks until the idle session is to be woken, writes the bell to Out and
// returns ErrRing. It returns nil where there is nobody to wake: at once in a
// session that nobody attends (the client would wait for it for ever), and
// when the MCP process, the client, or ctx ends.
func Wait(ctx context.Context, o HookOptions) error {
	if o.environ("CLAUDE_CODE_SESSION_ATTENDED") != "1" {
		return nil
	}
	path, err := o.socket()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { watchParent(ctx, o.client(), cancel) })
	defer watch.Wait()
	defer cancel()
	a, err := awaitBell(ctx, path)
	if err != nil || a.Bell == "" {
		return nil
	}
	if _, err := fmt.Fprintln(o.Out, a.Bell); err != nil {
		return err
	}
	return ErrRing
}

// awaitBell asks the MCP process for its bell. Hooks of a session's start run beside
// the start of its servers, and nobody starts another waiter for an idle session: it
// asks again until nobody answered for long.
func awaitBell(ctx context.Context, path string) (answer, error) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	there := time.Now()
	for {
		asked := time.Now()
		a, err := ask(ctx, path, request{Op: opWait})
		if err == nil {
			return a, nil
		}
		if time.Since(asked) > askEvery { // it was there until now
			there = time.Now()
		}
		if time.Since(there) > appears {
			return answer{}, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	}
}

// Monitor is what a plugin runs in place of [Wait]: it stays as long as its
// session and writes a bell on a line of its own whenever the idle session is
// to be woken.
func Monitor(ctx context.Context, o HookOptions) error {
	path, err := o.socket()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch sync.WaitGroup
	watch.Go(func() { watchParent(ctx, o.client(), cancel) })
	defer watch.Wait()
	defer cancel()
	for {
		a, err := awaitBell(ctx, path)
		if err != nil || a.Bell == "" {
			return nil // the session's MCP process ended, or another took the place
		}
		if _, err := fmt.Fprintln(o.Out, a.Bell); err != nil {
			return err
		}
	}
}

// StatusLine writes the line of the session's meshes, nothing where there are
// none.
func StatusLine(ctx context.Context, o HookOptions) error {
	ctx, cancel := context.WithTimeout(ctx, lineWithin)
	defer cancel()
	path, err := o.socket()
	if err != nil {
		return nil
	}
	a, err := ask(ctx, path, request{Op: opLine})
	if err != nil || a.Line == "" {
		return nil
	}
	_, err = fmt.Fprintln(o.Out, a.Line)
	return err
}

// watchParent ends the waiter when the client is gone without having told it.
func watchParent(ctx context.Context, pid int, cancel context.CancelFunc) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if !alive(pid) {
				cancel()
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// input is what the client gives a hook, as far as it is used.
type input struct {
	Transcript string `json:"transcript_path"`
	Prompt     string `json:"prompt"`
}

func readInput(r io.Reader) input {
	var in input
	if r != nil {
		_ = json.NewDecoder(io.LimitReader(r, hookInput)).Decode(&in)
	}
	return in
}

func (o HookOptions) environ(name string) string {
	if o.Environ != nil {
		return o.Environ(name)
	}
	return os.Getenv(name)
}

// client is the process id of the client that runs this hook.
func (o HookOptions) client() int {
	if pid, err := strconv.Atoi(o.environ("CLAUDE_PID")); err == nil && pid > 0 {
		return pid
	}
	return os.Getppid()
}

// socket is the control socket of this hook's session. Where the client does
// not say its process id, the nearest ancestor that has one counts.
func (o HookOptions) socket() (string, error) {
	run, err := peer.RunDir(o.Dir)
	if err != nil {
		return "", err
	}
	if o.environ("CLAUDE_PID") != "" {
		return socketName(run, o.client()), nil
	}
	for pid := os.Getppid(); pid > 1; pid = parentOf(pid) {
		path := socketName(run, pid)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return socketName(run, os.Getppid()), nil
}

// parentOf is the parent of a process, 0 where the system does not tell (only
// Linux has /proc; others give CLAUDE_PID).
func parentOf(pid int) int {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may hold anything: what counts is after it.
	rest := string(data[strings.LastIndexByte(string(data), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return parent
}

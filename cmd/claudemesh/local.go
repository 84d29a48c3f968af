package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/claudemesh/claudemesh-go/broker"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/peer"
	"github.com/claudemesh/claudemesh-go/profile"
)

// Local scope: the sessions of one machine reach each other with no server to run.
// The profile's own broker listens on its socket; whoever finds nobody there starts
// it, and it ends when nobody was there for a while. One at a time has the lock of
// its data.

const (
	// localIdle is how long the broker of this machine stays when nobody is there.
	localIdle = 10 * time.Minute
	// startWithin bounds its start. Machines are slow that have much to do.
	startWithin = 30 * time.Second
	// yieldWithin bounds how long it is waited for when another takes its place: it
	// drains for up to five seconds, twice.
	yieldWithin = 15 * time.Second
	// servesWithin bounds one look whether it serves.
	servesWithin = 2 * time.Second
	// localPoll is how often it is looked for meanwhile.
	localPoll = 10 * time.Millisecond
	// localAgain is after how many polls it is started, or asked to go, once more:
	// somebody else may have been in between.
	localAgain = 50
	// goneEvery is how often it looks whether its folder is there still.
	goneEvery = 2 * time.Second
	// logLimit is the size, in bytes, beyond which its log begins anew.
	logLimit = 1 << 20
)

// startBroker is for [peer.Options]: it starts the broker of this machine where
// that is the one with this key.
func (a *app) startBroker(ctx context.Context, key keys.Public) error {
	prof, err := profile.Open(a.dir)
	if err != nil {
		return err
	}
	own, err := broker.KeyIn(prof.BrokerDir())
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && own != key:
		return peer.ErrNotOwnBroker
	case err != nil:
		return err
	}
	return startLocal(ctx, prof)
}

// startLocal starts the broker of this machine and returns once somebody serves on
// its socket: it, or another one that was started at the same time and was faster.
func startLocal(ctx context.Context, prof *profile.Profile) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := os.MkdirAll(prof.BrokerDir(), 0o700); err != nil {
		return err
	}
	log, err := openLog(filepath.Join(prof.BrokerDir(), "broker.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	said, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	tick := time.NewTicker(localPoll)
	defer tick.Stop()
	var ended <-chan error
	for polls := 0; ; polls++ {
		if serves(ctx, prof.BrokerSocket()) {
			return nil
		}
		if ended == nil && polls%localAgain == 0 {
			if ended, err = spawnLocal(prof, log); err != nil {
				return err
			}
		}
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%s", lastWord(log, said, err))
			}
			ended = nil // another one has the lock: that one is waited for
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// spawnLocal starts the broker as a process of its own: no terminal, no pipe and no
// folder of ours keeps it or is kept by it. The channel gives what it ended with.
func spawnLocal(prof *profile.Profile, log *os.File) (<-chan error, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(binary, "broker", "--unix", "--idle-exit", localIdle.String())
	cmd.Dir = prof.Dir()
	cmd.Env = localEnvironment(os.Environ(), prof.Dir())
	cmd.Stderr = log
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	// It waits for the process as long as either lives, so that no zombie stays; the
	// broker is meant to live longer than whoever started it.
	go func() { ended <- cmd.Wait() }()
	return ended, nil
}

// localVariables are what the broker of this machine needs of an environment: where
// its folder, its socket and temporary files are. Nothing else is handed on, since
// sessions of agents have keys and tokens there.
var localVariables = []string{"HOME", "USERPROFILE", "XDG_RUNTIME_DIR", "TMPDIR", "TMP", "TEMP", "SystemRoot", "TZ", "GOCOVERDIR"}

func localEnvironment(environ []string, dir string) []string {
	var out []string
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if slices.Contains(localVariables, name) {
			out = append(out, v)
		}
	}
	return append(out, "CLAUDEMESH_CONFIG_DIR="+dir)
}

// openLog opens the log of the broker of this machine, which nobody sees at a
// terminal.
func openLog(path string) (*os.File, error) {
	flags := os.O_RDWR | os.O_CREATE | os.O_APPEND
	if info, err := os.Stat(path); err == nil && info.Size() > logLimit {
		flags |= os.O_TRUNC
	}
	return os.OpenFile(path, flags, 0o600)
}

// lastWord is what a process that failed wrote first, its sentence; else how it
// ended.
func lastWord(log *os.File, from int64, ended error) string {
	text := make([]byte, 4<<10)
	n, _ := log.ReadAt(text, from) // what was read counts
	for line := range strings.Lines(string(text[:n])) {
		if line = plainLine(line); line != "" {
			return line
		}
	}
	return ended.Error()
}

// serves tells whether a broker takes requests on a unix socket. One that only holds
// it may be about to say that it cannot start.
func serves(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, servesWithin)
	defer cancel()
	return broker.Serves(ctx, path)
}

// lockData takes the lock of a broker's data folder. Where the broker of this
// machine holds it, that one is asked by its socket to go, and waited for;
// [profile.ErrHeld] where it is another one that stays.
func lockData(ctx context.Context, dir, socket string) (*profile.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, yieldWithin)
	defer cancel()
	tick := time.NewTicker(localPoll)
	defer tick.Stop()
	for polls := 0; ; polls++ {
		lock, err := profile.LockFolder(dir)
		if !errors.Is(err, profile.ErrHeld) || socket == "" {
			return lock, err
		}
		if polls%localAgain == 0 {
			// Nobody answers where it is starting, or on its way out.
			if goes, asking := broker.Yield(ctx, socket); asking == nil && !goes {
				return nil, err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}

// localBroker runs the broker of this machine. One that finds another over its data
// has nothing to do.
func (a *app) localBroker(ctx context.Context, prof *profile.Profile, o brokerOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := serve(ctx, broker.Options{
		Dir:     prof.BrokerDir(),
		Listen:  []broker.Listen{{Addr: "unix:" + prof.BrokerSocket()}},
		Idle:    o.idle,
		Yields:  true,
		Version: versionText(),
		Logger:  a.operatorLog(o.verbose),
	}, "broker", "")
	if errors.Is(err, profile.ErrHeld) {
		return nil
	}
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		endWhenGone(ctx, cancel, prof)
	}()
	if a.json {
		err = a.ui.json(brokerJSON{"ready", s.URLs(), s.Key().String(), ""})
	} else {
		err = a.ui.fact("broker", home(prof.BrokerSocket()), "for the sessions of this machine alone")
	}
	if err == nil {
		err = <-s.ended
	}
	cancel()
	<-gone
	return errors.Join(err, s.stop())
}

// endWhenGone ends the broker of this machine when its folder or its socket was
// taken away: nobody finds it there, so it would only keep those who are connected
// from each other's successors.
func endWhenGone(ctx context.Context, end context.CancelFunc, prof *profile.Profile) {
	tick := time.NewTicker(goneEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, path := range []string{prof.BrokerDir(), prof.BrokerSocket()} {
				if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
					end()
					return
				}
			}
		case <-ctx.Done():
			return
		}
	}
}

// localScope makes a mesh for the sessions of this machine where the profile has
// none: the very one that up would make, and opens to the network later. nil where
// there is a mesh already.
func (a *app) localScope(ctx context.Context) (*peer.Created, error) {
	meshes, err := peer.Meshes(a.dir)
	if err != nil || len(meshes) > 0 {
		return nil, err
	}
	prof, err := profile.Open(a.dir)
	if err != nil {
		return nil, err
	}
	if err := a.needLocal(ctx, prof); err != nil {
		return nil, err
	}
	name, err := a.newMeshName(prof, "")
	if err != nil {
		return nil, err
	}
	created, err := peer.CreateMesh(ctx, peer.CreateOptions{Dir: a.dir, Name: name, Client: clientName(), Broker: "unix:" + prof.BrokerSocket()})
	var taken *peer.NameTakenError
	if errors.As(err, &taken) {
		return nil, nil // another process made it at the same time
	}
	return created, err
}

// needLocal has the broker of this machine run.
func (a *app) needLocal(ctx context.Context, prof *profile.Profile) error {
	if serves(ctx, prof.BrokerSocket()) {
		return nil
	}
	if err := startLocal(ctx, prof); err != nil {
		return &failure{class: peer.ClassFailed, err: err, sentence: "the broker of this machine does not start: " + err.Error(),
			hint: "Its log: " + home(filepath.Join(prof.BrokerDir(), "broker.log"))}
	}
	return nil
}

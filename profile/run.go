package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maxSocketPath is how long the path of a unix socket may be, with a margin:
// systems allow 103 to 107 bytes.
const maxSocketPath = 100

// socketName is the longest name of a socket in run/, for [runFolder].
const socketName = "claude-4294967295.sock"

// runFolder is the folder for locks and sockets: run in the profile, unless a
// socket's path would be too long there; then a folder for this profile under
// $XDG_RUNTIME_DIR, or under the folder for temporary files.
func runFolder(dir string) string {
	run := filepath.Join(dir, "run")
	if len(filepath.Join(run, socketName)) <= maxSocketPath {
		return run
	}
	sum := sha256.Sum256([]byte(dir))
	name := "claudemesh-" + hex.EncodeToString(sum[:6])
	if base := os.Getenv("XDG_RUNTIME_DIR"); base != "" {
		return filepath.Join(base, name)
	}
	// Shared with other users: the user's number keeps apart, and makeRun refuses a
	// folder that somebody else made.
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Getuid()))
}

// makeRun makes the folder for locks and sockets.
func makeRun(run string) error {
	if err := private(run); err != nil {
		return err
	}
	return owned(run)
}

// remakeRun makes the folder for locks and sockets where whoever used it last took it
// away, but not the profile's with it.
func remakeRun(run string) error {
	if err := os.Mkdir(run, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return owned(run)
}

// RemakeRun makes the folder for locks and sockets where another process of the
// profile that ended has taken it away, see [LeaveRun].
func (p *Profile) RemakeRun() error { return remakeRun(p.run) }

// LeaveRun removes the folder for locks and sockets of the profile in dir (as in
// [Open]), if it stands outside of the profile and nothing is in it any more: the
// system's folders are to be left as they were.
func LeaveRun(dir string) {
	dir, err := folderOf(dir)
	if err != nil {
		return
	}
	if run := runFolder(dir); filepath.Dir(run) != dir {
		_ = os.Remove(run) // it stays where something is inside
	}
}

// Run is the folder of locks and sockets of live processes.
func (p *Profile) Run() string { return p.run }

// Socket is the path of this process's control socket, for hooks and pokes: by
// the pid of the client program that started it, where there is one, else by
// its own.
func (p *Profile) Socket(clientPID int) string {
	if clientPID > 0 {
		return filepath.Join(p.run, fmt.Sprintf("claude-%d.sock", clientPID))
	}
	return filepath.Join(p.run, fmt.Sprintf("p-%d.sock", os.Getpid()))
}

// BrokerSocket is the path of the socket of a broker of this machine's own.
func (p *Profile) BrokerSocket() string { return filepath.Join(p.run, "broker.sock") }

package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
)

// maxSocketPath is how long the path of a unix socket may be, with a margin:
// systems allow 103 to 107 bytes.
const maxSocketPath = 100

// socketName is the longest name of a socket in run/, for [runFolder].
const socketName = "claude-4294967295.sock"

// runFolder makes the folder for locks and sockets: run in the profile, unless
// a socket's path would be too long there; then a folder for this profile under
// $XDG_RUNTIME_DIR, or under the folder for temporary files.
func runFolder(dir string) (string, error) {
	run := filepath.Join(dir, "run")
	if len(filepath.Join(run, socketName)) > maxSocketPath {
		sum := sha256.Sum256([]byte(dir))
		name := "claudemesh-" + hex.EncodeToString(sum[:6])
		if base := os.Getenv("XDG_RUNTIME_DIR"); base != "" {
			run = filepath.Join(base, name)
		} else {
			// Shared with other users: the user's number keeps apart, and
			// ownedFolder refuses a folder that somebody else made.
			run = filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Getuid()))
		}
	}
	if err := private(run); err != nil {
		return "", err
	}
	return run, owned(run)
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

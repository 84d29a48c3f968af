// Package profile is a client's folder, as all of its processes share it: the
// config with the private keys, the chains, and state.db with outbox, inbox,
// sessions and history.
//
//	config.json       meshes, keys, settings (package config); [Profile.Update]
//	config.lock       held while config.json is rewritten
//	recovery-MESH.key the way back if an owner's key is stolen
//	state.db          [State]
//	run/              locks and sockets of live processes; [Profile.Run]
//	broker/           a broker of this machine's own keeps its data here
//
// The folder is 0700 and its files 0600. Files are replaced as a whole, with
// the new one on the disk before the old one goes. Any number of processes may
// use a folder at once, each through a [Profile] of its own, and any of them
// may be killed at any time.
package profile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// EnvDir is the environment variable that names another folder.
const EnvDir = "CLAUDEMESH_CONFIG_DIR"

// Dir is the folder to use: $CLAUDEMESH_CONFIG_DIR, else .claudemesh in the
// home folder.
func Dir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder, and %s is not set: %w", EnvDir, err)
	}
	return filepath.Join(home, ".claudemesh"), nil
}

// Profile is a client's folder in one process. Its methods may be called from
// any goroutine.
type Profile struct {
	dir string
	run string

	mu     sync.Mutex     // guards the rest
	config *config.Config // as last read; nil: never
	stamp  stamp          // of the file it was read from
}

// Open uses the folder dir, making it where it is not there. Empty: [Dir]. It
// tightens permissions that let others in, and reads nothing yet.
func Open(dir string) (*Profile, error) {
	dir, err := folderOf(dir)
	if err != nil {
		return nil, err
	}
	p := &Profile{dir: dir, run: runFolder(dir)}
	if err := private(p.dir); err != nil {
		return nil, sqlite.OfFile(err)
	}
	if err := makeRun(p.run); err != nil {
		return nil, sqlite.OfFile(err)
	}
	return p, nil
}

// folderOf is the folder that dir names; empty: [Dir].
func folderOf(dir string) (string, error) {
	if dir == "" {
		return Dir()
	}
	return filepath.Abs(dir)
}

// private makes a folder that only its user can enter.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: %w", dir, errNoFolder)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

var errNoFolder = errors.New("is not a folder")

// Dir is the folder.
func (p *Profile) Dir() string { return p.dir }

// BrokerDir is where a broker of this machine's own keeps its data. It is not
// made here.
func (p *Profile) BrokerDir() string { return filepath.Join(p.dir, "broker") }

// ConfigPath is config.json.
func (p *Profile) ConfigPath() string { return filepath.Join(p.dir, "config.json") }

// StatePath is state.db.
func (p *Profile) StatePath() string { return filepath.Join(p.dir, "state.db") }

// Permissions reports which files of the folder others on this machine can
// read, for doctor. None is good.
func (p *Profile) Permissions() ([]string, error) {
	if runtime.GOOS == "windows" {
		return nil, nil
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var open []string
	for _, e := range entries {
		info, err := e.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // gone meanwhile
		case err != nil:
			return nil, err
		case info.Mode().Perm()&0o077 != 0 && info.Mode()&fs.ModeSymlink == 0:
			open = append(open, filepath.Join(p.dir, e.Name()))
		}
	}
	return open, nil
}

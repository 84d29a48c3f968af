package profile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
)

// RecoveryPath is where the recovery key of a mesh is written, by its alias.
func (p *Profile) RecoveryPath(alias string) string {
	return filepath.Join(p.dir, "recovery-"+alias+".key")
}

// WriteRecovery writes a mesh's recovery key to a file of its own, for its user
// to take off the machine, and returns the path. It never replaces one.
func (p *Profile) WriteRecovery(alias string, mesh keys.MeshID, key keys.OwnerPrivate) (string, error) {
	path := p.RecoveryPath(alias)
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("%s: %w", path, os.ErrExist)
	}
	text := fmt.Sprintf("# Recovery key of the mesh %s (%s).\n"+
		"# Keep it off this machine. With it, and nothing else, the mesh can be\n"+
		"# taken back when its owner's key was stolen: claudemesh mesh owner-key import\n%s\n",
		alias, mesh, key.Export())
	return path, writeFile(path, []byte(text))
}

// ReadKeyFile reads an owner's or recovery key from a file as WriteRecovery
// writes it: one key, lines with # aside. Errors never repeat the text.
func ReadKeyFile(path string) (keys.OwnerPrivate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return keys.OwnerPrivate{}, err
	}
	var text string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			text += line
		}
	}
	key, err := keys.ParseOwnerPrivate(text)
	if err != nil {
		return keys.OwnerPrivate{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

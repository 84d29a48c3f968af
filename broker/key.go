package broker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/claudemesh/claudemesh-go/keys"
)

// keyFile is the name of the broker's key in its data folder.
const keyFile = "broker.key"

// loadKey reads the broker's key from dir, and makes it where there is none
// yet. Several processes that start at once end up with the same key.
func loadKey(dir string) (keys.BrokerPrivate, error) {
	path := filepath.Join(dir, keyFile)
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	key, err = keys.NewBrokerPrivate(rand.Reader)
	if err != nil {
		return key, fmt.Errorf("make the broker's key: %w", err)
	}
	if err := writeKey(path, key); err != nil {
		if errors.Is(err, fs.ErrExist) { // somebody else was first
			return readKey(path)
		}
		return keys.BrokerPrivate{}, fmt.Errorf("write the broker's key: %w", err)
	}
	return key, nil
}

func readKey(path string) (keys.BrokerPrivate, error) {
	info, err := os.Stat(path)
	if err != nil {
		return keys.BrokerPrivate{}, fmt.Errorf("read the broker's key: %w", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return keys.BrokerPrivate{}, fmt.Errorf("others can read the broker's key: chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return keys.BrokerPrivate{}, fmt.Errorf("read the broker's key: %w", err)
	}
	key, err := keys.ParseBrokerPrivate(strings.TrimSpace(string(text)))
	if err != nil {
		return keys.BrokerPrivate{}, fmt.Errorf("%s holds no broker's key: %w", path, err)
	}
	return key, nil
}

// writeKey makes the file whole or not at all, readable by its owner alone,
// and never over another one.
func writeKey(path string, key keys.BrokerPrivate) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+keyFile+"-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(key.Export() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) { // refuses to replace
		return err
	} else if err != nil { // a file system without links
		if err := os.Rename(f.Name(), path); err != nil {
			return err
		}
	}
	if d, err := os.Open(dir); err == nil { // the name, too, must survive a power cut
		d.Sync()
		d.Close()
	}
	return nil
}

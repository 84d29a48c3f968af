package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/claudemesh/claudemesh-go/sqlite"
)

// writeFile replaces a file as a whole, mode 0600: after a crash at any moment
// there is the old file or the new one, complete. Errors wrap [ErrFull],
// [ErrReadOnly] or [ErrStateUnreadable] where they are one of these.
func writeFile(path string, data []byte) error {
	if err := replaceFile(path, data); err != nil {
		return fmt.Errorf("writing %s: %w", path, sqlite.OfFile(err))
	}
	return nil
}

func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, unfinished(path)+"*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFile(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := replace(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// unfinished is how the names of files begin that will take a path's place.
func unfinished(path string) string { return "." + filepath.Base(path) + "." }

// removeUnfinished removes what writers of a path that were killed left behind:
// in the config's case, keys. To be called where nobody else writes the path.
func removeUnfinished(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), unfinished(path)) {
			err = errors.Join(err, removeFile(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return err
}

// syncDir makes renames and new files in a folder durable.
func syncDir(dir string) error {
	if !dirsSync {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

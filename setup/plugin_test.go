package setup

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write the plugin into the folder plugin/ of the repository")

// The folder of the repository holds what the code says.
func TestPluginFolderIsCurrent(t *testing.T) {
	files, err := PluginFiles()
	if err != nil {
		t.Fatal(err)
	}
	const root = "../plugin"
	if *update {
		for path, data := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, path), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	byHand := []string{"README.md"}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || slices.Contains(byHand, name) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if want, known := files[filepath.ToSlash(name)]; !known {
			t.Errorf("%s is no file of the plugin", path)
		} else if !bytes.Equal(data, want) {
			t.Errorf("%s is not current: go test ./setup -run Plugin -update", path)
		}
		delete(files, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path := range files {
		t.Errorf("%s is missing: go test ./setup -run Plugin -update", path)
	}
}

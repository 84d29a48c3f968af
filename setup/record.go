package setup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// recordVersion is the version of the record that this code writes. A later
// one is left alone.
const recordVersion = 1

// record says what the files were before us. It lies in the profile's folder,
// as setup/record.json, with the files' bytes beside it.
type record struct {
	dir string // setup/
	raw []byte // as it was read; nil where there is none

	Version int     `json:"version"`
	Files   []entry `json:"files"`
}

// entry is one file that we changed or made.
type entry struct {
	// Path as the user knows it, with symbolic links not followed.
	Path string `json:"path"`
	// Existed tells whether there was such a file before us.
	Existed bool `json:"existed"`
	// Before names the file in setup/ that holds its bytes; empty where it did
	// not exist.
	Before string `json:"before,omitempty"`
	// After is the SHA-256 of what we left, in hexadecimal.
	After string `json:"after"`
	// Folders are those that we made for it, the innermost first.
	Folders []string `json:"folders,omitempty"`
	// Programs are the paths under which our binary was entered.
	Programs []string `json:"programs,omitempty"`

	before []byte // the bytes, read or still to be written
}

// openRecord reads the record in the profile's folder dir. None is an empty
// one.
func openRecord(dir string) (*record, error) {
	r := &record{dir: filepath.Join(dir, "setup"), Version: recordVersion}
	path := r.path()
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, &FileError{path, "cannot be read: " + reason(err), err}
	}
	r.raw = data
	if err := json.Unmarshal(data, r); err != nil {
		return nil, &FileError{path, "is damaged; move it away, then run this again", err}
	}
	if r.Version > recordVersion {
		return nil, &FileError{path, "was written by a newer claudemesh; update this one", nil}
	}
	for i := range r.Files {
		e := &r.Files[i]
		if e.Before == "" {
			continue
		}
		if e.before, err = os.ReadFile(filepath.Join(r.dir, filepath.Base(e.Before))); err != nil {
			return nil, &FileError{filepath.Join(r.dir, e.Before), "cannot be read: " + reason(err), err}
		}
	}
	return r, nil
}

func (r *record) path() string { return filepath.Join(r.dir, "record.json") }

// current tells whether the record is still what was read.
func (r *record) current() bool {
	data, err := os.ReadFile(r.path())
	if errors.Is(err, fs.ErrNotExist) {
		return r.raw == nil
	}
	return err == nil && bytes.Equal(data, r.raw)
}

// of returns the entry for a path, nil for none.
func (r *record) of(path string) *entry {
	for i := range r.Files {
		if r.Files[i].Path == path {
			return &r.Files[i]
		}
	}
	return nil
}

// with returns the record with an entry added or replaced.
func (r *record) with(e entry) *record {
	out := r.without(e.Path)
	out.Files = append(out.Files, e)
	return out
}

// without returns the record without the entry for a path.
func (r *record) without(path string) *record {
	out := &record{dir: r.dir, Version: recordVersion}
	for _, e := range r.Files {
		if e.Path != path {
			out.Files = append(out.Files, e)
		}
	}
	return out
}

// programs returns all paths under which our binary was ever entered.
func (r *record) programs() []string {
	var all []string
	for _, e := range r.Files {
		all = append(all, e.Programs...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// save writes the record: first the files' bytes under names of their own, then
// the list that refers to them, then what nobody refers to any more goes. It is
// all for the user alone, since other programs' files hold secrets.
func (r *record) save() error {
	if len(r.Files) == 0 {
		if err := os.RemoveAll(r.dir); err != nil {
			return fmt.Errorf("forget what was set up: %w", err)
		}
		return nil
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return fmt.Errorf("keep what was there: %w", err)
	}
	keep := map[string]bool{filepath.Base(r.path()): true}
	for i := range r.Files {
		e := &r.Files[i]
		e.Before = ""
		if e.Existed {
			e.Before = hash(e.before)[:16] + "-" + filepath.Base(e.Path)
			keep[e.Before] = true
			if err := r.write(filepath.Join(r.dir, e.Before), e.before); err != nil {
				return err
			}
		}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("keep what was there: %w", err)
	}
	if err := r.write(r.path(), append(data, '\n')); err != nil {
		return err
	}
	old, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("keep what was there: %w", err)
	}
	for _, f := range old {
		if !keep[f.Name()] && f.Type().IsRegular() {
			_ = os.Remove(filepath.Join(r.dir, f.Name())) // only room
		}
	}
	return nil
}

func (r *record) write(path string, data []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return nil
	}
	name, err := stage(path, data, 0o600, nil)
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		return fmt.Errorf("keep what was there: %w", err)
	}
	syncFolder(r.dir)
	return nil
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

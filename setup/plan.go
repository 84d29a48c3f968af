package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// ErrChanged is returned by [Plan.Apply] when a file is no longer what the plan
// was made from: plan anew.
var ErrChanged = errors.New("a file was changed by another program meanwhile")

// Change is what a plan does to one file.
type Change struct {
	// Path of the file, as the user knows it.
	Path string
	// Marks say in words what is done, each after a sign: "+ hooks" is added,
	// "~ hooks" is changed, "- hooks" goes.
	Marks []string
	// Remove tells that the file itself goes, since it is ours alone.
	Remove bool
	// Restored tells that the file becomes, byte for byte, what it was before us.
	Restored bool

	file  file
	after []byte
	mode  fs.FileMode // of a new file
	entry entry       // for the record; of an installation
}

// Plan is what is to be done to other programs' files, and was not yet done.
type Plan struct {
	// Changes, one a file, in the order in which they are made. Empty when all is
	// as it should be.
	Changes []Change
	// Notes are sentences about what is left alone, and what will not work as
	// expected.
	Notes []string
	// First tells, of an installation, that nothing of ours was in the settings
	// before.
	First bool

	installing bool
	forget     []string // files that the record needs no more, changed or not
	record     *record
	locks      []string // files that have a lock of their own
	disk       disk
}

// Diff shows the changes as a unified diff. Lines are cut where they are long:
// some programs keep all of their state in one.
func (p *Plan) Diff() string {
	var b strings.Builder
	for _, c := range p.Changes {
		from, to := c.Path, c.Path
		if !c.file.exists {
			from = os.DevNull
		}
		if c.Remove {
			to = os.DevNull
		}
		for line := range strings.SplitAfterSeq(string(diff.Diff(from, c.file.data, to, c.after)), "\n") {
			if strings.HasPrefix(line, "diff ") {
				continue
			}
			b.WriteString(short(line))
		}
	}
	return b.String()
}

// maxDiffLine is how many characters of a line a diff shows.
const maxDiffLine = 160

func short(line string) string {
	runes := []rune(line)
	if len(runes) <= maxDiffLine {
		return line
	}
	return string(runes[:maxDiffLine]) + "…\n"
}

// Apply makes the changes, all or none.
func (p *Plan) Apply(ctx context.Context) error {
	next := p.record
	for _, path := range p.forget {
		next = next.without(path)
	}
	if len(p.Changes) == 0 && len(next.Files) == len(p.record.Files) {
		return nil
	}
	release, err := p.lock(ctx)
	if err != nil {
		return err
	}
	err = p.unchanged()
	if err == nil {
		err = p.write(next)
	}
	release()
	if err == nil {
		p.removeFolders() // now that no lock lies in them
	}
	return err
}

// unchanged looks whether the files, and the record, are still what the plan
// was made from.
func (p *Plan) unchanged() error {
	if !p.record.current() {
		return ErrChanged
	}
	for _, c := range p.Changes {
		now, err := readFile(c.Path)
		if err != nil {
			return err
		}
		if now.exists != c.file.exists || now.real != c.file.real || !bytes.Equal(now.data, c.file.data) {
			return ErrChanged
		}
	}
	return nil
}

// removeFolders removes the folders that we made for files which are forgotten,
// where they are empty, and the profile's where nothing but our record was in
// it.
func (p *Plan) removeFolders() {
	if p.installing {
		return
	}
	made := []string{filepath.Dir(p.record.dir)}
	for _, path := range p.forget {
		if e := p.record.of(path); e != nil {
			made = append(made, e.Folders...)
		}
	}
	// What is inside goes before what it is in.
	slices.SortFunc(made, func(a, b string) int { return len(b) - len(a) })
	removeFolders(made)
}

// lock takes the locks of the record and of the files that have one.
func (p *Plan) lock(ctx context.Context) (func(), error) {
	var held []func()
	release := func() {
		for i := len(held) - 1; i >= 0; i-- {
			held[i]()
		}
	}
	made, err := makeFolders(filepath.Dir(p.record.dir), 0o700)
	if err != nil {
		return nil, err
	}
	held = append(held, func() { removeFolders(made) })
	for _, path := range append([]string{p.record.dir}, p.locks...) {
		if _, err := os.Stat(filepath.Dir(path)); errors.Is(err, fs.ErrNotExist) {
			continue // nobody can hold it, or write the file
		}
		free, err := lockFile(ctx, path)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, free)
	}
	return release, nil
}

// write stages all files, keeps what they were, and renames. next is the record
// as it is to be, without what is staged here.
func (p *Plan) write(next *record) (err error) {
	staged := make([]string, len(p.Changes))
	var folders [][]string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range staged {
			if name != "" {
				_ = os.Remove(name) // it may be in its place already
			}
		}
		for i := len(folders) - 1; i >= 0; i-- {
			removeFolders(folders[i])
		}
	}()
	for i := range p.Changes {
		c := &p.Changes[i]
		if c.Remove {
			continue
		}
		made, err := makeFolders(filepath.Dir(c.file.real), 0o755)
		if err != nil {
			return err
		}
		folders = append(folders, made)
		staged[i], err = stage(c.file.real, c.after, c.mode, c.file.info)
		if err != nil {
			return &FileError{c.Path, "cannot be written: " + reason(err), err}
		}
		if p.installing {
			c.entry.Folders = append(made, c.entry.Folders...)
			next = next.with(c.entry)
		}
	}
	// What was there is kept before anything changes, and forgotten only after.
	if p.installing {
		if err := next.save(); err != nil {
			return errors.Join(err, p.record.save())
		}
	}
	if err := p.rename(staged); err != nil {
		if p.installing {
			err = errors.Join(err, p.record.save())
		}
		return err
	}
	if p.installing {
		return nil
	}
	return next.save()
}

// rename puts the staged files into their place. When one fails, the earlier
// ones become again what they were.
func (p *Plan) rename(staged []string) error {
	for i, c := range p.Changes {
		var err error
		if c.Remove {
			err = p.disk.remove(c.file.real)
		} else {
			err = p.disk.rename(staged[i], c.file.real)
		}
		if err == nil {
			syncFolder(filepath.Dir(c.file.real))
			continue
		}
		failed := error(&FileError{c.Path, "cannot be written: " + reason(err) + "; nothing was changed", err})
		for j := i - 1; j >= 0; j-- {
			if err := p.Changes[j].undo(); err != nil {
				failed = errors.Join(failed, fmt.Errorf("put %s back: %w", p.Changes[j].Path, err))
			}
		}
		return failed
	}
	return nil
}

// undo makes the file what it was.
func (c *Change) undo() error {
	if !c.file.exists {
		return os.Remove(c.file.real)
	}
	name, err := stage(c.file.real, c.file.data, c.file.mode, c.file.info)
	if err != nil {
		return err
	}
	if err := os.Rename(name, c.file.real); err != nil {
		_ = os.Remove(name)
		return err
	}
	syncFolder(filepath.Dir(c.file.real))
	return nil
}

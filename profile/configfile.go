package profile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/sqlite"
)

// ErrUnreadable: the config may not be read. The error names the file.
var ErrUnreadable = errors.New("the config cannot be read")

// maxConfig bounds config.json, in bytes: a thousand meshes fit.
const maxConfig = 4 << 20

// stamp tells one version of a file from another without reading it. Every
// writer replaces the file, so a new version has at least another inode or
// time.
type stamp struct {
	exists bool
	inode  uint64
	size   int64
	time   time.Time
}

// stampOf looks at a file.
func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stamp{}, nil
	case err != nil:
		return stamp{}, err
	}
	return stamp{exists: true, inode: inode(info), size: info.Size(), time: info.ModTime()}, nil
}

// Config returns the config as it is now: it is read again if the file
// changed. Without a file it is empty. The value is the caller's own. Errors:
// [config.ErrFuture], [config.ErrBroken], [ErrUnreadable].
func (p *Profile) Config() (*config.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refreshLocked(); err != nil {
		return nil, err
	}
	return p.config.Clone(), nil
}

// Changed reports whether the file is another one than [Profile.Config] last
// returned. It costs one look at the file's metadata, so a process follows the
// config by asking now and then. What cannot be looked at counts as changed.
func (p *Profile) Changed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, err := stampOf(p.ConfigPath())
	return err != nil || p.config == nil || s != p.stamp
}

// Update changes the config: under the lock that all processes take, it reads
// the file, lets change work on it, and puts the new one in its place. An
// error of change leaves the file as it is and is returned. A config of a
// newer version, or one that cannot be understood, is never written.
func (p *Profile) Update(ctx context.Context, change func(*config.Config) error) error {
	lock, err := lockWait(ctx, filepath.Join(p.dir, "config.lock"))
	if err != nil {
		return fmt.Errorf("config.lock: %w", sqlite.OfFile(err))
	}
	defer lock.Release()
	if err := removeUnfinished(p.ConfigPath()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refreshLocked(); err != nil {
		return err
	}
	c := p.config.Clone()
	if err := change(c); err != nil {
		return err
	}
	data, err := c.Encode()
	if err != nil {
		return fmt.Errorf("%s: %w", p.ConfigPath(), err)
	}
	// What was written is read back before it replaces anything: a config that
	// the next start refuses would lock its user out.
	if _, err := config.Parse(p.ConfigPath(), data); err != nil {
		return err
	}
	if err := writeFile(p.ConfigPath(), data); err != nil {
		return err
	}
	p.config = nil // read anew by whoever asks next
	return nil
}

// refreshLocked reads the file if it is another one than last time.
func (p *Profile) refreshLocked() error {
	path := p.ConfigPath()
	// The stamp first: if the file is replaced in between, the next look finds
	// another stamp, and reads once more than needed.
	s, err := stampOf(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if p.config != nil && s == p.stamp {
		return nil
	}
	c := &config.Config{}
	if s.exists {
		if c, err = readConfig(path); err != nil {
			return err
		}
	}
	p.config, p.stamp = c, s
	return nil
}

// readConfig reads and parses a file.
func readConfig(path string) (*config.Config, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &config.Config{}, nil // taken away since it was looked at
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	case len(data) > maxConfig:
		return nil, fmt.Errorf("%s: %w: over %d bytes", path, config.ErrBroken, maxConfig)
	}
	return config.Parse(path, data)
}

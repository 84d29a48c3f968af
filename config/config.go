// Package config is a client's config.json as values: which meshes its user is in,
// by which keys, and the settings. It reads and writes text; package profile has the
// file. Fields that this program does not know are kept where they stood.
package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/claudemesh/claudemesh-go/keys"
)

// Version is the version of config.json that this program writes. It reads no
// newer one.
const Version = 1

// What can be wrong with a config. Each error names the file.
var (
	// ErrFuture: a newer version of the program wrote the config. It was not
	// touched. See [FutureError].
	ErrFuture = errors.New("the config was written by a newer claudemesh")
	// ErrBroken: the config is not what it should be. It was not touched.
	ErrBroken = errors.New("the config cannot be understood")
	// ErrNoMesh: the config has no such mesh.
	ErrNoMesh = errors.New("no such mesh in the config")
)

// FutureError is the evidence of [ErrFuture], which it is.
type FutureError struct {
	Path    string
	Version int64 // what the file says
}

// Error says it in one sentence.
func (e *FutureError) Error() string {
	return fmt.Sprintf("%s has version %d, this claudemesh knows %d: update claudemesh", e.Path, e.Version, Version)
}

// Is makes the error match [ErrFuture].
func (e *FutureError) Is(target error) bool { return target == ErrFuture }

// Switch is a setting that is on unless it says "off".
type Switch string

// The values of a [Switch].
const (
	On  Switch = ""
	Off Switch = "off"
)

// Config is config.json. Fields that this program does not know are kept when
// it is written, at every level.
type Config struct {
	// Default is the alias of the mesh that addresses without a mesh mean; "":
	// the first one.
	Default string
	Meshes  []Mesh
	// Receipts off: no "seen" is sent.
	Receipts Switch
	// History off: one's own messages are not kept once they were seen.
	History Switch
	// Presence "minimal" leaves pid, working folder and host out of what the
	// broker is told; "": full.
	Presence string
	// NewMembers "hold" keeps back what a member sends before the user has seen its
	// name; "": nothing is kept back.
	NewMembers string
	// LoopGuard bounds agents that answer each other.
	LoopGuard LoopGuard

	extra []field
}

// Hold is the value of [Config.NewMembers] that holds.
const Hold = "hold"

// The bounds of the loop guard where the config does not say.
const (
	LoopDepth = 16 // replies in a chain without a human
	LoopPair  = 20 // messages to one peer in ten minutes without a human
)

// LoopGuard is how far agents answer each other without a human: "off", or an
// object with depth and pair.
type LoopGuard struct {
	Off         bool
	Depth, Pair int // 0: as [LoopDepth] and [LoopPair] say; below 0: no bound

	extra []field
}

// Bounds gives the bounds that count, 0 for none.
func (g LoopGuard) Bounds() (depth, pair int) {
	if g.Off {
		return 0, 0
	}
	bound := func(set, usual int) int {
		if set == 0 {
			return usual
		}
		return max(set, 0)
	}
	return bound(g.Depth, LoopDepth), bound(g.Pair, LoopPair)
}

// Mesh is one mesh of a config: who one is there, and by which keys.
type Mesh struct {
	ID      keys.MeshID
	Alias   string // a slug, unique in the config
	Brokers []Broker
	User    string
	Device  string
	PeerKey keys.PeerPrivate
	// OwnerKey is the owner's key, where it is on this machine; else zero.
	OwnerKey keys.OwnerPrivate
	// Invites are the links made here, for showing them again.
	Invites []Invite
	// Draft: the keys are kept, but the mesh is not there yet (it is being
	// created, or joined). Everything but whoever completes it skips it.
	Draft bool

	extra []field
}

// Broker is where a mesh is served.
type Broker struct {
	URLs []string    // where to dial, in this order; hints
	Key  keys.Public // the pin

	extra []field
}

// Invite is a link that was made here.
type Invite struct {
	ID    keys.Public // the invite's key
	Seed  []byte      // 32 bytes
	Until int64       // Unix milliseconds

	extra []field
}

// Find returns the mesh with an alias or, written in full, an id. Drafts are
// found too.
func (c *Config) Find(name string) (*Mesh, error) {
	for i := range c.Meshes {
		if m := &c.Meshes[i]; m.Alias == name || m.ID.String() == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("%q: %w", name, ErrNoMesh)
}

// Mesh returns the mesh with an id; [ErrNoMesh].
func (c *Config) Mesh(id keys.MeshID) (*Mesh, error) {
	for i := range c.Meshes {
		if c.Meshes[i].ID == id {
			return &c.Meshes[i], nil
		}
	}
	return nil, fmt.Errorf("%s: %w", id, ErrNoMesh)
}

// DefaultMesh returns the mesh that is meant where none is named, nil where
// the config has none. Drafts are no default.
func (c *Config) DefaultMesh() *Mesh {
	var first *Mesh
	for i := range c.Meshes {
		m := &c.Meshes[i]
		switch {
		case m.Draft:
		case m.Alias == c.Default:
			return m
		case first == nil:
			first = m
		}
	}
	return first
}

// Remove takes a mesh out, and reports whether it was there.
func (c *Config) Remove(id keys.MeshID) bool {
	n := len(c.Meshes)
	c.Meshes = slices.DeleteFunc(c.Meshes, func(m Mesh) bool { return m.ID == id })
	return len(c.Meshes) < n
}

// FreeAlias returns name if no mesh has it as its alias, else name-2, name-3
// and so on.
func (c *Config) FreeAlias(name string) string {
	for n := 1; ; n++ {
		alias := keys.NumberedSlug(name, n)
		if !slices.ContainsFunc(c.Meshes, func(m Mesh) bool { return m.Alias == alias }) {
			return alias
		}
	}
}

// Clone copies a config so deep that changing the copy changes nothing else.
// Keys and unknown fields are never changed in place, and are shared.
func (c *Config) Clone() *Config {
	d := *c
	d.Meshes = append([]Mesh(nil), c.Meshes...)
	for i := range d.Meshes {
		m := &d.Meshes[i]
		m.Brokers = append([]Broker(nil), m.Brokers...)
		for j := range m.Brokers {
			m.Brokers[j].URLs = append([]string(nil), m.Brokers[j].URLs...)
		}
		m.Invites = append([]Invite(nil), m.Invites...)
	}
	return &d
}

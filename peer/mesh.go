package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/claudemesh/claudemesh-go/chain"
	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/profile"
	"github.com/claudemesh/claudemesh-go/roster"
)

// MeshInfo is a mesh as the profile knows it.
type MeshInfo struct {
	ID      MeshID
	Alias   string // in this profile
	Name    string // from its genesis
	Default bool
	User    string
	Device  string
	Address string // user@device
	URLs    []string
	Host    string // of the first URL that other machines reach, else of the first
	Owner   bool   // the owner's key is on this machine
	Pending bool   // the join waits for a yes
}

// Meshes returns the meshes of a profile, the default first. Dir as in
// Options.
func Meshes(dir string) ([]MeshInfo, error) {
	ctx := context.Background()
	folder, err := profile.Open(dir)
	if err != nil {
		return nil, err
	}
	settings, err := folder.Config()
	if err != nil || len(settings.Meshes) == 0 {
		return nil, err
	}
	state, err := folder.OpenState(ctx)
	if err != nil {
		return nil, err
	}
	all, err := meshesOf(ctx, settings, state)
	return all, errors.Join(err, state.Close())
}

// meshesOf describes the meshes of a config.
func meshesOf(ctx context.Context, settings *config.Config, state *profile.State) ([]MeshInfo, error) {
	var all []MeshInfo
	preferred := settings.DefaultMesh()
	for i := range settings.Meshes {
		m := &settings.Meshes[i]
		if m.Draft {
			continue
		}
		ledger, err := loadLedger(ctx, state, m.ID, m.PeerKey.Public())
		if err != nil {
			return nil, err
		}
		info := infoOf(m, ledger.View())
		info.Default = m == preferred
		all = append(all, info)
	}
	slices.SortStableFunc(all, func(a, b MeshInfo) int {
		if a.Default != b.Default {
			return -compareBool(a.Default, b.Default)
		}
		return strings.Compare(a.Alias, b.Alias)
	})
	return all, nil
}

// infoOf describes a mesh.
func infoOf(m *config.Mesh, view roster.View) MeshInfo {
	info := MeshInfo{ID: m.ID, Alias: m.Alias, Name: view.Name(), User: m.User, Device: m.Device,
		Address: m.User + "@" + m.Device, URLs: view.URLs(), Owner: !m.OwnerKey.IsZero()}
	if len(info.URLs) == 0 && len(m.Brokers) > 0 {
		info.URLs = m.Brokers[0].URLs
	}
	info.Host = hostOf(info.URLs)
	_, info.Pending = view.Waiting(m.PeerKey.Public(), now())
	return info
}

// UseMesh makes a mesh the profile's default.
func UseMesh(dir, mesh string) error {
	return updateMesh(dir, mesh, func(c *config.Config, m *config.Mesh) error {
		c.Default = m.Alias
		return nil
	})
}

// updateMesh changes a mesh of a profile's config.
func updateMesh(dir, mesh string, change func(*config.Config, *config.Mesh) error) error {
	folder, err := profile.Open(dir)
	if err != nil {
		return err
	}
	return folder.Update(context.Background(), func(c *config.Config) error {
		m, err := findMesh(c, mesh)
		if err != nil {
			return err
		}
		return change(c, m)
	})
}

// OwnerKey returns the owner's private key of a mesh as text
// ("owner-private-…"), to be kept elsewhere. ErrNoOwnerKey.
func OwnerKey(dir, mesh string) (string, error) {
	folder, err := profile.Open(dir)
	if err != nil {
		return "", err
	}
	settings, err := folder.Config()
	if err != nil {
		return "", err
	}
	m, err := findMesh(settings, mesh)
	if err != nil {
		return "", err
	}
	if m.OwnerKey.IsZero() {
		return "", ErrNoOwnerKey
	}
	return m.OwnerKey.Export(), nil
}

// ImportOwnerKey puts an owner's or the recovery key into the profile: the text that
// OwnerKey gave, or that of a recovery file. It must belong to the mesh.
func ImportOwnerKey(dir, mesh, key string) error {
	text := ""
	for line := range strings.Lines(key) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			text += line
		}
	}
	private, err := keys.ParseOwnerPrivate(text)
	if err != nil {
		return &UsageError{Sentence: "that is no owner's or recovery key; copy the whole line"}
	}
	folder, err := profile.Open(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	state, err := folder.OpenState(ctx)
	if err != nil {
		return err
	}
	err = updateMesh(dir, mesh, func(c *config.Config, m *config.Mesh) error {
		ledger, err := loadLedger(ctx, state, m.ID, m.PeerKey.Public())
		if err != nil {
			return err
		}
		if ledger.State().Rank(private.Public()) < chain.RankOwner {
			return &ForbiddenError{Action: "import this key", Why: "it is not an owner's or the recovery key of " + m.Alias}
		}
		m.OwnerKey = private
		return nil
	})
	return errors.Join(err, state.Close())
}

// ForgetOwnerKey takes the owner's key out of the profile.
func ForgetOwnerKey(dir, mesh string) error {
	return updateMesh(dir, mesh, func(_ *config.Config, m *config.Mesh) error {
		if m.OwnerKey.IsZero() {
			return ErrNoOwnerKey
		}
		m.OwnerKey = keys.OwnerPrivate{}
		return nil
	})
}

// SetBrokerURLs appends a broker entry when urls are not the ones that the
// chain names, and says whether it did. It needs rank admin or the owner key.
func (p *Peer) SetBrokerURLs(ctx context.Context, urls []string) (bool, error) {
	for _, text := range urls {
		if err := chain.CheckURL(text); err != nil {
			return false, &UsageError{Sentence: fmt.Sprintf("%q cannot be a broker's URL: %v", text, err)}
		}
	}
	if slices.Equal(p.members().URLs(), urls) {
		return false, nil
	}
	err := p.appendEntry(ctx, func(roster.View) (chain.Body, error) { return chain.Broker{URLs: urls}, nil }, p.signer(chain.RankAdmin))
	return err == nil, forbidden("say where the broker is", err)
}

// signer is the key to sign with what takes a rank: the peer's where that suffices,
// else the owner's where it is here, else the peer's, which will be refused.
func (p *Peer) signer(rank chain.Rank) keys.Signer {
	if p.members().Rank(p.self) >= rank {
		return p.key
	}
	if owner, err := p.ownerKey(); err == nil {
		return owner
	}
	return p.key
}

// forbidden makes of why an entry would not count the error for people.
func forbidden(action string, err error) error {
	switch {
	case errors.Is(err, roster.ErrNotEntitled), errors.Is(err, roster.ErrPending), errors.Is(err, roster.ErrRevoked):
		return &ForbiddenError{Action: action, Why: "it takes an admin or the owner's key", Err: err}
	case errors.Is(err, roster.ErrCap):
		return &ForbiddenError{Action: action, Why: "a limit of this mesh is reached: 16 devices and 16 open invites a user", Err: err}
	}
	return err
}

// names gives the names to join or create under: the given ones, else the login
// name and the short host name.
func personNames(userName, device string) (string, string, error) {
	if userName == "" {
		if u, err := user.Current(); err == nil {
			// Windows has DOMAIN\name.
			userName = slugOf(u.Username[strings.LastIndexByte(u.Username, '\\')+1:])
		}
		if userName == "" {
			return "", "", &UsageError{Sentence: "this machine has no login name that can be used: choose one with --name"}
		}
	}
	if device == "" {
		host, err := os.Hostname()
		if err == nil {
			host, _, _ = strings.Cut(host, ".")
			device = slugOf(host)
		}
		if device == "" {
			device = "device"
		}
	}
	name, err := keys.Slug(userName)
	if err != nil || !chain.IsUser(name) {
		return "", "", &UsageError{Sentence: fmt.Sprintf("%q cannot be a name: 1 to 32 of a-z, 0-9, '.', '_' and '-', not beginning with key-", userName)}
	}
	slug, err := keys.Slug(device)
	if err != nil {
		return "", "", &UsageError{Sentence: fmt.Sprintf("%q cannot be a device's name: 1 to 32 of a-z, 0-9, '.', '_' and '-'", device)}
	}
	return name, slug, nil
}

// dialOf is the dial function to use where none is given.
func dialOf(dial dialFunc) dialFunc {
	if dial == nil {
		return new(net.Dialer).DialContext
	}
	return dial
}

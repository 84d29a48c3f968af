package profile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/config"
	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/vectors"
)

// newProfile opens a profile in a new folder.
func newProfile(t testing.TB) *Profile {
	t.Helper()
	p, err := Open(filepath.Join(t.TempDir(), "claudemesh"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { LeaveRun(p.Dir()) })
	return p
}

func peerKey(t testing.TB, b byte) keys.PeerPrivate {
	t.Helper()
	k, err := keys.PeerPrivateFromSeed(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ownerKey(t testing.TB, b byte) keys.OwnerPrivate {
	t.Helper()
	k, err := keys.OwnerPrivateFromSeed(bytes.Repeat([]byte{b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// fullMesh has every field set.
func fullMesh(t testing.TB, b byte, alias string) config.Mesh {
	return config.Mesh{
		ID: keys.MeshID{b}, Alias: alias, User: "alice", Device: "laptop", PeerKey: peerKey(t, b), OwnerKey: ownerKey(t, b+100),
		Brokers: []config.Broker{{URLs: []string{"https://mesh.example.org", "unix:"}, Key: keys.Public{b, 1}}},
		Invites: []config.Invite{{ID: keys.Public{b, 2}, Seed: bytes.Repeat([]byte{b}, 32), Until: 1_700_000_000_000}},
	}
}

func update(t testing.TB, p *Profile, change func(*config.Config) error) {
	t.Helper()
	if err := p.Update(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

func configOf(t testing.TB, p *Profile) *config.Config {
	t.Helper()
	c, err := p.Config()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConfigComesBack(t *testing.T) {
	p := newProfile(t)
	if c := configOf(t, p); len(c.Meshes) != 0 || c.DefaultMesh() != nil {
		t.Fatalf("an empty profile has %+v", c)
	}
	update(t, p, func(c *config.Config) error {
		c.Meshes = append(c.Meshes, fullMesh(t, 1, "acme"), fullMesh(t, 2, "home"))
		c.Meshes[1].OwnerKey, c.Meshes[1].Invites, c.Meshes[1].Draft = keys.OwnerPrivate{}, nil, true
		c.Default, c.Receipts, c.History, c.Presence = "acme", config.Off, config.Off, "minimal"
		return nil
	})
	other, err := Open(p.Dir())
	if err != nil {
		t.Fatal(err)
	}
	c := configOf(t, other)
	m := c.Meshes[0]
	if !m.PeerKey.Equal(peerKey(t, 1)) || !m.OwnerKey.Equal(ownerKey(t, 101)) || m.User != "alice" || m.Device != "laptop" ||
		m.Brokers[0].Key != (keys.Public{1, 1}) || len(m.Brokers[0].URLs) != 2 || m.Draft ||
		m.Invites[0].ID != (keys.Public{1, 2}) || !bytes.Equal(m.Invites[0].Seed, bytes.Repeat([]byte{1}, 32)) || m.Invites[0].Until != 1_700_000_000_000 {
		t.Errorf("mesh %+v", m)
	}
	if m := c.Meshes[1]; !m.OwnerKey.IsZero() || m.Invites != nil || !m.Draft {
		t.Errorf("mesh %+v", m)
	}
	if c.Default != "acme" || c.Receipts != config.Off || c.History != config.Off || c.Presence != "minimal" {
		t.Errorf("config %+v", c)
	}
	info, err := os.Stat(p.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	left, err := filepath.Glob(filepath.Join(p.Dir(), ".*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestConfigIsAsDesigned(t *testing.T) {
	p := newProfile(t)
	update(t, p, func(c *config.Config) error {
		c.Meshes, c.Default = []config.Mesh{fullMesh(t, 1, "acme")}, "acme"
		return nil
	})
	data, err := os.ReadFile(p.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version int
		Default string
		Meshes  []map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	m := got.Meshes[0]
	if got.Version != 1 || got.Default != "acme" || m["alias"] != "acme" || m["id"] != "AQAAAAAAAAAAAAAAAAAAAA" ||
		!strings.HasPrefix(fmt.Sprint(m["peer_key"]), "peer-private-") || !strings.HasPrefix(fmt.Sprint(m["owner_key"]), "owner-private-") {
		t.Fatalf("%s", data)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	p := newProfile(t)
	update(t, p, func(c *config.Config) error {
		c.Meshes = []config.Mesh{fullMesh(t, 1, "acme"), fullMesh(t, 2, "home")}
		return nil
	})
	data, err := os.ReadFile(p.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	// A newer program of the same version wrote more, at every level.
	for old, more := range map[string]string{
		`"version": 1,`:          `"version": 1, "theme": {"a": [1, 2.50, null]},`,
		`"alias": "home",`:       `"alias": "home", "colour": "red",`,
		`"urls": [`:              `"since": 12345678901234567890, "urls": [`,
		`"until": 1700000000000`: `"until": 1700000000000, "note": "for <bob> & co"`,
		`"user": "alice",`:       `"user": "alice", "User": "another field",`,
	} {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("no %s in %s", old, data)
		}
		data = bytes.ReplaceAll(data, []byte(old), []byte(more))
	}
	if err := os.WriteFile(p.ConfigPath(), data, 0o600); err != nil {
		t.Fatal(err)
	}
	update(t, p, func(c *config.Config) error {
		c.Meshes[0], c.Meshes[1] = c.Meshes[1], c.Meshes[0] // they move with what they belong to
		c.Meshes[0].Alias = "house"
		c.Meshes[1].Brokers = append(c.Meshes[1].Brokers, config.Broker{URLs: []string{"x"}})
		return nil
	})
	data, err = os.ReadFile(p.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`2.50`, `"colour": "red"`, `"since": 12345678901234567890`, `for <bob> & co`, `"another field"`} {
		if !bytes.Contains(data, []byte(want)) {
			t.Errorf("lost %s:\n%s", want, data)
		}
	}
	if c := configOf(t, p); c.Meshes[0].Alias != "house" || len(c.Meshes[1].Brokers) != 2 {
		t.Errorf("%+v", c)
	}
	home, acme := bytes.Index(data, []byte(`"house"`)), bytes.Index(data, []byte(`"acme"`))
	if red := bytes.Index(data, []byte(`"red"`)); home > red || red > acme {
		t.Errorf("a field went to another mesh:\n%s", data)
	}
}

func readConfigs(t testing.TB) []vectors.Config {
	t.Helper()
	list, err := vectors.Configs()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// secrets finds what must stand in no error.
var secrets = regexp.MustCompile(`private-[a-z2-7]{20}`)

func TestConfigVectors(t *testing.T) {
	outcomes := map[string]error{"ok": nil, "future": config.ErrFuture, "broken": config.ErrBroken}
	for i, v := range readConfigs(t) {
		t.Run(v.Name, func(t *testing.T) {
			p := newProfile(t)
			if err := os.WriteFile(p.ConfigPath(), []byte(v.Config), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := p.Config()
			want, known := outcomes[v.Outcome]
			if !known || !errors.Is(err, want) {
				t.Fatalf("error %v, want %s", err, v.Outcome)
			}
			if want == nil {
				if written, err := c.Encode(); err != nil || i == 0 && string(written) != v.Config {
					t.Fatalf("written again it is (%v)\n%s", err, written)
				}
				return
			}
			if !strings.Contains(err.Error(), p.ConfigPath()) {
				t.Errorf("the error does not name the file: %v", err)
			}
			for _, secret := range secrets.FindAllString(v.Config, -1) {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error has a secret: %v", err)
				}
			}
			var future *config.FutureError
			if errors.As(err, &future) != (want == config.ErrFuture) || future != nil && future.Version != 2 {
				t.Errorf("error %v", err)
			}
			err = p.Update(t.Context(), func(*config.Config) error { t.Error("change was called"); return nil })
			if !errors.Is(err, want) {
				t.Fatalf("error %v, want %v", err, want)
			}
			if data, err := os.ReadFile(p.ConfigPath()); err != nil || string(data) != v.Config {
				t.Fatalf("the file was touched: %q, %v", data, err)
			}
		})
	}
}

func TestUnreadableConfig(t *testing.T) {
	p := newProfile(t)
	if err := os.Mkdir(p.ConfigPath(), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Config(); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), p.ConfigPath()) {
		t.Fatalf("error %v", err)
	}
}

func TestUpdateThatFailsChangesNothing(t *testing.T) {
	p := newProfile(t)
	update(t, p, func(c *config.Config) error { c.Meshes = []config.Mesh{fullMesh(t, 1, "acme")}; return nil })
	before, err := os.ReadFile(p.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	for name, change := range map[string]func(*config.Config) error{
		"error":      func(c *config.Config) error { c.Meshes = nil; return boom },
		"same alias": func(c *config.Config) error { c.Meshes = append(c.Meshes, fullMesh(t, 2, "acme")); return nil },
		"no id":      func(c *config.Config) error { c.Meshes[0].ID = keys.MeshID{}; return nil },
	} {
		if err := p.Update(t.Context(), change); err == nil || name == "error" && !errors.Is(err, boom) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(p.ConfigPath()); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s: the file changed", name)
		}
		if c := configOf(t, p); len(c.Meshes) != 1 || c.Meshes[0].ID.IsZero() {
			t.Errorf("%s: the config in memory changed", name)
		}
	}
}

func TestConfigIsFollowed(t *testing.T) {
	p := newProfile(t)
	other, err := Open(p.Dir())
	if err != nil {
		t.Fatal(err)
	}
	if !p.Changed() {
		t.Error("never read, and not changed")
	}
	c := configOf(t, p)
	if p.Changed() {
		t.Error("changed by nobody")
	}
	update(t, other, func(c *config.Config) error { c.Meshes = []config.Mesh{fullMesh(t, 1, "acme")}; return nil })
	if !p.Changed() || len(c.Meshes) != 0 {
		t.Error("a change is not seen")
	}
	c = configOf(t, p)
	if p.Changed() || len(c.Meshes) != 1 {
		t.Error("a change is not followed")
	}
	c.Meshes[0].Brokers[0].URLs[0] = "mine alone"
	if again := configOf(t, p); again.Meshes[0].Brokers[0].URLs[0] == "mine alone" {
		t.Error("two callers share a config")
	}
	for i := range 20 { // as fast as can be: same size, same second
		update(t, other, func(c *config.Config) error { c.Meshes[0].User = fmt.Sprintf("u%02d", i); return nil })
		if c := configOf(t, p); c.Meshes[0].User != fmt.Sprintf("u%02d", i) {
			t.Fatalf("change %d is not followed: %s", i, c.Meshes[0].User)
		}
	}
	if err := os.Remove(p.ConfigPath()); err != nil {
		t.Fatal(err)
	}
	if c := configOf(t, p); !p.Changed() && len(c.Meshes) != 0 {
		t.Error("a removed config is still there")
	}
}

package config

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/claudemesh/claudemesh-go/keys"
)

// Parse reads config.json's text; path is for errors, which are [ErrFuture] or
// [ErrBroken] and never repeat a private key.
func Parse(path string, data []byte) (*Config, error) {
	c, err := decode(data)
	if f, ok := err.(*FutureError); ok {
		f.Path = path
		return nil, f
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrBroken, err)
	}
	return c, nil
}

func decode(data []byte) (*Config, error) {
	o, err := parseObject(data)
	if err != nil {
		return nil, err
	}
	// The version first, and alone: a newer one may have given every other
	// field another form.
	var version int64
	if o.take("version", &version); o.err != nil {
		return nil, o.err
	}
	switch {
	case version > Version:
		return nil, &FutureError{Version: version}
	case version < 1:
		return nil, fmt.Errorf("version %d", version)
	}
	c := &Config{}
	o.take("default", &c.Default)
	o.take("receipts", &c.Receipts)
	o.take("history", &c.History)
	o.take("presence", &c.Presence)
	o.take("new_members", &c.NewMembers)
	o.take("loop_guard", &c.LoopGuard)
	o.takeList("meshes", func(o *object) error {
		m, err := decodeMesh(o)
		c.Meshes = append(c.Meshes, m)
		return err
	})
	c.extra = o.fields
	if o.err != nil {
		return nil, o.err
	}
	return c, c.check()
}

func decodeMesh(o *object) (Mesh, error) {
	var m Mesh
	o.take("id", &m.ID)
	o.take("alias", &m.Alias)
	o.take("user", &m.User)
	o.take("device", &m.Device)
	o.take("draft", &m.Draft)
	o.takeText("peer_key", func(s string) (err error) {
		m.PeerKey, err = keys.ParsePeerPrivate(s)
		return err
	})
	o.takeText("owner_key", func(s string) (err error) {
		m.OwnerKey, err = keys.ParseOwnerPrivate(s)
		return err
	})
	o.takeList("brokers", func(o *object) error {
		var b Broker
		o.take("urls", &b.URLs)
		o.take("key", &b.Key)
		b.extra = o.fields
		m.Brokers = append(m.Brokers, b)
		return nil
	})
	o.takeList("invites", func(o *object) error {
		var v Invite
		o.take("id", &v.ID)
		o.takeText("seed", func(s string) (err error) {
			v.Seed, err = base64.RawURLEncoding.Strict().DecodeString(s)
			if err != nil {
				return errSeed // the decoder's own words may quote it
			}
			return nil
		})
		o.take("until", &v.Until)
		v.extra = o.fields
		m.Invites = append(m.Invites, v)
		return nil
	})
	m.extra = o.fields
	return m, o.err
}

var errSeed = fmt.Errorf("not base64url")

// check refuses what would be ambiguous, or could not be written back.
func (c *Config) check() error {
	ids, aliases := map[keys.MeshID]bool{}, map[string]bool{}
	for i := range c.Meshes {
		m := &c.Meshes[i]
		switch {
		case m.ID.IsZero():
			return fmt.Errorf("meshes[%d] has no id", i)
		case !keys.IsSlug(m.Alias):
			return fmt.Errorf("meshes[%d]: the alias %.40q is no name", i, m.Alias)
		case ids[m.ID]:
			return fmt.Errorf("mesh %s stands twice", m.ID)
		case aliases[m.Alias]:
			return fmt.Errorf("the alias %q stands twice", m.Alias)
		}
		ids[m.ID], aliases[m.Alias] = true, true
	}
	return nil
}

// Encode writes the config's text, as [Parse] reads it. It refuses what could not be
// read back: two meshes with one alias or id, or without.
func (c *Config) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	o := &object{}
	o.put("version", Version)
	o.putUnless(c.Default == "", "default", c.Default)
	o.putUnless(c.Receipts == On, "receipts", c.Receipts)
	o.putUnless(c.History == On, "history", c.History)
	o.putUnless(c.Presence == "", "presence", c.Presence)
	o.putUnless(c.NewMembers == "", "new_members", c.NewMembers)
	o.putUnless(c.LoopGuard.isDefault(), "loop_guard", c.LoopGuard)
	meshes := make([]*object, 0, len(c.Meshes))
	for i := range c.Meshes {
		meshes = append(meshes, c.Meshes[i].encode())
	}
	o.put("meshes", meshes)
	o.fields = append(o.fields, c.extra...)
	raw, err := o.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (m *Mesh) encode() *object {
	o := &object{}
	o.put("id", m.ID)
	o.put("alias", m.Alias)
	brokers := make([]*object, 0, len(m.Brokers))
	for _, b := range m.Brokers {
		bo := &object{}
		bo.put("urls", b.URLs)
		bo.put("key", b.Key)
		bo.fields = append(bo.fields, b.extra...)
		brokers = append(brokers, bo)
	}
	o.put("brokers", brokers)
	o.put("user", m.User)
	o.put("device", m.Device)
	// As text on purpose: private keys marshal themselves redacted.
	o.putUnless(m.PeerKey.IsZero(), "peer_key", m.PeerKey.Export())
	o.putUnless(m.OwnerKey.IsZero(), "owner_key", m.OwnerKey.Export())
	invites := make([]*object, 0, len(m.Invites))
	for _, v := range m.Invites {
		vo := &object{}
		vo.put("id", v.ID)
		vo.put("seed", base64.RawURLEncoding.EncodeToString(v.Seed))
		vo.put("until", v.Until)
		vo.fields = append(vo.fields, v.extra...)
		invites = append(invites, vo)
	}
	o.putUnless(len(invites) == 0, "invites", invites)
	o.putUnless(!m.Draft, "draft", true)
	o.fields = append(o.fields, m.extra...)
	return o
}

func (g LoopGuard) isDefault() bool {
	return !g.Off && g.Depth == 0 && g.Pair == 0 && len(g.extra) == 0
}

// UnmarshalJSON reads "off" or an object.
func (g *LoopGuard) UnmarshalJSON(data []byte) error {
	*g = LoopGuard{}
	if string(data) == `"off"` {
		g.Off = true
		return nil
	}
	o, err := parseObject(data)
	if err != nil {
		return errors.New(`neither "off" nor an object`)
	}
	o.take("depth", &g.Depth)
	o.take("pair", &g.Pair)
	g.extra = o.fields
	return o.err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (g LoopGuard) MarshalJSON() ([]byte, error) {
	if g.Off {
		return []byte(`"off"`), nil
	}
	o := &object{}
	o.putUnless(g.Depth == 0, "depth", g.Depth)
	o.putUnless(g.Pair == 0, "pair", g.Pair)
	o.fields = append(o.fields, g.extra...)
	return o.MarshalJSON()
}

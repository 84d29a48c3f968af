package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
	"github.com/claudemesh/claudemesh-go/vectors"
)

func TestFindingMeshes(t *testing.T) {
	c := &Config{Meshes: []Mesh{{ID: keys.MeshID{1}, Alias: "acme"}, {ID: keys.MeshID{2}, Alias: "home"}, {ID: keys.MeshID{3}, Alias: "draft"}}}
	c.Meshes[2].Draft = true
	if m := c.DefaultMesh(); m != &c.Meshes[0] {
		t.Error("the first is no default")
	}
	c.Default = "home"
	if m := c.DefaultMesh(); m != &c.Meshes[1] {
		t.Error("the default is no default")
	}
	c.Default = "draft"
	if m := c.DefaultMesh(); m != &c.Meshes[0] {
		t.Error("a draft is the default")
	}
	if m, err := c.Find("home"); err != nil || m != &c.Meshes[1] {
		t.Error(m, err)
	}
	if m, err := c.Find(c.Meshes[1].ID.String()); err != nil || m != &c.Meshes[1] {
		t.Error(m, err)
	}
	if _, err := c.Find("nope"); !errors.Is(err, ErrNoMesh) {
		t.Error(err)
	}
	if _, err := c.Mesh(keys.MeshID{9}); !errors.Is(err, ErrNoMesh) {
		t.Error(err)
	}
	if got := c.FreeAlias("acme"); got != "acme-2" {
		t.Error(got)
	}
	long := strings.Repeat("x", keys.MaxSlug)
	c.Meshes[0].Alias = long
	if got := c.FreeAlias(long); got != strings.Repeat("x", keys.MaxSlug-2)+"-2" || !keys.IsSlug(got) {
		t.Error(got)
	}
	if !c.Remove(keys.MeshID{2}) || c.Remove(keys.MeshID{2}) || len(c.Meshes) != 2 {
		t.Error("remove")
	}
}

// What can be read can be written, and is then the same.
func FuzzConfig(f *testing.F) {
	list, err := vectors.Configs()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		f.Add([]byte(v.Config))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("p", data)
		if err != nil {
			return
		}
		once, err := c.Encode()
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		again, err := Parse("p", once)
		if err != nil {
			t.Fatalf("written, but not read: %v\n%s", err, once)
		}
		twice, err := again.Encode()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("changed by writing (%v):\n%s\n%s", err, once, twice)
		}
	})
}

func TestLoopGuardInTheConfig(t *testing.T) {
	for _, c := range []struct {
		text        string
		depth, pair int
	}{
		{`{}`, 16, 20},
		{`"off"`, 0, 0},
		{`{"depth":4}`, 4, 20},
		{`{"depth":-1,"pair":3}`, 0, 3},
		{`{"pair":3,"later":[1]}`, 16, 3},
	} {
		var g LoopGuard
		if err := json.Unmarshal([]byte(c.text), &g); err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if depth, pair := g.Bounds(); depth != c.depth || pair != c.pair {
			t.Errorf("%s means %d and %d", c.text, depth, pair)
		}
		if back, err := json.Marshal(g); err != nil || string(back) != c.text {
			t.Errorf("%s is written as %s: %v", c.text, back, err)
		}
	}
	for _, text := range []string{`"on"`, `16`, `[]`, `{"depth":"4"}`} {
		var g LoopGuard
		if err := json.Unmarshal([]byte(text), &g); err == nil {
			t.Errorf("%s was read as %+v", text, g)
		}
	}
}

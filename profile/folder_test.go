package profile

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/claudemesh/claudemesh-go/keys"
)

func TestDir(t *testing.T) {
	t.Setenv(EnvDir, "/somewhere/else")
	if dir, err := Dir(); err != nil || runtime.GOOS != "windows" && dir != "/somewhere/else" {
		t.Error(dir, err)
	}
	t.Setenv(EnvDir, "")
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	if dir, err := Dir(); err != nil || dir != filepath.Join(home, ".claudemesh") {
		t.Error(dir, err)
	}
	p, err := Open("")
	if err != nil || p.Dir() != filepath.Join(home, ".claudemesh") {
		t.Fatal(p, err)
	}
}

func TestFolderIsTheUsersOwn(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // permissions are inherited from the user's folder there
	}
	dir := filepath.Join(t.TempDir(), "p")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, p.Run()} {
		info, err := os.Stat(d)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
	if open, err := p.Permissions(); err != nil || len(open) != 0 {
		t.Error(open, err)
	}
	if err := os.WriteFile(p.ConfigPath(), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.ConfigPath(), 0o644); err != nil {
		t.Fatal(err)
	}
	if open, err := p.Permissions(); err != nil || len(open) != 1 || open[0] != p.ConfigPath() {
		t.Error(open, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a file is no folder")
	}
}

func TestSocketPathsAreShort(t *testing.T) {
	p := newProfile(t)
	if !strings.HasPrefix(p.Run(), p.Dir()) && len(p.Dir()) < 60 {
		t.Errorf("run is in %s", p.Run())
	}
	runtimeDir, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtimeDir) })
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep", 15), strings.Repeat("deeper", 10))
	long, err := Open(deep)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(long.Run()) != runtimeDir {
		t.Fatalf("run is in %s", long.Run())
	}
	for _, path := range []string{long.Socket(4_194_304), long.Socket(0), long.BrokerSocket()} {
		if len(path) > maxSocketPath {
			t.Errorf("%d bytes: %s", len(path), path)
		}
	}
	again, err := Open(deep)
	if err != nil || again.Run() != long.Run() {
		t.Fatalf("%s, then %s (%v)", long.Run(), again.Run(), err)
	}
	other, err := Open(deep + "2")
	if err != nil || other.Run() == long.Run() {
		t.Fatalf("two profiles share %s (%v)", other.Run(), err)
	}
}

// The last process of a profile that closes takes the folder of its sockets away,
// where that stands among the system's; whoever comes then makes it again.
func TestRunFolderGoesWithTheLast(t *testing.T) {
	runtimeDir := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
	deep := filepath.Join(t.TempDir(), strings.Repeat("deep", 15), strings.Repeat("deeper", 10))
	left := func() int {
		t.Helper()
		entries, err := os.ReadDir(runtimeDir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	open := func() (*Profile, *State) {
		t.Helper()
		p, err := Open(deep)
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.OpenState(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return p, s
	}
	_, first := open()
	p, second := open()
	if err := first.Close(); err != nil || left() != 0 {
		t.Fatalf("%d folders are left while nobody has anything in them (%v)", left(), err)
	}
	session, err := second.StartSession(t.Context(), keys.MeshID{1}, SessionInfo{ID: keys.SessionID{1}})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p.Run()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o700 {
		t.Errorf("made again: %v, %v", info, err)
	}
	LeaveRun(deep)
	if left() != 1 {
		t.Error("it was taken away under a live session")
	}
	if err := session.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil || left() != 0 {
		t.Errorf("%d folders are left (%v)", left(), err)
	}
	// The profile's own stays where it is, and is not made again without the profile.
	near := newProfile(t)
	if !strings.HasPrefix(near.Run(), near.Dir()) {
		return // this system's temporary folders have long names
	}
	LeaveRun(near.Dir())
	if _, err := os.Stat(near.Run()); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(near.Dir()); err != nil {
		t.Fatal(err)
	}
	if err := near.RemakeRun(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a profile that is gone came back: %v", err)
	}
}

func TestRecoveryKey(t *testing.T) {
	p := newProfile(t)
	key := ownerKey(t, 5)
	path, err := p.WriteRecovery("acme", keys.MeshID{1}, key)
	if err != nil || path != filepath.Join(p.Dir(), "recovery-acme.key") {
		t.Fatal(path, err)
	}
	got, err := ReadKeyFile(path)
	if err != nil || !got.Equal(key) {
		t.Fatal(err)
	}
	if _, err := p.WriteRecovery("acme", keys.MeshID{1}, ownerKey(t, 6)); !errors.Is(err, os.ErrExist) {
		t.Fatalf("a recovery key was replaced: %v", err)
	}
	damaged := filepath.Join(p.Dir(), "damaged")
	text := key.Export()
	if err := os.WriteFile(damaged, []byte(text[:len(text)-4]), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadKeyFile(damaged); err == nil || strings.Contains(err.Error(), text[15:40]) {
		t.Fatal(err)
	}
}

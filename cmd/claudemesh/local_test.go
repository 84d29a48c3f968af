package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The broker of this machine is started by sessions of agents, whose environment is
// full of what is nobody else's business.
func TestLocalBrokerGetsNoSecrets(t *testing.T) {
	got := localEnvironment([]string{"HOME=/home/a", "ANTHROPIC_API_KEY=sk-1", "CLAUDECODE=1", "CLAUDE_CODE_MESSAGING_TOKEN=t",
		"PATH=/bin", "HOMEBREW=x", "CLAUDEMESH_CONFIG_DIR=relative", "TMPDIR=/tmp/a"}, "/home/a/.claudemesh")
	want := []string{"HOME=/home/a", "TMPDIR=/tmp/a", "CLAUDEMESH_CONFIG_DIR=/home/a/.claudemesh"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLogOfLocalBroker(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.log")
	log, err := openLog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ended := errors.New("exit status 1")
	if got := lastWord(log, 0, ended); got != "exit status 1" {
		t.Errorf("nothing was said: %q", got)
	}
	if _, err := log.WriteString("older\nthe disk is full\nMake room.\n"); err != nil {
		t.Fatal(err)
	}
	if got := lastWord(log, int64(len("older\n")), ended); got != "the disk is full" {
		t.Errorf("said %q", got)
	}
	for _, c := range []struct{ size, left int64 }{{logLimit, logLimit}, {logLimit + 1, 0}} {
		if err := os.Truncate(path, c.size); err != nil {
			t.Fatal(err)
		}
		again, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		info, err := again.Stat()
		if err != nil || info.Size() != c.left || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("of %d bytes %d are left, %v, %v", c.size, info.Size(), info.Mode(), err)
		}
		again.Close()
	}
}

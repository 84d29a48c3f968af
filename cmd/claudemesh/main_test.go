package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts' golden files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"claudemesh": main})
}

// TestScript runs the real commands as a user types them, against a real broker
// on a real socket. Beside testscript's own commands the scripts have
// those of script_test.go.
func TestScript(t *testing.T) {
	// testscript's own folder stays behind where -run picks some of the scripts.
	root, err := os.MkdirTemp("", "script")
	if err != nil {
		t.Fatal(err)
	}
	remove := func(path string) {
		if keep := flag.Lookup("testwork"); keep == nil || keep.Value.String() != "true" {
			os.RemoveAll(path)
		}
	}
	t.Cleanup(func() { remove(root) })
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		WorkdirRoot:         root,
		UpdateScripts:       *update,
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			// No network but loopback is named anywhere, and the time zone is the
			// same for whoever runs this.
			env.Setenv("TZ", "UTC")
			env.Defer(func() { remove(env.WorkDir) }) // brokers that sessions started end by it
			env.Values[backgroundKey{}] = &background{running: map[string]*process{}}
			return as(env.Setenv, env.WorkDir, "nobody")
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as":     cmdAs,
			"start":  cmdStart,
			"await":  cmdAwait,
			"tell":   cmdTell,
			"end":    cmdEnd,
			"said":   cmdSaid,
			"soon":   cmdSoon,
			"exits":  cmdExits,
			"save":   cmdSave,
			"isjson": cmdIsJSON,
		},
	})
}

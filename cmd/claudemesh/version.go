package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the build (see the Makefile); a build without it, by go
// install or go run, takes what the module's build information says.
var version string

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  upTo(0),
		RunE: func(*cobra.Command, []string) error {
			v := versionText()
			if a.json {
				return a.ui.json(map[string]string{"version": v, "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			return a.ui.result("claudemesh %s, %s, %s/%s", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
	a.jsonFlag(c)
	return c
}

// versionText is the version, "development" where nothing is known.
func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

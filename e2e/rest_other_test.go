//go:build !linux

package e2e

import "testing"

// endRest is for Linux, where processes are found by their environment.
func endRest(*testing.T, string) {}

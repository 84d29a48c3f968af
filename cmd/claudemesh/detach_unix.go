//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// detach lets a process outlive the terminal and the group of whoever starts it.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// endRest kills whatever runs with this folder as its home and waits for its end: what
// a killed terminal had started, and brokers that outlive whoever started them, would
// write into the folder while it is removed.
func endRest(t *testing.T, home string) {
	t.Helper()
	for {
		pids := runningIn(t, home)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue // it has ended
			}
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			for {
				if _, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != unix.EINTR {
					break
				}
			}
			unix.Close(fd)
		}
	}
}

// runningIn lists the processes that have a folder as their home.
func runningIn(t *testing.T, home string) (pids []int) {
	t.Helper()
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environs {
		environ, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended, or is somebody else's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool { return string(v) == "HOME="+home }) {
			pids = append(pids, pid)
		}
	}
	return pids
}

package agent

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/claudemesh/claudemesh-go/peer"
)

// A waiter whose MCP process hangs up, since it begins anew, asks again: nobody
// starts another waiter for an idle session.
func TestWaiterAsksAgain(t *testing.T) {
	dir := t.TempDir()
	run, err := peer.RunDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socketName(run, os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		for _, line := range []string{"", `{"bell":"ring"}` + "\n"} {
			conn, err := l.Accept()
			if err == nil {
				_, err = bufio.NewReader(conn).ReadString('\n')
			}
			if err == nil {
				_, err = conn.Write([]byte(line))
			}
			if err = errors.Join(err, conn.Close()); err != nil {
				served <- err
				return
			}
		}
		served <- nil
	}()
	var out bytes.Buffer
	err = Wait(t.Context(), HookOptions{Dir: dir, Out: &out, Environ: func(name string) string {
		return map[string]string{"CLAUDE_CODE_SESSION_ATTENDED": "1", "CLAUDE_PID": strconv.Itoa(os.Getpid())}[name]
	}})
	if !errors.Is(err, ErrRing) || out.String() != "ring\n" {
		t.Errorf("%v, %q", err, &out)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

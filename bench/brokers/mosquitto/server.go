package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

// settings are the server's, for a port and a folder. What is not here is its
// default: of persistence that it writes all messages to disk every 30 minutes and
// when it ends. Without max_queued_messages it would drop what comes after 1,000
// messages to a recipient, and acknowledge it. The user is the one to keep where
// root runs the bench: the folder is root's.
const settings = `listener %d 127.0.0.1
allow_anonymous true
persistence true
persistence_location %s/
max_queued_messages 0
user root
log_dest stderr
log_type error
`

// mosquitto is the server, with a folder of its own.
type mosquitto struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

// startServer starts the server; awaitStart waits until it answers.
func startServer(program string) (*mosquitto, error) {
	dir, err := os.MkdirTemp("", "claudemesh-bench-mosquitto-")
	if err != nil {
		return nil, err
	}
	s := &mosquitto{dir: dir}
	if err := s.start(program); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", program, err), os.RemoveAll(dir))
	}
	return s, nil
}

func (s *mosquitto) start(program string) error {
	var err error
	if s.port, err = freePort(); err != nil {
		return err
	}
	config := filepath.Join(s.dir, "mosquitto.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, settings, s.port, s.dir), 0o600); err != nil {
		return err
	}
	s.cmd = exec.Command(program, "-c", config)
	s.cmd.Stderr = os.Stderr
	return s.cmd.Start()
}

// freePort is a port that nobody listened on a moment ago: Mosquitto cannot be asked
// which one it took.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// options are those of a client: one that loses its connection says so, and does not
// hide it by another one.
func (s *mosquitto) options(name string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker(fmt.Sprintf("tcp://127.0.0.1:%d", s.port)).
		SetClientID(name).SetAutoReconnect(false)
}

func (s *mosquitto) awaitStart() error {
	c, err := connect(s.options("first").SetConnectRetry(true).SetConnectRetryInterval(20 * time.Millisecond))
	c.Disconnect(0)
	if err != nil {
		return fmt.Errorf("the server does not start: %w", err)
	}
	return nil
}

// processorTime is how long processors have worked for the server. A tick of /proc
// is 10 ms on every Linux.
func (s *mosquitto) processorTime() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the server's processor time: %w", err)
	}
	const state, user, system = 3, 14, 15 // numbers of proc(5), whose second field is the name in brackets
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, number := range []int{user, system} {
		if len(fields) <= number-state {
			return 0, fmt.Errorf("read the server's processor time: %q has no field %d", stat, number)
		}
		n, err := strconv.Atoi(fields[number-state])
		if err != nil {
			return 0, fmt.Errorf("read the server's processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// stop kills the server, for what it would write at its end is of no use, and
// removes its folder.
func (s *mosquitto) stop() error {
	err := s.cmd.Process.Kill()
	if exit := new(exec.ExitError); err == nil {
		if err = s.cmd.Wait(); errors.As(err, &exit) {
			err = nil // it was killed
		}
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

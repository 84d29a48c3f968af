package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// brokerRig is another broker: a program of a module of its own, in bench/brokers, so
// that none is a dependency of claudemesh. It is built when it is asked for.
type brokerRig struct {
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startJetStream(fsync bool) func(context.Context, config, int) (rig, error) {
	return func(ctx context.Context, cfg config, size int) (rig, error) {
		return startOther(ctx, cfg, size, "nats", fmt.Sprintf("-fsync=%t", fsync))
	}
}

func startMosquitto(ctx context.Context, cfg config, size int) (rig, error) {
	server, err := findMosquitto()
	if err != nil {
		return nil, err
	}
	return startOther(ctx, cfg, size, "mosquitto", "-program", server)
}

// findMosquitto gives the server's file. Where Debian puts it, only root looks for
// programs.
func findMosquitto() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("the server is not installed: install the package mosquitto (on Debian: apt-get install mosquitto)")
}

// startOther starts the program of this name with flags of its own.
func startOther(ctx context.Context, cfg config, size int, name string, flags ...string) (rig, error) {
	dir, err := os.MkdirTemp("", "claudemesh-bench-")
	if err != nil {
		return nil, err
	}
	r := &brokerRig{dir: dir}
	if err := r.start(ctx, cfg, size, name, flags); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *brokerRig) start(ctx context.Context, cfg config, size int, name string, flags []string) error {
	program := filepath.Join(r.dir, name)
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./"+name)
	build.Dir = cfg.brokers
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", cfg.brokers, err, said)
	}
	r.cmd = exec.CommandContext(ctx, program, append([]string{"-pairs", strconv.Itoa(cfg.pairs),
		"-inflight", strconv.Itoa(cfg.inFlight), "-size", strconv.Itoa(size)}, flags...)...)
	r.cmd.Cancel = func() error { return r.in.Close() } // it stops its server and removes its files
	r.cmd.WaitDelay = 10 * time.Second
	r.cmd.Stderr = os.Stderr
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		r.cmd = nil
		return err
	}
	if line, err := r.out.ReadString('\n'); err != nil || line != "ready\n" {
		return fmt.Errorf("%s says %q: %w", program, line, err)
	}
	return nil
}

func (r *brokerRig) run(_ context.Context, warm, d time.Duration) (result, error) {
	if _, err := fmt.Fprintln(r.in, "run", warm, d); err != nil {
		return result{}, err
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return result{}, err
	}
	var got result
	_, err = fmt.Sscan(line, &got.rate, &got.cost)
	return got, err
}

func (r *brokerRig) close() error {
	var err error
	if r.cmd != nil {
		if err = r.in.Close(); errors.Is(err, os.ErrClosed) {
			err = nil // the context ended before
		}
		err = errors.Join(err, r.cmd.Wait())
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

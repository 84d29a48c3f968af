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

// natsRig is NATS JetStream: a program of a module of its own, in bench/nats, so
// that NATS is no dependency of claudemesh. It is built when it is asked for.
type natsRig struct {
	dir string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startJetStream(fsync bool) func(context.Context, config, int) (rig, error) {
	return func(ctx context.Context, cfg config, size int) (rig, error) {
		dir, err := os.MkdirTemp("", "claudemesh-bench-")
		if err != nil {
			return nil, err
		}
		r := &natsRig{dir: dir}
		if err := r.start(ctx, cfg, size, fsync); err != nil {
			return nil, errors.Join(err, r.close())
		}
		return r, nil
	}
}

func (r *natsRig) start(ctx context.Context, cfg config, size int, fsync bool) error {
	program := filepath.Join(r.dir, "nats")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	build.Dir = cfg.nats
	if said, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", cfg.nats, err, said)
	}
	r.cmd = exec.CommandContext(ctx, program, "-pairs", strconv.Itoa(cfg.pairs), "-inflight", strconv.Itoa(cfg.inFlight),
		"-size", strconv.Itoa(size), fmt.Sprintf("-fsync=%t", fsync))
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

func (r *natsRig) run(_ context.Context, warm, d time.Duration) (result, error) {
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

func (r *natsRig) close() error {
	var err error
	if r.cmd != nil {
		err = errors.Join(r.in.Close(), r.cmd.Wait())
	}
	return errors.Join(err, os.RemoveAll(r.dir))
}

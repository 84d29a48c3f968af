// Command nats is the comparison with NATS JetStream: a server in this process,
// with its messages on disk, and publishers who wait for its acknowledgements, over
// TCP on loopback. It is driven by package main one folder up, through standard
// input and output: a line "run WARM DURATION" there is answered here by a line with
// messages a second and microseconds of processor time a message.
//
// It is a module of its own so that nothing of NATS stands among the dependencies
// of claudemesh, or in its vulnerability and licence reports.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func main() {
	pairs := flag.Int("pairs", 8, "publishers")
	inFlight := flag.Int("inflight", 64, "messages without acknowledgement that each may have")
	size := flag.Int("size", 256, "bytes of a message")
	fsync := flag.Bool("fsync", false, "the disk has a message before it is acknowledged")
	flag.Parse()
	if err := run(*pairs, *inFlight, *size, *fsync, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "nats:", err)
		os.Exit(1)
	}
}

func run(pairs, inFlight, size int, fsync bool, in io.Reader, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "claudemesh-bench-nats-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		StoreDir: dir, SyncAlways: fsync, NoLog: true, NoSigs: true})
	if err != nil {
		return err
	}
	s.Start()
	defer func() {
		s.Shutdown()
		s.WaitForShutdown()
	}()
	if !s.ReadyForConnections(10 * time.Second) {
		return errors.New("the server does not start")
	}
	b := &bench{size: size, slots: make([]chan struct{}, pairs)}
	for i := range pairs {
		conn, err := nats.Connect(s.ClientURL())
		if err != nil {
			return err
		}
		defer conn.Close()
		js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(inFlight))
		if err != nil {
			return err
		}
		if i == 0 {
			if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "bench",
				Subjects: []string{"to.*"}, Storage: jetstream.FileStorage}); err != nil {
				return err
			}
		}
		b.js = append(b.js, js)
		b.slots[i] = make(chan struct{}, inFlight)
	}
	fmt.Fprintln(out, "ready")
	return b.serve(in, out)
}

// bench is the publishers.
type bench struct {
	size  int
	js    []jetstream.JetStream
	slots []chan struct{} // of each publisher: one element a message under way
	done  atomic.Int64
}

// serve answers lines until there is no more.
func (b *bench) serve(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 || f[0] != "run" {
			return fmt.Errorf("%q is no command", lines.Text())
		}
		warm, err := time.ParseDuration(f[1])
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(f[2])
		if err != nil {
			return err
		}
		rate, cost, err := b.measure(warm, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%.1f %.3f\n", rate, cost)
	}
	return lines.Err()
}

func (b *bench) measure(warm, d time.Duration) (rate, cost float64, err error) {
	var stop atomic.Bool
	failed := make(chan error, len(b.js))
	var publishers sync.WaitGroup
	for i := range b.js {
		publishers.Go(func() {
			if err := b.publish(i, &stop); err != nil {
				failed <- err
			}
		})
	}
	time.Sleep(warm)
	from, start, used := b.done.Load(), time.Now(), processorTime()
	time.Sleep(d)
	n := float64(b.done.Load() - from)
	took, spent := time.Since(start), processorTime()-used
	stop.Store(true)
	publishers.Wait()
	select {
	case err := <-failed:
		return 0, 0, err
	default:
	}
	return n / took.Seconds(), float64(spent.Microseconds()) / max(n, 1), nil
}

// publish keeps a publisher's slots busy until stop, and waits until all are free.
func (b *bench) publish(i int, stop *atomic.Bool) error {
	subject := fmt.Sprintf("to.%d", i)
	body := []byte(strings.Repeat("x", b.size))
	var acks sync.WaitGroup
	var failed atomic.Pointer[error]
	for !stop.Load() && failed.Load() == nil {
		b.slots[i] <- struct{}{}
		future, err := b.js[i].PublishAsync(subject, body)
		if err != nil {
			<-b.slots[i]
			failed.CompareAndSwap(nil, &err)
			break
		}
		acks.Go(func() {
			select {
			case <-future.Ok():
				b.done.Add(1)
			case err := <-future.Err():
				failed.CompareAndSwap(nil, &err)
			}
			<-b.slots[i]
		})
	}
	acks.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("publisher %d: %w", i, *err)
	}
	return nil
}

func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

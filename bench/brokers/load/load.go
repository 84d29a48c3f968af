// Package load is publishers who keep so many messages under way to a broker that
// acknowledges them. It is driven by package main of claudemesh's bench, through
// standard input and output: "ready" there says that the broker is up, and a line
// "run WARM DURATION" is answered by a line with messages a second and microseconds
// of processor time a message.
//
// Its module is not claudemesh's, so that none of these brokers stands among the
// dependencies of claudemesh, or in its vulnerability and licence reports.
package load

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Load is the publishers.
type Load struct {
	Pairs    int // publishers
	InFlight int // messages without acknowledgement that each may have
	Size     int // bytes of a message

	// Publish sends a publisher's message; acknowledged waits for the broker's word.
	Publish func(pair int, body []byte) (acknowledged func() error, err error)

	// Used is how long processors have worked for the publishers and the broker.
	Used func() (time.Duration, error)

	done atomic.Int64
}

// Flags are those of every broker's program; they hold once flag.Parse was called.
func (l *Load) Flags() {
	flag.IntVar(&l.Pairs, "pairs", 8, "publishers")
	flag.IntVar(&l.InFlight, "inflight", 64, "messages without acknowledgement that each may have")
	flag.IntVar(&l.Size, "size", 256, "bytes of a message")
}

// Serve says that the broker is up and answers lines until there is no more.
func (l *Load) Serve(in io.Reader, out io.Writer) error {
	fmt.Fprintln(out, "ready")
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
		rate, cost, err := l.run(warm, d)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%.1f %.3f\n", rate, cost)
	}
	return lines.Err()
}

// run lets all publish for warm and then for d, and returns what was acknowledged
// in d, when all is.
func (l *Load) run(warm, d time.Duration) (rate, cost float64, err error) {
	var stop atomic.Bool
	failed := make(chan error, l.Pairs)
	var publishers sync.WaitGroup
	for i := range l.Pairs {
		publishers.Go(func() {
			if err := l.publish(i, &stop); err != nil {
				failed <- fmt.Errorf("publisher %d: %w", i, err)
			}
		})
	}
	rate, cost, err = l.measure(warm, d)
	stop.Store(true)
	publishers.Wait()
	select {
	case err := <-failed:
		return 0, 0, err
	default:
		return rate, cost, err
	}
}

func (l *Load) measure(warm, d time.Duration) (rate, cost float64, err error) {
	time.Sleep(warm)
	used, err := l.Used()
	if err != nil {
		return 0, 0, err
	}
	from, start := l.done.Load(), time.Now()
	time.Sleep(d)
	n, took := float64(l.done.Load()-from), time.Since(start)
	until, err := l.Used()
	return n / took.Seconds(), float64((until - used).Microseconds()) / max(n, 1), err
}

// publish keeps a publisher's slots busy until stop, and waits until all are free.
func (l *Load) publish(pair int, stop *atomic.Bool) error {
	body := []byte(strings.Repeat("x", l.Size))
	slots := make(chan struct{}, l.InFlight)
	var acks sync.WaitGroup
	var failed atomic.Pointer[error]
	for !stop.Load() && failed.Load() == nil {
		slots <- struct{}{}
		acknowledged, err := l.Publish(pair, body)
		if err != nil {
			failed.CompareAndSwap(nil, &err)
			break
		}
		acks.Go(func() {
			if err := acknowledged(); err != nil {
				failed.CompareAndSwap(nil, &err)
			} else {
				l.done.Add(1)
			}
			<-slots
		})
	}
	acks.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// ProcessorTime is how long processors have worked for this process.
func ProcessorTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the processor time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// config is what the flags say.
type config struct {
	pairs    int
	inFlight int
	sizes    []int // bytes of a message's text
	rounds   int
	round    time.Duration
	warm     time.Duration
	only     []string
	shape    string
	brokers  string // folder of the module with other brokers
	sessions int    // idle ones
	serve    string // what this process is for another one
	profile  string
	allocs   string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is main without the process.
func run(ctx context.Context, args []string, out, progress io.Writer) (err error) {
	cfg, err := parse(args, progress)
	if err != nil {
		return err
	}
	if cfg.serve != "" {
		return serve(ctx, cfg.serve, os.Stdin, out)
	}
	shape, err := findShape(cfg.shape)
	if err != nil {
		return err
	}
	chosen, err := choose(shape, cfg.only)
	if err != nil {
		return err
	}
	if cfg.profile != "" {
		stop, err := profileTime(cfg.profile)
		if err != nil {
			return err
		}
		defer stop()
	}
	if cfg.allocs != "" {
		defer func() { err = errors.Join(err, writeAllocs(cfg.allocs)) }()
	}
	header(out, cfg)
	for _, size := range cfg.sizes {
		if err := shape.run(ctx, cfg, size, chosen, out, progress); err != nil {
			return err
		}
	}
	return nil
}

// profileTime writes where the processors' time goes, until stop.
func profileTime(path string) (stop func(), err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // go tool pprof says when the file is cut
	}, nil
}

// writeAllocs writes what was allocated, and where.
func writeAllocs(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

func parse(args []string, usage io.Writer) (config, error) {
	cfg := config{}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&cfg.pairs, "pairs", 8, "`pairs` of a sender and a recipient")
	flags.IntVar(&cfg.inFlight, "inflight", 64, "`messages` a pair may have under way")
	sizes := flags.String("sizes", "256,4096", "`bytes` of a message's text, separated by commas")
	flags.IntVar(&cfg.rounds, "rounds", 5, "`times` each contender runs")
	flags.DurationVar(&cfg.round, "round", 2*time.Second, "`time` of one run")
	flags.DurationVar(&cfg.warm, "warm", 300*time.Millisecond, "`time` before each run that is not counted")
	only := flags.String("only", "", "`names` of contenders, separated by commas; empty: all that need nothing installed")
	flags.StringVar(&cfg.shape, "shape", "pairs", "`name` of what is measured: "+strings.Join(shapeNames(), ", "))
	flags.IntVar(&cfg.sessions, "sessions", 10_000, "idle `sessions`")
	flags.StringVar(&cfg.serve, "serve", "", "`server` that another bench wants of this process: relay, broker")
	flags.StringVar(&cfg.brokers, "brokers", "bench/brokers", "`folder` of the module that compares with other brokers")
	flags.StringVar(&cfg.profile, "cpuprofile", "", "`file` for a profile of the whole run")
	flags.StringVar(&cfg.allocs, "allocprofile", "", "`file` for a profile of what was allocated")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	for _, s := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 8 || n > 1<<20 {
			return cfg, fmt.Errorf("-sizes: %q is no size from 8 to %d", s, 1<<20)
		}
		cfg.sizes = append(cfg.sizes, n)
	}
	if *only != "" {
		cfg.only = strings.Split(*only, ",")
	}
	if cfg.pairs < 1 || cfg.pairs > 1000 || cfg.inFlight < 1 || cfg.rounds < 1 || cfg.round <= 0 || cfg.warm < 0 {
		return cfg, fmt.Errorf("pairs (to 1000), inflight, rounds and round are at least one")
	}
	return cfg, nil
}

// header says where and how the figures were made, so that the run can be
// made again.
func header(out io.Writer, cfg config) {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
	}
	fmt.Fprintf(out, "%s %s/%s, %d cores%s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), revision)
	fmt.Fprintf(out, "%s: %d pairs, %d in flight each, %d rounds of %v, interleaved; medians\n",
		cfg.shape, cfg.pairs, cfg.inFlight, cfg.rounds, cfg.round)
}

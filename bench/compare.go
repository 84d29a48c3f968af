package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// contender is one way to bring messages from senders to recipients.
type contender struct {
	name  string
	start func(ctx context.Context, cfg config, size int) (rig, error)
	named bool // runs only when -only names it: it needs something installed
}

// rig is a contender that is up, with its pairs connected.
type rig interface {
	// run keeps every pair's slots busy for warm and then for d, and returns
	// what was done in d: each message arrived, and was acknowledged if the
	// contender acknowledges.
	run(ctx context.Context, warm, d time.Duration) (result, error)

	// close ends everything; after it nothing of the rig runs.
	close() error
}

// shape is one thing to measure, by the contenders that can do it. The first of
// them is the baseline.
type shape struct {
	name       string
	contenders []contender
	run        func(ctx context.Context, cfg config, size int, chosen []contender, out, progress io.Writer) error
}

var shapes = []shape{
	{"pairs", []contender{
		{name: "relay", start: startRelay(false)},
		{name: "gather", start: startRelay(true)},
		{name: "memory", start: startSealed(false)},
		{name: "inbox", start: startSealed(true)},
		{name: "durable", start: startDurable},
	}, compare},
	{"queue", []contender{
		{name: "nats-fsync", start: startJetStream(true)},
		{name: "nats", start: startJetStream(false)},
		{name: "mosquitto", start: startMosquitto, named: true},
		{name: "queued", start: startQueued},
	}, compare},
	{"steady", []contender{
		{name: "relay", start: startRelay(false)},
		{name: "memory", start: startSealed(false)},
		{name: "durable", start: startDurable},
	}, steady},
	{"drain", nil, drain},
	{"crowd", nil, crowd},
	{"idle", nil, idle},
}

func shapeNames() []string {
	var names []string
	for _, s := range shapes {
		names = append(names, s.name)
	}
	return names
}

func findShape(name string) (shape, error) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
	if i < 0 {
		return shape{}, fmt.Errorf("-shape: no %q; there are %s", name, strings.Join(shapeNames(), ", "))
	}
	return shapes[i], nil
}

// choose gives the contenders of these names, if there are none all that need not
// be named.
func choose(s shape, names []string) ([]contender, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(s.contenders), func(c contender) bool { return c.named }), nil
	}
	var chosen []contender
	for _, name := range names {
		i := slices.IndexFunc(s.contenders, func(c contender) bool { return c.name == name })
		if i < 0 {
			var known []string
			for _, c := range s.contenders {
				known = append(known, c.name)
			}
			return nil, fmt.Errorf("-only: no contender %q; there are %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, s.contenders[i])
	}
	return chosen, nil
}

// table holds the rates of one size: a row a contender, a column a round.
type table struct {
	size  int
	names []string
	rates [][]float64 // messages a second
	costs [][]float64 // processor time a message, in microseconds
}

// start starts the contenders; stop ends those that run.
func start(ctx context.Context, cfg config, size int, chosen []contender) (rigs []rig, err error) {
	for _, c := range chosen {
		r, err := c.start(ctx, cfg, size)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.name, err), stop(rigs))
		}
		rigs = append(rigs, r)
	}
	return rigs, nil
}

func stop(rigs []rig) error {
	var err error
	for _, r := range rigs {
		err = errors.Join(err, r.close())
	}
	return err
}

// compare starts the contenders, lets them run in turn, round by round, and prints
// how much they did.
func compare(ctx context.Context, cfg config, size int, chosen []contender, out, progress io.Writer) (err error) {
	t := table{size: size, rates: make([][]float64, len(chosen)), costs: make([][]float64, len(chosen))}
	rigs, err := start(ctx, cfg, size, chosen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(rigs)) }()
	for _, c := range chosen {
		t.names = append(t.names, c.name)
	}
	for round := range cfg.rounds {
		for i, r := range rigs {
			got, err := r.run(ctx, cfg.warm, cfg.round)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", t.names[i], round+1, err)
			}
			t.rates[i] = append(t.rates[i], got.rate)
			t.costs[i] = append(t.costs[i], got.cost)
			fmt.Fprintf(progress, "%d B, round %d of %d, %s: %.0f/s\n", size, round+1, cfg.rounds, t.names[i], got.rate)
		}
	}
	t.write(out)
	return nil
}

// write prints the table. Ratios are to the first contender, round by round,
// so that a machine that slows down between rounds spoils none of them.
func (t table) write(out io.Writer) {
	fmt.Fprintf(out, "\n%d B\n", t.size)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "contender\tmessages/s\tlowest\thighest\tratio to %s\tCPU µs each\tCPU ratio\t\n", t.names[0])
	for i, name := range t.names {
		ratios, cheaper := make([]float64, len(t.rates[i])), make([]float64, len(t.rates[i]))
		for j := range t.rates[i] {
			ratios[j], cheaper[j] = t.rates[i][j]/t.rates[0][j], t.costs[0][j]/t.costs[i][j]
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.1f\t%.2f\t\n", name, median(t.rates[i]),
			slices.Min(t.rates[i]), slices.Max(t.rates[i]), median(ratios), median(t.costs[i]), median(cheaper))
	}
	w.Flush()
}

// median is the middle value, of an even number the mean of the two middle
// ones, of none zero.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

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

// contenders in the order of the table. The first is the baseline.
var contenders = []contender{
	{"relay", startRelay(false)},
	{"gather", startRelay(true)},
	{"memory", startSealed},
}

// choose gives the contenders of these names, all if there are none.
func choose(names []string) ([]contender, error) {
	if len(names) == 0 {
		return contenders, nil
	}
	var chosen []contender
	for _, name := range names {
		i := slices.IndexFunc(contenders, func(c contender) bool { return c.name == name })
		if i < 0 {
			var known []string
			for _, c := range contenders {
				known = append(known, c.name)
			}
			return nil, fmt.Errorf("-only: no contender %q; there are %s", name, strings.Join(known, ", "))
		}
		chosen = append(chosen, contenders[i])
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

// compare starts the contenders and lets them run in turn, round by round.
func compare(ctx context.Context, cfg config, size int, chosen []contender, progress io.Writer) (t table, err error) {
	t = table{size: size, rates: make([][]float64, len(chosen)), costs: make([][]float64, len(chosen))}
	rigs := make([]rig, len(chosen))
	defer func() {
		for _, r := range rigs {
			if r != nil {
				err = errors.Join(err, r.close())
			}
		}
	}()
	for i, c := range chosen {
		t.names = append(t.names, c.name)
		if rigs[i], err = c.start(ctx, cfg, size); err != nil {
			return t, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for round := range cfg.rounds {
		for i, r := range rigs {
			got, err := r.run(ctx, cfg.warm, cfg.round)
			if err != nil {
				return t, fmt.Errorf("%s, round %d: %w", t.names[i], round+1, err)
			}
			t.rates[i] = append(t.rates[i], got.rate)
			t.costs[i] = append(t.costs[i], got.cost)
			fmt.Fprintf(progress, "%d B, round %d of %d, %s: %.0f/s\n", size, round+1, cfg.rounds, t.names[i], got.rate)
		}
	}
	return t, nil
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

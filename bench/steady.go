package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// perSecond is how many messages a second the steady shape sends.
const perSecond = 200

// timed is a rig that can take the time of single messages.
type timed interface {
	rig
	send(pair int) error
	paced(ctx context.Context, perSecond int, d time.Duration, send func(pair int) error) error
	timeBy(w *watch)
}

func (l *load) timeBy(w *watch) { l.watch = w }

// steady sends from one to one, 200 messages a second, and prints how long each
// took. Where a contender acknowledges nothing, its delivery is what others'
// acknowledgements are compared to.
func steady(ctx context.Context, cfg config, size int, chosen []contender, out, progress io.Writer) (err error) {
	cfg.pairs = 1
	rigs, err := start(ctx, cfg, size, chosen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop(rigs)) }()
	watches := make([]*watch, len(rigs))
	for i, r := range rigs {
		watches[i] = newWatch()
		r.(timed).timeBy(watches[i])
	}
	delivery, ack := make([][]time.Duration, len(rigs)), make([][]time.Duration, len(rigs))
	tails := make([][2][]float64, len(rigs)) // each round's p99 as a ratio to the first contender's delivery
	for round := range cfg.rounds {
		base := 0.0
		for i, r := range rigs {
			t := r.(timed)
			if err := t.paced(ctx, perSecond, cfg.round, t.send); err != nil {
				return fmt.Errorf("%s, round %d: %w", chosen[i].name, round+1, err)
			}
			d, a := watches[i].take()
			if i == 0 {
				base = quantile(d, 0.99)
			}
			delivery[i], ack[i] = append(delivery[i], d...), append(ack[i], a...)
			tails[i][0] = append(tails[i][0], quantile(d, 0.99)/base)
			tails[i][1] = append(tails[i][1], quantile(a, 0.99)/base)
			fmt.Fprintf(progress, "%d B, round %d of %d, %s: %.2f ms\n", size, round+1, cfg.rounds, chosen[i].name, quantile(d, 0.99))
		}
	}
	fmt.Fprintf(out, "\n%d B, %d a second, milliseconds\n", size, perSecond)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "contender\tdelivery p50\tp99\tp99.9\tp99 to %s\tack p50\tp99\tp99.9\tp99 to %s\t\n", chosen[0].name, chosen[0].name)
	for i, c := range chosen {
		d, a := delivery[i], ack[i]
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t", c.name, quantile(d, 0.5), quantile(d, 0.99), quantile(d, 0.999), median(tails[i][0]))
		if len(a) == 0 {
			fmt.Fprint(w, "\t\t\t\t\n")
			continue
		}
		fmt.Fprintf(w, "%.2f\t%.2f\t%.2f\t%.2f\t\n", quantile(a, 0.5), quantile(a, 0.99), quantile(a, 0.999), median(tails[i][1]))
	}
	return w.Flush()
}

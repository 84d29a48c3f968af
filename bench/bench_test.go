package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// TestRun: every contender brings messages over, in a run too short for
// figures.
func TestRun(t *testing.T) {
	var out strings.Builder
	args := strings.Fields("-pairs 2 -inflight 4 -sizes 256 -rounds 1 -round 20ms -warm 0s")
	if err := run(t.Context(), args, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, c := range shapes[0].contenders {
		if !strings.Contains(out.String(), c.name) {
			t.Errorf("no row for %s in\n%s", c.name, &out)
		}
	}
}

func TestFlags(t *testing.T) {
	for _, args := range []string{"-sizes 7", "-sizes x", "-pairs 0", "-rounds 0", "-round 0s", "-only nobody", "-shape nothing", "-nothing"} {
		if err := run(t.Context(), strings.Fields(args), io.Discard, io.Discard); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.values); got != c.want {
			t.Errorf("median(%v) = %v", c.values, got)
		}
	}
}

// TestNamed: who needs something installed runs only when it is named.
func TestNamed(t *testing.T) {
	queue, err := findShape("queue")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		only, want []string
	}{
		{nil, []string{"nats-fsync", "nats", "queued"}},
		{[]string{"queued", "mosquitto"}, []string{"queued", "mosquitto"}},
	} {
		chosen, err := choose(queue, c.only)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, contender := range chosen {
			got = append(got, contender.name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("-only %v chooses %v, want %v", c.only, got, c.want)
		}
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// row is one question.
type row struct {
	name   string // for -only
	what   string
	unit   string
	goal   float64 // the ratio to reach, dockerd's figure to gantry's, or gantry's to dockerd's where more is better
	limit  float64 // the figure to stay below, instead of a ratio
	more   bool    // more is better
	rounds int
	// prepare makes what all rounds of one side need, and returns how to remove it. May be nil.
	prepare func(context.Context, *side) (func(), error)
	// once is one round: its figure in the row's unit.
	once func(context.Context, *side) (float64, error)
}

// result is what a row found on one side.
type result struct {
	side    *side
	figures []float64
	err     error
}

// median of the figures, 0 without any.
func (r result) median() float64 {
	if len(r.figures) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(r.figures))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// measure runs a row's rounds on all sides in turn. The first round only warms up, where there are more than three.
func measure(ctx context.Context, r row, sides []*side) []result {
	results := make([]result, len(sides))
	for i, s := range sides {
		results[i].side = s
		if r.prepare == nil {
			continue
		}
		clean, err := r.prepare(ctx, s)
		if clean != nil {
			defer clean()
		}
		results[i].err = err
	}
	warmUp := r.rounds > 3
	for round := range r.rounds {
		for i, s := range sides {
			if results[i].err != nil || ctx.Err() != nil {
				continue
			}
			figure, err := r.once(ctx, s)
			if err != nil {
				results[i].err = fmt.Errorf("round %d: %w", round, err)
				fmt.Fprintf(os.Stderr, "bench: %s on %s: %v\n", r.name, s.name, err)
			}
			if err == nil && !(warmUp && round == 0) {
				results[i].figures = append(results[i].figures, figure)
			}
		}
	}
	return results
}

// timed returns how many milliseconds f takes.
func timed(f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return float64(time.Since(began)) / float64(time.Millisecond), err
}

// undo runs clean-up in reverse and reports what fails.
type undo []func() error

func (u *undo) add(f func() error) { *u = append(*u, f) }

func (u *undo) run() {
	var errs []error
	for _, f := range slices.Backward(*u) {
		errs = append(errs, f())
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

func allRows(quick bool) []row {
	n := func(full, short int) int {
		if quick {
			return short
		}
		return full
	}
	return slices.Concat(lifeRows(n), streamRows(n), listRows(n), daemonRows(n), memoryRows(n))
}

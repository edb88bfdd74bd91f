package undo_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gantry/internal/undo"
)

var errRelease = errors.New("it is stuck")

func TestUnwindRunsAllInReverseAndJoinsErrors(t *testing.T) {
	var u undo.Stack
	var ran []string
	push := func(name string, err error) {
		u.Push(name, func(context.Context) error { ran = append(ran, name); return err })
	}
	push("first", errRelease)
	push("second", nil)
	push("third", errRelease)
	err := u.Unwind(t.Context())
	if !slices.Equal(ran, []string{"third", "second", "first"}) {
		t.Errorf("ran %q", ran)
	}
	if !errors.Is(err, errRelease) || !strings.Contains(err.Error(), "first: it is stuck") || !strings.Contains(err.Error(), "third: it is stuck") {
		t.Error(err)
	}
	if err := u.Unwind(t.Context()); err != nil || len(ran) != 3 {
		t.Errorf("releases ran again: %q, %v", ran, err)
	}
}

func TestOnErrorUnwindsOnlyAfterAFailure(t *testing.T) {
	cause := errors.New("cause")
	for _, c := range []struct {
		err  error
		runs int
	}{{nil, 0}, {cause, 1}} {
		runs := 0
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a client that is gone does not keep anything from being released
		err := func() (err error) {
			var u undo.Stack
			defer u.OnError(ctx, &err)
			u.Push("release", func(ctx context.Context) error { runs++; return ctx.Err() })
			return c.err
		}()
		if runs != c.runs || !errors.Is(err, c.err) || errors.Is(err, context.Canceled) {
			t.Errorf("%v: %d releases, %v", c.err, runs, err)
		}
	}
}

package boot_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"gantry/internal/boot"
)

// part notes its closing.
type part struct {
	name   string
	closed *[]string
}

func (p *part) Close(context.Context) error { *p.closed = append(*p.closed, p.name); return nil }

var errOpen = errors.New("no room")

func sequence(t *testing.T) (*boot.Sequence, func(context.Context, string) (*part, error), *[]string) {
	s := boot.New(t.Context(), slog.New(slog.DiscardHandler))
	closed := &[]string{}
	return s, func(_ context.Context, name string) (*part, error) {
		if name == "broken" {
			return nil, errOpen
		}
		return &part{name, closed}, nil
	}, closed
}

func TestPartsAreClosedInReverse(t *testing.T) {
	s, open, closed := sequence(t)
	a := boot.Step(s, "a", open, "a")
	boot.Do(s, "between", func(context.Context, int) error { return nil }, 1)
	boot.Step(s, "b", open, "b")
	if err := s.Done(); err != nil || a.name != "a" || !slices.Equal(s.Opened, []string{"a", "between", "b"}) || len(s.Took) != 3 {
		t.Fatalf("%v, opened %q", err, s.Opened)
	}
	if err := s.Close(t.Context()); err != nil || !slices.Equal(*closed, []string{"b", "a"}) {
		t.Errorf("%v, closed %q", err, *closed)
	}
	if err := s.Close(t.Context()); err != nil || len(*closed) != 2 {
		t.Errorf("closed again: %q, %v", *closed, err)
	}
}

func TestTheFirstFailureSticks(t *testing.T) {
	s, open, closed := sequence(t)
	boot.Step(s, "good", open, "good")
	if p := boot.Step(s, "bad", open, "broken"); p != nil {
		t.Error("a part came out of a failure")
	}
	if p := boot.Step(s, "later", open, "later"); p != nil {
		t.Error("a step ran after the failure")
	}
	err := s.Done()
	if !errors.Is(err, errOpen) || !strings.HasPrefix(err.Error(), "open bad: ") {
		t.Error(err)
	}
	if !slices.Equal(*closed, []string{"good"}) {
		t.Errorf("closed %q", *closed)
	}
}

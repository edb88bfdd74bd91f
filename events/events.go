// Package events is the journal of what happened: every subscriber sees every
// event in order, and the last ones can be replayed.
package events

import (
	"context"
	"iter"
	"time"

	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/events"
)

// Config says how the journal is kept.
type Config struct {
	Retain int // events that can be replayed; 0 for 256, as dockerd keeps
}

// Journal is the event bus of a daemon. Safe for concurrent use.
type Journal struct{}

// Open makes an empty journal.
func Open(context.Context, Config) (*Journal, error) { return &Journal{}, nil }

// Publish tells all subscribers and never blocks on one of them.
func (j *Journal) Publish(typ events.Type, action events.Action, actor events.Actor) {}

// Query selects events. Since and Until are zero for no bound; with an Until
// in the past, only the journal is read.
type Query struct {
	Since, Until time.Time
	Filters      filter.Args
}

// Subscribe yields the journal's matching events and then, until ctx ends or
// Until is reached, the new ones. A subscriber that falls too far behind is ended with an error.
func (j *Journal) Subscribe(ctx context.Context, q Query) (iter.Seq2[events.Message, error], error) {
	return nil, errdefs.ErrNotImplemented
}

// Subscribers is the number of open subscriptions.
func (j *Journal) Subscribers() int { return 0 }

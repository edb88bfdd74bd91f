package task

import (
	"context"
	"sync/atomic"
)

// Opening is a Service that is being opened while the caller opens something else: the supervisor and the
// runtimes are processes, and take most of a daemon's start to answer.
type Opening struct {
	done    chan struct{} // closed when service and err are set
	service *Service
	err     error
	cancel  context.CancelFunc
	taken   atomic.Bool // Await has given the service away
}

// Begin is Open in the background. The caller calls Await, or Close, or both.
func Begin(ctx context.Context, cfg Config) (*Opening, error) {
	ctx, cancel := context.WithCancel(ctx)
	o := &Opening{done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(o.done)
		o.service, o.err = Open(ctx, cfg)
	}()
	return o, nil
}

// Await returns what Open has returned; the service is the caller's to close then. Errors: ctx's too.
func Await(ctx context.Context, o *Opening) (*Service, error) {
	s, err := o.Service(ctx)
	if err == nil {
		o.taken.Store(true)
	}
	return s, err
}

// Service waits for the service without taking it: it is Await's caller who closes it.
func (o *Opening) Service(ctx context.Context) (*Service, error) {
	select {
	case <-o.done:
		return o.service, o.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close ends the opening, and closes the service that nobody has taken.
func (o *Opening) Close(ctx context.Context) error {
	if o.taken.Load() {
		o.cancel()
		return nil
	}
	<-o.done
	o.cancel()
	if o.err != nil {
		return nil // nobody wanted it, and there is nothing to close
	}
	return o.service.Close(ctx)
}

// Package stats measures running containers.
//
// What a container uses is read from its control groups, of version 1 or 2, and from procfs. A sample is
// one such measurement. A container is sampled only while somebody reads, once a second for all its
// readers together.
package stats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	roomcontainer "gantry/container"
	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// interval of samples.
const interval = time.Second

// Config is what the room stands on.
type Config struct {
	Containers *roomcontainer.Service
	// Topped is told when somebody has listed a container's processes, which is an event. May be nil.
	Topped func(*record.Container)
}

// Service reads cgroups and process tables. Safe for concurrent use.
type Service struct {
	lookup func(ref string) (*record.Container, error)
	topped func(*record.Container)
	host   *host

	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex          // guards samplers, and the readers of each
	samplers map[string]*sampler // by container ID
}

// Open finds out how this host's control groups are mounted.
func Open(_ context.Context, cfg Config) (*Service, error) {
	h, err := openHost("/proc")
	if err != nil {
		return nil, err
	}
	lookup := func(ref string) (*record.Container, error) {
		c, err := cfg.Containers.Get(ref)
		if err != nil {
			return nil, err
		}
		return c.Record(), nil
	}
	return open(h, lookup, cfg.Topped), nil
}

func open(h *host, lookup func(string) (*record.Container, error), topped func(*record.Container)) *Service {
	if topped == nil {
		topped = func(*record.Container) {}
	}
	s := &Service{lookup: lookup, topped: topped, host: h, samplers: map[string]*sampler{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends all streams and waits for the samplers.
func (s *Service) Close(context.Context) error {
	s.cancel()
	s.work.Wait()
	return nil
}

// Stream yields one sample a second until ctx ends or the container is removed; of a container that does not
// run, samples are empty but for its names. The first one comes at once, without CPU figures of one before it. Errors: not found.
func (s *Service) Stream(ctx context.Context, ref string) (iter.Seq[*container.StatsResponse], error) {
	r, err := s.lookup(ref)
	if err != nil {
		return nil, err
	}
	return func(yield func(*container.StatsResponse) bool) {
		reader := s.subscribe(r.ID)
		defer s.unsubscribe(r.ID, reader)
		var last container.StatsResponse
		for {
			select {
			case <-ctx.Done():
				return
			case sample, ok := <-reader:
				if !ok {
					return
				}
				next := *sample
				next.PreCPUStats, next.PreRead = last.CPUStats, last.Read
				last = next
				if !yield(&next) {
					return
				}
			}
		}
	}, nil
}

// Sample returns one sample: at once if oneShot, else with the CPU figures of one second before it.
// Errors: not found.
func (s *Service) Sample(ctx context.Context, ref string, oneShot bool) (*container.StatsResponse, error) {
	r, err := s.lookup(ref)
	if err != nil {
		return nil, err
	}
	if oneShot || !r.Up() {
		return s.measure(r), nil
	}
	seq, err := s.Stream(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	first := true
	for sample := range seq {
		if !first {
			return sample, nil
		}
		first = false
	}
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return nil, errdefs.ErrNotFound.WithMessage("No such container: " + ref)
}

// measure takes one sample. A container that ends meanwhile is one that does not run.
func (s *Service) measure(r *record.Container) *container.StatsResponse {
	empty := container.StatsResponse{ID: r.ID, Name: "/" + r.Name, OSType: "linux"}
	if !r.Up() || r.Pid == 0 {
		return &empty
	}
	sample := empty
	if err := s.host.measure(r.Pid, r.ID, &sample); err != nil {
		return &empty
	}
	return &sample
}

// running returns the record of a container that has processes. Errors: not found, conflict.
func (s *Service) running(ref string) (*record.Container, error) {
	r, err := s.lookup(ref)
	switch {
	case err != nil:
		return nil, err
	case r.Status == record.Restarting:
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("Container %s is restarting, wait until the container is running", r.ID))
	case !r.Up() || r.Pid == 0:
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", r.ID))
	}
	return r, nil
}

// isGone reports whether a container was removed.
func (s *Service) isGone(id string) (*record.Container, bool) {
	r, err := s.lookup(id)
	if err != nil {
		return nil, true
	}
	return r, r.Status == record.Dead
}

var errNoGroup = errors.New("no control group of its own")

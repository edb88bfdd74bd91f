package stats

import (
	"time"

	"github.com/moby/moby/api/types/container"
)

// sampler measures one container for all who read. Its fields are guarded by the service's mu.
type sampler struct {
	readers map[chan *container.StatsResponse]struct{}
	last    *container.StatsResponse // nil before the first
	wake    chan struct{}            // closed when the last reader has left
}

// subscribe returns a channel of samples that is closed when the container is removed. A reader that is slow
// gets the newest one.
func (s *Service) subscribe(id string) chan *container.StatsResponse {
	reader := make(chan *container.StatsResponse, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		close(reader)
		return reader
	}
	m := s.samplers[id]
	if m == nil {
		m = &sampler{readers: map[chan *container.StatsResponse]struct{}{}, wake: make(chan struct{})}
		s.samplers[id] = m
		s.work.Go(func() { s.sample(id, m) })
	}
	m.readers[reader] = struct{}{}
	if m.last != nil {
		reader <- m.last
	}
	return reader
}

func (s *Service) unsubscribe(id string, reader chan *container.StatsResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.samplers[id]
	if m == nil {
		return
	}
	if _, ok := m.readers[reader]; !ok {
		return
	}
	delete(m.readers, reader)
	if len(m.readers) == 0 {
		delete(s.samplers, id)
		close(m.wake)
	}
}

// sample runs until nobody reads, the container is removed, or the service is closed.
func (s *Service) sample(id string, m *sampler) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		r, gone := s.isGone(id)
		if gone {
			s.finish(id, m)
			return
		}
		s.publish(m, s.measure(r))
		select {
		case <-s.ctx.Done():
			s.finish(id, m)
			return
		case <-m.wake:
			return
		case <-ticker.C:
		}
	}
}

func (s *Service) publish(m *sampler, sample *container.StatsResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.last = sample
	for reader := range m.readers {
		select {
		case <-reader: // not taken yet: replaced
		default:
		}
		reader <- sample
	}
}

// finish closes the channels of all readers.
func (s *Service) finish(id string, m *sampler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for reader := range m.readers {
		close(reader)
	}
	m.readers = nil
	if s.samplers[id] == m {
		delete(s.samplers, id)
	}
}

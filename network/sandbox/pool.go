package sandbox

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// ready is how many namespaces are made ahead of need.
const ready = 3

// Pool keeps a few namespaces ready. Safe for concurrent use.
type Pool struct {
	dir   string
	free  chan *Namespace
	wake  chan struct{}
	stop  chan struct{}
	once  sync.Once
	ended sync.WaitGroup
}

// NewPool binds namespaces under dir, which it creates.
func NewPool(dir string) (*Pool, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p := &Pool{dir: dir, free: make(chan *Namespace, ready), wake: make(chan struct{}, 1), stop: make(chan struct{})}
	p.ended.Go(p.fill)
	return p, nil
}

// Get returns a namespace that belongs to the caller.
func (p *Pool) Get() (*Namespace, error) {
	n, err := p.take()
	if err != nil {
		return nil, err
	}
	if err := n.bind(p.dir); err != nil {
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

func (p *Pool) take() (*Namespace, error) {
	select {
	case n := <-p.free:
		select {
		case p.wake <- struct{}{}:
		default: // it is awake
		}
		return n, nil
	default:
		return create()
	}
}

// Close ends the namespaces that nobody has asked for. Idempotent.
func (p *Pool) Close() error {
	p.once.Do(func() { close(p.stop) })
	p.ended.Wait()
	var errs []error
	for {
		select {
		case n := <-p.free:
			errs = append(errs, n.release())
		default:
			return errors.Join(errs...)
		}
	}
}

// fill is the only sender to free, so that there is room for what it makes.
func (p *Pool) fill() {
	for {
		for len(p.free) < cap(p.free) {
			select {
			case <-p.stop:
				return
			default:
			}
			n, err := create()
			if err != nil {
				slog.Warn("cannot make a network namespace ahead of need", "err", err)
				break
			}
			p.free <- n
		}
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
	}
}

// Keys lists the namespaces under dir.
func Keys(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		keys = append(keys, filepath.Join(dir, e.Name()))
	}
	return keys, nil
}

package supervisor

import (
	"encoding/json"
	"errors"
	"os"
	"sync"

	"gantry/supervisor/join"
	"gantry/task/protocol"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// joins is what is known of a task that can be joined.
type joins struct {
	mu        sync.Mutex
	read      bool            // container has been read
	container *join.Container // nil where only the runtime can start processes
}

// joinable returns what is needed to join the container with the process that a file describes, or no container if that is
// the runtime's to do. Once a process has had the right to look into others, the container is not joined any more.
func (t *task) joinable(file string) (*join.Container, *specs.Process, error) {
	if kind := t.record.Runtime.Kind; kind != protocol.KindCrun && kind != protocol.KindRunc || t.init.File() == nil {
		return nil, nil, nil // its containers may be more than namespaces
	}
	p, err := readProcess(file)
	if err != nil {
		return nil, nil, err
	}
	t.joins.mu.Lock()
	defer t.joins.mu.Unlock()
	if !t.joins.read {
		if t.joins.container, err = join.Read(t.record.Bundle); err != nil {
			return nil, nil, err
		}
		t.joins.read = true
	}
	if join.Traces(p) {
		t.mu.Lock()
		t.record.Traced = true // the exec's record is saved with it
		t.mu.Unlock()
	}
	if t.record.Traced || !join.Possible(p) {
		return nil, nil, nil
	}
	return t.joins.container, p, nil
}

func readProcess(file string) (*specs.Process, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	var p specs.Process
	err = errors.Join(json.NewDecoder(f).Decode(&p), f.Close())
	return &p, err
}

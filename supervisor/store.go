package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gantry/internal/atomicfile"
	"gantry/logdriver"
	"gantry/task/protocol"
)

// Phases of a task.
const (
	phaseStarting = "starting" // the runtime has been called, or is about to be
	phaseRunning  = "running"
)

// record is what a supervisor leaves for its successor. That a task has ended is in its exit file.
type record struct {
	ID       string                `json:"id"`
	Run      uint64                `json:"run"`
	Phase    string                `json:"phase"`
	Pid      int                   `json:"pid,omitempty"`
	Ticks    uint64                `json:"ticks,omitempty"` // start time of Pid
	Started  time.Time             `json:"started"`
	Paused   bool                  `json:"paused,omitempty"`
	Bundle   string                `json:"bundle"`
	Runtime  protocol.Runtime      `json:"runtime"`
	Stdio    protocol.Stdio        `json:"stdio"`
	Log      string                `json:"log"`
	LogInfo  logdriver.Info        `json:"logInfo"`
	ExitFile string                `json:"exitFile"`
	Cgroup   string                `json:"cgroup,omitempty"`
	Hooks    bool                  `json:"hooks,omitempty"`
	Execs    map[string]execRecord `json:"execs,omitempty"`
	Untold   []protocol.Exit       `json:"untold,omitempty"` // ends of execs
}

type execRecord struct {
	Pid      int            `json:"pid"`
	Ticks    uint64         `json:"ticks"`
	Stdio    protocol.Stdio `json:"stdio"`
	Attached bool           `json:"attached,omitempty"` // output flows
}

// store keeps records, one file a task: they need not outlive the machine's run.
type store struct{ dir string }

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &store{dir: dir}, nil
}

func (s *store) path(id string) string { return filepath.Join(s.dir, id+".json") }

func (s *store) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return atomicfile.WriteVolatile(s.path(r.ID), data, 0o600)
}

func (s *store) remove(id string) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// all reads every record. A broken one is an error beside the others.
func (s *store) all() (records []record, err error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		r, err := s.read(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		records = append(records, r)
	}
	return records, errors.Join(errs...)
}

func (s *store) read(id string) (r record, err error) {
	data, err := os.ReadFile(s.path(id))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("record of task %s: %w", id, err)
	}
	if r.ID != id {
		return r, fmt.Errorf("record of task %s names task %q", id, r.ID)
	}
	return r, nil
}

// writeExit makes an exit durable.
func writeExit(path string, e protocol.Exit) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data, 0o600)
}

// readExit returns the exit of a run, if it is on file.
func readExit(path string, run uint64) *protocol.Exit {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var e protocol.Exit
	if json.Unmarshal(data, &e) != nil || e.Run != run {
		return nil
	}
	return &e
}

// saving makes writes of one task's record follow one another.
type saving struct{ mu sync.Mutex } // held while the file is written, and for nothing else

package supervisor

import (
	"context"
	"fmt"
	"slices"

	"gantry/supervisor/cgroup"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"
)

// lives follows processes from their start to their end, and keeps what has to be known of them on record.
type lives struct{ *parts }

// openLog opens the container's log; nil where nothing is kept.
func (l *lives) openLog(t *task) (*stdio.Log, error) {
	if t.record.Log == "" || t.record.Log == "none" {
		return nil, nil
	}
	writer, err := l.cfg.OpenLog(t.record.Log, t.record.LogInfo)
	if err != nil {
		return nil, fmt.Errorf("failed to initialize logging driver: %w", err)
	}
	return stdio.NewLog(writer, l.log.With("container", t.id())), nil
}

// watch finds the task's cgroup, and looks out for the OOM killer there.
func (l *lives) watch(t *task) {
	var err error
	if t.record.Cgroup != "" {
		t.group, err = l.cgroups.Group(t.record.Cgroup)
	} else {
		t.group, err = l.cgroups.GroupOf(t.record.Pid)
	}
	if err == nil {
		t.oom, err = t.group.WatchOOM()
	}
	if err != nil {
		t.oom = nil
		l.log.Debug("container is not watched for out of memory", "container", t.id(), "error", err)
	}
}

// followOOM tells gantryd of every strike of the OOM killer.
func (l *lives) followOOM(t *task) {
	for {
		t.mu.Lock()
		seen := t.kills
		t.mu.Unlock()
		now, err := cgroup.WaitKill(context.Background(), t.oom, seen)
		if err != nil {
			return // closed, or the cgroup is gone: the exit looks once more
		}
		l.noteKills(t, now)
	}
}

// noteKills tells gantryd, if the number of kills has grown.
func (l *lives) noteKills(t *task, now uint64) {
	t.mu.Lock()
	grown := now > t.kills
	t.kills = max(t.kills, now)
	t.mu.Unlock()
	if grown {
		l.teller.current().notice(protocol.OpOOM, t.target())
	}
}

// save writes the record as it is now.
func (l *lives) save(t *task) error {
	t.saving.mu.Lock()
	defer t.saving.mu.Unlock()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	r := t.record
	r.Execs = map[string]execRecord{}
	for id, e := range t.execs {
		if !e.ended {
			r.Execs[id] = e.record
		}
	}
	r.Untold = slices.Clone(r.Untold)
	t.mu.Unlock()
	return l.store.write(r)
}

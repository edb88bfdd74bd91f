package launch

import (
	"errors"

	"gantry/supervisor/join"
	"gantry/task/protocol"
)

// Join starts a process in a container without its runtime. Its errors are those of Exec.
func (l *Launcher) Join(r join.Request, name protocol.Runtime, io Endpoints) (pid int, err error) {
	r.Stdio, r.Terminal = io.files(), io.Terminal
	for i, f := range r.Stdio {
		if f == nil {
			r.Stdio[i] = l.null
		}
	}
	pid, err = join.Start(r)
	var refused *join.Refused
	if errors.As(err, &refused) {
		return 0, refusedBy(executing, name, refused.Words)
	}
	return pid, err
}

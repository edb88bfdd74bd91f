package task

import (
	"context"
	"encoding/json"
	"os"
	"sync"
	"time"

	"gantry/task/protocol"
)

// noticed deals with what the supervisor says of itself.
func (c *client) noticed(m protocol.Message, files []*os.File) {
	var err error
	switch m.Op {
	case protocol.OpKeep:
		var h protocol.Held
		if err = json.Unmarshal(m.Body, &h); err == nil {
			err = c.held.keep(h, files)
		}
	case protocol.OpDrop:
		var h protocol.Held
		if err = json.Unmarshal(m.Body, &h); err == nil {
			err = c.held.drop(h)
		}
	case protocol.OpExited:
		var e Exit
		if err = json.Unmarshal(m.Body, &e); err == nil {
			c.told.exited(e)
		}
	case protocol.OpOOM:
		var t protocol.Target
		if err = json.Unmarshal(m.Body, &t); err == nil {
			c.told.oom(t.ID)
		}
	}
	if err != nil {
		c.log.Warn("notice of the supervisor", "notice", m.Op, "error", err)
	}
}

// tellTime bounds one request that the dispatcher makes.
const tellTime = 30 * time.Second

// dispatcher calls the handler: in order for one container, at the same time for several. A
// goroutine lives while a container has something to be told.
type dispatcher struct {
	client *client
	work   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	handler Handler
	queues  map[string][]func(Handler)
	seen    map[protocol.Target]bool // exits that were told, until they are acknowledged
	closed  bool
}

func newDispatcher(c *client) *dispatcher {
	return &dispatcher{client: c, queues: map[string][]func(Handler){}, seen: map[protocol.Target]bool{}}
}

func (d *dispatcher) subscribe(h Handler) {
	d.mu.Lock()
	d.handler = h
	d.mu.Unlock()
	d.resync()
}

// resync asks for exits that were not told, or not to this process.
func (d *dispatcher) resync() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handler == nil || d.closed {
		return
	}
	d.work.Go(func() {
		ctx, cancel := context.WithTimeout(d.client.ctx, tellTime)
		defer cancel()
		tasks, err := d.client.tasks(ctx)
		if err != nil {
			d.client.log.Warn("exits may be told late", "error", err)
			return
		}
		for _, t := range tasks {
			for _, e := range t.Untold {
				d.exited(e)
			}
			if t.Exited != nil {
				d.exited(*t.Exited)
			}
		}
	})
}

func (d *dispatcher) exited(e Exit) {
	of := protocol.Target{ID: e.ID, Exec: e.ExecID, Run: e.Run}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handler == nil || d.closed || d.seen[of] {
		return // Subscribe asks again
	}
	d.seen[of] = true
	d.push(e.ID, func(h Handler) {
		if e.ExecID == "" {
			h.TaskExited(e)
		} else {
			h.ExecExited(e)
		}
		d.acknowledge(of)
	})
}

// acknowledge lets the supervisor end the process's streams, and forget an exec.
func (d *dispatcher) acknowledge(of protocol.Target) {
	ctx, cancel := context.WithTimeout(d.client.ctx, tellTime)
	defer cancel()
	if err := d.client.ask(ctx, protocol.OpTold, of, nil); err != nil && d.client.ctx.Err() == nil {
		d.client.log.Warn("supervisor does not know that an exit was told", "container", of.ID, "exec", of.Exec, "error", err)
		return
	}
	if of.Exec != "" {
		d.forget(of)
	}
}

func (d *dispatcher) forget(of protocol.Target) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.seen, of)
}

func (d *dispatcher) oom(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.handler != nil && !d.closed {
		d.push(id, func(h Handler) { h.TaskOOM(id) })
	}
}

// push needs the lock.
func (d *dispatcher) push(id string, tell func(Handler)) {
	queue, running := d.queues[id]
	d.queues[id] = append(queue, tell)
	if !running {
		handler := d.handler
		d.work.Go(func() { d.drain(id, handler) })
	}
}

func (d *dispatcher) drain(id string, h Handler) {
	for {
		d.mu.Lock()
		queue := d.queues[id]
		if len(queue) == 0 {
			delete(d.queues, id)
			d.mu.Unlock()
			return
		}
		d.queues[id] = queue[1:]
		d.mu.Unlock()
		queue[0](h)
	}
}

func (d *dispatcher) close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.work.Wait()
}

package task

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// client holds the link to the supervisor, and makes another when that one is gone.
type client struct {
	cfg       Config
	log       *slog.Logger
	held      *held
	told      *dispatcher
	resolvers resolvers

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	link   *link
	linked chan struct{} // closed while there is a link
	closed bool
}

func openClient(ctx context.Context, cfg Config, log *slog.Logger) (*client, error) {
	c := &client{cfg: cfg, log: log, held: newHeld(), linked: make(chan struct{})}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.told = newDispatcher(c)
	if err := c.connect(ctx); err != nil {
		c.cancel()
		return nil, errors.Join(err, c.held.close())
	}
	return c, nil
}

// close asks the supervisor to end, if it has nothing to look after, and lets go of it.
func (c *client) close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	l := c.link
	c.mu.Unlock()
	var err error
	if l != nil {
		process, openErr := unix.PidfdOpen(l.pid, 0)
		_, _, err = l.call(ctx, protocol.OpShutdown, nil)
		ends := openErr == nil && (err == nil || errors.Is(err, errLinkLost))
		if errdefs.IsConflict(err) || errors.Is(err, errLinkLost) {
			err = nil // it has tasks; or it has gone before it could say so
		}
		err = errors.Join(err, l.close())
		if ends {
			awaitEnd(process)
		}
		if openErr == nil {
			err = errors.Join(err, unix.Close(process))
		}
	}
	c.cancel()
	c.work.Wait()
	c.told.close()
	return errors.Join(err, c.held.close())
}

// goodbye is how long an idle supervisor may take to end; who stops the daemon expects that nothing is left of it.
const goodbye = 2 * time.Second

// awaitEnd returns when the process of a pidfd has ended, or when its time is over.
func awaitEnd(pidfd int) {
	deadline := time.Now().Add(goodbye)
	for left := goodbye; left > 0; left = time.Until(deadline) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 || err != nil && err != unix.EINTR {
			return
		}
	}
}

// upgrade is Service.Upgrade.
func (c *client) upgrade(ctx context.Context) error {
	l, err := c.current(ctx)
	if err != nil {
		return err
	}
	if _, _, err := l.call(ctx, protocol.OpUpgrade, nil); err != nil && !errors.Is(err, errLinkLost) {
		return err
	}
	select {
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, err = c.current(ctx)
	return err
}

func (c *client) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == nil {
		return 0
	}
	return c.link.pid
}

func (c *client) tasks(ctx context.Context) (tasks []protocol.Task, err error) {
	return tasks, c.ask(ctx, protocol.OpTasks, nil, &tasks)
}

// ask sends a request and decodes its answer into out, if that is not nil. Requests that may be repeated are, when the
// supervisor is replaced meanwhile.
func (c *client) ask(ctx context.Context, op string, body, out any, files ...*os.File) error {
	data, extra, err := c.request(ctx, op, body, files...)
	if err != nil {
		return err
	}
	if err := protocol.CloseAll(extra); err != nil {
		return err
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, out)
}

func (c *client) request(ctx context.Context, op string, body any, files ...*os.File) (json.RawMessage, []*os.File, error) {
	for {
		l, err := c.current(ctx)
		if err != nil {
			return nil, nil, err
		}
		data, extra, err := l.call(ctx, op, body, files...)
		again := errors.Is(err, errNotSent) || errors.Is(err, errLinkLost) && repeatable(op)
		if !again {
			return data, extra, err
		}
		select {
		case <-l.done: // then there will be another one
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// repeatable names the requests that do no harm when they are carried out twice.
func repeatable(op string) bool {
	switch op {
	case protocol.OpStart, protocol.OpExec, protocol.OpSignal, protocol.OpUpdate, protocol.OpShutdown, protocol.OpUpgrade:
		return false
	}
	return true
}

// current waits for a link.
func (c *client) current(ctx context.Context) (*link, error) {
	for {
		c.mu.Lock()
		l, linked, closed := c.link, c.linked, c.closed
		c.mu.Unlock()
		if closed {
			return nil, errNotSent
		}
		if l != nil {
			return l, nil
		}
		select {
		case <-linked:
		case <-c.ctx.Done():
			return nil, errNotSent
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// adopted asks the next supervisor about a start whose answer was lost with the last one. It took over what ran,
// and has undone what did not.
func (c *client) adopted(ctx context.Context, id string, run uint64, lost error) (started protocol.Started, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	tasks, err := c.tasks(ctx)
	if err != nil {
		return started, errors.Join(lost, err)
	}
	for _, t := range tasks {
		if t.ID == id && t.Run == run {
			return protocol.Started{Run: run, Pid: t.Pid, Started: t.Started}, nil
		}
	}
	return started, lost
}

package task

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// errLinkLost is the error of a request whose answer will not come: whether it was carried out is not known.
var errLinkLost = errdefs.ErrUnavailable.WithMessage("the supervisor has gone away; it is being started again")

// link is one connection to a supervisor.
type link struct {
	conn   *protocol.Conn
	notice func(m protocol.Message, files []*os.File) // called in the order of arrival; owns the files
	pid    int
	done   chan struct{} // closed when the connection has ended

	mu      sync.Mutex // guards what follows
	seq     uint64
	waiting map[uint64]chan answer
	lost    bool
}

type answer struct {
	m     protocol.Message
	files []*os.File
}

func newLink(conn *protocol.Conn, notice func(protocol.Message, []*os.File)) *link {
	return &link{conn: conn, notice: notice, done: make(chan struct{}), waiting: map[uint64]chan answer{}}
}

// receive hands out answers and notices until the connection ends.
func (l *link) receive() error {
	defer close(l.done)
	defer l.lose()
	for {
		m, files, err := l.conn.Receive()
		if err != nil {
			return err
		}
		if m.Seq == 0 {
			l.notice(m, files)
			continue
		}
		l.mu.Lock()
		ch := l.waiting[m.Seq]
		delete(l.waiting, m.Seq)
		if ch != nil {
			ch <- answer{m, files} // it has room for one
		}
		l.mu.Unlock()
		if ch == nil {
			_ = protocol.CloseAll(files) // whoever asked has left
		}
	}
}

func (l *link) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
	for seq, ch := range l.waiting {
		delete(l.waiting, seq)
		close(ch)
	}
}

func (l *link) close() error { return l.conn.Close() }

// call sends a request and waits for its answer. errLinkLost tells that there will be none.
func (l *link) call(ctx context.Context, op string, body any, files ...*os.File) (json.RawMessage, []*os.File, error) {
	ch := make(chan answer, 1)
	l.mu.Lock()
	if l.lost {
		l.mu.Unlock()
		return nil, nil, errNotSent
	}
	l.seq++
	seq := l.seq
	l.waiting[seq] = ch
	l.mu.Unlock()
	m := protocol.Message{Seq: seq, Op: op}
	if body != nil {
		m.Body = protocol.Body(body)
	}
	if err := l.conn.Send(m, files...); err != nil {
		l.abandon(seq, ch)
		return nil, nil, errors.Join(errNotSent, err)
	}
	select {
	case a, ok := <-ch:
		if !ok {
			return nil, nil, errLinkLost
		}
		if a.m.Error != nil {
			return nil, nil, errors.Join(a.m.Error, protocol.CloseAll(a.files))
		}
		return a.m.Body, a.files, nil
	case <-ctx.Done():
		l.abandon(seq, ch)
		return nil, nil, ctx.Err()
	}
}

// errNotSent is the error of a request that certainly was not carried out.
var errNotSent = errdefs.ErrUnavailable.WithMessage("the supervisor cannot be reached")

// abandon gives up waiting. An answer that has come all the same is dropped, with its descriptors.
func (l *link) abandon(seq uint64, ch <-chan answer) {
	l.mu.Lock()
	delete(l.waiting, seq)
	l.mu.Unlock()
	select {
	case a := <-ch:
		_ = protocol.CloseAll(a.files) // nobody is left to be told
	default: // one that is under way finds nobody waiting: receive drops it
	}
}

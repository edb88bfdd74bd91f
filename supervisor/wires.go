package supervisor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"gantry/supervisor/launch"
	"gantry/supervisor/stdio"
	"gantry/task/protocol"

	"golang.org/x/sys/unix"
)

// pipeSize is how much a container may write before it is read, in bytes: the most that pipe(7) allows by default. A log is written
// a third faster than with a quarter of it, since writer and reader wake one another less. The kernel allocates pages as they are filled.
const pipeSize = 1 << 20

// wires are the stdio of one process: this side's ends, and who listens.
type wires struct {
	conf  protocol.Stdio
	fan   *stdio.Fan
	stdin *stdio.Stdin // nil without one
	ends  launch.Endpoints

	out, err *os.File // reading ends; nil with a terminal, or where they were lost
	console  *os.File // master of the terminal, from begin on
	buffers  *stdio.Buffers

	mu    sync.Mutex // guards what follows
	log   *stdio.Log
	pumps []*stdio.Pump
	lines map[string]*stdio.Lines // by stream
	rests map[string]stdio.Unread // what the last program had not logged
	held  map[string]*os.File     // what gantryd holds copies of

	releasing sync.Once
	released  chan struct{} // closed when output may flow: an exec waits for its first client
}

// wiring is what wires are made with.
type wiring struct {
	conf    protocol.Stdio
	catchUp string // "" for a process that waits for its clients
	buffers *stdio.Buffers
	// stdinClosed is told when the process is to see the end of its input.
	stdinClosed func()
}

// newWires makes the pipes of a process that has yet to be started.
func newWires(w wiring) (_ *wires, err error) {
	x := bareWires(w)
	defer func() {
		if err != nil {
			err = errors.Join(err, x.ends.Close(), x.close())
		}
	}()
	if w.conf.Terminal {
		x.ends.Terminal = &x.console
		return x, nil
	}
	if w.conf.OpenStdin {
		var in *os.File
		if x.ends.Stdin, in, err = pipe(writingEnd); err != nil {
			return nil, err
		}
		x.stdin.Connect(in)
		x.held[protocol.FileStdin] = in
	}
	if w.conf.Detached {
		return x, nil
	}
	if x.out, x.ends.Stdout, err = pipe(readingEnd); err != nil {
		return nil, err
	}
	x.held[protocol.FileStdout] = x.out
	if x.err, x.ends.Stderr, err = pipe(readingEnd); err != nil {
		return nil, err
	}
	x.held[protocol.FileStderr] = x.err
	return x, nil
}

// restoredWires are made of the descriptors that are left of a process's stdio.
func restoredWires(w wiring, files map[string]*os.File, rests map[string]stdio.Unread) *wires {
	x := bareWires(w)
	x.rests = rests
	x.out, x.err, x.console = files[protocol.FileStdout], files[protocol.FileStderr], files[protocol.FileConsole]
	for _, name := range []string{protocol.FileStdin, protocol.FileStdout, protocol.FileStderr, protocol.FileConsole} {
		if files[name] != nil {
			x.held[name] = files[name]
		}
	}
	if x.stdin != nil && !w.conf.Terminal {
		if in := files[protocol.FileStdin]; in != nil {
			x.stdin.Connect(in)
		} else {
			x.stdin.Close() // it had been closed
		}
	}
	return x
}

func bareWires(w wiring) *wires {
	x := &wires{
		conf: w.conf, buffers: w.buffers, held: map[string]*os.File{}, lines: map[string]*stdio.Lines{}, released: make(chan struct{}),
		fan: stdio.NewFan(w.conf.Terminal, w.catchUp, w.buffers),
	}
	if w.conf.OpenStdin {
		x.stdin = stdio.NewStdin(w.conf.Terminal, w.conf.StdinOnce, func() {
			x.forgetFile(protocol.FileStdin)
			w.stdinClosed()
		})
	}
	return x
}

func (x *wires) forgetFile(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.held, name)
}

// begin starts to read. log may be nil. Output flows when it is released.
func (x *wires) begin(log *stdio.Log) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.log = log
	if x.console != nil {
		x.held[protocol.FileConsole] = x.console
		if x.stdin != nil {
			x.stdin.Connect(x.console)
		}
		x.setSize(x.conf.Height, x.conf.Width)
	}
	for _, s := range []struct {
		file   *os.File
		stream byte
		name   string
	}{{x.console, protocol.Stdout, "stdout"}, {x.out, protocol.Stdout, "stdout"}, {x.err, protocol.Stderr, "stderr"}} {
		if s.file == nil {
			continue
		}
		sink := &stdio.Output{Stream: s.stream, Fan: x.fan}
		if log != nil {
			sink.Log = log.Lines(s.name)
			sink.Log.Resume(x.rests[s.name])
			x.lines[s.name] = sink.Log
		}
		p := stdio.NewPump(s.file, sink, x.buffers)
		x.pumps = append(x.pumps, p)
		go func() {
			<-x.released
			p.Run()
		}()
	}
}

// release lets output flow.
func (x *wires) release() { x.releasing.Do(func() { close(x.released) }) }

// flowing reports whether output was released.
func (x *wires) flowing() bool {
	select {
	case <-x.released:
		return true
	default:
		return false
	}
}

// awaitRelease waits for a first client, for a time, and then lets output flow to nobody.
func (x *wires) awaitRelease(limit time.Duration, stop <-chan struct{}) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-x.released:
	case <-timer.C:
	case <-stop:
	}
	x.release()
}

// drain brings what the process wrote to the log and the clients, or gives up when ctx ends. It reports
// whether the streams have ended: nobody else has them open.
func (x *wires) drain(ctx context.Context) (ended bool) {
	x.fan.Loosen(true)
	defer x.fan.Loosen(false)
	pumps := x.running()
	for _, p := range pumps {
		p.Drain(ctx)
	}
	for _, p := range pumps {
		select {
		case <-p.Done():
		default:
			return false
		}
	}
	return true
}

// wait waits until the streams have ended, or for stop.
func (x *wires) wait(stop <-chan struct{}) (ended bool) {
	for _, p := range x.running() {
		select {
		case <-p.Done():
		case <-stop:
			return false
		}
	}
	return true
}

func (x *wires) running() []*stdio.Pump {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.pumps
}

// closeLog ends the log: all that was read is in it.
func (x *wires) closeLog() {
	x.mu.Lock()
	log := x.log
	x.mu.Unlock()
	if log != nil {
		log.Close()
	}
}

// halt stops reading, for good, and returns what is read and not logged. The descriptors stay.
func (x *wires) halt(ctx context.Context) (map[string]stdio.Unread, error) {
	x.fan.Loosen(true) // a client that is slow must not keep a pump
	if x.flowing() {
		for _, p := range x.running() {
			if err := p.Halt(ctx); err != nil {
				return nil, err
			}
		}
	}
	x.mu.Lock()
	rests := map[string]stdio.Unread{}
	for name, l := range x.lines {
		rests[name] = l.Unread()
	}
	x.mu.Unlock()
	x.closeLog()
	x.fan.End()
	return rests, x.fan.Wait(ctx)
}

// close ends everything. Clients see the end when they have read what was queued.
func (x *wires) close() error {
	x.release()
	var errs []error
	for _, f := range []*os.File{x.out, x.err, x.console} {
		if f != nil {
			if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
				errs = append(errs, err)
			}
		}
	}
	if x.stdin != nil {
		x.stdin.Close()
	}
	x.fan.End()
	x.closeLog()
	return errors.Join(errs...)
}

// files are the descriptors that gantryd holds copies of.
func (x *wires) files() (names []string, files []*os.File) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, f := range x.held {
		names, files = append(names, name), append(files, f)
	}
	return names, files
}

// lost reports whether output was to be read and cannot be any more.
func (x *wires) lost() bool {
	if x.conf.Terminal {
		return x.console == nil
	}
	return !x.conf.Detached && (x.out == nil || x.err == nil)
}

func (x *wires) resize(height, width uint) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.setSize(height, width)
}

// setSize needs the lock.
func (x *wires) setSize(height, width uint) error {
	x.conf.Height, x.conf.Width = height, width
	if x.console == nil || height == 0 && width == 0 {
		return nil // a terminal that is yet to come gets it then
	}
	raw, err := x.console.SyscallConn()
	if err != nil {
		return err
	}
	size := unix.Winsize{Row: uint16(height), Col: uint16(width)}
	ctlErr := raw.Control(func(fd uintptr) { err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size) })
	return errors.Join(ctlErr, err)
}

type pipeEnd int

const (
	readingEnd pipeEnd = iota
	writingEnd
)

// pipe makes a pipe whose end ours does not block.
func pipe(ours pipeEnd) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fds[1]), unix.F_SETPIPE_SZ, pipeSize); err != nil {
		slog.Debug("pipe keeps its size", "error", err) // a limit of the host, pipe(7): slower, and no more
	}
	if err := unix.SetNonblock(fds[ours], true); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

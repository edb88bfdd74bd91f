package stdio

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// client connects a client to a fan and returns its end, which blocks.
func client(t *testing.T, f *Fan, want Wants, in *Stdin) (*Subscriber, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "client")
	t.Cleanup(func() { _ = theirs.Close() })
	return f.Subscribe(os.NewFile(uintptr(fds[0]), "stream"), want, in), theirs
}

func TestEveryClientGetsItsStreams(t *testing.T) {
	f := NewFan(false, t.TempDir(), &Buffers{})
	_, both := client(t, f, Wants{Stdout: true, Stderr: true}, nil)
	_, one := client(t, f, Wants{Stderr: true}, nil)
	f.Write(1, []byte("out"))
	f.Write(2, []byte("err"))
	f.End()
	for c, want := range map[*os.File]string{
		both: "\x01\x00\x00\x00\x00\x00\x00\x03out\x02\x00\x00\x00\x00\x00\x00\x03err",
		one:  "\x02\x00\x00\x00\x00\x00\x00\x03err",
	} {
		got, err := io.ReadAll(c)
		if err != nil || string(got) != want {
			t.Errorf("%q %v", got, err)
		}
	}
	_, late := client(t, f, Wants{Stdout: true}, nil)
	if got, err := io.ReadAll(late); err != nil || len(got) > 0 {
		t.Errorf("after the end: %q %v", got, err)
	}
}

func TestClientCatchesUpFromItsFile(t *testing.T) {
	f := NewFan(true, t.TempDir(), &Buffers{})
	s, c := client(t, f, Wants{Stdout: true}, nil)
	line := bytes.Repeat([]byte("0123456789abcdef"), 2048) // 32 KiB
	const writes = 200                                     // 6.4 MiB, more than socket and queue take
	began := time.Now()
	for i := range writes {
		line[0] = byte(i)
		f.Write(1, line)
	}
	if d := time.Since(began); d > 5*stallTime {
		t.Errorf("the process was held for %v", d)
	}
	s.mu.Lock()
	spilling := s.spilling
	s.mu.Unlock()
	if !spilling {
		t.Error("client is not behind")
	}
	f.End()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != writes*len(line) {
		t.Fatalf("%d of %d bytes: %v", len(got), writes*len(line), err)
	}
	for i := range writes {
		if got[i*len(line)] != byte(i) {
			t.Fatalf("piece %d is out of order", i)
		}
	}
}

func TestClientThatNeverCatchesUpIsEnded(t *testing.T) {
	f := NewFan(true, t.TempDir(), &Buffers{})
	s, _ := client(t, f, Wants{Stdout: true}, nil)
	piece := make([]byte, 1<<20)
	for range (catchUpSize + 4*queueSize) / len(piece) {
		f.Write(1, piece)
	}
	select {
	case <-s.left:
	case <-time.After(10 * time.Second):
		t.Fatal("client is still there")
	}
	if f.Len() != 0 {
		t.Error("client is still subscribed")
	}
}

func TestClientThatLeavesIsNoticed(t *testing.T) {
	f := NewFan(true, "", &Buffers{})
	s, c := client(t, f, Wants{Stdout: true}, nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.left:
	case <-time.After(10 * time.Second):
		t.Fatal("client is still there, though nothing is written")
	}
}

func TestClientThatLeavesAfterHalfCloseIsNoticed(t *testing.T) {
	f := NewFan(true, "", &Buffers{})
	in := NewStdin(false, false, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	in.Connect(w)
	s, c := client(t, f, Wants{Stdout: true, Stdin: true, CloseStdin: true}, in)
	if _, err := c.WriteString("input"); err != nil {
		t.Fatal(err)
	}
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != "input" {
		t.Errorf("%q %v", got, err)
	}
	select {
	case <-s.left:
		t.Fatal("half-close disconnects")
	default:
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.left:
	case <-time.After(10 * time.Second):
		t.Fatal("client is still there")
	}
}

func TestLoosenedFanWaitsForNobody(t *testing.T) {
	f := NewFan(true, "", &Buffers{})
	_, c := client(t, f, Wants{Stdout: true}, nil)
	f.Loosen(true)
	piece := make([]byte, 1<<20)
	for range 4 {
		f.Write(1, piece)
	}
	f.End()
	if n, err := io.Copy(io.Discard, c); err != nil || n != 4<<20 {
		t.Errorf("%d bytes: %v", n, err)
	}
}

// gathered is a sink that keeps everything.
type gathered struct {
	mu    sync.Mutex
	data  []byte
	ended bool
}

func (g *gathered) Write(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.data = append(g.data, p...)
}

func (g *gathered) Idle() {}

func (g *gathered) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
}

func (g *gathered) state() (data string, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return string(g.data), g.ended
}

func newPump(t *testing.T) (*Pump, *gathered, *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		t.Fatal(err)
	}
	sink := &gathered{}
	w := os.NewFile(uintptr(fds[1]), "w")
	t.Cleanup(func() { _ = w.Close() })
	return NewPump(os.NewFile(uintptr(fds[0]), "r"), sink, &Buffers{}), sink, w
}

func TestDrainTakesWhatIsThereAndLeavesTheStreamOpen(t *testing.T) {
	p, sink, w := newPump(t)
	go p.Run()
	if _, err := w.WriteString("before"); err != nil {
		t.Fatal(err)
	}
	p.Drain(context.Background())
	if data, _ := sink.state(); data != "before" {
		t.Errorf("%q", data)
	}
	if _, err := w.WriteString(" after"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if data, ended := sink.state(); data != "before after" || !ended {
		t.Errorf("%q", data)
	}
}

func TestHaltLeavesTheRestInThePipe(t *testing.T) {
	p, sink, w := newPump(t)
	go p.Run()
	if err := p.Halt(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("unread"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	if err := p.File().SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	n, err := p.File().Read(buf)
	if _, ended := sink.state(); err != nil || string(buf[:n]) != "unread" || ended {
		t.Errorf("%q %v", buf[:n], err)
	}
}

package protocol

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func pair(t testing.TB) (a, b *Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*Conn
	for i, fd := range fds {
		if conns[i], err = FileConn(os.NewFile(uintptr(fd), "socket")); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	return conns[0], conns[1]
}

func TestMessagesOfAnySizeArriveWithTheirFiles(t *testing.T) {
	a, b := pair(t)
	for _, size := range []int{0, 100, packetSize, 5 << 20} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		body := strings.Repeat("x", size)
		if err := a.Send(Message{Seq: 3, Op: OpStart, Body: Body(body)}, w); err != nil {
			t.Fatal(err)
		}
		m, files, err := b.Receive()
		if err != nil || m.Seq != 3 || m.Op != OpStart || len(m.Body) != size+2 || len(files) != 1 {
			t.Fatalf("size %d: seq %d, body of %d, %d files: %v", size, m.Seq, len(m.Body), len(files), err)
		}
		if _, err := files[0].WriteString("hello"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(files[0].Close(), w.Close()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || string(got) != "hello" {
			t.Errorf("%q %v", got, err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("after close: %v", err)
	}
}

func TestErrorsKeepClassTextAndCode(t *testing.T) {
	sent := ToError(errors.Join(&Error{Class: "invalid argument", Text: "words", ExitCode: 127}))
	if !errdefs.IsInvalidArgument(sent) || sent.Error() != "words" || sent.ExitCode != 127 {
		t.Errorf("%+v", sent)
	}
	if e := ToError(errdefs.ErrNotFound.WithMessage("no such thing")); !errdefs.IsNotFound(e) || e.Error() != "no such thing" {
		t.Errorf("%+v", e)
	}
	if ToError(nil) != nil {
		t.Error("nil becomes an error")
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte(`{"seq":1,"op":"tasks"}`))
	f.Add([]byte(`{"spilt":true}`))
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) > packetSize {
			return
		}
		a, b := pair(t)
		if _, err := a.socket.Write(packet); err != nil {
			t.Fatal(err)
		}
		_, files, _ := b.Receive()
		if err := CloseAll(files); err != nil {
			t.Error(err)
		}
	})
}

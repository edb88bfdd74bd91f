package fdpass_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"gantry/internal/fdpass"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return conns[0], conns[1]
}

func TestFilesArrive(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := fdpass.Send(a, []byte("take"), w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	n, files, err := fdpass.Receive(b, buf)
	if err != nil || string(buf[:n]) != "take" || len(files) != 1 {
		t.Fatalf("%q, %d files, %v", buf[:n], len(files), err)
	}
	if flags, err := unix.FcntlInt(files[0].Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the descriptor would be inherited: %#x, %v", flags, err)
	}
	if _, err := files[0].WriteString("through"); err != nil {
		t.Fatal(err)
	}
	if err := files[0].Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "through" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestTruncatedMessageIsRefusedAndItsFilesClosed(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := fdpass.Send(a, []byte("longer than the buffer"), w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, files, err := fdpass.Receive(b, make([]byte, 4)); err == nil || files != nil {
		t.Errorf("%d files, %v", len(files), err)
	}
	if got, err := io.ReadAll(r); err != nil || len(got) != 0 { // it would wait if the copy were open
		t.Errorf("%q, %v", got, err)
	}
}

func TestEndOfThePeer(t *testing.T) {
	a, b := pair(t)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if n, files, err := fdpass.Receive(b, make([]byte, 4)); n != 0 || files != nil || !errors.Is(err, io.EOF) {
		t.Errorf("%d, %v, %v", n, files, err)
	}
}

package notify

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m := New(path)
	for _, step := range []struct {
		tell func() error
		want string
	}{{m.Ready, "READY=1"}, {m.Reloading, "RELOADING=1\nMONOTONIC_USEC="}, {m.Stopping, "STOPPING=1"}} {
		if err := step.tell(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 200)
		n, err := l.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), step.want) {
			t.Errorf("%q, %v; want %q", buf[:n], err, step.want)
		}
	}
}

func TestNobodyIsTold(t *testing.T) {
	if err := New("").Ready(); err != nil {
		t.Error(err)
	}
}

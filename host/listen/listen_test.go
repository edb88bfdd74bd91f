package listen

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, cfg Config) Listener {
	t.Helper()
	all, _, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all[0].Close() })
	return all[0]
}

func TestSocketIsForItsGroupAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "s.sock")
	l := open(t, Config{Hosts: []string{"unix://" + path}, Group: "12345"})
	if l.Addr().String() != path || l.Host != "unix://"+path {
		t.Errorf("address %s, host %s", l.Addr(), l.Host)
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o660 || st.Sys().(*syscall.Stat_t).Gid != 12345 {
		t.Errorf("mode %v, group %d", st.Mode(), st.Sys().(*syscall.Stat_t).Gid)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".sock-*")); left != nil {
		t.Errorf("left: %v", left)
	}
}

func TestStaleSocketIsReplacedAndALiveOneRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	_ = stale.Close()
	l := open(t, Config{Hosts: []string{"unix://" + path}})
	if _, _, err := Open(t.Context(), Config{Hosts: []string{"unix://" + path}}); err == nil || !strings.Contains(err.Error(), "another process listens") {
		t.Errorf("second: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the name is left behind: %v", err)
	}
}

func TestCloseLeavesASuccessorsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	first := open(t, Config{Hosts: []string{"unix://" + path}})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	open(t, Config{Hosts: []string{"unix://" + path}})
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the successor's socket is gone")
	}
}

func TestFileInTheWayIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), Config{Hosts: []string{"unix://" + path}}); err == nil {
		t.Error("opened")
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("the file is gone")
	}
}

func TestLongPathsWork(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("x", 107-len(dir)-1)) // the longest that a client can name
	open(t, Config{Hosts: []string{"unix://" + path}})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestNothingIsLeftOpenAfterAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	_, _, err := Open(t.Context(), Config{Hosts: []string{"unix://" + path, "smoke://signals"}})
	if err == nil {
		t.Fatal("opened")
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Error("the first socket is still there")
	}
}

func TestMissingGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	cfg := Config{Hosts: []string{"unix://" + path}, Group: "no-such-group"}
	if _, _, err := Open(t.Context(), cfg); err == nil {
		t.Error("a group that was asked for and is missing is no error")
	}
	cfg.GroupOptional = true
	all, warnings, err := Open(t.Context(), cfg)
	if err != nil || len(warnings) != 1 {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	_ = all[0].Close()
}

func TestActivationIsMeantForOneProcess(t *testing.T) {
	env := map[string]string{"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "api:other"}
	getenv := func(k string) string { return env[k] }
	if names, err := activated(getenv, 8); names != nil || err != nil {
		t.Errorf("another's: %v, %v", names, err)
	}
	names, err := activated(getenv, 7)
	if err != nil || strings.Join(names, " ") != "api other" {
		t.Errorf("own: %v, %v", names, err)
	}
	env["LISTEN_FDS"] = "-1"
	if _, err := activated(getenv, 7); err == nil {
		t.Error("-1 sockets")
	}
}

// TestHelper is the child of the next test, not a test of its own.
func TestHelper(t *testing.T) {
	if os.Getenv("LISTEN_HELPER") == "" {
		return
	}
	all, _, err := Open(t.Context(), Config{Hosts: []string{"fd://api"}})
	if err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	c, err := all[0].Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(all[0].Host)); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = all[0].Close()
}

func TestSocketOfSystemdIsServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// LISTEN_PID is the helper's own: the shell becomes it.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestHelper$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "LISTEN_HELPER=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=other:api")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.ExtraFiles = []*os.File{null, f}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || string(answer) != "unix://"+path {
		t.Errorf("%q, %v", answer, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error("the name of systemd's socket is gone")
	}
}

package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"
)

func TestLogsKeepTheStreamsApart(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"json-file", "local"} {
		t.Run(driver, func(t *testing.T) {
			d := engine(t)
			name := d.Name("logs")
			d.Docker("run", "--name", name, "--log-driver", driver, "busybox", "sh", "-c", "echo out; echo err >&2; printf unfinished")
			stdout, stderr := logs(d, name, client.ContainerLogsOptions{})
			equal(t, "stdout", stdout, "out\nunfinished")
			equal(t, "stderr", stderr, "err\n")
			r := d.CLI("logs", name)
			equal(t, "the CLI's stdout", r.Stdout, "out\nunfinished")
			equal(t, "the CLI's stderr", r.Stderr, "err\n")
		})
	}
}

func TestLogsTailSinceUntil(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"json-file", "local"} {
		t.Run(driver, func(t *testing.T) {
			d := engine(t)
			name := d.Name("logs")
			d.Docker("run", "--name", name, "--log-driver", driver, "busybox", "sh", "-c",
				"for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.01; done")
			equal(t, "tail", d.Docker("logs", "--tail", "2", name), "line 9\nline 10")
			equal(t, "tail 0", d.Docker("logs", "--tail", "0", name), "")
			equal(t, "tail all", len(strings.Split(d.Docker("logs", "--tail", "all", name), "\n")), 10)
			stamped := strings.Split(d.Docker("logs", "-t", name), "\n")
			if len(stamped) != 10 {
				t.Fatalf("lines %q", stamped)
			}
			stamp := func(i int) string { s, _, _ := strings.Cut(stamped[i], " "); return s }
			if _, err := time.Parse("2006-01-02T15:04:05.000000000Z", stamp(0)); err != nil {
				t.Errorf("timestamp: %v", err)
			}
			equal(t, "since", d.Docker("logs", "--since", stamp(7), name), "line 8\nline 9\nline 10")
			equal(t, "until", d.Docker("logs", "--until", stamp(1), name), "line 1\nline 2")
			equal(t, "since and until", d.Docker("logs", "--since", stamp(2), "--until", stamp(3), name), "line 3\nline 4")
			equal(t, "since and tail", d.Docker("logs", "--since", stamp(2), "--tail", "1", name), "line 10")
		})
	}
}

func TestLogsFollow(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"json-file", "local"} {
		t.Run(driver, func(t *testing.T) {
			d := engine(t)
			name := d.Name("follow")
			d.Docker("run", "-d", "-i", "--name", name, "--log-driver", driver, "busybox", "sh", "-c", "echo first; while read line; do test $line = quit && exit; echo got $line; done")
			awaitLog(d, name, "first")
			r, err := d.Client().ContainerLogs(d.Context(), name, client.ContainerLogsOptions{ShowStdout: true, Follow: true, Tail: "1"})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			done := make(chan string)
			go func() {
				stdout, _ := demultiplex(t, r)
				done <- stdout
			}()
			d.CLIInput(strings.NewReader("a\nb\nquit\n"), "attach", name)
			select {
			case got := <-done:
				equal(t, "followed", got, "first\ngot a\ngot b\n")
			case <-time.After(20 * time.Second):
				t.Error("following does not end with the container")
			}
		})
	}
}

func TestLogsFollowGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("again")
	d.Docker("create", "--name", name, "busybox", "sh", "-c", "echo run")
	d.Docker("start", "-a", name)
	d.Docker("start", "-a", name)
	equal(t, "log", d.Docker("logs", name), "run\nrun")
}

func TestLogsRotate(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("rotate")
	d.Docker("run", "--name", name, "--log-opt", "max-size=10k", "--log-opt", "max-file=3", "busybox", "sh", "-c",
		"i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done")
	c := inspect(d, name)
	files, _ := filepath.Glob(c.LogPath + "*")
	equal(t, "files", len(files), 3)
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > 11<<10 {
			t.Errorf("%s: %d bytes, %v", f, info.Size(), err)
		}
	}
	lines := strings.Split(d.Docker("logs", name), "\n")
	equal(t, "last line", lines[len(lines)-1], "line 999")
	for i, line := range lines {
		if want := fmt.Sprintf("line %d", 1000-len(lines)+i); line != want {
			t.Fatalf("line %q, want %q: the log has a gap", line, want)
		}
	}
	equal(t, "tail across files", d.Docker("logs", "--tail", "300", name), strings.Join(lines[len(lines)-300:], "\n"))
}

func TestJSONLogIsWhatShippersRead(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("shipped")
	d.Docker("run", "--name", name, "-l", "team=a", "-e", "ZONE=b", "--log-opt", "labels=team", "--log-opt", "env=ZONE", "--log-opt", "tag={{.Name}}",
		"busybox", "sh", "-c", `echo 'quote " and <html> é'; echo err >&2`)
	f, err := os.Open(inspect(d, name).LogPath)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type entry struct {
		Log    string            `json:"log"`
		Stream string            `json:"stream"`
		Attrs  map[string]string `json:"attrs"`
		Time   time.Time         `json:"time"`
	}
	got := map[string]entry{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var e entry
		if err := json.Unmarshal(sc.Bytes(), &e); err != nil {
			t.Fatalf("line %s: %v", sc.Text(), err)
		}
		got[e.Stream] = e
	}
	equal(t, "stdout", got["stdout"].Log, "quote \" and <html> é\n")
	equal(t, "stderr", got["stderr"].Log, "err\n")
	for k, want := range map[string]string{"team": "a", "ZONE": "b", "tag": name} {
		equal(t, "attribute "+k, got["stdout"].Attrs[k], want)
	}
	if got["stdout"].Time.IsZero() {
		t.Error("no time")
	}
	contains(t, "details", d.Docker("logs", "--details", name), "team=a", "ZONE=b")
}

func TestLongLinesAreLogged(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"json-file", "local"} {
		d := engine(t)
		if d.Reference() && driver == "local" {
			continue // it put a newline after each part until Docker 23
		}
		name := d.Name("long")
		d.Docker("run", "--name", name, "--log-driver", driver, "busybox", "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")
		equal(t, driver+" log", d.Docker("logs", name), strings.Repeat("x", 40000)+"\nend")
	}
}

func TestLogDriverNone(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("none")
	equal(t, "attached output", d.Docker("run", "--name", name, "--log-driver", "none", "busybox", "echo", "seen"), "seen")
	d.Fails(1, []string{"configured logging driver does not support reading"}, "logs", name)
	equal(t, "log path", inspect(d, name).LogPath, "")
}

func TestBadLogOptionsAreRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, c := range []struct {
		text string
		args []string
	}{
		{"unknown log opt 'nosuch' for json-file log driver", []string{"--log-opt", "nosuch=1"}},
		{`error looking up logging plugin nosuch: plugin "nosuch" not found`, []string{"--log-driver", "nosuch"}},
		{"logging mode not supported: nosuch", []string{"--log-opt", "mode=nosuch"}},
	} {
		d.Fails(1, []string{c.text}, append(append([]string{"create"}, c.args...), "busybox")...)
	}
}

func TestNonBlockingLogsAreComplete(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("nonblocking")
	d.Docker("run", "--name", name, "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=4m", "busybox", "seq", "1", "5000")
	d.Eventually("the last line", func() bool { return d.Docker("logs", "--tail", "1", name) == "5000" })
	equal(t, "lines", len(strings.Split(d.Docker("logs", name), "\n")), 5000)
}

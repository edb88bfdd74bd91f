package stats

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gantry/container/record"

	"github.com/containerd/errdefs"
)

// sleeper starts a process that is there until the test ends.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

func realService(t *testing.T) *Service {
	t.Helper()
	h, err := openHost("/proc")
	if err != nil {
		t.Fatal(err)
	}
	return open(h, nil, nil)
}

// TestListingsAreThoseOfPs compares with the host's ps, for a few processes that do not change.
func TestListingsAreThoseOfPs(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("the machine has no ps")
	}
	s := realService(t)
	pids := []int{1, 2, sleeper(t)}
	slices.Sort(pids)
	for _, args := range []string{
		"-ef", "-e", "-fe", "aux", "auxww", "-o pid,ppid,user,comm,args", "-eo pid,cmd", "-o pid -o tty,stat,s,ni",
		"-opid,pgid,sid,sess,euser,uid,group,gid,egroup,nlwp,thcount,tt,tname,ucmd,vsz,etimes,start_time,state,command",
	} {
		want, err := hostTop(t.Context(), args, pids)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if _, ok := parseArgs(args); !ok {
			t.Errorf("%s is left to ps", args)
		}
		got, err := s.list(t.Context(), args, pids)
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		if !slices.Equal(got.Titles, want.Titles) {
			t.Errorf("%s:\n got %v\nwant %v", args, got.Titles, want.Titles)
			continue
		}
		if len(got.Processes) != len(want.Processes) {
			t.Errorf("%s: %d rows, want %d", args, len(got.Processes), len(want.Processes))
			continue
		}
		for i := range want.Processes {
			compareRows(t, args, want.Titles, got.Processes[i], want.Processes[i])
		}
	}
}

// compareRows leaves out what changes while the test looks.
func compareRows(t *testing.T, args string, titles, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s:\n got %q\nwant %q", args, got, want)
		return
	}
	for i, title := range titles {
		switch title {
		case "C", "TIME", "%CPU", "%MEM", "RSS", "VSZ", "ELAPSED", "STAT", "S", "START", "STIME":
			if (got[i] == "") != (want[i] == "") {
				t.Errorf("%s: %s is %q, want %q", args, title, got[i], want[i])
			}
		default:
			if got[i] != want[i] {
				t.Errorf("%s: %s is %q, want %q", args, title, got[i], want[i])
			}
		}
	}
}

func TestOtherArgumentsAreLeftToPs(t *testing.T) {
	for _, args := range []string{"f", "-l", "-eo pid=ID", "-o pid,wchan", "-L", "ax", "--forest", "-", "-o", "-f -o pid", "-C x"} {
		if _, ok := parseArgs(args); ok {
			t.Errorf("%s is not", args)
		}
	}
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("the machine has no ps")
	}
	s := realService(t)
	pid := sleeper(t)
	for _, args := range []string{"ax", "axf", "-o pid,wchan", "-l"} {
		top, err := s.list(t.Context(), args, []int{pid})
		if err != nil || len(top.Processes) != 1 || !slices.Contains(top.Processes[0], strconv.Itoa(pid)) {
			t.Errorf("%s: got %+v, %v", args, top, err)
		}
	}
}

func TestBadArguments(t *testing.T) {
	if _, err := exec.LookPath("ps"); err != nil {
		t.Skip("the machine has no ps")
	}
	s := realService(t)
	for _, c := range []struct{ args, want string }{
		{"-o comm", "Couldn't find PID field in ps output"},
		{"-o wchan", "Couldn't find PID field in ps output"},
		{"--nonesuch", "error: unknown gnu long option"},
		{"-o nonesuch", `error: unknown user-defined format specifier "nonesuch"`},
	} {
		_, err := s.list(t.Context(), c.args, []int{os.Getpid()})
		if !errdefs.IsInternal(err) || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.args, err, c.want)
		}
	}
	if err := checkArgs("-eo ppid=PID"); err == nil || err.Error() != `specifying "ppid=PID" is not allowed` {
		t.Errorf("got %v", err)
	}
	if err := checkArgs("-eo pid=PID,comm"); err != nil {
		t.Error(err)
	}
}

func TestTopListsTheWholeGroup(t *testing.T) {
	for name, files := range map[string]map[string]string{"unified": unifiedFiles(), "legacy": legacyFiles()} {
		stat := func(pid, ppid string) string {
			return pid + " (a) b) S " + ppid + " 7 7 34816 7 0 0 0 0 0 150 50 0 0 20 0 2 0 10000 1048576 4 0\n"
		}
		for pid, ppid := range map[string]string{"7": "1", "8": "7", "9": "7"} {
			files["proc/"+pid+"/stat"] = stat(pid, ppid)
			files["proc/"+pid+"/status"] = "Name:\tx\nUid:\t0\t4242\t0\t0\nGid:\t0\t4343\t0\t0\nVmLck:\t       4 kB\n"
			files["proc/"+pid+"/cmdline"] = "/bin/x\x00-a  b\x00\x1b[m\x00"
		}
		files["proc/9/cmdline"] = ""
		topped := ""
		r := runningContainer()
		s := open(fakeHost(t, files), fakeContainers{containerID: r}.lookup, func(r *record.Container) { topped = r.Name })
		top, err := s.Top(t.Context(), containerID, "-o pid,ppid,user,group,tty,stat,time,etime,%cpu,%mem,rss,comm,args")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var rows []string
		for _, row := range top.Processes {
			rows = append(rows, strings.Join(row, "|"))
		}
		want := []string{
			"7|1|4242|4343|pts/0|SLsl+|00:00:02|15:00|0.2|0.0|" + page(4) + "|a) b|/bin/x -a b ?[m",
			"8|7|4242|4343|pts/0|SLl+|00:00:02|15:00|0.2|0.0|" + page(4) + "|a) b|/bin/x -a b ?[m",
			"9|7|4242|4343|pts/0|SLl+|00:00:02|15:00|0.2|0.0|" + page(4) + "|a) b|[a) b]",
		}
		if page(4) == "16" && !slices.Equal(rows, want) {
			t.Errorf("%s:\n got %q\nwant %q", name, rows, want)
		}
		if topped != "web" {
			t.Errorf("%s: nobody was told", name)
		}
	}
}

// page is the size of pages in kilobytes.
func page(n int) string { return strconv.Itoa(n * os.Getpagesize() >> 10) }

func TestProcessesWithoutAGroupAreDescendants(t *testing.T) {
	files := map[string]string{"proc/7/cgroup": "0::/\n"}
	for pid, ppid := range map[string]string{"7": "1", "8": "7", "9": "8", "10": "1"} {
		files["proc/"+pid+"/stat"] = pid + " (x) S " + ppid + strings.Repeat(" 0", 20) + "\n"
	}
	s := open(fakeHost(t, files), nil, nil)
	pids, err := s.pids(runningContainer())
	if err != nil || !slices.Equal(pids, []int{7, 8, 9}) {
		t.Errorf("got %v, %v", pids, err)
	}
}

func TestTimesAreThoseOfPs(t *testing.T) {
	for _, c := range []struct {
		seconds                 int64
		clock, elapsed, minutes string
	}{
		{5, "00:00:05", "00:05", "0:05"},
		{3661, "01:01:01", "01:01:01", "61:01"},
		{90061, "1-01:01:01", "1-01:01:01", "1501:01"},
	} {
		d := time.Duration(c.seconds) * time.Second
		if clock(d) != c.clock || elapsed(d) != c.elapsed || minutes(d) != c.minutes {
			t.Errorf("%v: got %s, %s, %s", d, clock(d), elapsed(d), minutes(d))
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("7 (a) b) S 1 7 7 34816 7 0 0 0 0 0 150 50 0 0 20 0 2 0 10000 1048576 4 0")
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := parseStat(s); err == nil {
			_ = p.status() + p.terminal() + p.commandLine()
		}
	})
}

func FuzzParsePs(f *testing.F) {
	f.Add("  PID TTY CMD\n    7 ?   x y z\n    - -   -\n")
	f.Fuzz(func(t *testing.T, output string) {
		top, err := parsePs(output, []int{7})
		if err != nil {
			return
		}
		for _, row := range top.Processes {
			if len(row) > len(top.Titles) {
				t.Fatalf("%q has more fields than titles", row)
			}
		}
	})
}

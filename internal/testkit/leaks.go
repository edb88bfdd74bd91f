package testkit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// footprint is what an engine holds at one moment.
type footprint struct {
	things      []string // mounts, links, network namespaces, processes, firewall rules, cgroups: one sentence each
	descriptors int      // of the daemon
	goroutines  int      // of the daemon; 0 when it has not said
}

// slack is by how much descriptors and goroutines may differ from the baseline: idle connections of the
// client, and what a daemon opens once, at first use.
const slack = 12

// settleTime is how long an engine may take to clean up after its last container: teardown goes on after the answer.
const settleTime = 15 * time.Second

// Baseline takes what the engine holds now as what it may hold in the end: for things that a daemon makes at the
// first use and keeps.
func (e *Engine) Baseline() { e.baseline = e.footprint() }

func (e *Engine) footprint() footprint {
	f := footprint{things: e.things(), descriptors: descriptors(e.Pid())}
	if !e.Reference() {
		f.goroutines = e.goroutines()
	}
	return f
}

// checkLeaks waits until the engine holds no more than before its first container.
func (e *Engine) checkLeaks() error {
	var extra []string
	settled := eventually(settleTime, func() bool {
		extra = slices.DeleteFunc(e.things(), func(thing string) bool { return slices.Contains(e.baseline.things, thing) })
		if n := descriptors(e.Pid()); n > e.baseline.descriptors+slack {
			extra = append(extra, fmt.Sprintf("%d descriptors of the daemon, %d at first", n, e.baseline.descriptors))
		}
		return len(extra) == 0
	})
	if !settled {
		return fmt.Errorf("leaked:\n  %s", strings.Join(extra, "\n  "))
	}
	if e.Reference() {
		return nil
	}
	var now int
	if !eventually(settleTime, func() bool {
		now = e.goroutines()
		return now <= e.baseline.goroutines+slack
	}) {
		return fmt.Errorf("leaked: %d goroutines of the daemon, %d at first\n%s", now, e.baseline.goroutines, e.stacks())
	}
	return nil
}

// checkLeftovers looks at what a stopped engine without containers has left. The default bridge and the firewall's
// tables may stay, as Docker's do, and so may the supervisor.
func (e *Engine) checkLeftovers() error {
	if e.Reference() {
		return nil
	}
	var left []string
	for _, p := range e.Processes() {
		if p.Pid != e.Supervisor() {
			left = append(left, fmt.Sprintf("process %d %s", p.Pid, p.Name))
		}
	}
	for _, path := range []string{e.Socket(), e.Path("pid")} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, "file "+path)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left by the stopped daemon:\n  %s", strings.Join(left, "\n  "))
	}
	return nil
}

// things lists what can leak, outside of the daemon itself.
func (e *Engine) things() []string {
	var out []string
	for _, p := range e.Processes() {
		if p.Pid != e.Pid() {
			out = append(out, fmt.Sprintf("process %s", p.Name))
		}
	}
	out = append(out, e.mounts()...)
	out = append(out, e.links()...)
	if !e.Reference() { // which collects them once a minute
		files, _ := filepath.Glob(e.ExecRoot() + "/netns/*")
		for _, f := range files {
			out = append(out, "network namespace "+f)
		}
	}
	out = append(out, e.firewall()...)
	for _, dir := range e.Cgroups() {
		if filepath.Base(dir) != filepath.Base(e.Parent) {
			out = append(out, "cgroup "+dir)
		}
	}
	slices.Sort(out)
	return out
}

// links lists the network interfaces.
func (e *Engine) links() []string {
	var out []string
	err := e.ns.Do(func() error {
		links, err := netlink.LinkList()
		for _, link := range links {
			out = append(out, "interface "+link.Attrs().Name)
		}
		return err
	})
	if err != nil {
		out = append(out, err.Error())
	}
	return out
}

// mounts lists the mount points in the engine's mount namespace.
func (e *Engine) mounts() []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", e.ns.Pid()))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 5 { // proc_pid_mountinfo(5)
			continue
		}
		if e.Reference() && strings.HasSuffix(fields[4], "/netns/default") { // kept since the first use of the host's network
			continue
		}
		out = append(out, "mount "+fields[4])
	}
	return out
}

// Cgroups lists the cgroups of the engine's containers and their parent, in every hierarchy.
func (e *Engine) Cgroups() []string {
	var out []string
	roots, _ := filepath.Glob("/sys/fs/cgroup/*" + e.Parent)
	if _, err := os.Stat("/sys/fs/cgroup" + e.Parent); err == nil {
		roots = append(roots, "/sys/fs/cgroup"+e.Parent)
	}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				out = append(out, path)
			}
			return nil
		})
	}
	return out
}

// removeCgroups removes what is left when every process is dead: children first.
func (e *Engine) removeCgroups() error {
	var errs []error
	dirs := e.Cgroups()
	slices.SortFunc(dirs, func(a, b string) int { return len(b) - len(a) })
	for _, dir := range dirs {
		if !eventually(settleTime, func() bool { err := unix.Rmdir(dir); return err == nil || errors.Is(err, unix.ENOENT) }) {
			errs = append(errs, fmt.Errorf("cgroup %s cannot be removed", dir))
		}
	}
	return errors.Join(errs...)
}

// handles are what differs in a ruleset from one listing to the next without being a rule.
var handles = regexp.MustCompile(`counter packets \d+ bytes \d+|# handle \d+`)

// firewall lists the lines of the ruleset; empty when the machine has no nft.
func (e *Engine) firewall() []string {
	rules, err := e.ns.Run("nft", "list", "ruleset")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(handles.ReplaceAllString(rules, "")) {
		if line = strings.TrimSpace(line); line != "" && line != "}" {
			out = append(out, "firewall "+line)
		}
	}
	return out
}

// descriptors counts the open files of a process.
func descriptors(pid int) int {
	names, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	return len(names)
}

// goroutines counts those of the daemon by its stack dump.
func (e *Engine) goroutines() int {
	return bytes.Count(e.stacks(), []byte("\ngoroutine ")) + 1
}

// stacks asks the daemon for its stacks, with SIGUSR1, and returns them.
func (e *Engine) stacks() []byte {
	pattern := filepath.Join(e.ExecRoot(), "goroutine-stacks-*.log")
	before, _ := filepath.Glob(pattern)
	for _, name := range before {
		_ = os.Remove(name)
	}
	if e.Signal(unix.SIGUSR1) != nil {
		return nil
	}
	var dump []byte
	eventually(5*time.Second, func() bool {
		names, _ := filepath.Glob(pattern)
		if len(names) == 0 {
			return false
		}
		was := len(dump)
		dump, _ = os.ReadFile(names[0])
		return len(dump) > 0 && len(dump) == was // complete: it has stopped growing
	})
	return dump
}

package stats

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gantry/container/record"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
)

// defaultArgs are dockerd's.
const defaultArgs = "-ef"

// Top lists the container's processes as `ps` with args ("-ef" if empty) shows them. The usual formats are made here, from procfs;
// others are left to the host's ps. Errors: not found; conflict (not running); internal, as in dockerd, for
// arguments that ps does not know, with its words.
func (s *Service) Top(ctx context.Context, ref, args string) (*container.TopResponse, error) {
	if args == "" {
		args = defaultArgs
	}
	r, err := s.running(ref)
	if err != nil {
		return nil, err
	}
	if err := checkArgs(args); err != nil {
		return nil, err
	}
	pids, err := s.pids(r)
	if err != nil {
		return nil, err
	}
	top, err := s.list(ctx, args, pids)
	if err != nil {
		return nil, err
	}
	s.topped(r)
	return top, nil
}

func (s *Service) list(ctx context.Context, args string, pids []int) (*container.TopResponse, error) {
	columns, ok := parseArgs(args)
	if !ok {
		return hostTop(ctx, args, pids)
	}
	if !slices.ContainsFunc(columns, func(c column) bool { return c.title == pidTitle }) {
		return nil, errNoPid()
	}
	v, err := newView(s.host)
	if err != nil {
		return nil, err
	}
	top := &container.TopResponse{Processes: [][]string{}}
	for _, c := range columns {
		top.Titles = append(top.Titles, c.title)
	}
	for _, pid := range pids {
		p, err := readProcess(s.host.proc, pid)
		if err != nil {
			continue // it has ended meanwhile
		}
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = c.value(v, p)
		}
		top.Processes = append(top.Processes, row)
	}
	return top, nil
}

// pids returns the container's processes. Without a control group of its own, they are the init process and
// what descends from it.
func (s *Service) pids(r *record.Container) ([]int, error) {
	g, err := s.host.group(r.Pid, r.ID)
	if err == nil {
		return processes(g.dir())
	}
	if errors.Is(err, errNoGroup) {
		return descendants(s.host.proc, r.Pid)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errdefs.ErrConflict.WithMessage(fmt.Sprintf("container %s is not running", r.ID))
	}
	return nil, err
}

func descendants(proc string, root int) ([]int, error) {
	names, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, name := range names {
		pid, err := strconv.Atoi(filepath.Base(name))
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join(name, "stat"))
		if err != nil {
			continue
		}
		if p, err := parseStat(string(data)); err == nil {
			children[p.ppid] = append(children[p.ppid], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	slices.Sort(all)
	return all, nil
}

// renamed finds a column that is given the title PID and is none, which would let a client see what
// belongs to other containers.
var renamed = regexp.MustCompile(`\s+(\S*)=\s*(PID\S*)`)

func checkArgs(args string) error {
	for _, m := range renamed.FindAllStringSubmatch(args, -1) {
		if m[1] != "pid" {
			return errdefs.ErrInternal.WithMessage(fmt.Sprintf("specifying \"%s=%s\" is not allowed", m[1], m[2]))
		}
	}
	return nil
}

func errNoPid() error {
	return errdefs.ErrInternal.WithMessage("Couldn't find PID field in ps output")
}

// fieldsASCII splits at what ps separates by; other white space may be part of a command.
func fieldsASCII(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" \t\n\f\r", r) })
}

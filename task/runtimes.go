package task

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gantry/task/protocol"

	"github.com/containerd/errdefs"
)

// The runtimes that are looked for without being listed, best first.
const (
	nameCrun = "crun"
	nameRunc = "runc"
)

// versionTime bounds how long a runtime may take to say its version.
const versionTime = 5 * time.Second

// runtimes are the OCI runtimes of this host.
type runtimes struct {
	root      string
	systemd   bool
	byName    map[string]found
	byDefault string
	warnings  []string
}

// found is a runtime that answered.
type found struct {
	Runtime
	kind string // protocol.KindCrun, protocol.KindRunc, or ""
}

// findRuntimes asks every runtime for its version. One that is listed and does not answer is a warning; the
// default one must.
func findRuntimes(ctx context.Context, cfg Config) (*runtimes, error) {
	wanted := maps.Clone(cfg.Runtimes)
	if wanted == nil {
		wanted = map[string]Runtime{}
	}
	for _, name := range []string{nameCrun, nameRunc} {
		if _, listed := wanted[name]; !listed {
			wanted[name] = Runtime{Path: name}
		}
	}
	r := &runtimes{root: cfg.Root, systemd: cfg.SystemdCgroup, byName: map[string]found{}, byDefault: cfg.DefaultRuntime}
	var mu sync.Mutex
	var work sync.WaitGroup
	for name, rt := range wanted {
		work.Go(func() {
			f, err := probe(ctx, rt)
			mu.Lock()
			defer mu.Unlock()
			_, listed := cfg.Runtimes[name]
			switch {
			case err == nil:
				r.byName[name] = f
			case listed:
				r.warnings = append(r.warnings, fmt.Sprintf("runtime %q cannot be used: %v", name, err))
			}
		})
	}
	work.Wait()
	for _, name := range slices.Sorted(maps.Keys(r.byName)) {
		r.warnings = append(r.warnings, advisories(name, r.byName[name])...)
	}
	slices.Sort(r.warnings)
	return r, r.chooseDefault()
}

func (r *runtimes) chooseDefault() error {
	if r.byDefault == "" {
		r.byDefault = nameCrun
		if _, ok := r.byName[nameCrun]; !ok {
			r.byDefault = nameRunc
		}
	}
	if _, ok := r.byName[r.byDefault]; !ok {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"default runtime %q cannot be used: it was not found, or did not say its version; install crun, or list one in \"runtimes\"", r.byDefault))
	}
	return nil
}

// probe looks a runtime up and asks for its version.
func probe(ctx context.Context, rt Runtime) (found, error) {
	path, err := exec.LookPath(rt.Path)
	if err != nil {
		return found{}, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return found{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append(slices.Clone(rt.Args), "--version")...).Output()
	if err != nil {
		return found{}, fmt.Errorf("%s --version: %w", path, err)
	}
	rt.Path = path
	f := found{Runtime: rt}
	f.kind, f.Version = parseVersion(string(out))
	return f, nil
}

// parseVersion reads the first line of `--version`: "crun version 1.8.1", "runc version 1.2.3".
func parseVersion(out string) (kind, version string) {
	line, _, _ := strings.Cut(out, "\n")
	words := strings.Fields(line)
	for i, w := range words {
		if w == "version" && i+1 < len(words) {
			version = strings.TrimPrefix(words[i+1], "v")
		}
	}
	if len(words) > 0 {
		switch words[0] {
		case "crun":
			kind = protocol.KindCrun
		case "runc":
			kind = protocol.KindRunc
		}
	}
	return kind, version
}

// find is how the supervisor calls a runtime. "" is the default. Errors: not found.
func (r *runtimes) find(name string) (protocol.Runtime, error) {
	if name == "" {
		name = r.byDefault
	}
	f, ok := r.byName[name]
	if !ok {
		return protocol.Runtime{}, errdefs.ErrNotFound.WithMessage("unknown or invalid runtime name: " + name)
	}
	args := slices.Clone(f.Args)
	if r.systemd {
		args = append(args, "--systemd-cgroup")
	}
	return protocol.Runtime{
		Name: name, Path: f.Path, Args: args, Kind: f.kind, Root: filepath.Join(r.root, "runtime-"+name),
	}, nil
}

func (r *runtimes) usable() map[string]Runtime {
	all := map[string]Runtime{}
	for name, f := range r.byName {
		all[name] = f.Runtime
	}
	return all
}

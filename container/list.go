package container

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"gantry/container/record"
	"gantry/internal/filter"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// ListOptions of GET /containers/json. Filters are checked here. Errors: invalid argument.
type ListOptions struct {
	All, Size bool
	Limit     int // 0 for no limit
	Filters   filter.Args
}

var listFilters = []string{
	"ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "label!", "name", "network",
	"publish", "since", "status", "volume",
}

// lister answers questions about all containers or one.
type lister struct {
	*records
	execs *execs
}

// List returns the newest first.
func (s *lister) List(ctx context.Context, o ListOptions) ([]container.Summary, error) {
	match, err := s.compile(ctx, o)
	if err != nil {
		return nil, err
	}
	records := make([]*record.Container, 0, 64)
	for _, c := range s.index.all() {
		if r := c.Record(); r.Status != "" {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b *record.Container) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID)) })
	out := make([]container.Summary, 0, len(records))
	now := time.Now()
	for _, r := range records {
		if !match(r) {
			continue
		}
		if o.Limit > 0 && len(out) == o.Limit {
			break
		}
		sum := summary(r, now)
		if o.Size {
			sum.SizeRw, sum.SizeRootFs = s.sizes(ctx, r)
		}
		out = append(out, sum)
	}
	return out, nil
}

// sizes are 0 where they cannot be told: a container may go away while it is measured.
func (s *lister) sizes(ctx context.Context, r *record.Container) (rw, root int64) {
	rw, _, err := s.cfg.Storage.Usage(ctx, r.ID)
	if err != nil {
		return 0, 0
	}
	chain, err := s.cfg.Storage.ChainUsage(ctx, r.Chain)
	if err != nil {
		return rw, rw
	}
	return rw, rw + chain
}

// compile turns the filters into one test.
func (s *lister) compile(ctx context.Context, o ListOptions) (func(*record.Container) bool, error) {
	f := o.Filters
	if err := f.Validate(listFilters...); err != nil {
		return nil, err
	}
	for _, v := range f.Get("status") {
		if !slices.Contains([]string{"created", "running", "paused", "restarting", "removing", "exited", "dead"}, v) {
			return nil, invalid("invalid filter 'status=" + v + "'")
		}
	}
	for _, v := range f.Get("health") {
		if !slices.Contains([]string{"none", "starting", "healthy", "unhealthy"}, v) {
			return nil, invalid("invalid filter 'health=" + v + "'")
		}
	}
	tests := []func(*record.Container) bool{
		func(r *record.Container) bool { return visible(r, o) },
		func(r *record.Container) bool { return f.Prefix("id", r.ID) },
		func(r *record.Container) bool { return matchName(f, r.Name) },
		func(r *record.Container) bool { return f.Labels("label", r.Config.Labels) },
		func(r *record.Container) bool { return !f.Has("label!") || !f.Labels("label!", r.Config.Labels) },
		func(r *record.Container) bool { return f.Exact("status", string(shown(r))) },
		func(r *record.Container) bool { return f.Exact("health", healthOf(r)) },
		func(r *record.Container) bool { return matchVolume(f, r) },
		func(r *record.Container) bool { return matchNetwork(f, r) },
	}
	for _, more := range []func(context.Context, filter.Args) (func(*record.Container) bool, error){
		exitedTest, s.neighbourTest, s.ancestorTest, portTest,
	} {
		test, err := more(ctx, f)
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	return func(r *record.Container) bool {
		for _, test := range tests {
			if !test(r) {
				return false
			}
		}
		return true
	}, nil
}

// visible: stopped ones are shown if they are asked for, by all, limit or a filter about them.
func visible(r *record.Container, o ListOptions) bool {
	return r.Up() || r.Status == record.Restarting || o.All || o.Limit > 0 || o.Filters.Has("status") || o.Filters.Has("exited")
}

func matchName(f filter.Args, name string) bool {
	return f.Fuzzy("name", name) || f.Fuzzy("name", "/"+name)
}

func matchVolume(f filter.Args, r *record.Container) bool {
	if !f.Has("volume") {
		return true
	}
	for dest, m := range r.Mounts {
		if f.Exact("volume", dest) || m.Name != "" && f.Exact("volume", m.Name) || m.Name == "" && f.Exact("volume", m.Source) {
			return true
		}
	}
	return false
}

func matchNetwork(f filter.Args, r *record.Container) bool {
	if !f.Has("network") {
		return true
	}
	for name, e := range r.Networks {
		if f.Exact("network", name) || e.NetworkID != "" && f.Prefix("network", e.NetworkID) {
			return true
		}
	}
	return false
}

func healthOf(r *record.Container) string {
	if r.Health == nil {
		return string(container.NoHealthcheck)
	}
	return string(r.Health.Status)
}

func exitedTest(_ context.Context, f filter.Args) (func(*record.Container) bool, error) {
	var codes []int
	for _, v := range f.Get("exited") {
		code, err := strconv.Atoi(v)
		if err != nil {
			return nil, invalid("invalid filter 'exited=" + v + "'")
		}
		codes = append(codes, code)
	}
	return func(r *record.Container) bool {
		return codes == nil || !r.Up() && !r.FinishedAt.IsZero() && slices.Contains(codes, r.ExitCode)
	}, nil
}

// neighbourTest is before and since: created before or after the container named.
func (s *lister) neighbourTest(_ context.Context, f filter.Args) (func(*record.Container) bool, error) {
	var before, since time.Time
	for _, b := range []struct {
		key string
		t   *time.Time
	}{{"before", &before}, {"since", &since}} {
		for _, ref := range f.Get(b.key) {
			c, err := s.Get(ref)
			if err != nil {
				return nil, err
			}
			*b.t = c.Record().Created
		}
	}
	return func(r *record.Container) bool {
		return (before.IsZero() || r.Created.Before(before)) && (since.IsZero() || r.Created.After(since))
	}, nil
}

// ancestorTest matches by image: its ID, or a name that it has now or was created by.
func (s *lister) ancestorTest(ctx context.Context, f filter.Args) (func(*record.Container) bool, error) {
	ids := map[string]bool{}
	for _, ref := range f.Get("ancestor") {
		image, err := s.cfg.Images.Resolve(ctx, ref, nil)
		if errdefs.IsNotFound(err) {
			continue // as dockerd: an image that is gone has no containers
		}
		if err != nil {
			return nil, err
		}
		ids[image.ID] = true
	}
	return func(r *record.Container) bool {
		return !f.Has("ancestor") || ids[r.ImageID] || slices.Contains(f.Get("ancestor"), r.Config.Image)
	}, nil
}

func portTest(_ context.Context, f filter.Args) (func(*record.Container) bool, error) {
	wanted := map[string][]network.PortRange{}
	for _, key := range []string{"publish", "expose"} {
		for _, v := range f.Get(key) {
			p, err := network.ParsePortRange(v)
			if err != nil {
				return nil, invalid(fmt.Sprintf("invalid filter '%s=%s'", key, v))
			}
			wanted[key] = append(wanted[key], p)
		}
	}
	within := func(key string, p network.Port) bool {
		return slices.ContainsFunc(wanted[key], func(r network.PortRange) bool {
			return p.Proto() == r.Proto() && p.Num() >= r.Start() && p.Num() <= r.End()
		})
	}
	return func(r *record.Container) bool {
		return (wanted["expose"] == nil || exposes(r, func(p network.Port) bool { return within("expose", p) })) &&
			(wanted["publish"] == nil || publishes(r, func(p network.Port) bool { return within("publish", p) }))
	}, nil
}

func exposes(r *record.Container, ok func(network.Port) bool) bool {
	for p := range r.Config.ExposedPorts {
		if ok(p) {
			return true
		}
	}
	return false
}

func publishes(r *record.Container, ok func(network.Port) bool) bool {
	ports := r.Ports
	if !r.Up() {
		ports = r.HostConfig.PortBindings
	}
	for inside, bindings := range ports {
		for _, b := range bindings {
			if p, err := network.ParsePort(b.HostPort + "/" + string(inside.Proto())); err == nil && ok(p) {
				return true
			}
		}
	}
	return false
}

// shown is the status that clients know: a container that is starting is not up yet.
func shown(r *record.Container) container.ContainerState {
	if r.Status != record.Starting {
		return container.ContainerState(r.Status)
	}
	if r.StartedAt.IsZero() {
		return container.StateCreated
	}
	return container.StateExited
}

func summary(r *record.Container, now time.Time) container.Summary {
	sum := container.Summary{
		ID: r.ID, Names: []string{"/" + r.Name}, Image: r.Config.Image, ImageID: r.ImageID,
		ImageManifestDescriptor: r.ImageManifest, Command: commandLine(r), Created: r.Created.Unix(),
		Ports: portList(r), Labels: r.Config.Labels, State: shown(r), Status: statusText(r, now),
		NetworkSettings: &container.NetworkSettingsSummary{Networks: r.Networks}, Mounts: mountList(r),
	}
	if sum.Labels == nil {
		sum.Labels = map[string]string{}
	}
	sum.HostConfig.NetworkMode = string(r.HostConfig.NetworkMode)
	sum.HostConfig.Annotations = r.HostConfig.Annotations
	sum.Health = &container.HealthSummary{Status: container.NoHealthcheck}
	if r.Health != nil {
		sum.Health = &container.HealthSummary{Status: r.Health.Status, FailingStreak: r.Health.FailingStreak}
	}
	return sum
}

func commandLine(r *record.Container) string {
	if len(r.Args) == 0 {
		return r.Path
	}
	parts := []string{r.Path}
	for _, a := range r.Args {
		if strings.Contains(a, " ") {
			a = "'" + a + "'"
		}
		parts = append(parts, a)
	}
	return strings.Join(parts, " ")
}

// statusText is the STATUS column of docker ps.
func statusText(r *record.Container, now time.Time) string {
	since := func(t time.Time) string { return units.HumanDuration(now.Sub(t)) }
	switch shown(r) {
	case container.StatePaused:
		return "Up " + since(r.StartedAt) + " (Paused)"
	case container.StateRestarting:
		return fmt.Sprintf("Restarting (%d) %s ago", r.ExitCode, since(r.FinishedAt))
	case container.StateRunning:
		if r.Health == nil {
			return "Up " + since(r.StartedAt)
		}
		h := string(r.Health.Status)
		if r.Health.Status == container.Starting {
			h = "health: " + h
		}
		return "Up " + since(r.StartedAt) + " (" + h + ")"
	case container.StateRemoving:
		return "Removal In Progress"
	case container.StateDead:
		return "Dead"
	case container.StateCreated:
		return "Created"
	}
	if r.FinishedAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("Exited (%d) %s ago", r.ExitCode, since(r.FinishedAt))
}

// portList is the published ports and the exposed ones, in a fixed order.
func portList(r *record.Container) []container.PortSummary {
	out := []container.PortSummary{}
	if !r.Up() {
		return out
	}
	all := map[network.Port]bool{}
	for p := range r.Config.ExposedPorts {
		all[p] = true
	}
	for p := range r.Ports {
		all[p] = true
	}
	for p := range all {
		bindings := r.Ports[p]
		if len(bindings) == 0 {
			out = append(out, container.PortSummary{PrivatePort: p.Num(), Type: string(p.Proto())})
		}
		for _, b := range bindings {
			public, err := strconv.ParseUint(b.HostPort, 10, 16)
			if err == nil {
				out = append(out, container.PortSummary{IP: b.HostIP, PrivatePort: p.Num(), PublicPort: uint16(public), Type: string(p.Proto())})
			}
		}
	}
	slices.SortFunc(out, func(a, b container.PortSummary) int {
		return cmp.Or(cmp.Compare(a.PrivatePort, b.PrivatePort), cmp.Compare(a.Type, b.Type), a.IP.Compare(b.IP), cmp.Compare(a.PublicPort, b.PublicPort))
	})
	return out
}

func mountList(r *record.Container) []container.MountPoint {
	out := make([]container.MountPoint, 0, len(r.Mounts))
	for _, m := range r.Mounts {
		mode := m.Mode
		if m.Name != "" && mode == "" {
			mode = "z"
		}
		out = append(out, container.MountPoint{
			Type: m.Type, Name: m.Name, Source: m.Source, Destination: path.Clean(m.Destination),
			Driver: m.Driver, Mode: mode, RW: m.RW, Propagation: m.Propagation,
		})
	}
	slices.SortFunc(out, func(a, b container.MountPoint) int { return cmp.Compare(a.Destination, b.Destination) })
	return out
}

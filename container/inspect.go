package container

import (
	"context"
	"time"

	"gantry/container/record"
	"gantry/logdriver"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
)

// Inspect is GET /containers/{id}/json in the newest shape. Size measures the rw layer: O(files).
func (s *lister) Inspect(ctx context.Context, ref string, size bool) (*container.InspectResponse, error) {
	c, err := s.Get(ref)
	if err != nil {
		return nil, err
	}
	r := c.Record()
	out := &container.InspectResponse{
		ID: r.ID, Created: r.Created.Format(time.RFC3339Nano), Path: r.Path, Args: r.Args, State: inspectState(r),
		Image: r.ImageID, Name: "/" + r.Name, RestartCount: r.RestartCount, Driver: r.Driver, Platform: r.Platform.OS,
		MountLabel: r.MountLabel, ProcessLabel: r.ProcessLabel, AppArmorProfile: r.AppArmor,
		LogPath: r.LogPath, HostConfig: s.shownHost(r), Config: r.Config, Mounts: mountList(r),
		ExecIDs:         s.execs.runningExecs(c.id),
		NetworkSettings: networkSettings(r), ImageManifestDescriptor: r.ImageManifest,
	}
	if out.Args == nil {
		out.Args = []string{}
	}
	if r.StartedBefore {
		out.HostnamePath, out.HostsPath, out.ResolvConfPath = c.dir+"/hostname", c.dir+"/hosts", c.dir+"/resolv.conf"
	}
	name, data := s.cfg.Storage.GraphDriver(ctx, c.id)
	out.GraphDriver = &storage.DriverData{Name: name, Data: data}
	out.Storage = &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: name}}}
	if size {
		rw, root := s.sizes(ctx, r)
		out.SizeRw, out.SizeRootFs = &rw, &root
	}
	return out, nil
}

// shownHost has the links by name.
func (s *lister) shownHost(r *record.Container) *container.HostConfig {
	if len(r.HostConfig.Links) == 0 {
		return r.HostConfig
	}
	host := *r.HostConfig
	host.Links = s.shownLinks(r)
	return &host
}

// zeroTime is how dockerd writes a time that has not come.
const zeroTime = "0001-01-01T00:00:00Z"

func inspectState(r *record.Container) *container.State {
	st := &container.State{
		Status: shown(r), Running: r.Up() || r.Status == record.Restarting, Paused: r.Status == record.Paused, Restarting: r.Status == record.Restarting,
		OOMKilled: r.OOMKilled, Dead: r.Status == record.Dead, Pid: r.Pid, ExitCode: r.ExitCode, Error: r.Error,
		StartedAt: zeroTime, FinishedAt: zeroTime, Health: r.Health,
	}
	if !r.StartedAt.IsZero() {
		st.StartedAt = r.StartedAt.Format(time.RFC3339Nano)
	}
	if !r.FinishedAt.IsZero() {
		st.FinishedAt = r.FinishedAt.Format(time.RFC3339Nano)
	}
	return st
}

func networkSettings(r *record.Container) *container.NetworkSettings {
	n := &container.NetworkSettings{SandboxID: r.SandboxID, SandboxKey: r.NetnsPath, Ports: network.PortMap{}, Networks: r.Networks}
	if n.Networks == nil {
		n.Networks = map[string]*network.EndpointSettings{}
	}
	if !r.Up() {
		return n
	}
	for p := range r.Config.ExposedPorts {
		n.Ports[p] = nil
	}
	for p, bindings := range r.Ports {
		n.Ports[p] = bindings
	}
	return n
}

func (s *execs) runningExecs(id string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for execID, run := range s.running {
		if run.id == id {
			out = append(out, execID)
		}
	}
	return out
}

// wantedOnly takes from the endpoints what only held while the container ran.
func wantedOnly(r *record.Container) map[string]*network.EndpointSettings {
	out := make(map[string]*network.EndpointSettings, len(r.Networks))
	for name := range r.Networks {
		out[name] = wantedEndpoint(r, name)
	}
	return out
}

// LogInfo is what the container's log driver may know of it.
func (c *Container) LogInfo() logdriver.Info {
	r := c.Record()
	info := logdriver.Info{
		ContainerID: r.ID, ContainerName: r.Name, ImageID: r.ImageID, ImageName: r.Config.Image,
		Command: commandLine(r), Created: r.Created, Env: r.Config.Env, Labels: r.Config.Labels,
		Options: r.HostConfig.LogConfig.Config, DaemonName: "docker", Path: r.LogPath,
	}
	if r.HostConfig.LogConfig.Type == "local" {
		info.Path = c.dir + "/local-logs"
	}
	return info
}

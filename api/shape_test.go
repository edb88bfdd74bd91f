package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/build"
	containertypes "github.com/moby/moby/api/types/container"
	eventtypes "github.com/moby/moby/api/types/events"
	imagetypes "github.com/moby/moby/api/types/image"
	networktypes "github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/registry"
	"github.com/moby/moby/api/types/storage"
	"github.com/moby/moby/api/types/system"
	volumetypes "github.com/moby/moby/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

const sampleID = "4fa6e0f0c6786287e131c3852c58a2e01cc697a68231826813597e4994f1d6e2"

func sampleDescriptor() *ocispec.Descriptor {
	return &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: "sha256:00", Size: 3}
}

func sampleEndpoint() *networktypes.EndpointSettings {
	return &networktypes.EndpointSettings{
		NetworkID: "7d86d31b1478", EndpointID: "628cadb8bcb9", Gateway: netip.MustParseAddr("172.17.0.1"), IPAddress: netip.MustParseAddr("172.17.0.2"),
		IPPrefixLen: 16, MacAddress: networktypes.HardwareAddr{2, 0x42, 0xac, 0x11, 0, 2}, DNSNames: []string{"web"},
	}
}

func sampleInspect() *containertypes.InspectResponse {
	umask, size := uint32(0o22), int64(12)
	return &containertypes.InspectResponse{
		ID: sampleID, Created: "2024-02-03T04:05:06Z", Path: "sh", Args: []string{}, Image: "sha256:aa", Name: "/web", Driver: "overlayfs", Platform: "linux",
		State: &containertypes.State{Status: containertypes.StateRemoving, Dead: true}, SizeRw: &size,
		HostConfig: &containertypes.HostConfig{
			NetworkMode: "bridge", Annotations: map[string]string{"a": "b"}, Umask: &umask, IpcMode: "private", CgroupnsMode: "private",
			Resources: containertypes.Resources{Memory: 1 << 20},
		},
		Config:  &containertypes.Config{Image: "busybox", Cmd: []string{"sh"}, Labels: map[string]string{}},
		Storage: &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: "overlayfs"}}},
		NetworkSettings: &containertypes.NetworkSettings{
			SandboxID: "5b0a", SandboxKey: "/run/gantry/netns/5b0a",
			Ports: networktypes.PortMap{networktypes.MustParsePort("80/tcp"): {{HostIP: netip.IPv4Unspecified(), HostPort: "8080"}}},
			Networks: map[string]*networktypes.EndpointSettings{
				"bridge": sampleEndpoint(), "front": {NetworkID: "aa", Aliases: []string{"www"}},
			},
		},
		ImageManifestDescriptor: sampleDescriptor(),
	}
}

func sampleSummary() *containertypes.Summary {
	s := &containertypes.Summary{
		ID: sampleID, Names: []string{"/web"}, Image: "busybox", ImageID: "sha256:aa", ImageManifestDescriptor: sampleDescriptor(), Command: "sh", Created: 1700000000,
		Ports:  []containertypes.PortSummary{{IP: netip.IPv4Unspecified(), PrivatePort: 80, PublicPort: 8080, Type: "tcp"}, {PrivatePort: 53, Type: "udp"}},
		Labels: map[string]string{"l": "<v>"}, State: containertypes.StateRemoving, Status: "Removal In Progress",
		Health:          &containertypes.HealthSummary{Status: containertypes.Healthy},
		NetworkSettings: &containertypes.NetworkSettingsSummary{Networks: map[string]*networktypes.EndpointSettings{"bridge": sampleEndpoint()}},
		Mounts:          []containertypes.MountPoint{},
	}
	s.HostConfig.NetworkMode = "bridge"
	s.HostConfig.Annotations = map[string]string{"a": "b"}
	return s
}

func sampleImages() []imagetypes.Summary {
	return []imagetypes.Summary{
		{ID: "sha256:aa", RepoTags: []string{"busybox:latest"}, RepoDigests: []string{"busybox@sha256:aa"}, Size: 7, SharedSize: -1, Containers: 2, Descriptor: sampleDescriptor(),
			Manifests: []imagetypes.ManifestSummary{{ID: "sha256:bb"}}},
		{ID: "sha256:cc", Size: 9, SharedSize: -1},
	}
}

func sampleImage() *imagetypes.InspectResponse {
	return &imagetypes.InspectResponse{
		ID: "sha256:aa", Config: &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"sh"}, ExposedPorts: map[string]struct{}{"80/tcp": {}}}},
		Architecture: "amd64", Os: "linux", Size: 7, RootFS: imagetypes.RootFS{Type: "layers", Layers: []string{"sha256:11"}}, Descriptor: sampleDescriptor(),
		Identity: &imagetypes.Identity{Pull: []imagetypes.PullIdentity{{Repository: "docker.io/library/busybox"}}},
	}
}

func sampleInfo() *system.Info {
	return &system.Info{
		ID: "7TRN", Driver: "overlayfs", OperatingSystem: "Debian", CgroupVersion: "1", CgroupDriver: "cgroupfs",
		Runtimes:       map[string]system.RuntimeWithStatus{"crun": {Runtime: system.Runtime{Path: "crun"}, Status: map[string]string{"version": "1.8"}}},
		RegistryConfig: &registry.ServiceConfig{IndexConfigs: map[string]*registry.IndexInfo{}}, RuncCommit: system.Commit{ID: "abc"},
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=cgroupns"}, FirewallBackend: &system.FirewallInfo{Driver: "nftables"},
		DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "gpu"}}, NRI: &system.NRIInfo{}, Warnings: []string{"beware"},
		DefaultAddressPools: []system.NetworkAddressPool{{Base: netip.MustParsePrefix("10.0.0.0/8"), Size: 24}},
	}
}

func sampleUsage() *system.DiskUsage {
	return &system.DiskUsage{
		ImageUsage:      &imagetypes.DiskUsage{TotalCount: 2, TotalSize: 16, Items: sampleImages()},
		ContainerUsage:  &containertypes.DiskUsage{TotalCount: 1, TotalSize: 5, Items: []containertypes.Summary{*sampleSummary()}},
		VolumeUsage:     &volumetypes.DiskUsage{TotalCount: 1, Items: []volumetypes.Volume{{Name: "data", Driver: "local", UsageData: &volumetypes.UsageData{RefCount: 1, Size: 4}}}},
		BuildCacheUsage: &build.DiskUsage{},
	}
}

func sampleEvent() *eventtypes.Message {
	return &eventtypes.Message{
		Type: eventtypes.ContainerEventType, Action: eventtypes.ActionStart, Scope: "local", Time: 1700000000, TimeNano: 1700000000000000001,
		Actor: eventtypes.Actor{ID: sampleID, Attributes: map[string]string{"image": "busybox", "name": "web"}},
	}
}

// TestAnswersOfEveryVersion compares every version's answer with its golden file: there is one for each version
// whose answer differs from that of the version before.
func TestAnswersOfEveryVersion(t *testing.T) {
	for name, shape := range map[string]func(at version) any{
		"container-inspect": func(at version) any { return shapeInspect(sampleInspect(), at) },
		"container-summary": func(at version) any { return shapeSummary(sampleSummary(), at) },
		"container-stats": func(at version) any {
			return shapeStats(&containertypes.StatsResponse{ID: sampleID, OSType: "linux", Read: time.Unix(0, 0).UTC()}, at)
		},
		"image-inspect": func(at version) any { return shapeImageInspect(sampleImage(), at) },
		"image-list":    func(at version) any { return shapeImageList(sampleImages(), at) },
		"info":          func(at version) any { return shapeInfo(sampleInfo(), at) },
		"system-df":     func(at version) any { return shapeDiskUsage(sampleUsage(), at, false) },
		"event":         func(at version) any { return shapeEvent(sampleEvent(), at) },
	} {
		var before []byte
		for minor := Oldest.minor; minor <= Newest.minor; minor++ {
			got, err := json.MarshalIndent(shape(v(minor)), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", fmt.Sprintf("%s-1.%d.json", name, minor))
			golden(t, file, got, !bytes.Equal(got, before))
			before = got
		}
	}
}

func golden(t *testing.T, file string, got []byte, differs bool) {
	t.Helper()
	if *update {
		os.Remove(file)
		if differs {
			os.MkdirAll(filepath.Dir(file), 0o755)
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	want, err := os.ReadFile(file)
	switch {
	case os.IsNotExist(err):
		if differs {
			t.Errorf("%s is missing: the version's answer differs from the one before", file)
		}
	case err != nil:
		t.Error(err)
	case !bytes.Equal(append(got, '\n'), want):
		t.Errorf("%s: got\n%s", file, got)
	}
}

func TestShapingLeavesTheRecordAlone(t *testing.T) {
	c, config := sampleInspect(), sampleInspect()
	record := *c
	shapeInspect(c, v(24))
	a, _ := json.Marshal(record.HostConfig)
	b, _ := json.Marshal(config.HostConfig)
	if !bytes.Equal(a, b) {
		t.Errorf("the host configuration was changed: %s", a)
	}
	if record.State.Status != containertypes.StateRemoving || len(record.NetworkSettings.Networks["front"].Aliases) != 1 {
		t.Error("the state or the endpoints were changed")
	}
}

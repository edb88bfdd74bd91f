package record

import (
	"encoding/json"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
)

func sample() *Container {
	return &Container{
		ID: strings.Repeat("ab", 32), Name: "web", Created: time.Unix(1700000000, 5).UTC(),
		Path: "httpd", Args: []string{"-f"},
		Config:     &container.Config{Image: "busybox", Cmd: []string{"httpd", "-f"}, Labels: map[string]string{"a": "b"}},
		HostConfig: &container.HostConfig{NetworkMode: "bridge", AutoRemove: true},
		ImageID:    "sha256:x", Driver: "overlayfs",
		State:         State{Status: Running, Pid: 7, Run: 3, StartedAt: time.Unix(1700000001, 0).UTC()},
		StartedBefore: true, RestartCount: 2,
		Mounts: map[string]*MountPoint{
			"/data": {Type: mount.TypeVolume, Name: "v", Destination: "/data", Driver: "local", RW: true, CopyUp: true, Spec: mount.Mount{Type: mount.TypeVolume, Source: "v", Target: "/data"}},
			"/anon": {Type: mount.TypeVolume, Name: "w", Destination: "/anon", Driver: "local", RW: true, Anonymous: true, CopyUp: true},
		},
		Networks:   map[string]*network.EndpointSettings{"bridge": {IPAddress: netip.MustParseAddr("172.17.0.2"), IPPrefixLen: 16}},
		DesiredMAC: map[string]network.HardwareAddr{"bridge": {2, 0x42, 0, 0, 0, 1}},
		NetnsPath:  "/run/x",
	}
}

func decode(t *testing.T, c *Container) *Container {
	t.Helper()
	config, err := Encode(c, "/dir")
	if err != nil {
		t.Fatal(err)
	}
	host, err := EncodeHostConfig(c)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(config, host)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func TestARecordSurvivesItsFiles(t *testing.T) {
	for _, status := range []Status{Created, Starting, Running, Paused, Restarting, Exited, Removing, Dead} {
		want := sample()
		want.Status = status
		if status == Created {
			want.StartedAt = time.Time{}
		}
		got := decode(t, want)
		got.unknown = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", status, got, want)
		}
	}
}

func TestKeysOfOtherEnginesAreKept(t *testing.T) {
	c := sample()
	config, err := Encode(c, "/dir")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := json.Unmarshal(config, &all); err != nil {
		t.Fatal(err)
	}
	all["SecretReferences"] = []string{"s"}
	if config, err = json.Marshal(all); err != nil {
		t.Fatal(err)
	}
	back, err := Decode(config, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := Encode(back, "/dir")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(again), `"SecretReferences":["s"]`) {
		t.Error("a key that gantry does not know is lost when the record is written")
	}
}

// The files of testdata were written by Debian's dockerd 20.10 for `docker run -d --name golden -v vol:/data -p 8080:80
// --restart on-failure:3 -l role=web busybox sleep 1000`.
func TestFilesOfDockerdAreRead(t *testing.T) {
	config, err := os.ReadFile("testdata/dockerd-20.10/config.v2.json")
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.ReadFile("testdata/dockerd-20.10/hostconfig.json")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode(config, host)
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "golden" || c.Status != Running || c.Path != "sleep" || c.Config.Labels["role"] != "web" || c.HostConfig.RestartPolicy.MaximumRetryCount != 3 {
		t.Errorf("read %+v", c)
	}
	if m := c.Mounts["/data"]; m == nil || m.Name != "vol" || m.Anonymous || m.Type != mount.TypeVolume {
		t.Errorf("mount is %+v", m)
	}
	if e := c.Networks["bridge"]; e == nil || !e.IPAddress.IsValid() {
		t.Errorf("endpoint is %+v", e)
	}
	if bound := c.Ports[network.MustParsePort("80/tcp")]; len(bound) == 0 || bound[0].HostPort != "8080" {
		t.Errorf("ports are %+v", c.Ports)
	}
}

func FuzzDecode(f *testing.F) {
	config, err := Encode(sample(), "/dir")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(config, []byte("{}"))
	f.Add([]byte(`{"ID":"x","Config":{},"MountPoints":{"/x":null},"NetworkSettings":{"Networks":{"a":null}}}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, config, host []byte) {
		c, err := Decode(config, host)
		if err != nil {
			return
		}
		if _, err := Encode(c, "/dir"); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

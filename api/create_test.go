package api

import (
	"encoding/json"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	containertypes "github.com/moby/moby/api/types/container"
)

// decodeAs reads a create request as a client of that version sends it.
func decodeAs(t testing.TB, minor int, body string) (*createRequest, error) {
	t.Helper()
	w := httptest.NewRecorder()
	h := httptest.NewRequest("POST", "/containers/create", strings.NewReader(body))
	h.Header.Set("Content-Type", "application/json")
	return decodeCreate(&response{ResponseWriter: w}, &request{Request: h, version: v(minor)}, false)
}

func TestCreateInTheWordsOfEveryVersion(t *testing.T) {
	for _, tc := range []struct {
		what   string
		minors []int
		body   string
		got    func(*createRequest) any
		want   any
	}{
		{"a command may be one string", []int{24, 56}, `{"Cmd":"date","Entrypoint":["sh","-c"]}`,
			func(c *createRequest) any { return append(append([]string{}, c.Config.Entrypoint...), c.Config.Cmd...) }, []string{"sh", "-c", "date"}},
		{"an empty entrypoint stays one", []int{56}, `{"Entrypoint":[""]}`, func(c *createRequest) any { return c.Config.Entrypoint }, []string{""}},
		{"no pids limit is none", []int{24, 56}, `{"Image":"a","HostConfig":{"PidsLimit":-1}}`, func(c *createRequest) any { return c.HostConfig.PidsLimit == nil }, true},
		{"the old IPC default", []int{24, 39}, `{"Image":"a"}`, func(c *createRequest) any { return c.HostConfig.IpcMode }, containertypes.IPCModeShareable},
		{"the daemon's IPC default", []int{40, 56}, `{"Image":"a"}`, func(c *createRequest) any { return c.HostConfig.IpcMode }, containertypes.IpcMode("")},
		{"the old cgroup namespace", []int{24, 40}, `{"Image":"a"}`, func(c *createRequest) any { return c.HostConfig.CgroupnsMode }, containertypes.CgroupnsModeHost},
		{"the daemon's cgroup namespace", []int{41}, `{"Image":"a"}`, func(c *createRequest) any { return c.HostConfig.CgroupnsMode }, containertypes.CgroupnsModeEmpty},
		{"removal by the client", []int{24}, `{"Image":"a","HostConfig":{"AutoRemove":true}}`, func(c *createRequest) any { return c.HostConfig.AutoRemove }, false},
		{"removal by the daemon", []int{25}, `{"Image":"a","HostConfig":{"AutoRemove":true}}`, func(c *createRequest) any { return c.HostConfig.AutoRemove }, true},
		{"no console size", []int{41}, `{"Image":"a","HostConfig":{"ConsoleSize":[3,4]}}`, func(c *createRequest) any { return c.HostConfig.ConsoleSize }, [2]uint{}},
		{"a console size", []int{42}, `{"Image":"a","HostConfig":{"ConsoleSize":[3,4]}}`, func(c *createRequest) any { return c.HostConfig.ConsoleSize }, [2]uint{3, 4}},
		{"no annotations", []int{42}, `{"Image":"a","HostConfig":{"Annotations":{"a":"b"}}}`, func(c *createRequest) any { return len(c.HostConfig.Annotations) }, 0},
		{"no start interval", []int{43}, `{"Image":"a","Healthcheck":{"StartInterval":5}}`, func(c *createRequest) any { return int(c.Config.Healthcheck.StartInterval) }, 0},
		{"a start interval", []int{44}, `{"Image":"a","Healthcheck":{"StartInterval":5}}`, func(c *createRequest) any { return int(c.Config.Healthcheck.StartInterval) }, 5},
		{"no umask", []int{55}, `{"Image":"a","HostConfig":{"Umask":18}}`, func(c *createRequest) any { return c.HostConfig.Umask == nil }, true},
		{"read-only binds were shallow", []int{24, 43}, `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true}]}}`,
			func(c *createRequest) any { return c.HostConfig.Mounts[0].BindOptions.ReadOnlyNonRecursive }, true},
		{"read-only binds are deep", []int{44}, `{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","ReadOnly":true}]}}`,
			func(c *createRequest) any { return c.HostConfig.Mounts[0].BindOptions == nil }, true},
		{"options of other mounts were ignored", []int{41}, `{"Image":"a","HostConfig":{"Mounts":[{"Type":"tmpfs","BindOptions":{}}]}}`,
			func(c *createRequest) any { return c.HostConfig.Mounts[0].BindOptions == nil }, true},
		{"a MAC address for the container", []int{24, 43, 51}, `{"Image":"a","MacAddress":"02:42:ac:11:00:02"}`,
			func(c *createRequest) any { return c.Networking.EndpointsConfig["bridge"].MacAddress.String() }, "02:42:ac:11:00:02"},
		{"a MAC address in the main network", []int{24, 44}, `{"Image":"a","MacAddress":"02:42:ac:11:00:02","HostConfig":{"NetworkMode":"front"}}`,
			func(c *createRequest) any { return c.Networking.EndpointsConfig["front"].MacAddress.String() }, "02:42:ac:11:00:02"},
		{"no MAC address for the container", []int{52}, `{"Image":"a","MacAddress":"02:42:ac:11:00:02"}`, func(c *createRequest) any { return len(c.Networking.EndpointsConfig) }, 0},
		{"no MAC address for an endpoint", []int{43}, `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"front":{"MacAddress":"02:42:ac:11:00:02"}}}}`,
			func(c *createRequest) any { return c.Networking.EndpointsConfig["front"].MacAddress == nil }, true},
		{"a deprecated MAC address", []int{44}, `{"Image":"a","MacAddress":"02:42:ac:11:00:02"}`, func(c *createRequest) any { return len(c.warnings) }, 1},
		{"a port without bindings", []int{24, 51}, `{"Image":"a","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, bindings, "1 bindings, 0 warnings"},
		{"a port without bindings, deprecated", []int{52}, `{"Image":"a","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, bindings, "1 bindings, 1 warnings"},
		{"a port without bindings is not published", []int{53}, `{"Image":"a","HostConfig":{"PortBindings":{"80/tcp":[]}}}`, bindings, "0 bindings, 0 warnings"},
		{"a volume driver that does not count", []int{48}, `{"Image":"a","HostConfig":{"VolumeDriver":"x","Mounts":[{"Type":"volume"}]}}`, func(c *createRequest) any { return len(c.warnings) }, 1},
		{"removed limits are ignored", []int{24, 56}, `{"Image":"a","HostConfig":{"KernelMemory":5,"KernelMemoryTCP":5,"Dns":["1.1.1.1"]}}`,
			func(c *createRequest) any { return c.HostConfig.DNS }, []netip.Addr{netip.MustParseAddr("1.1.1.1")}},
	} {
		for _, minor := range tc.minors {
			c, err := decodeAs(t, minor, tc.body)
			if err != nil {
				t.Errorf("%s, 1.%d: %v", tc.what, minor, err)
			} else if got := tc.got(c); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%s, 1.%d: %v, want %v", tc.what, minor, got, tc.want)
			}
		}
	}
}

func bindings(c *createRequest) any {
	n := 0
	for _, b := range c.HostConfig.PortBindings {
		n += len(b)
	}
	return strings.Join([]string{string(rune('0'+n)) + " bindings", string(rune('0'+len(c.warnings))) + " warnings"}, ", ")
}

func TestCreateRefusals(t *testing.T) {
	for _, tc := range []struct {
		minor      int
		body, want string
	}{
		{56, `{"HostConfig":{}}`, "config cannot be empty in order to create a container"},
		{43, `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"b":{},"a":{}}}}`, "Container cannot be connected to network endpoints: a, b"},
		{47, `{"Image":"a","HostConfig":{"Mounts":[{"Type":"image"}]}}`, `Mount type "Image" needs API v1.48 or newer`},
		{44, `{"Image":"a","HostConfig":{"Mounts":[{"Type":"volume","VolumeOptions":{"Subpath":"x"}}]}}`, "VolumeOptions.Subpath needs API v1.45 or newer"},
		{43, `{"Image":"a","MacAddress":"02:42:ac:11:00:02","HostConfig":{"NetworkMode":"host"}}`, "conflicting options: mac-address and the network mode"},
		{44, `{"Image":"a","MacAddress":"02:42:ac:11:00:02","NetworkingConfig":{"EndpointsConfig":{"bridge":{"MacAddress":"02:42:ac:11:00:03"}}}}`,
			"the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty"},
		{44, `{"Image":"a","MacAddress":"x"}`, "invalid MAC address: x"},
	} {
		if _, err := decodeAs(t, tc.minor, tc.body); err == nil || err.Error() != tc.want || statusOf(err) != 400 {
			t.Errorf("%s: %v", tc.body, err)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for text, want := range map[string]string{"linux": "linux", "linux/arm64": "linux/arm64", "linux/arm/v7": "linux/arm/v7"} {
		p, err := parsePlatform(text)
		if err != nil || !strings.HasPrefix(strings.Join([]string{p.OS, p.Architecture, p.Variant}, "/"), want) {
			t.Errorf("%s: %v %v", text, p, err)
		}
	}
	for _, text := range []string{"a/b/c/d/e/f", "linux/"} {
		if _, err := parsePlatform(text); err == nil || statusOf(err) != 400 {
			t.Errorf("%s: %v", text, err)
		}
	}
	if p, err := decodePlatform(`{"os":"linux","architecture":"arm64"}`); err != nil || p.Architecture != "arm64" {
		t.Error(p, err)
	}
	for _, text := range []string{"linux/arm64", "{}", `{"os":3}`} {
		if _, err := decodePlatform(text); err == nil || statusOf(err) != 400 {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestUpdatesOfOldVersions(t *testing.T) {
	const body = `{"PidsLimit":-5,"NanoCpus":1,"BlkioDeviceReadBps":[]}`
	for minor, want := range map[int]string{27: "nil 0 true", 39: "nil 1 true", 40: "0 1 true", 55: "0 1 false"} {
		var u containertypes.UpdateConfig
		if err := json.Unmarshal([]byte(body), &u); err != nil {
			t.Fatal(err)
		}
		forgetUnknownUpdates(&u, v(minor))
		pids := "nil"
		if u.PidsLimit != nil {
			pids = string(rune('0' + *u.PidsLimit))
		}
		got := pids + " " + string(rune('0'+u.NanoCPUs)) + " " + map[bool]string{true: "true", false: "false"}[u.BlkioDeviceReadBps == nil]
		if got != want {
			t.Errorf("1.%d: %s, want %s", minor, got, want)
		}
	}
}

func FuzzCreate(f *testing.F) {
	f.Add(24, `{"Cmd":"a","MacAddress":"02:42:ac:11:00:02","HostConfig":{"PortBindings":{"80/tcp":[]},"Mounts":[{"Type":"bind"}]}}`)
	f.Add(56, `{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"x":null}},"HostConfig":null}`)
	f.Add(44, `{"MacAddress":"02:42:ac:11:00:02","NetworkingConfig":{"EndpointsConfig":null}}`)
	f.Fuzz(func(t *testing.T, minor int, body string) {
		c, err := decodeAs(t, 24+(minor&31), body)
		if err != nil && statusOf(err) != 400 {
			t.Errorf("%v", err)
		}
		if err == nil && (c.Config == nil || c.HostConfig == nil || c.Networking == nil) {
			t.Error("a part is missing")
		}
	})
}

func FuzzExec(f *testing.F) {
	f.Add(`{"Cmd":["a"],"DetachKeys":"ctrl-a"}`)
	f.Add(`{"Cmd":"a"}`)
	f.Fuzz(func(t *testing.T, body string) {
		h := httptest.NewRequest("POST", "/x", strings.NewReader(body))
		h.Header.Set("Content-Type", "application/json")
		req, err := decodeExec(&response{ResponseWriter: httptest.NewRecorder()}, &request{Request: h, version: Newest})
		if err == nil && len(req.Cmd) == 0 {
			t.Error("no command")
		}
		if err == nil && strings.Contains(body, "ctrl-a") && req.DetachKeys == "ctrl-a" {
			t.Error("the keys are not codes")
		}
	})
}

package integration

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"gantry/internal/testkit"
)

// newest is the newest minor API version that the engine says it speaks.
func newest(d *testkit.Session) int {
	d.T.Helper()
	_, body := get(d, "/version")
	var v struct{ ApiVersion, MinAPIVersion string }
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		d.T.Fatal(err)
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(v.ApiVersion, "1."))
	if err != nil {
		d.T.Fatal(err)
	}
	if !d.Reference() {
		equal(d.T, "oldest version", v.MinAPIVersion, "1.24")
	}
	return minor
}

func TestEveryVersionRunsAContainer(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for minor := 24; minor <= newest(d); minor++ {
		t.Run(fmt.Sprintf("1.%d", minor), func(t *testing.T) { runByVersion(d.With(t), minor) })
	}
}

func runByVersion(d *testkit.Session, minor int) {
	t, v := d.T, fmt.Sprintf("/v1.%d", minor)
	name := d.Name("version")
	resp, body := request(d, "POST", v+"/containers/create?name="+name, `{"Image":"busybox","Cmd":["sh","-c","exit 3"],"HostConfig":{"NetworkMode":"none"}}`)
	if resp.StatusCode != 201 {
		t.Fatalf("create: %d %s", resp.StatusCode, body)
	}
	if resp.Header.Get("Api-Version") == "" {
		t.Error("no Api-Version")
	}
	var created struct{ Id string } //nolint:revive // the API's name
	if err := json.Unmarshal([]byte(body), &created); err != nil || len(created.Id) != 64 {
		t.Fatalf("created %s: %v", body, err)
	}
	resp, body = request(d, "POST", v+"/containers/"+name+"/start", "")
	equal(t, "start "+body, resp.StatusCode, 204)
	resp, body = request(d, "POST", v+"/containers/"+name+"/wait", "")
	equal(t, "wait", resp.StatusCode, 200)
	contains(t, "wait", body, `"StatusCode":3`)
	code, body := get(d, v+"/containers/"+name+"/json")
	equal(t, "inspect", code, 200)
	var c struct {
		State struct{ ExitCode int }
		HostConfig, NetworkSettings,
		Config map[string]any
	}
	if err := json.Unmarshal([]byte(body), &c); err != nil {
		t.Fatal(err)
	}
	equal(t, "exit code", c.State.ExitCode, 3)
	for _, check := range []struct {
		field string
		in    map[string]any
		since int // the field is there from this version on
		until int // and no longer from this one on; 0 for ever
	}{
		{"Annotations", c.HostConfig, 43, 0},
		{"Bridge", c.NetworkSettings, 0, 52},
		{"MacAddress", c.NetworkSettings, 0, 52},
		{"SandboxKey", c.NetworkSettings, 0, 0},
		{"MacAddress", c.Config, 0, 52},
	} {
		_, there := check.in[check.field]
		if d.Reference() || check.field == "Annotations" && !there || check.field == "MacAddress" && !there {
			continue // left out when empty
		}
		want := minor >= check.since && (check.until == 0 || minor < check.until)
		equal(t, fmt.Sprintf("%s in 1.%d", check.field, minor), there, want)
	}
	for _, path := range []string{"/containers/json?all=1", "/images/json", "/volumes", "/networks", "/info", "/version", "/system/df"} {
		code, body := get(d, v+path)
		equal(t, path+" "+short(body), code, 200)
	}
	resp, body = request(d, "DELETE", v+"/containers/"+name, "")
	equal(t, "remove "+body, resp.StatusCode, 204)
}

func TestCLIWithAnOldVersion(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, version := range []string{"1.24", "1.30", "1.41"} {
		cmd := d.Command(d.Context(), "run", "--rm", "busybox", "echo", "hello")
		cmd.Env = append(cmd.Env, "DOCKER_API_VERSION="+version)
		// Standard output alone: at 1.24 the CLI removes the container itself, and complains when the
		// event of the removal ends it before it has read the answer.
		out, err := cmd.Output()
		if err != nil || string(out) != "hello\n" {
			t.Errorf("%s: %q, %v", version, out, err)
		}
	}
}

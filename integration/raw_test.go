package integration

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"gantry/internal/testkit"
)

// request sends one request as it is, without a client library between.
func request(d *testkit.Session, method, path, body string, header ...string) (*http.Response, string) {
	d.T.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, "http://docker"+path, strings.NewReader(body))
	if err != nil {
		d.T.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.Socket())
		},
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		d.T.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		d.T.Fatalf("%s %s: %v", method, path, err)
	}
	return resp, string(data)
}

// get returns status and body.
func get(d *testkit.Session, path string) (int, string) {
	d.T.Helper()
	resp, body := request(d, http.MethodGet, path, "")
	return resp.StatusCode, body
}

// hijack sends a request and returns the connection behind the head of the answer.
func hijack(d *testkit.Session, head string) (net.Conn, *bufio.Reader, *http.Response) {
	d.T.Helper()
	conn, err := net.Dial("unix", d.Socket())
	if err != nil {
		d.T.Fatal(err)
	}
	d.T.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, strings.ReplaceAll(head, "\n", "\r\n")); err != nil {
		d.T.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
	if err != nil {
		d.T.Fatalf("%s: %v", head, err)
	}
	return conn, r, resp
}

func TestPing(t *testing.T) {
	t.Parallel()
	d := engine(t)
	resp, body := request(d, http.MethodGet, "/_ping", "")
	equal(t, "status", resp.StatusCode, 200)
	equal(t, "body", body, "OK")
	for header, want := range map[string]string{
		"Ostype": "linux", "Docker-Experimental": "false", "Swarm": "inactive", "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache",
	} {
		if d.Reference() && header == "Swarm" {
			continue // since Docker 23, and so is Builder-Version
		}
		equal(t, header, resp.Header.Get(header), want)
	}
	if resp.Header.Get("Api-Version") == "" || resp.Header.Get("Server") == "" {
		t.Errorf("headers %v", resp.Header)
	}
	if _, ok := resp.Header["Builder-Version"]; !ok && !d.Reference() {
		t.Errorf("no Builder-Version in %v", resp.Header)
	}
	resp, body = request(d, http.MethodHead, "/_ping", "")
	equal(t, "status of HEAD", resp.StatusCode, 200)
	equal(t, "body of HEAD", body, "")
	equal(t, "versioned", func() int { code, _ := get(d, "/v1.24/_ping"); return code }(), 200)
}

func TestRequestsThatNobodyServes(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, c := range []struct {
		method, path string
		code         int
		body         string
	}{
		{"GET", "/nosuch", 404, `{"message":"page not found"}`},
		{"GET", "/v1.41/nosuch", 404, `{"message":"page not found"}`},
		{"GET", "/v1.99/version", 400, `{"message":"client version 1.99 is too new. Maximum supported API version is `},
		{"GET", "/v1.0/version", 400, `{"message":"client version 1.0 is too old. Minimum supported API version is `},
		{"GET", "/containers/nosuch/json", 404, `{"message":"No such container: nosuch"}`},
		{"POST", "/containers/create", 400, `{"message":"`},
		{"GET", "/containers/json?filters=x", 400, `{"message":"`},
		{"GET", "/containers/json?limit=x", 400, `{"message":"`},
		{"POST", "/containers/nosuch/start", 404, `{"message":"No such container: nosuch"}`},
		{"DELETE", "/containers/nosuch", 404, `{"message":"No such container: nosuch"}`},
		{"POST", "/exec/nosuch/start", 404, `{"message":"No such exec instance: nosuch"}`},
	} {
		if d.Reference() && (c.code == 400 || strings.Contains(c.path, "v1.0/")) {
			continue // 500, or the minimum was 1.12, before Docker 23
		}
		body := ""
		if c.path == "/exec/nosuch/start" {
			body = "{}"
		}
		resp, text := request(d, c.method, c.path, body)
		equal(t, "status of "+c.method+" "+c.path, resp.StatusCode, c.code)
		contains(t, "body of "+c.path, text, c.body)
		equal(t, "type of "+c.path, strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json"), true)
	}
}

func TestBadBodiesAreRefused(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("bad")
	for _, c := range []struct {
		body, text string
	}{
		{`{"Image":`, ""},
		{`{"Image":5}`, ""},
		{`{"Image":"busybox"} trailing`, ""},
		{`{}`, ""},
		{`{"Image":"busybox","HostConfig":{"Memory":1}}`, "Minimum memory limit allowed is 6MB"},
		{`{"Image":"busybox","HostConfig":{"MemorySwap":10000000}}`, "You should always set the Memory limit when using Memoryswap limit"},
		{`{"Image":"busybox","HostConfig":{"Memory":10000000,"MemorySwap":7000000}}`, "Minimum memoryswap limit should be larger than memory limit"},
		{`{"Image":"busybox","HostConfig":{"NanoCpus":100000000000}}`, "ange of CPUs is from 0.01 to "},
		{`{"Image":"busybox","HostConfig":{"CpusetCpus":"1000"}}`, "Requested CPUs are not available - requested 1000"},
		{`{"Image":"busybox","HostConfig":{"CpusetCpus":"x"}}`, "Invalid value x for cpuset cpus"},
		{`{"Image":"busybox","HostConfig":{"NanoCpus":1000000000,"CpuQuota":5000}}`, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
		{`{"Image":"busybox","HostConfig":{"OomScoreAdj":5000}}`, "Invalid value 5000, range for oom score adj is [-1000, 1000]"},
		{`{"Image":"busybox","HostConfig":{"ShmSize":-1}}`, "SHM size can not be less than 0"},
		{`{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"nosuch"}}}`, "nvalid restart policy"},
		{`{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"always","MaximumRetryCount":3}}}`, "maximum retry count can"},
		{`{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":-3}}}`, "maximum retry count cannot be negative"},
		{`{"Image":"busybox","HostConfig":{"Runtime":"nosuch"}}`, "nosuch"},
		{`{"Image":"busybox","HostConfig":{"PortBindings":{"80/tcp":[{"HostPort":"x"}]}}}`, "nvalid"},
		{`{"Image":"busybox","HostConfig":{"CgroupnsMode":"nosuch"}}`, "nvalid cgroup namespace mode"},
		{`{"Image":"busybox","HostConfig":{"Isolation":"hyperv"}}`, "nvalid isolation"},
		{`{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"nosuch","Target":"/x"}]}}`, "mount type unknown"},
		{`{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"bind","Target":"/x"}]}}`, "field Source must not be empty"},
		{`{"Image":"busybox","HostConfig":{"Mounts":[{"Type":"tmpfs"}]}}`, "field Target must not be empty"},
		{`{"Image":"busybox","HostConfig":{"Sysctls":{"net.ipv4.x":"1"},"NetworkMode":"host"}}`, ""},
		{`{"Image":"busybox","StopSignal":"NOSUCH"}`, "nvalid signal: NOSUCH"},
		{`{"Image":"busybox","WorkingDir":"relative"}`, "the working directory 'relative' is invalid, it needs to be an absolute path"},
		{`{"Image":"busybox","Env":["=x"]}`, "nvalid environment variable: =x"},
		{`{"Image":"busybox","Healthcheck":{"Interval":1}}`, "Interval in Healthcheck cannot be less than 1ms"},
		{`{"Image":"busybox","Healthcheck":{"Retries":-1}}`, "Retries in Healthcheck cannot be negative"},
		{`{"Image":"busybox","HostConfig":{"NetworkMode":"nosuch"}}`, ""},
	} {
		resp, text := request(d, "POST", "/containers/create?name="+name, c.body)
		switch {
		case d.Reference() && c.text == "" || strings.Contains(c.body, "hyperv"): // 500, or not looked at, before Docker 23
		case strings.Contains(c.body, "NetworkMode\":\"nosuch"):
			if !d.Reference() && resp.StatusCode != 201 && resp.StatusCode != 404 {
				t.Errorf("status %d for %s: %s", resp.StatusCode, c.body, text)
			}
		case strings.Contains(c.body, "net.ipv4.x") && resp.StatusCode == 201: // refused by the kernel at start
		case resp.StatusCode != 400:
			t.Errorf("status %d for %s: %s", resp.StatusCode, c.body, text)
		}
		if c.text != "" {
			contains(t, "answer to "+c.body, text, c.text)
		}
		_, _ = request(d, "DELETE", "/containers/"+name+"?force=1", "")
	}
	code, text := get(d, "/containers/"+name+"/json")
	equal(t, "a container is left: "+text, code, 404)
}

func TestMissingImagesAre404(t *testing.T) {
	t.Parallel()
	d := engine(t)
	resp, text := request(d, "POST", "/containers/create", `{"Image":"nosuch"}`)
	equal(t, "status", resp.StatusCode, 404)
	equal(t, "body", strings.TrimSpace(text), `{"message":"No such image: nosuch:latest"}`)
}

func TestHijackUpgradesAndOldClients(t *testing.T) {
	t.Parallel()
	d := engine(t)
	for _, c := range []struct {
		name, headers string
		code          int
		contentType   string
	}{
		{"upgrade", "Connection: Upgrade\nUpgrade: tcp\n", 101, "application/vnd.docker.multiplexed-stream"},
		{"old client", "", 200, "application/vnd.docker.raw-stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := d.With(t)
			name := d.Name("hijack")
			d.Docker("create", "-i", "--name", name, "busybox", "cat")
			conn, r, resp := hijack(d, "POST /containers/"+name+"/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\nHost: docker\n"+c.headers+"\n")
			equal(t, "status", resp.StatusCode, c.code)
			if !d.Reference() { // which knew only the raw type before Docker 23
				equal(t, "type", resp.Header.Get("Content-Type"), c.contentType)
			}
			start(d, name)
			if _, err := io.WriteString(conn, "hello\n"); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			stdout, _ := demultiplex(t, r)
			equal(t, "stdout", stdout, "hello\n")
		})
	}
}

func TestRawStreamOfATerminal(t *testing.T) {
	t.Parallel()
	d := engine(t)
	name := d.Name("tty")
	d.Docker("create", "-t", "--name", name, "busybox", "echo", "hello")
	_, r, resp := hijack(d, "POST /containers/"+name+"/attach?stream=1&stdout=1 HTTP/1.1\nHost: docker\nConnection: Upgrade\nUpgrade: tcp\n\n")
	equal(t, "type", resp.Header.Get("Content-Type"), "application/vnd.docker.raw-stream")
	start(d, name)
	data, _ := io.ReadAll(r)
	equal(t, "output", string(data), "hello\r\n")
}

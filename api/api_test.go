package api

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gantry/container"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// fakeSystem is an engine of fixed facts.
type fakeSystem struct {
	info    system.Info
	usage   system.DiskUsage
	asked   []system.DiskUsageObject
	verbose bool
}

func (f *fakeSystem) Info(context.Context) (*system.Info, error) { return &f.info, nil }
func (f *fakeSystem) Version(context.Context) (*system.VersionResponse, error) {
	return &system.VersionResponse{Version: "29.0.0", APIVersion: Newest.String(), MinAPIVersion: Oldest.String()}, nil
}
func (f *fakeSystem) DiskUsage(_ context.Context, objects []system.DiskUsageObject, verbose bool) (*system.DiskUsage, error) {
	f.asked, f.verbose = objects, verbose
	return &f.usage, nil
}

// open makes a server without a room behind it. Routes replace the API's where they are given.
func open(t testing.TB, cfg Config, routes ...route) *Server {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.ServerVersion = "29.0.0"
	if cfg.System == nil {
		cfg.System = &fakeSystem{}
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if routes != nil {
		s.router = newRouter(routes)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// listen serves on a Unix socket and returns its path.
func listen(t testing.TB, s *Server) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), []net.Listener{l}) }()
	t.Cleanup(func() {
		s.Close(context.Background())
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path
}

func ask(s *Server, method, target, body string, header ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func dialUnix(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // a hang fails the test, not the run
	return c.(*net.UnixConn)
}

func TestNewestIsTheClientsNewest(t *testing.T) {
	if Newest.String() != client.MaxAPIVersion {
		t.Errorf("serves %s, the client speaks %s", Newest, client.MaxAPIVersion)
	}
}

func TestPing(t *testing.T) {
	s := open(t, Config{Experimental: true})
	for _, method := range []string{"GET", "HEAD"} {
		for _, path := range []string{"/_ping", "/v1.24/_ping", "/v1.56/_ping"} {
			w := ask(s, method, path, "")
			want := map[string]string{
				"Api-Version": "1.56", "Docker-Experimental": "true", "Ostype": "linux", "Server": "Docker/29.0.0 (linux)",
				"Builder-Version": "2", "Swarm": "inactive", "Cache-Control": "no-cache, no-store, must-revalidate", "Pragma": "no-cache",
				"Content-Type": "text/plain; charset=utf-8",
			}
			for key, value := range want {
				if got := w.Header().Get(key); got != value {
					t.Errorf("%s %s: %s is %q, want %q", method, path, key, got, value)
				}
			}
			if body := w.Body.String(); w.Code != 200 || (method == "GET" && body != "OK") || (method == "HEAD" && body != "") {
				t.Errorf("%s %s: %d %q", method, path, w.Code, body)
			}
		}
	}
}

func TestRefusalsOfRequests(t *testing.T) {
	s := open(t, Config{Containers: &container.Service{}}) // a request that is refused does not reach it
	const json = "application/json"
	for _, tc := range []struct {
		method, path, body, contentType string
		status                          int
		answer, media                   string
	}{
		{"GET", "/v1.99/info", "", "", 400, `{"message":"client version 1.99 is too new. Maximum supported API version is 1.56"}` + "\n", json},
		{"GET", "/v2/info", "", "", 400, `{"message":"client version 2 is too new. Maximum supported API version is 1.56"}` + "\n", json},
		{"GET", "/v1.23/info", "", "", 400, `{"message":"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}` + "\n", json},
		{"GET", "/v1.10/info", "", "", 400, `{"message":"client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version"}` + "\n", json},
		{"GET", "/nowhere", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"GET", "/v1.99/nowhere", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"GET", "/v1.x/info", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"PATCH", "/info", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"HEAD", "/info", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"PUT", "/v1.41/volumes/x", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"GET", "/v1.54/images/a/attestations", "", "", 404, `{"message":"page not found"}` + "\n", json},
		{"POST", "/build", "", "", 501, `{"message":"the builder has not landed in gantry yet"}` + "\n", json},
		{"POST", "/build/prune", "", "", 200, `{"CachesDeleted":null,"SpaceReclaimed":0}` + "\n", json},
		{"POST", "/build/prune?filters=x", "", "", 400, `{"message":"invalid filter: invalid character 'x' looking for beginning of value"}` + "\n", json},
		{"POST", "/containers/x/start?checkpoint=c", "", "", 501, `{"message":"checkpoint and restore has not landed in gantry yet"}` + "\n", json},
		{"POST", "/containers/create", "{}", "text/plain", 400, `{"message":"unsupported Content-Type header (text/plain): must be 'application/json'"}` + "\n", json},
		{"POST", "/containers/create", "{}", "", 400, `{"message":"malformed Content-Type header (): mime: no media type"}` + "\n", json},
		{"POST", "/containers/create", "{}", json, 400, `{"message":"config cannot be empty in order to create a container"}` + "\n", json},
		{"POST", "/containers/create", "", "", 400, `{"message":"config cannot be empty in order to create a container"}` + "\n", json},
		{"POST", "/containers/create", " ", json, 400, `{"message":"invalid JSON: got EOF while reading request body"}` + "\n", json},
		{"POST", "/containers/create", `{"Image":"a"}{}`, json, 400, `{"message":"unexpected content after JSON"}` + "\n", json},
		{"POST", "/containers/create", `{"Image":`, json, 400, `{"message":"invalid JSON: unexpected EOF"}` + "\n", json},
		{"POST", "/containers/create", `{"Image":3}`, json, 400, `{"message":"invalid JSON: json: cannot unmarshal number into Go struct field createBody.configBody.Config.Image of type string"}` + "\n", json},
		{"POST", "/containers/x/exec", `{}`, json, 400, `{"message":"No exec command specified"}` + "\n", json},
		{"POST", "/containers/x/exec", `{"Cmd":["a"],"DetachKeys":"ctrl-p,shift-a"}`, json, 400, `{"message":"Invalid escape keys (ctrl-p,shift-a) provided"}` + "\n", json},
		{"POST", "/containers/x/attach?detachKeys=ctrl-1", "", "", 400, `{"message":"Invalid detach keys (ctrl-1) provided"}` + "\n", json},
		{"POST", "/containers/x/start", `{"Binds":[]}`, json, 400, `{"message":"starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"}` + "\n", json},
		{"GET", "/containers/x/logs", "", "", 400, `{"message":"Bad parameters: you must choose at least one stream"}` + "\n", json},
		{"GET", "/containers/x/logs?stdout=1&since=yesterday", "", "", 400, `{"message":"invalid value for since: \"yesterday\" is no time"}` + "\n", json},
		{"GET", "/containers/x/stats?one-shot=1", "", "", 400, `{"message":"cannot have stream=true and one-shot=true"}` + "\n", json},
		{"POST", "/containers/x/wait?condition=never", "", "", 400, `{"message":"invalid condition: \"never\""}` + "\n", json},
		{"POST", "/containers/x/resize?h=a&w=1", "", "", 400, `{"message":"invalid resize height \"a\": it must be a number from 0 to 65535"}` + "\n", json},
		{"POST", "/containers/x/stop?t=soon", "", "", 400, `{"message":"invalid value for t: strconv.Atoi: parsing \"soon\": invalid syntax"}` + "\n", json},
		{"GET", "/containers/x/archive", "", "", 400, `{"message":"bad parameter: path cannot be empty"}` + "\n", json},
		{"GET", "/events?since=20&until=10", "", "", 400, "{\"message\":\"`since` time (20) cannot be after `until` time (10)\"}\n", json},
		{"GET", "/events?filters=%7B", "", "", 400, `{"message":"invalid filter: unexpected end of JSON input"}` + "\n", json},
		{"GET", "/info?a=%zz", "", "", 400, `{"message":"invalid URL escape \"%zz\""}` + "\n", json},
		{"GET", "/system/df?type=dust", "", "", 400, `{"message":"unknown object type: dust"}` + "\n", json},
	} {
		r := httptest.NewRequest(tc.method, tc.path, strings.NewReader(tc.body))
		if tc.contentType != "" {
			r.Header.Set("Content-Type", tc.contentType)
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != tc.status || w.Body.String() != tc.answer || w.Header().Get("Content-Type") != tc.media {
			t.Errorf("%s %s %q: %d %s %q\nwant %d %s %q", tc.method, tc.path, tc.body, w.Code, w.Header().Get("Content-Type"), w.Body, tc.status, tc.media, tc.answer)
		}
		if w.Header().Get("Api-Version") != "1.56" {
			t.Errorf("%s %s: no Api-Version", tc.method, tc.path)
		}
	}
}

func TestMinimumVersionIsConfigured(t *testing.T) {
	s := open(t, Config{MinVersion: "1.44"})
	w := ask(s, "GET", "/v1.43/info", "")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Minimum supported API version is 1.44") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/v1.44/info", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, bad := range []string{"1.10", "1.99", "new"} {
		if _, err := Open(t.Context(), Config{MinVersion: bad}); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := open(t, Config{})
	body := `{"Image":"` + strings.Repeat("a", maxJSON) + `"}`
	if w := ask(s, "POST", "/containers/create", body); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %.100s", w.Code, w.Body)
	}
	deep := strings.Repeat(`{"HostConfig":`, 20000)
	if w := ask(s, "POST", "/containers/create", deep); w.Code != 400 {
		t.Errorf("%d %.100s", w.Code, w.Body)
	}
}

// Attack 14: a giant header is refused before it is kept.
func TestHeadersAreBounded(t *testing.T) {
	path := listen(t, open(t, Config{}))
	c := dialUnix(t, path)
	fmt.Fprintf(c, "GET /info HTTP/1.1\r\nHost: d\r\nX-Large: ")
	go c.Write(bytes.Repeat([]byte("x"), maxHeader+8192))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v %v", resp, err)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	s := open(t, Config{}, route{"GET", "/panic", 0, func(*response, *request) error { panic("oh") }},
		route{"GET", "/late", 0, func(w *response, _ *request) error { w.Write([]byte("half")); panic("oh") }},
		route{"GET", "/broken", 0, func(w *response, _ *request) error {
			w.Write([]byte("half"))
			return errdefs.ErrInternal
		}})
	w := ask(s, "GET", "/panic", "")
	if w.Code != 500 || !strings.Contains(w.Body.String(), "internal error") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	path := listen(t, s)
	httpc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	for _, half := range []string{"/late", "/broken"} {
		resp, err := httpc.Get("http://d" + half)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: half an answer looks whole", half)
		}
	}
	if resp, err := httpc.Get("http://d/panic"); err != nil || resp.StatusCode != 500 {
		t.Errorf("the server is gone: %v", err)
	}
}

func TestRequestsAreAccounted(t *testing.T) {
	var actions []string
	s := open(t, Config{Observe: func(action string, took time.Duration) {
		if took <= 0 {
			t.Errorf("%s took %v", action, took)
		}
		actions = append(actions, action)
	}})
	ask(s, "GET", "/v1.40/info", "")
	ask(s, "GET", "/nowhere", "")
	ask(s, "POST", "/containers/abc/stop?t=x", "")
	if got := strings.Join(actions, ","); got != "GET /info,POST /containers/{id}/stop" {
		t.Error(got)
	}
}

// Attack 15: a web page in the user's browser must not drive the engine over TCP.
func TestWebPagesAreRefused(t *testing.T) {
	s := open(t, Config{})
	tcp := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2375}
	for _, tc := range []struct {
		what, method, host string
		header             []string
		local              net.Addr
		status             int
	}{
		{"a client", "GET", "docker.example.com:2375", nil, tcp, 200},
		{"curl", "GET", "127.0.0.1:2375", []string{"User-Agent", "curl/8"}, tcp, 200},
		{"a page's POST", "POST", "127.0.0.1:2375", []string{"Origin", "https://evil.example"}, tcp, 403},
		{"a page's image", "GET", "127.0.0.1:2375", []string{"Sec-Fetch-Site", "cross-site"}, tcp, 403},
		{"a page with a rebound name", "GET", "evil.example:2375", []string{"User-Agent", "Mozilla/5.0", "Accept-Language", "en"}, tcp, 403},
		{"a rebound POST without Origin", "POST", "evil.example:2375", []string{"Accept-Language", "en"}, tcp, 403},
		{"a user who looks", "GET", "192.168.0.7:2375", []string{"User-Agent", "Mozilla/5.0", "Accept-Language", "en"}, tcp, 200},
		{"a user who looks at ::1", "GET", "[::1]:2375", []string{"User-Agent", "Mozilla/5.0"}, tcp, 200},
		{"a proxy to the Unix socket", "GET", "docker", []string{"Origin", "https://portal.example"}, &net.UnixAddr{Net: "unix"}, 200},
	} {
		path := "/info"
		if tc.method == "POST" {
			path = "/build"
		}
		r := httptest.NewRequest(tc.method, path, nil)
		r.Host = tc.host
		for i := 0; i+1 < len(tc.header); i += 2 {
			r.Header.Set(tc.header[i], tc.header[i+1])
		}
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tc.local))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("%s: %d %s", tc.what, w.Code, w.Body)
		}
	}
}

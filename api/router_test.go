package api

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestNamesWithSlashes(t *testing.T) {
	say := func(what string) handler {
		return func(w *response, r *request) error {
			fmt.Fprint(w, what, " ", r.name("name"), r.id())
			return nil
		}
	}
	s := open(t, Config{}, []route{
		{"GET", "/images/json", 0, say("list")},
		{"GET", "/images/search", 0, say("search")},
		{"GET", "/images/{name...}/json", 0, say("inspect")},
		{"GET", "/images/{name...}/get", 0, say("get")},
		{"DELETE", "/images/{name...}", 0, say("rm")},
		{"POST", "/containers/{id}/start", 0, say("start")},
		{"GET", "/new", 50, say("new")},
	}...)
	for _, tc := range []struct{ method, path, want string }{
		{"GET", "/images/json", "list "},
		{"GET", "/v1.24/images/json", "list "},
		{"GET", "/images/a/b/c:1/json", "inspect a/b/c:1"},
		{"GET", "/images/a/get", "get a"},
		{"GET", "/images/json/json", "inspect json"},
		{"GET", "/images/search", "search "},
		{"DELETE", "/images/reg:5000/x/y@sha256:00", "rm reg:5000/x/y@sha256:00"},
		{"GET", "/v1.56/images/a%2Fb/json", "inspect a/b"},
		{"POST", "/v1.30/containers/x/start", "start x"},
		{"GET", "/new", "new "},
		{"GET", "/v1.50/new", "new "},
		{"GET", "/v1.49/new", `{"message":"page not found"}` + "\n"},
		{"GET", "/images/json/", `{"message":"page not found"}` + "\n"},
		{"POST", "/containers/x/start/", `{"message":"page not found"}` + "\n"},
		{"POST", "/containers/start", `{"message":"page not found"}` + "\n"},
		{"DELETE", "/images/", `{"message":"page not found"}` + "\n"},
		{"GET", "/", `{"message":"page not found"}` + "\n"},
		{"GET", "/v1.30", `{"message":"page not found"}` + "\n"},
	} {
		if w := ask(s, tc.method, tc.path, ""); w.Body.String() != tc.want {
			t.Errorf("%s %s: %d %q, want %q", tc.method, tc.path, w.Code, w.Body, tc.want)
		}
	}
}

// Attack 13: what the handler sees is the path that was authorized.
func TestUncleanPathsAreRedirected(t *testing.T) {
	s := open(t, Config{})
	for path, want := range map[string]string{
		"/v1.40//info?x=1":         "/v1.40/info?x=1",
		"/containers/../info":      "/info",
		"/images/a/./json":         "/images/a/json",
		"/images/a%2F%2Fb/json":    "/images/a/b/json",
		"/containers//name/json":   "/containers/name/json",
		"/containers/%2Fname/json": "/containers/name/json",
	} {
		w := ask(s, "GET", path, "")
		if w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
}

// specification returns the method and path of every endpoint of the newest swagger.yaml.
func specification(t *testing.T) []string {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/moby/api").Output()
	if err != nil {
		t.Skip("the module cache cannot be asked for the specification")
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "swagger.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path, endpoints := "", []string(nil)
	isPath, isMethod := regexp.MustCompile(`^  (/[^:]*):`), regexp.MustCompile(`^    (get|post|put|delete|head):`)
	for line := range strings.Lines(string(text)) {
		if m := isPath.FindStringSubmatch(line); m != nil {
			path = m[1]
		} else if m := isMethod.FindStringSubmatch(line); m != nil && path != "" {
			endpoints = append(endpoints, strings.ToUpper(m[1])+" "+path)
		}
	}
	return endpoints
}

func TestEveryEndpointOfTheSpecificationHasARoute(t *testing.T) {
	s := open(t, Config{})
	table := map[string]bool{}
	for _, r := range s.routes() {
		table[r.method+" "+strings.ReplaceAll(r.pattern, "...}", "}")] = true
	}
	endpoints := specification(t)
	if len(endpoints) < 100 {
		t.Fatalf("%d endpoints read", len(endpoints))
	}
	for _, e := range endpoints {
		if !table[e] {
			t.Errorf("no route for %s", e)
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"/v1.24/images/a/b/json", "/images/json", "/v1./x", "/containers//", "/v", "/volumes/a/b", "/images/a/get/json", "/v1.999999999999999999999/info"} {
		f.Add("GET", seed)
	}
	s := open(f, Config{})
	f.Fuzz(func(t *testing.T, method, path string) {
		text, rest, found := splitVersion(path)
		if found && "/v"+text+rest != path && "/v"+text+rest != path+"/" {
			t.Errorf("%q became %q and %q", path, text, rest)
		}
		if v, err := s.negotiate(text); err == nil && (v.less(Oldest) || Newest.less(v)) {
			t.Errorf("%q was accepted as %s", text, v)
		}
		if r, values := s.router.find(method, rest, Newest); r != nil {
			for i := 1; i < len(values); i += 2 {
				if values[i] == "" {
					t.Errorf("%q has an empty %s", path, values[i-1])
				}
			}
		}
	})
}

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gantry/image"
	"gantry/internal/testkit/imagetar"
	"gantry/storage"

	"github.com/moby/moby/client"
)

func openImages(t *testing.T) *image.Service {
	t.Helper()
	t.Setenv("DOCKER_DRIVER", "")
	st, err := storage.Open(t.Context(), storage.Config{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close(context.Background()) })
	svc, err := image.Open(t.Context(), image.Config{Storage: st, Events: openJournal(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { svc.Close(context.Background()) })
	return svc
}

// archiveOf is a docker-save archive of an image of one file.
func archiveOf(t *testing.T, tags ...string) []byte {
	t.Helper()
	data, err := imagetar.Build(imagetar.Image{Tags: tags, Layers: []imagetar.Rootfs{{"file": {Data: "content"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func upload(s *Server, target string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", target, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-tar")
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func TestImages(t *testing.T) {
	s := open(t, Config{Images: openImages(t)})
	if w := upload(s, "/images/load?quiet=1", archiveOf(t, "team/app:v1")); w.Code != 200 || w.Body.String() != `{"stream":"Loaded image: team/app:v1\n"}`+"\n" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, tc := range []struct {
		method, target string
		status         int
		contains       string
	}{
		{"GET", "/images/json", 200, `"RepoTags":["team/app:v1"]`},
		{"GET", "/v1.43/images/json", 200, `"VirtualSize":`},
		{"GET", "/v1.40/images/json?filter=team/app", 200, `"Containers":-1`},
		{"GET", "/v1.40/images/json?filter=other", 200, `[]`},
		{"GET", `/images/json?filters={"reference":["nothing"]}`, 200, `[]`},
		{"GET", "/images/team/app:v1/json", 200, `"Architecture":"amd64"`},
		{"GET", "/v1.44/images/team/app:v1/json", 200, `"ContainerConfig":{`},
		{"GET", "/images/team/other/json", 404, "No such image: team/other:latest"},
		{"GET", "/images/team/app:v1/json?platform=linux", 400, "failed to parse platform"},
		{"GET", "/v1.48/images/team/app:v1/json?platform=linux", 200, `"Id"`},
		{"GET", `/images/team/app:v1/json?manifests=1&platform={"os":"linux","architecture":"amd64"}`, 400, "conflicting options"},
		{"GET", "/images/team/app:v1/history", 200, `"Size":`},
		{"POST", "/images/team/app:v1/tag?repo=team/app&tag=v2", 201, ""},
		{"POST", "/images/team/app:v1/tag?repo=UPPER", 400, `"message"`},
		{"DELETE", "/images/team/app:v1", 200, `[{"Untagged":"team/app:v1"}]`},
		{"DELETE", "/images/team/app:v1", 404, "No such image: team/app:v1"},
		{"POST", "/images/prune", 200, `"SpaceReclaimed":0`},
		{"DELETE", "/images/team/app:v2", 200, `"Deleted":"sha256:`},
	} {
		w := ask(s, tc.method, tc.target, "")
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
			t.Errorf("%s %s: %d %s", tc.method, tc.target, w.Code, w.Body)
		}
	}
}

func TestSavedImagesAreLoadedAgain(t *testing.T) {
	s := open(t, Config{Images: openImages(t)})
	upload(s, "/images/load", archiveOf(t, "a:1", "b:1"))
	for _, target := range []string{"/images/get?names=a:1&names=b:1", "/images/a:1/get"} {
		w := ask(s, "GET", target, "")
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-tar" {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
		other := open(t, Config{Images: openImages(t)})
		if w := upload(other, "/images/load", w.Body.Bytes()); !strings.Contains(w.Body.String(), "Loaded image: a:1") {
			t.Errorf("%s: %s", target, w.Body)
		}
	}
	if w := ask(s, "GET", "/images/none/get", ""); w.Code != 404 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w := upload(s, "/images/load", []byte("no tar")); w.Code != 200 || !strings.Contains(w.Body.String(), `"errorDetail":{"message":`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestImportFromTheBodyAndFromAnAddress(t *testing.T) {
	s := open(t, Config{Images: openImages(t)})
	tar, err := imagetar.Layer(imagetar.Rootfs{"file": {Data: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	w := upload(s, "/images/create?fromSrc=-&repo=imported&tag=1&message=by%20hand&changes=CMD%20%5B%22sh%22%5D", tar)
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), `{"status":"sha256:`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "GET", "/images/imported:1/json", ""); !strings.Contains(w.Body.String(), `"Comment":"by hand"`) || !strings.Contains(w.Body.String(), `"Cmd":["sh"]`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/root.tar" {
			http.NotFound(w, r)
			return
		}
		w.Write(tar)
	}))
	defer web.Close()
	w = upload(s, "/images/create?repo=fetched&fromSrc="+web.URL+"/root.tar", nil)
	if !strings.Contains(w.Body.String(), "Downloading from ") || !strings.Contains(w.Body.String(), `{"status":"sha256:`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, bad := range []string{web.URL + "/none", "file:///etc/passwd", "http://127.0.0.1:1/"} {
		if w := upload(s, "/images/create?repo=bad&fromSrc="+bad, nil); !strings.Contains(w.Body.String(), `"errorDetail"`) {
			t.Errorf("%s: %s", bad, w.Body)
		}
	}
}

func TestTheClientLoadsAndListsImages(t *testing.T) {
	path := listen(t, open(t, Config{Images: openImages(t)}))
	data := archiveOf(t, "busybox:latest")
	for _, version := range []string{"1.40", "1.44", "1.56"} {
		c, err := client.New(client.WithHost("unix://"+path), client.WithAPIVersion(version))
		if err != nil {
			t.Fatal(err)
		}
		loaded, err := c.ImageLoad(t.Context(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(loaded)
		loaded.Close()
		if !json.Valid(bytes.TrimSpace(text)) {
			t.Errorf("%s: %s", version, text)
		}
		all, err := c.ImageList(t.Context(), client.ImageListOptions{})
		if err != nil || len(all.Items) != 1 || all.Items[0].RepoTags[0] != "busybox:latest" {
			t.Errorf("%s: %+v %v", version, all, err)
		}
		one, err := c.ImageInspect(t.Context(), "busybox")
		if err != nil || one.Os != "linux" {
			t.Errorf("%s: %+v %v", version, one, err)
		}
		c.Close()
	}
}

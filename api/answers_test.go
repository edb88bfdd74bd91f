package api

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"gantry/volume"

	"github.com/containerd/errdefs"
	containertypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/system"
)

func TestStatusOfErrors(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{errdefs.ErrNotFound.WithMessage("No such container: web"), 404},
		{fmt.Errorf("start: %w", errdefs.ErrConflict.WithMessage("container is paused")), 409},
		{errdefs.ErrAlreadyExists, 409},
		{errdefs.ErrFailedPrecondition, 400},
		{errdefs.ErrInvalidArgument, 400},
		{errdefs.ErrNotModified, 304},
		{errdefs.ErrNotImplemented, 501},
		{errdefs.ErrPermissionDenied, 403},
		{errdefs.ErrUnauthenticated, 401},
		{errdefs.ErrInternal, 500},
		{fmt.Errorf("outer: %w (%w)", errdefs.ErrUnavailable, fmt.Errorf("inner: %w", errdefs.ErrNotFound)), 503},
		{errors.New("any"), 500},
		{&http.MaxBytesError{}, 413},
	} {
		if got := statusOf(tc.err); got != tc.want {
			t.Errorf("%v: %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestNotModifiedHasNoBody(t *testing.T) {
	s := open(t, Config{}, route{"POST", "/x", 0, func(*response, *request) error { return errdefs.ErrNotModified }})
	if w := ask(s, "POST", "/x", ""); w.Code != 304 || w.Body.Len() > 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestListsInPiecesAreWhole(t *testing.T) {
	for _, n := range []int{0, 1, 2, 10, 500} {
		all := make([]containertypes.Summary, n)
		for i := range all {
			all[i] = *sampleSummary()
			all[i].Command = fmt.Sprint("<", i, ">")
		}
		w := httptest.NewRecorder()
		if err := writeList(w, all); err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		encoder.Encode(append([]containertypes.Summary{}, all...))
		if !bytes.Equal(w.Body.Bytes(), want.Bytes()) {
			t.Errorf("%d elements: %.300s", n, w.Body)
		}
	}
	w := httptest.NewRecorder()
	writeList[int](w, nil)
	if w.Body.String() != "[]\n" {
		t.Errorf("no elements: %q", w.Body)
	}
}

func TestAnswersThatCannotBeEncodedAreErrors(t *testing.T) {
	s := open(t, Config{}, route{"GET", "/x", 0, func(w *response, _ *request) error { return ok(w, func() {}) }})
	if w := ask(s, "GET", "/x", ""); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestCompressedArchives(t *testing.T) {
	for accept, read := range map[string]func(io.Reader) io.Reader{
		"":                  func(r io.Reader) io.Reader { return r },
		"br":                func(r io.Reader) io.Reader { return r },
		"gzip;q=0":          func(r io.Reader) io.Reader { return r },
		"gzip, deflate":     func(r io.Reader) io.Reader { z, _ := gzip.NewReader(r); return z },
		"br, deflate;q=0.5": func(r io.Reader) io.Reader { return flate.NewReader(r) },
	} {
		w := httptest.NewRecorder()
		r := newRequest("GET", "/x", 56)
		r.Header.Set("Accept-Encoding", accept)
		if err := copyCompressed(&response{ResponseWriter: w}, r, strings.NewReader("a tar")); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(read(w.Body)); string(got) != "a tar" || err != nil {
			t.Errorf("%q: %q %v", accept, got, err)
		}
	}
}

func TestProgressReportsErrorsInItsBody(t *testing.T) {
	report := func(quiet bool) string {
		w := httptest.NewRecorder()
		p := newProgress(&response{ResponseWriter: w}, quiet)
		p.send(jsonstream.Message{ID: "layer", Status: "Loading layer", Progress: &jsonstream.Progress{Current: 1, Total: 2}})
		p.send(jsonstream.Message{Stream: "Loaded image: busybox:latest\n"})
		p.end(errors.New("bad <tar>"))
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		return w.Body.String()
	}
	const last = `{"stream":"Loaded image: busybox:latest\n"}` + "\n" + `{"errorDetail":{"message":"bad <tar>"},"error":"bad <tar>"}` + "\n"
	if got := report(true); got != last {
		t.Error(got)
	}
	if got := report(false); got != `{"status":"Loading layer","progressDetail":{"current":1,"total":2},"id":"layer"}`+"\n"+last {
		t.Error(got)
	}
}

func TestDiskUsageIsAskedForWhatTheVersionKnows(t *testing.T) {
	for _, tc := range []struct {
		target  string
		asked   []system.DiskUsageObject
		verbose bool
	}{
		{"/system/df", nil, false},
		{"/system/df?verbose=1&type=image&type=volume", []system.DiskUsageObject{"image", "volume"}, true},
		{"/v1.52/system/df", nil, true},
		{"/v1.42/system/df?type=container&verbose=1", []system.DiskUsageObject{"container"}, true},
		{"/v1.41/system/df?type=container", nil, true},
	} {
		f := &fakeSystem{usage: *sampleUsage()}
		if w := ask(open(t, Config{System: f}), "GET", tc.target, ""); w.Code != 200 {
			t.Errorf("%s: %d %s", tc.target, w.Code, w.Body)
		}
		if !reflect.DeepEqual(f.asked, tc.asked) || f.verbose != tc.verbose {
			t.Errorf("%s: %v %v", tc.target, f.asked, f.verbose)
		}
	}
}

func TestVolumes(t *testing.T) {
	svc, err := volume.Open(t.Context(), volume.Config{Root: t.TempDir(), Events: openJournal(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { svc.Close(t.Context()) })
	s := open(t, Config{Volumes: svc})
	for _, tc := range []struct {
		method, target, body string
		status               int
		contains             string
	}{
		{"GET", "/volumes", "", 200, `"Volumes":[]`},
		{"POST", "/volumes/create", `{"Name":"data","Labels":{"a":"b"}}`, 201, `"Name":"data"`},
		{"POST", "/volumes/create", `{"Name":"../x"}`, 400, `"message"`},
		{"POST", "/v1.44/volumes/create", `{"ClusterVolumeSpec":{}}`, 501, "cluster volumes"},
		{"GET", "/volumes/data", "", 200, `"Driver":"local"`},
		{"GET", "/volumes/none", "", 404, "no such volume"},
		{"GET", `/volumes?filters={"name":["dat"]}`, "", 200, `"Name":"data"`},
		{"GET", `/volumes?filters={"colour":["red"]}`, "", 400, "invalid filter"},
		{"POST", "/volumes/prune", "", 200, `"VolumesDeleted":[`},
		{"GET", "/volumes/data", "", 200, `"Name":"data"`},
		{"POST", "/v1.41/volumes/prune", "", 200, `"data"`},
		{"DELETE", "/volumes/data", "", 404, "no such volume"},
		{"DELETE", "/volumes/data?force=1", "", 204, ""},
	} {
		w := ask(s, tc.method, tc.target, tc.body)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
			t.Errorf("%s %s: %d %s", tc.method, tc.target, w.Code, w.Body)
		}
	}
}

// BenchmarkList is what `ps -a` of 1000 containers costs beyond reading their records.
func BenchmarkList(b *testing.B) {
	all := make([]containertypes.Summary, 1000)
	for i := range all {
		all[i] = *sampleSummary()
	}
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		w.Body = nil
		writeList(w, all)
	}
}

package distribution

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gantry/internal/testkit/imagetar"
	"gantry/storage"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type layers struct{ *storage.Service }

func (l layers) HasChain(ctx context.Context, chain digest.Digest) (bool, error) {
	return l.Service.HasChain(ctx, storage.ChainID(chain))
}

func (l layers) Unpack(ctx context.Context, parent, diffID digest.Digest, tar io.Reader) (digest.Digest, error) {
	chain, err := l.Service.Unpack(ctx, storage.ChainID(parent), storage.DiffID(diffID), tar)
	return digest.Digest(chain), err
}

// names are images by name, without anything that keeps them.
type names struct{ sync.Map }

func (n *names) Target(_ context.Context, name string) (ocispec.Descriptor, error) {
	if d, ok := n.Load(name); ok {
		return d.(ocispec.Descriptor), nil
	}
	return ocispec.Descriptor{}, errdefs.ErrNotFound
}
func (n *names) Tags(context.Context, string) ([]string, error) { return nil, nil }
func (n *names) Pulled(_ context.Context, name string, d ocispec.Descriptor, _ digest.Digest) error {
	n.Store(name, d)
	return nil
}
func (n *names) Pushed(context.Context, string) {}

// fake is a registry with one image of one layer, team/app:v1, and faults.
type fake struct {
	*httptest.Server
	layer, config, manifest []byte
	blobs                   atomic.Int64 // requests for the layer
	// serve may answer in its place; set before the first request, and not asked once it is honest.
	serve  func(w http.ResponseWriter, r *http.Request, n int64) bool
	honest atomic.Bool
}

// lies reports whether serve has answered.
func (f *fake) lies(w http.ResponseWriter, r *http.Request, n int64) bool {
	return f.serve != nil && !f.honest.Load() && f.serve(w, r, n)
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{}
	var err error
	if f.layer, err = imagetar.Layer(imagetar.Rootfs{"file": {Data: strings.Repeat("content ", 200_000)}}); err != nil {
		t.Fatal(err)
	}
	f.describe(digest.FromBytes(f.layer))
	f.Server = httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) describe(diffID digest.Digest) {
	f.config, _ = json.Marshal(ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID}}})
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(f.config), Size: int64(len(f.config))},
		Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromBytes(f.layer), Size: int64(len(f.layer)),
			URLs: []string{"http://127.0.0.1:1/foreign"}}}}
	m.SchemaVersion = 2
	f.manifest, _ = json.Marshal(m)
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/manifests/v1"):
		if f.lies(w, r, 0) {
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		_, _ = w.Write(f.manifest)
	case strings.HasSuffix(r.URL.Path, digest.FromBytes(f.config).String()):
		_, _ = w.Write(f.config)
	case strings.HasSuffix(r.URL.Path, digest.FromBytes(f.layer).String()):
		if n := f.blobs.Add(1); f.lies(w, r, n) {
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.layer))
	default:
		if !f.lies(w, r, -1) {
			http.NotFound(w, r)
		}
	}
}

func (f *fake) host() string { return strings.TrimPrefix(f.URL, "http://") }

func service(t *testing.T, certs string) *Service {
	t.Helper()
	st, err := storage.Open(t.Context(), storage.Config{Root: t.TempDir(), Driver: "native"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Store: st, Layers: layers{st}, Images: &names{}, CertsDir: certs,
		Stall: 300 * time.Millisecond, Pause: time.Millisecond, Settings: Settings{Attempts: 3}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func quiet(jsonstream.Message) {}

func pullFrom(t *testing.T, s *Service, f *fake, c Credentials) error {
	return s.Pull(t.Context(), f.host()+"/team/app", "v1", PullOptions{Credentials: c}, quiet)
}

// half breaks the connection in the middle of what was asked for.
func (f *fake) half(w http.ResponseWriter) {
	w.Header().Set("Content-Length", fmt.Sprint(len(f.layer)))
	_, _ = w.Write(f.layer[:len(f.layer)/2])
	panic(http.ErrAbortHandler)
}

func TestABrokenDownloadGoesOnWhereItEnded(t *testing.T) {
	f, s := newFake(t), service(t, t.TempDir())
	var asked atomic.Value
	f.serve = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		if n == 1 {
			f.half(w)
		}
		asked.Store(r.Header.Get("Range"))
		return false
	}
	if err := pullFrom(t, s, f, Credentials{}); err != nil {
		t.Fatal(err)
	}
	if got := asked.Load(); f.blobs.Load() != 2 || got == "" || got == "bytes=0-" {
		t.Errorf("%d requests, range %q", f.blobs.Load(), got)
	}
}

func TestHostileBlobsAreRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func(f *fake, w http.ResponseWriter, r *http.Request)
		want  string
	}{
		"other bytes": {func(f *fake, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte{1}, len(f.layer)))
		}, "filesystem layer verification failed for digest"},
		"other size": {func(_ *fake, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "abc")
		}, "has 3 bytes, not"},
		"wrong range": {func(f *fake, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				f.half(w)
			}
			w.Header().Set("Content-Range", "bytes 0-1/2")
			w.WriteHeader(http.StatusPartialContent)
		}, "got the range"},
		"truncated for ever": {func(f *fake, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(f.layer)))
			panic(http.ErrAbortHandler)
		}, "EOF"},
		"stalled": {func(f *fake, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(f.layer)))
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, "the registry sent less than"},
		"endless redirects": {func(_ *fake, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"?again", http.StatusTemporaryRedirect)
		}, "redirects"},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFake(t), service(t, t.TempDir())
			f.serve = func(w http.ResponseWriter, r *http.Request, n int64) bool {
				if n > 0 {
					tc.serve(f, w, r)
				}
				return n > 0
			}
			if err := pullFrom(t, s, f, Credentials{}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			f.honest.Store(true)
			if err := pullFrom(t, s, f, Credentials{}); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestALayerIsHeldAgainstItsDiffID(t *testing.T) {
	f, s := newFake(t), service(t, t.TempDir())
	f.describe(digest.FromString("another tar"))
	if err := pullFrom(t, s, f, Credentials{}); !errdefs.IsDataLoss(err) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsDoNotFollowRedirects(t *testing.T) {
	f, s := newFake(t), service(t, t.TempDir())
	var leaked, known atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaked.Store(r.Header.Get("Authorization") != "")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.layer))
	}))
	defer other.Close()
	f.serve = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		user, password, _ := r.BasicAuth()
		if user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		known.Store(true)
		if n > 0 {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}
		return n > 0
	}
	if err := pullFrom(t, s, f, Credentials{Username: "me", Password: "wrong"}); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "pull access denied for ") {
		t.Errorf("wrong password: %v", err)
	}
	if err := pullFrom(t, s, f, Credentials{Username: "me", Password: "secret", ServerAddress: "elsewhere.example"}); err == nil {
		t.Error("credentials of another registry were used")
	}
	if err := pullFrom(t, s, f, Credentials{Username: "me", Password: "secret"}); err != nil {
		t.Fatal(err)
	}
	if !known.Load() || leaked.Load() {
		t.Errorf("known to the registry %v, to the other host %v", known.Load(), leaked.Load())
	}
}

func TestPullsShareATransfer(t *testing.T) {
	f, s := newFake(t), service(t, t.TempDir())
	both := make(chan struct{})
	var manifests atomic.Int64
	f.serve = func(_ http.ResponseWriter, r *http.Request, n int64) bool {
		if n == 0 && manifests.Add(1) == 2 {
			close(both)
		}
		if n > 0 {
			<-both
		}
		return false
	}
	results := make(chan error, 2)
	for range 2 {
		go func() { results <- pullFrom(t, s, f, Credentials{}) }()
	}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := f.blobs.Load(); n != 1 {
		t.Errorf("the layer was asked for %d times", n)
	}
}

func TestMirrorsAreTriedFirstAndNamedInTheError(t *testing.T) {
	f, certs := newFake(t), t.TempDir()
	dir := filepath.Join(certs, "registry.example")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	toml := fmt.Sprintf("server = \"http://127.0.0.1:1\"\n[host.\"http://127.0.0.1:2\"]\n[host.%q]\n", f.URL)
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	s := service(t, certs)
	if err := s.Pull(t.Context(), "registry.example/team/app", "v1", PullOptions{}, quiet); err != nil {
		t.Fatal(err)
	}
	err := s.Pull(t.Context(), "registry.example/team/app", "v2", PullOptions{}, quiet)
	if err == nil || !strings.Contains(err.Error(), "tried before: http://127.0.0.1:2") || !strings.Contains(err.Error(), f.URL) {
		t.Errorf("got %v", err)
	}
}

func TestAListOfTagsHasAnEnd(t *testing.T) {
	f, s := newFake(t), service(t, t.TempDir())
	f.serve = func(w http.ResponseWriter, r *http.Request, n int64) bool {
		w.Header().Set("Link", "<"+r.URL.Path+`?n=1>; rel="next"`)
		_, _ = io.WriteString(w, `{"tags":["a"]}`)
		return true
	}
	if err := s.Pull(t.Context(), f.host()+"/team/app", "", PullOptions{}, quiet); err == nil || !strings.Contains(err.Error(), "no end") {
		t.Errorf("got %v", err)
	}
}

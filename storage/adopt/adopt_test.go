package adopt

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gantry/storage"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

func write(t *testing.T, root, name, data string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// root makes a data root of one layer, and an image of it.
func root(t *testing.T) (dir string, layer storage.DiffID, image digest.Digest) {
	t.Helper()
	dir = t.TempDir()
	layer = storage.DiffID(digest.FromString("layer"))
	db := "image/overlay2/layerdb/sha256/" + digest.Digest(layer).Encoded()
	write(t, dir, db+"/diff", string(layer))
	write(t, dir, db+"/cache-id", "cache")
	write(t, dir, db+"/size", "7")
	write(t, dir, db+"/tar-split.json.gz", "")
	write(t, dir, "overlay2/cache/diff/file", "x")
	write(t, dir, "overlay2/stray/diff/file", "x")
	config := `{"rootfs":{"type":"layers","diff_ids":["` + string(layer) + `"]}}`
	image = digest.FromString(config)
	write(t, dir, "image/overlay2/imagedb/content/sha256/"+image.Encoded(), config)
	write(t, dir, "image/overlay2/repositories.json", `{"Repositories":{"a":{"a:1":"`+image.String()+`","a@`+image.String()+`":"`+image.String()+`","bad":"x"}}}`)
	return dir, layer, image
}

func TestASurveyTellsWhatThereIs(t *testing.T) {
	dir, layer, image := root(t)
	r, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Images) != 1 || r.Images[0].ID != image || strings.Join(r.Images[0].Names, " ") != "docker.io/library/a:1 docker.io/library/a@"+image.String() {
		t.Errorf("images are %+v", r.Images)
	}
	if l := r.Layers[storage.ChainID(layer)]; l.CacheID != "cache" || l.Size != 7 {
		t.Errorf("layers are %+v", r.Layers)
	}
	left := strings.Join(r.Left, "\n")
	if !strings.Contains(left, `name "bad"`) || !strings.Contains(left, "1 directories in") || len(r.Refusals) > 0 {
		t.Errorf("left is %s, refusals are %v", left, r.Refusals)
	}
}

func TestWhatIsNoClassicRootIsNone(t *testing.T) {
	dir := t.TempDir()
	for _, sub := range []string{"containers", "image/overlay2/layerdb/sha256", "image/overlay2/imagedb/content/sha256", "overlay2/l"} {
		if r, err := Survey(dir); r != nil || err != nil {
			t.Errorf("before %s: %+v, %v", sub, r, err)
		}
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := Survey(dir); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// What is broken is named and left out, and nothing leads out of the directories.
func TestBrokenLayersAndImagesAreLeft(t *testing.T) {
	for what, spoil := range map[string]func(t *testing.T, dir, db, config string){
		"no directory": func(t *testing.T, dir, _, _ string) { remove(t, filepath.Join(dir, "overlay2/cache")) },
		"cache-id":     func(t *testing.T, _, db, _ string) { write(t, db, "cache-id", "../../etc") },
		"diff":         func(t *testing.T, _, db, _ string) { write(t, db, "diff", "sha256:1") },
		"another diff": func(t *testing.T, _, db, _ string) { write(t, db, "diff", digest.FromString("other").String()) },
		"parent":       func(t *testing.T, _, db, _ string) { write(t, db, "parent", digest.FromString("none").String()) },
		"config":       func(t *testing.T, _, _, config string) { write(t, filepath.Dir(config), filepath.Base(config), "{}") },
	} {
		t.Run(what, func(t *testing.T) {
			dir, layer, image := root(t)
			spoil(t, dir, filepath.Join(dir, "image/overlay2/layerdb/sha256", digest.Digest(layer).Encoded()), filepath.Join(dir, "image/overlay2/imagedb/content/sha256", image.Encoded()))
			r, err := Survey(dir)
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Images) != 0 || !strings.Contains(strings.Join(r.Left, "\n"), "image "+image.Encoded()[:12]) {
				t.Errorf("images are %+v, left is %v", r.Images, r.Left)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// What was not moved is not deleted, whatever the survey says.
func TestTheArchiveDeletesNoLayer(t *testing.T) {
	dir, _, _ := root(t)
	r, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Begin(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Archive(); err == nil {
		t.Error("it is archived with its layer")
	}
	if _, err := os.Stat(filepath.Join(dir, "overlay2/cache/diff/file")); err != nil {
		t.Error(err)
	}
}

func TestADirectoryInUseIsNotFilled(t *testing.T) {
	from, _, _ := root(t)
	to := t.TempDir()
	write(t, to, "something", "")
	for _, bad := range []string{to, filepath.Join(from, "inside"), from} {
		if err := Relocate(t.Context(), from, bad, false); err == nil {
			t.Errorf("%s is filled", bad)
		}
	}
	if _, err := os.Stat(filepath.Join(from, "image")); err != nil {
		t.Error(err)
	}
}

func FuzzParseNames(f *testing.F) {
	f.Add([]byte(`{"Repositories":{"a":{"a:1":"sha256:` + strings.Repeat("0", 64) + `"}}}`))
	f.Add([]byte(`{"Repositories":{"a":null,"b":{"":""}}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, _, err := parseNames(data)
		if err != nil {
			return
		}
		for id, list := range names {
			for _, n := range list {
				if named, err := reference.ParseNormalizedNamed(n); err != nil || named.String() != n || id.Validate() != nil {
					t.Errorf("%q of %q, %v", n, id, err)
				}
			}
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"ID":"x","Name":"/a","Driver":"overlay2","Image":"sha256:x"}`))
	f.Add([]byte(`{"ID":"../x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if s, err := parseRecord(data); err == nil && strings.Contains(s.ID, "/") {
			t.Errorf("ID %q", s.ID)
		}
	})
}
